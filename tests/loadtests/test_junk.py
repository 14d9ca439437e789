"""An impossible request is impossible, and a refusal is right only with a life time that fits."""

import re

import pytest

from loadtests.junk import Junk, junk, problem_of
from loadtests.ledger import Answer
from loadtests.schedule import Grid

GRID = Grid(0, 2_000)
NOW_MS = 1_700_000_000_000
MEDIA = "v720/{number}.m4s"


def test_every_kind_comes_up_and_names_no_segment_that_exists() -> None:
    asked = [junk("derby", MEDIA, GRID, NOW_MS, luck) for luck in range(25_000)]
    assert {(each.kind, each.status) for each in asked} == {
        ("unknown event", 404),
        ("unknown rendition", 404),
        ("unknown name", 404),
        ("too far ahead", 404),
        ("aged out", 410),
    }
    for each in asked:
        found = re.fullmatch(r"/derby/v720/(\d+)\.m4s", each.path)
        if each.kind in ("too far ahead", "aged out"):
            assert found is not None
            assert not GRID.first_kept(NOW_MS) <= int(found[1]) <= GRID.number_at(NOW_MS)
        else:
            assert found is None
        assert (each.wrong_ms is not None) == (each.kind == "too far ahead")


AHEAD = Junk("too far ahead", "/x", 404, wrong_ms=NOW_MS + 10_000)
GONE = Junk("aged out", "/x", 410)


@pytest.mark.parametrize(
    ("asked", "status", "policy", "problem"),
    [
        (AHEAD, 404, "max-age=10", None),
        (AHEAD, 404, "max-age=11", "outlives the 10000 ms"),
        (GONE, 410, "public, max-age=86400", None),
        (GONE, 404, "max-age=5", "status 404 instead of 410"),
        (GONE, 0, "", "refused instead of 410"),
        (GONE, 410, "", "no life time"),
        (GONE, 410, "max-age=0", "no life time"),
        (GONE, 410, "no-store, max-age=5", "no life time"),
    ],
)
def test_a_refusal_is_judged_by_status_and_life_time(
    asked: Junk, status: int, policy: str, problem: str | None
) -> None:
    answer = Answer(status, headers={"cache-control": policy}, error="" if status else "refused")
    found = problem_of(asked, answer, NOW_MS)
    assert (found is None) if problem is None else (found is not None and problem in found)

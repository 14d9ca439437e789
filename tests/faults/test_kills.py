"""Processes of an origin are killed under live load: nobody misses a segment; and the judge of it can tell."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.faults.kills import BOTH, DELIVER, PUBLISH, counters, kill_again_and_again
from tests.faults.ledger import etag_of
from tests.faults.live_load import Answer, Segment, Tally, body_of

# This runs without asyncio's debug mode, which makes the clients slow.
KILLS: Final = 2
SEGMENT: Final[Segment] = ("v1", 7)


def test_no_live_segment_is_missing_while_processes_are_killed(tmp_path: Path) -> None:
    run = asyncio.run(kill_again_and_again(tmp_path, KILLS, seed=5, lived_s=0))
    tally, counts = run.tally, run.tally.counts
    assert tally.problems == []
    assert counts["live delivered"] == counts["live wanted"] > 0
    assert counts["rewinds delivered"] == counts["rewinds wanted"] > 0
    assert counts["PUT answered"] == counts["PUT wanted"] > 0
    assert counts["choices explained"] >= counts["live segments"]
    killed = {name: len(times) for name, times in run.away_ms.items()}
    assert killed == dict.fromkeys((PUBLISH, *DELIVER), KILLS) | {" and ".join(BOTH): 1}
    assert counts["processes killed"] == KILLS * (1 + len(DELIVER)) + len(BOTH)
    assert min(counts["pages of metrics"], counts["counters compared"]) > 0


# -- The judge itself


def answer(pipeline: str = "a", *, status: int = 200, body: bytes | None = None, etag: str | None = None) -> Answer:
    body = body_of(SEGMENT, pipeline) if body is None else body
    return Answer(status, {"live-origin-pipeline": pipeline, "etag": etag or etag_of(body)}, body)


WRONG: Final = [
    ("refused", answer(status=404)),
    ("stopping", answer(status=503)),
    ("other-bytes", answer(body=body_of(SEGMENT, "a")[:-1])),
    ("another-pipeline-s-bytes", answer(body=body_of(SEGMENT, "b"))),
    ("another-etag", answer(etag='"0"')),
]


@pytest.mark.parametrize("wrong", [case[1] for case in WRONG], ids=[case[0] for case in WRONG])
def test_an_answer_that_is_not_the_segment_is_a_problem(wrong: Answer) -> None:
    tally = Tally()
    assert tally.judge_get("live", SEGMENT, answer())
    assert tally.problems == []
    assert not tally.judge_get("live", SEGMENT, wrong)
    assert len(tally.problems) == 1


def test_two_copies_of_one_segment_are_a_problem() -> None:
    tally = Tally()
    for pipeline in "aab":
        tally.judge_get("live", SEGMENT, answer(pipeline))
    tally.judge_choices()
    assert len(tally.problems) == 1


def test_what_grows_on_a_page_of_metrics_is_found() -> None:
    page = """# TYPE asked_total counter
asked_total{kind="live"} 3.0
# TYPE held gauge
held 5.0
# TYPE took histogram
took_bucket{le="+Inf"} 2.0
took_count 2.0
took_sum 0.5
"""
    assert dict(counters(page)) == {
        ("asked_total", "[('kind', 'live')]"): 3.0,
        ("took_bucket", "[('le', '+Inf')]"): 2.0,
        ("took_count", "[]"): 2.0,
        ("took_sum", "[]"): 0.5,
    }

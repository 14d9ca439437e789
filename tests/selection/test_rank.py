"""The total order of candidates: defects first, then the score where asked for, then the pipelines' order."""

from itertools import permutations
from pathlib import Path

import pytest

from selection.model import Candidate, Defect, Event, ScoreMode
from selection.rank import (
    MEANINGS,
    SCORE_MAX,
    SEVERITY,
    SEVERITY_OTHER,
    best_possible_key,
    is_corrupt,
    pipeline_index,
    rank_key,
    severity,
)
from tests.support.events import candidate, make_defect, make_event

IGNORING = make_event(pipelines=["a", "b", "c"])
RANKING = make_event(pipelines=["a", "b", "c"], score=ScoreMode.RANK)

SEVERITIES = [
    ("corrupt", 8),
    ("mismatched-init", 7),
    ("wrong-time", 6),
    ("slate", 5),
    ("no-keyframe", 4),
    ("discontinuity", 3),
    ("short", 2),
    ("packagers-own", 1),
    ("", 1),
    ("SHORT", 1),
]


@pytest.mark.parametrize(("name", "expected"), SEVERITIES, ids=[name or "no-name" for name, _ in SEVERITIES])
def test_a_defect_hurts_as_the_table_says(name: str, expected: int) -> None:
    assert severity(Defect(name)) == expected


def test_the_severity_table_is_complete_and_worst_first() -> None:
    assert list(SEVERITY.items()) == SEVERITIES[: len(SEVERITY)]
    assert list(MEANINGS) == list(SEVERITY)
    assert sorted(SEVERITY.values(), reverse=True) == list(SEVERITY.values())
    assert len({SEVERITY_OTHER, *SEVERITY.values()}) == len(SEVERITY) + 1
    assert min(SEVERITY.values()) > SEVERITY_OTHER > 0


def severity_table() -> str:
    """Return the table as README.md has it."""
    rows = [f"| `{name}` | {SEVERITY[name]} | {meaning} |" for name, meaning in MEANINGS.items()]
    rows.append(f"| any other name | {SEVERITY_OTHER} | what a packager declares: something is wrong |")
    return "\n".join(["| defect | severity | meaning |", "|---|---|---|", *rows])


def test_the_readme_has_the_severity_table() -> None:
    table = severity_table()
    print(f"put this into README.md:\n\n{table}")  # noqa: T201 - pytest shows it where this fails
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (section,) = [part for part in readme.split("\n## ") if part.startswith("Defects\n")]
    tables = [block.strip() for block in section.split("\n\n") if block.startswith("|")]
    assert tables == [table]


@pytest.mark.parametrize("meaning", MEANINGS.values(), ids=list(MEANINGS))
def test_a_meaning_fits_into_a_cell_of_the_table(meaning: str) -> None:
    assert meaning and "|" not in meaning and "\n" not in meaning
    assert not meaning.endswith(".")


CORRUPT = [
    ("good", candidate("a", 0), False),
    ("flawed", candidate("a", 0, "short"), False),
    ("corrupt", candidate("a", 0, "corrupt"), True),
    ("corrupt-among-others", candidate("a", 0, "short", "corrupt"), True),
]


@pytest.mark.parametrize(("copy", "expected"), [case[1:] for case in CORRUPT], ids=[case[0] for case in CORRUPT])
def test_a_copy_with_the_defect_corrupt_is_corrupt(copy: Candidate, expected: bool) -> None:
    assert is_corrupt(copy) is expected


# (id, copy, (worst severity, defects, missing ms, lost score, pipeline)) where scores are ignored.
KEYS = [
    ("good", candidate("a", 0), (0, 0, 0, 0, 0)),
    ("second-pipeline", candidate("b", 0), (0, 0, 0, 0, 1)),
    ("pipeline-that-left-the-configuration", candidate("z", 0), (0, 0, 0, 0, 3)),
    ("one-defect", candidate("a", 0, "short"), (2, 1, 0, 0, 0)),
    ("worst-of-several", candidate("a", 0, "short", "slate", "other"), (5, 3, 0, 0, 0)),
    ("missing", candidate("a", 0, make_defect("short", missing_ms=120)), (2, 1, 120, 0, 0)),
    (
        "missing-twice",
        candidate("a", 0, make_defect("short", missing_ms=120), make_defect("discontinuity", missing_ms=30)),
        (3, 2, 150, 0, 0),
    ),
    ("missing-decimal", candidate("a", 0, make_defect("short", missing_ms=120.9)), (2, 1, 120, 0, 0)),
    ("missing-as-text", candidate("a", 0, make_defect("short", missing_ms="120")), (2, 1, 0, 0, 0)),
    ("other-parameter", candidate("a", 0, make_defect("short", frames=3)), (2, 1, 0, 0, 0)),
    ("score-is-ignored", candidate("a", 0, score=3), (0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("copy", "expected"), [case[1:] for case in KEYS], ids=[case[0] for case in KEYS])
def test_a_copy_is_ranked_by_its_facts(copy: Candidate, expected: tuple[int, ...]) -> None:
    key = rank_key(IGNORING, copy)
    assert (*key.flaws, key.lost_score, key.pipeline_index) == expected


SCORES = [("none", None, 100), ("zero", 0, 100), ("one", 1, 99), ("highest", SCORE_MAX, 0)]


@pytest.mark.parametrize(("score", "lost"), [case[1:] for case in SCORES], ids=[case[0] for case in SCORES])
def test_a_score_counts_where_the_event_asks_for_it_and_none_is_the_lowest(score: int | None, lost: int) -> None:
    assert rank_key(RANKING, candidate("a", 0, score=score)).lost_score == lost
    assert rank_key(IGNORING, candidate("a", 0, score=score)).lost_score == 0


# Each list is in rank order, best first.
ORDERS = [
    ("defects-before-order", IGNORING, [candidate("c", 0), candidate("b", 0, "other"), candidate("a", 0, "short")]),
    ("order-where-all-is-equal", IGNORING, [candidate("a", 9), candidate("b", 5), candidate("c", 0)]),
    (
        "severity-before-count",
        IGNORING,
        [candidate("b", 0, "short", "short", "other"), candidate("a", 0, "discontinuity")],
    ),
    ("count-where-severity-is-equal", IGNORING, [candidate("b", 0, "short"), candidate("a", 0, "short", "other")]),
    (
        "missing-where-count-is-equal",
        IGNORING,
        [
            candidate("b", 0, make_defect("short", missing_ms=20)),
            candidate("a", 0, make_defect("short", missing_ms=21)),
        ],
    ),
    ("score-before-order", RANKING, [candidate("b", 0, score=51), candidate("a", 0, score=50), candidate("c", 0)]),
    ("order-where-scores-are-equal", RANKING, [candidate("a", 0, score=50), candidate("b", 0, score=50)]),
    ("defects-before-score", RANKING, [candidate("b", 0, score=0), candidate("a", 0, "other", score=100)]),
    ("score-that-is-ignored", IGNORING, [candidate("a", 0, score=0), candidate("b", 0, score=100)]),
    ("left-the-configuration", IGNORING, [candidate("c", 0), candidate("z", 0)]),
    ("two-that-left-the-configuration", IGNORING, [candidate("c", 0), candidate("y", 0), candidate("z", 0)]),
]


@pytest.mark.parametrize(("event", "ranked"), [case[1:] for case in ORDERS], ids=[case[0] for case in ORDERS])
def test_copies_are_ranked_alike_in_whatever_order_they_came(event: Event, ranked: list[Candidate]) -> None:
    for arrived in permutations(ranked):
        assert sorted(arrived, key=lambda copy: rank_key(event, copy)) == ranked


def test_the_time_of_a_copy_and_its_size_do_not_count() -> None:
    early = candidate("a", 0, sequence=1, digest="0" * 32, size_bytes=1, received_ms=0)
    late = candidate("a", 9_000, sequence=9, digest="f" * 32, size_bytes=10**9, received_ms=10**6)
    assert rank_key(RANKING, early) == rank_key(RANKING, late)


def test_flaws_are_what_makes_a_copy_worse_whoever_sent_it() -> None:
    flawed = rank_key(RANKING, candidate("b", 0, make_defect("short", missing_ms=120), score=3))
    same = rank_key(RANKING, candidate("c", 0, make_defect("short", missing_ms=120), score=99))
    assert flawed.flaws == same.flaws == (2, 1, 120)
    assert flawed != same


@pytest.mark.parametrize("event", [IGNORING, RANKING], ids=["ignore", "rank"])
def test_no_copy_can_be_better_than_the_best_possible_one(event: Event) -> None:
    best = best_possible_key(event, "b")
    assert best == rank_key(event, candidate("b", 0, score=SCORE_MAX))
    assert best < rank_key(event, candidate("b", 0, "other", score=SCORE_MAX))
    assert best <= rank_key(event, candidate("b", 0, score=SCORE_MAX - 1))


def test_a_pipeline_has_the_place_it_has_in_the_configuration_and_an_unknown_one_the_last() -> None:
    assert [pipeline_index(IGNORING, pipeline_id) for pipeline_id in ("a", "b", "c", "z")] == [0, 1, 2, 3]

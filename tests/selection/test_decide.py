"""The first choice of a segment: when it is made, which copy it is, and why the others lost.

Segment 10 is due at 23 000 ms; its grace ends at 23 500 ms, its retry deadline at 33 000 ms. A good copy waits
100 ms for the pipelines before it. No pipeline is down here (`test_decide_down.py`); choices in force are in
`test_decide_again.py`.
"""

from dataclasses import replace
from itertools import permutations

import pytest

from selection.decide import Choose, Wait, decide, is_masked
from selection.model import Choice, Event, Loss, Mask, Rule, ScoreMode
from tests.support.events import Chosen, copies, make_event, make_situation, told

THREE = make_event(pipelines=["a", "b", "c"])
ONE = make_event(pipelines=["a"])
NO_WAIT = make_event(prefer_wait_ms=0)
NO_GRACE = make_event(grace_ms=0)
SCORED = make_event(score=ScoreMode.RANK)
LONG_GRACE = make_event(grace_ms=20_000)
NO_RETRY = make_event(retry_deadline_ms=0)

A_MASKED = Mask("m", "a", first_number=10)
B_MASKED = Mask("n", "b", first_number=0, last_number=10)
OTHER_MASKS = (Mask("o", "a", 11), Mask("p", "a", 0, 9), Mask("q", "a", 10, rendition_id="a128"))


FIRST, WAITED, GRACE, OVERDUE = Rule.FIRST_IN_ORDER, Rule.PREFER_WAIT_OVER, Rule.GRACE_OVER, Rule.OVERDUE


GOOD_COPIES: list[tuple[str, Event, str, int, Chosen | Wait]] = [
    ("nothing-is-there", THREE, "", 22_000, Wait(None)),
    ("first-in-order-at-once", THREE, "a 22000", 22_000, ("a", FIRST, 22_000)),
    ("only-pipeline-at-once", ONE, "a 22000", 22_000, ("a", FIRST, 22_000)),
    ("second-waits", THREE, "b 22000", 22_000, Wait(22_100)),
    ("second-still-waits", THREE, "b 22000", 22_099, Wait(22_100)),
    ("second-has-waited", THREE, "b 22000", 22_100, ("b", WAITED, 22_100)),
    ("first-comes-within-the-wait", THREE, "b 22000, a 22099", 22_099, ("a", FIRST, 22_099)),
    ("first-comes-in-the-ms-in-which-the-wait-ends", THREE, "b 22000, a 22100", 22_100, ("b", WAITED, 22_100)),
    ("third-waits", THREE, "c 22000", 22_000, Wait(22_100)),
    ("second-comes-and-the-wait-goes-on-for-the-first", THREE, "c 22000, b 22060", 22_060, Wait(22_100)),
    ("the-wait-counts-from-the-first-good-copy", THREE, "c 22000, b 22060", 22_100, ("b", WAITED, 22_100)),
    ("copies-after-the-choice-do-not-count", THREE, "c 22000, b 22101, a 22102", 22_102, ("c", WAITED, 22_100)),
    ("no-wait-at-all", NO_WAIT, "c 22000", 22_000, ("c", WAITED, 22_000)),
    (
        "no-wait-at-all-and-the-journal-has-the-lower-one-first",
        NO_WAIT,
        "c 22000, a 22000",
        22_000,
        ("c", WAITED, 22_000),
    ),
    (
        "no-wait-at-all-and-the-journal-has-the-higher-one-first",
        NO_WAIT,
        "a 22000, c 22000",
        22_000,
        ("a", FIRST, 22_000),
    ),
    ("early-copy-waits-from-its-arrival", THREE, "b 18000", 18_000, Wait(18_100)),
    ("late-copy-waits-from-its-arrival", THREE, "b 30000", 30_000, Wait(30_100)),
    ("wait-goes-on-over-due", THREE, "b 22950", 23_000, Wait(23_050)),
    ("unknown-pipeline-waits-for-all-and-loses", THREE, "z 22000, c 22050", 22_100, ("c", WAITED, 22_100)),
]

FLAWED_COPIES: list[tuple[str, Event, str, int, Chosen | Wait]] = [
    ("waits-for-grace", THREE, "a 22000 short", 23_000, Wait(23_500)),
    ("still-waits", THREE, "a 22000 short", 23_499, Wait(23_500)),
    ("grace-is-over", THREE, "a 22000 short", 23_500, ("a", GRACE, 23_500)),
    ("least-flawed", THREE, "a 22000 slate, c 22000 short", 23_500, ("c", GRACE, 23_500)),
    ("all-are-there-and-flawed", THREE, "a 22000 slate, b 22001 short, c 22002 slate", 22_002, ("b", FIRST, 22_002)),
    ("only-pipeline-is-flawed", ONE, "a 22000 short", 22_000, ("a", FIRST, 22_000)),
    ("good-copy-of-a-lower-pipeline-ends-it", THREE, "a 22000 short, b 22300", 22_300, ("b", FIRST, 22_300)),
    ("flawed-copy-ends-the-wait-of-a-good-one", THREE, "b 22000, a 22050 short", 22_050, ("b", FIRST, 22_050)),
    ("flawed-copy-starts-no-wait", THREE, "c 22000 short, b 22300", 22_300, Wait(22_400)),
    ("good-copy-just-before-grace-has-its-wait", THREE, "c 22000 short, b 23450", 23_500, Wait(23_550)),
    ("and-is-taken-then", THREE, "c 22000 short, b 23450", 23_550, ("b", WAITED, 23_550)),
    ("good-copy-in-the-ms-in-which-grace-ends", THREE, "c 22000 short, a 23500", 23_500, ("c", GRACE, 23_500)),
    ("good-copy-one-ms-earlier", THREE, "c 22000 short, a 23499", 23_499, ("a", FIRST, 23_499)),
    ("in-the-ms-in-which-grace-ends", THREE, "b 23500 short", 23_500, ("b", GRACE, 23_500)),
    ("after-grace-at-once", THREE, "b 30000 short", 30_000, ("b", GRACE, 30_000)),
    ("after-grace-the-first-that-came", THREE, "c 30000 slate, a 30000 short", 30_000, ("c", GRACE, 30_000)),
    ("no-grace", NO_GRACE, "b 22000 short", 22_000, Wait(23_000)),
    ("no-grace-at-due", NO_GRACE, "b 22000 short", 23_000, ("b", GRACE, 23_000)),
]

CORRUPT_COPIES: list[tuple[str, Event, str, int, Chosen | Wait]] = [
    ("never-chosen", THREE, "a 22000 corrupt", 22_000, Wait(None)),
    ("not-even-after-grace", THREE, "a 22000 short corrupt", 90_000, Wait(None)),
    ("not-even-of-all", ONE, "a 22000 corrupt", 90_000, Wait(None)),
    ("sent-is-sent", THREE, "a 22000 corrupt, b 22010", 22_010, ("b", FIRST, 22_010)),
    ("ends-the-wait-of-a-good-copy", THREE, "b 22000, a 22050 corrupt", 22_050, ("b", FIRST, 22_050)),
    (
        "ends-the-wait-of-a-flawed-copy",
        THREE,
        "b 22000 short, a 22050 corrupt, c 22070 corrupt",
        22_070,
        ("b", FIRST, 22_070),
    ),
    ("does-not-end-the-wait-for-another", THREE, "c 22000, a 22050 corrupt", 22_050, Wait(22_100)),
    ("only-after-the-wait-is-over", THREE, "b 22000, a 22100 corrupt", 22_100, ("b", WAITED, 22_100)),
]

SCORED_COPIES: list[tuple[str, Event, str, int, Chosen | Wait]] = [
    ("full-score-of-the-first-at-once", SCORED, "a 22000 score=100", 22_000, ("a", FIRST, 22_000)),
    ("less-waits-even-for-lower-pipelines", SCORED, "a 22000 score=99", 22_000, Wait(22_100)),
    ("no-score-waits-too", SCORED, "a 22000", 22_000, Wait(22_100)),
    ("and-is-taken-then", SCORED, "a 22000", 22_100, ("a", WAITED, 22_100)),
    ("higher-score-of-a-lower-pipeline", SCORED, "a 22000 score=50, c 22050 score=51", 22_100, ("c", WAITED, 22_100)),
    ("all-there-ends-the-wait", SCORED, "a 22000 score=5, c 22020 score=9, b 22030", 22_030, ("c", FIRST, 22_030)),
    ("full-score-of-a-lower-one-waits-for-higher-ones", SCORED, "b 22000 score=100", 22_000, Wait(22_100)),
    ("good-before-score", SCORED, "a 22000 short score=100, b 22000 score=1", 22_100, ("b", WAITED, 22_100)),
    ("score-ignored-by-default", THREE, "a 22000 score=0", 22_000, ("a", FIRST, 22_000)),
]

OVERDUE_COPIES: list[tuple[str, Event, str, int, Chosen | Wait]] = [
    ("the-wait-of-a-good-copy-ends-at-the-deadline", THREE, "b 32950", 32_999, Wait(33_000)),
    ("and-it-is-taken-then", THREE, "b 32950", 33_000, ("b", OVERDUE, 33_000)),
    ("a-wait-that-ends-before-is-not-cut", THREE, "b 32899", 32_998, Wait(32_999)),
    ("a-wait-that-ends-with-it", THREE, "b 32900", 33_000, ("b", WAITED, 33_000)),
    ("good-copy-at-the-deadline-at-once", THREE, "b 33000", 33_000, ("b", OVERDUE, 33_000)),
    ("good-copy-after-it-at-once", THREE, "c 40000, a 40050", 40_000, ("c", OVERDUE, 40_000)),
    ("first-in-order-after-it-is-just-that", THREE, "a 40000", 40_000, ("a", FIRST, 40_000)),
    ("the-best-of-those-here", THREE, "c 32950, b 32960", 33_000, ("b", OVERDUE, 33_000)),
    ("one-that-comes-in-that-ms-is-too-late", THREE, "c 32950, a 33000", 33_000, ("c", OVERDUE, 33_000)),
    ("grace-ends-at-the-deadline", LONG_GRACE, "a 22000 short", 32_999, Wait(33_000)),
    ("the-least-flawed-is-taken-then", LONG_GRACE, "a 22000 slate, b 22000 short", 33_000, ("b", OVERDUE, 33_000)),
    ("flawed-copy-after-it-at-once", LONG_GRACE, "c 33001 short", 33_001, ("c", OVERDUE, 33_001)),
    ("corrupt-copy-is-not-taken-even-then", LONG_GRACE, "a 22000 corrupt", 90_000, Wait(None)),
    ("no-retry-cuts-at-due", NO_RETRY, "b 22950", 22_950, Wait(23_000)),
    ("no-retry-takes-it-at-due", NO_RETRY, "b 22950", 23_000, ("b", OVERDUE, 23_000)),
]

CASES = GOOD_COPIES + FLAWED_COPIES + CORRUPT_COPIES + SCORED_COPIES + OVERDUE_COPIES
GROUPS = [
    ("good", GOOD_COPIES),
    ("flawed", FLAWED_COPIES),
    ("corrupt", CORRUPT_COPIES),
    ("scored", SCORED_COPIES),
    ("overdue", OVERDUE_COPIES),
]
IDS = [f"{group}-{case[0]}" for group, cases in GROUPS for case in cases]


@pytest.mark.parametrize(("event", "text", "now_ms", "expected"), [case[1:] for case in CASES], ids=IDS)
def test_a_choice_is_made_by_rule(event: Event, text: str, now_ms: int, expected: Chosen | Wait) -> None:
    assert told(decide(make_situation(event, copies(text)), now_ms)) == expected


CHOSEN = [(name, case[1:]) for name, case in zip(IDS, CASES, strict=True) if not isinstance(case[4], Wait)]


@pytest.mark.parametrize(
    ("event", "text", "now_ms", "expected"), [case for _, case in CHOSEN], ids=[name for name, _ in CHOSEN]
)
@pytest.mark.parametrize("late_ms", [1, 99, 100, 100_000])
def test_a_timer_that_fires_late_gives_the_same_choice(
    event: Event, text: str, now_ms: int, expected: Chosen, late_ms: int
) -> None:
    situation = make_situation(event, copies(text))
    assert decide(situation, now_ms + late_ms) == decide(situation, now_ms)
    assert told(decide(situation, now_ms + late_ms)) == expected


def test_copies_that_came_while_the_timer_was_late_change_nothing() -> None:
    situation = make_situation(THREE, copies("b 22000, a 22150, c 22160"))
    assert told(decide(situation, 22_160)) == ("b", WAITED, 22_100)


TIES = [
    ("better-one-last", "a 30000 slate, b 30000 short", "a"),
    ("better-one-first", "b 30000 short, a 30000 slate", "b"),
]


@pytest.mark.parametrize(("text", "pipeline_id"), [case[1:] for case in TIES], ids=[case[0] for case in TIES])
def test_copies_of_the_same_ms_count_in_the_order_of_the_journal(text: str, pipeline_id: str) -> None:
    situation = make_situation(THREE, copies(text))
    for read in permutations(situation.candidates):
        assert told(decide(replace(situation, candidates=read), 30_000)) == (pipeline_id, GRACE, 30_000)


MASKED: list[tuple[str, tuple[Mask, ...], str, int, Chosen | Wait]] = [
    ("not-waited-for", (A_MASKED,), "b 22000", 22_000, ("b", FIRST, 22_000)),
    ("never-chosen", (A_MASKED,), "a 22000", 90_000, Wait(None)),
    ("loses-to-a-flawed-copy", (A_MASKED,), "a 22000, b 22000 short", 23_500, ("b", GRACE, 23_500)),
    ("both-higher-ones", (A_MASKED, B_MASKED), "c 22000", 22_000, ("c", FIRST, 22_000)),
    ("the-lower-one-waits-for-what-is-left", (A_MASKED,), "c 22000", 22_000, Wait(22_100)),
    ("other-numbers-and-renditions-do-not-count", OTHER_MASKS, "a 22000", 22_000, ("a", FIRST, 22_000)),
]


@pytest.mark.parametrize(
    ("masks", "text", "now_ms", "expected"), [case[1:] for case in MASKED], ids=[case[0] for case in MASKED]
)
def test_a_masked_pipeline_takes_no_part(
    masks: tuple[Mask, ...], text: str, now_ms: int, expected: Chosen | Wait
) -> None:
    situation = make_situation(THREE, copies(text), masks=masks)
    assert told(decide(situation, now_ms)) == expected
    assert is_masked(situation, "a") is (A_MASKED in masks)


INITS: list[tuple[str, tuple[Mask, ...], str, int, Chosen | Wait]] = [
    ("first-in-order", (), "a 5000", 5_000, ("a", FIRST, 5_000)),
    ("second-waits", (), "b 5000", 5_000, Wait(5_100)),
    ("second-has-waited", (), "b 5000", 5_100, ("b", WAITED, 5_100)),
    ("flawed-waits-for-grace-from-its-arrival", (), "b 5000 short", 5_000, Wait(5_500)),
    ("grace-is-over", (), "b 5000 short", 5_500, ("b", GRACE, 5_500)),
    ("waits-after-any-retry-deadline", (), "b 90000", 90_000, Wait(90_100)),
    ("grace-counts-from-the-first-copy", (), "c 5000 slate, b 5400 short", 5_500, ("b", GRACE, 5_500)),
    ("masks-of-numbers-do-not-count", (A_MASKED, B_MASKED), "a 5000", 5_000, ("a", FIRST, 5_000)),
    ("corrupt-is-never-chosen", (), "a 5000 corrupt", 90_000, Wait(None)),
]


@pytest.mark.parametrize(
    ("masks", "text", "now_ms", "expected"), [case[1:] for case in INITS], ids=[case[0] for case in INITS]
)
def test_an_init_segment_is_chosen_by_the_same_rules_and_due_when_it_first_comes(
    masks: tuple[Mask, ...], text: str, now_ms: int, expected: Chosen | Wait
) -> None:
    assert told(decide(make_situation(THREE, copies(text), number=None, masks=masks), now_ms)) == expected


LOSSES: list[tuple[str, Event, tuple[Mask, ...], str, list[tuple[str, Loss]]]] = [
    ("absent", THREE, (), "a 22000", [("b", Loss.ABSENT), ("c", Loss.ABSENT)]),
    ("came-after-the-choice", THREE, (), "a 22000, b 22001", [("b", Loss.ABSENT), ("c", Loss.ABSENT)]),
    ("order", THREE, (), "c 22000, b 22050", [("a", Loss.ABSENT), ("c", Loss.ORDER)]),
    ("defects", THREE, (), "a 22000 short, b 22050", [("a", Loss.DEFECTS), ("c", Loss.ABSENT)]),
    ("more-defects", THREE, (), "a 22000 slate, b 22050 short", [("a", Loss.DEFECTS), ("c", Loss.ABSENT)]),
    ("more-is-missing", THREE, (), "a 22000 short:9, b 22050 short:8", [("a", Loss.DEFECTS), ("c", Loss.ABSENT)]),
    ("corrupt", THREE, (), "a 22000 corrupt, b 22050", [("a", Loss.CORRUPT), ("c", Loss.ABSENT)]),
    ("masked-and-absent", THREE, (A_MASKED,), "b 22000", [("a", Loss.MASKED), ("c", Loss.ABSENT)]),
    ("masked-and-there", THREE, (A_MASKED,), "a 22000, b 22000", [("a", Loss.MASKED), ("c", Loss.ABSENT)]),
    ("masked-and-corrupt", THREE, (A_MASKED,), "a 22000 corrupt, b 22000", [("a", Loss.MASKED), ("c", Loss.ABSENT)]),
    ("score", SCORED, (), "a 22000 score=1, b 22050 score=2", [("a", Loss.SCORE), ("c", Loss.ABSENT)]),
    (
        "order-where-scores-are-equal",
        SCORED,
        (),
        "a 22000 score=2, b 22050 score=2",
        [("b", Loss.ORDER), ("c", Loss.ABSENT)],
    ),
    ("only-pipeline", ONE, (), "a 22000", []),
    ("pipeline-that-left-the-configuration", ONE, (), "a 22000, z 22000", []),
]


@pytest.mark.parametrize(
    ("event", "masks", "text", "losses"), [case[1:] for case in LOSSES], ids=[case[0] for case in LOSSES]
)
def test_a_choice_tells_why_each_other_pipeline_lost(
    event: Event, masks: tuple[Mask, ...], text: str, losses: list[tuple[str, Loss]]
) -> None:
    decision = decide(make_situation(event, copies(text), masks=masks), 30_000)
    assert isinstance(decision, Choose)
    assert list(decision.choice.losses) == losses


def test_a_choice_holds_the_copy_itself() -> None:
    situation = make_situation(THREE, copies("a 22000"))
    losses = (("b", Loss.ABSENT), ("c", Loss.ABSENT))
    expected = Choice(situation.candidates[0], FIRST, decided_ms=22_000, losses=losses)
    assert decide(situation, 22_000) == Choose(expected)

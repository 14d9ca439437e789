"""A pipeline that missed its last two due segments is not waited for, and no longer than that.

Segment n is due at `(n + 1) * 2000 + 1000`: 8 at 19 000 ms, 9 at 21 000 ms, 10 at 23 000 ms.
"""

from collections.abc import Sequence

import pytest

from selection.decide import Choose, Wait, decide, is_down
from selection.model import Candidate, Event, Loss, Mask, Moment, Rule
from selection.window import due_ms
from tests.support.events import Chosen, copies, in_journal, make_event, make_situation, told

PLAIN = make_event(pipelines=["a", "b", "c"])
TWO = make_event(pipelines=["a", "b"])
LONG_WAIT = make_event(pipelines=["a", "b"], prefer_wait_ms=1_500)
LONG_GRACE = make_event(pipelines=["a", "b"], grace_ms=9_000)
FROM_10 = make_event(pipelines=["a", "b"], start_ms=20_000)
UNTIL_10 = make_event(pipelines=["a", "b"], end_ms=22_000, prefer_wait_ms=4_500)

FIRST, WAITED, GRACE = Rule.FIRST_IN_ORDER, Rule.PREFER_WAIT_OVER, Rule.GRACE_OVER

History = dict[int, str]
LATER = 1_000  # a number after all that are due in these tables


def parsed(history: History) -> dict[int, Sequence[Candidate]]:
    return {number: in_journal(copies(text)) for number, text in history.items()}


# (id, event, what else was published, ms, whether `a` is down)
DOWN: list[tuple[str, Event, History, int, bool]] = [
    ("missed-two", PLAIN, {}, 22_000, True),
    ("missed-the-last", PLAIN, {8: "a 18000"}, 22_000, False),
    ("missed-the-one-before", PLAIN, {9: "a 20000"}, 22_000, False),
    ("missed-none", PLAIN, {8: "a 18000", 9: "a 20000"}, 22_000, False),
    ("others-do-not-count-for-it", PLAIN, {8: "b 18000, c 18000", 9: "b 20000"}, 22_000, True),
    ("older-ones-do-not-count", PLAIN, {7: "a 16000"}, 22_000, True),
    ("younger-ones-do-not-count", PLAIN, {10: "a 21000"}, 22_000, True),
    ("flawed-and-corrupt-copies-count", PLAIN, {9: "a 20000 corrupt"}, 22_000, False),
    ("last-ms-before-the-second-miss", PLAIN, {7: "a 16000"}, 18_999, False),
    ("second-miss", PLAIN, {7: "a 16000"}, 21_000, True),
    ("first-miss-only", PLAIN, {7: "a 16000"}, 20_999, False),
    ("late-copy-has-not-come-yet", PLAIN, {9: "a 21900"}, 21_899, True),
    ("late-copy-has-come", PLAIN, {9: "a 21900"}, 21_901, False),
    ("late-copy-of-the-one-before", PLAIN, {8: "a 21900"}, 21_901, False),
    ("late-copy-comes-after-a-timer-of-its-ms", PLAIN, {9: "a 21900"}, 21_900, True),
    ("start-of-event-nothing-was-due", FROM_10, {}, 22_999, False),
    ("start-of-event-one-was-due", FROM_10, {}, 24_999, False),
    ("start-of-event-two-were-due", FROM_10, {}, 25_000, True),
    ("start-of-event-and-one-was-published", FROM_10, {11: "a 24999"}, 25_000, False),
    ("start-number-nothing-was-due", PLAIN, {}, 2_999, False),
    ("start-number-one-was-due", PLAIN, {}, 4_999, False),
    ("start-number-two-were-due", PLAIN, {}, 5_000, True),
    ("after-the-end-the-last-two-count", UNTIL_10, {10: "a 22000"}, 90_000, False),
    ("after-the-end-older-ones-do-not", UNTIL_10, {8: "a 18000"}, 90_000, True),
]


@pytest.mark.parametrize(
    ("event", "history", "ms", "expected"), [case[1:] for case in DOWN], ids=[case[0] for case in DOWN]
)
def test_a_pipeline_is_down_when_it_missed_its_last_two_due_segments(
    event: Event, history: History, ms: int, expected: bool
) -> None:
    situation = make_situation(event, [], number=LATER, history=parsed(history))
    assert is_down(situation, "a", Moment.timer(ms)) is expected


# (id, ms, whether `a`, which published 7 and 8, is down for segment 10)
BEFORE: list[tuple[str, int, bool]] = [
    ("its-own-due-does-not-count", 23_000, False),
    ("nor-does-any-later-one", 90_000, False),
]


@pytest.mark.parametrize(("ms", "expected"), [case[1:] for case in BEFORE], ids=[case[0] for case in BEFORE])
def test_a_pipeline_is_judged_by_the_segments_before_the_one_in_question(ms: int, expected: bool) -> None:
    """Where everything comes late, a segment is due before anybody has it: nobody is down for that."""
    situation = make_situation(PLAIN, [], number=10, history=parsed({7: "a 16000", 8: "a 18000"}))
    assert is_down(situation, "a", Moment.timer(ms)) is expected
    assert is_down(make_situation(PLAIN, [], number=10, history=parsed({7: "a 16000"})), "a", Moment.timer(ms))


def test_pipelines_that_are_all_late_do_not_take_turns() -> None:
    """Every copy comes 3 s after due; `b` is 50 ms ahead in every other segment."""
    chosen = []
    history: dict[int, Sequence[Candidate]] = {}
    for number in range(10, 20):
        late_ms = (number + 1) * 2_000 + 4_000
        pair = ("b", "a") if number % 2 else ("a", "b")
        history[number] = in_journal(copies(f"{pair[0]} {late_ms}, {pair[1]} {late_ms + 50}"))
        others = {other: those for other, those in history.items() if other != number}
        decision = decide(make_situation(TWO, history[number], number=number, history=others), late_ms + 60_000)
        assert isinstance(decision, Choose)
        chosen.append(decision.choice.candidate.pipeline_id)
    assert chosen[2:] == ["a"] * 8


def test_a_copy_recorded_in_the_same_ms_counts_from_its_place_in_the_journal_on() -> None:
    situation = make_situation(PLAIN, [], number=LATER, history={9: in_journal(copies("b 20000, a 21900"))})
    assert is_down(situation, "a", Moment(21_900, 1))
    assert not is_down(situation, "a", Moment(21_900, 2))


# (id, event, number, what else was published, copies, now_ms, expected)
CHOICES: list[tuple[str, Event, int, History, str, int, Chosen | Wait]] = [
    ("down-is-not-waited-for", TWO, 10, {9: "b 20000"}, "b 22000", 22_000, ("b", FIRST, 22_000)),
    ("up-is-waited-for", TWO, 10, {9: "a 20000"}, "b 22000", 22_000, Wait(22_100)),
    ("down-but-there", TWO, 10, {9: "b 20000"}, "a 22000", 22_000, ("a", FIRST, 22_000)),
    ("down-and-late", TWO, 10, {9: "b 20000"}, "b 22000, a 22001", 22_001, ("b", FIRST, 22_000)),
    ("one-of-two-is-down", PLAIN, 10, {9: "b 20000"}, "c 22000", 22_000, Wait(22_100)),
    ("and-the-other-comes", PLAIN, 10, {9: "b 20000"}, "c 22000, b 22050", 22_050, ("b", FIRST, 22_050)),
    ("flawed-and-the-others-down", PLAIN, 10, {9: "b 20000"}, "b 22000 short", 22_000, ("b", FIRST, 22_000)),
    ("flawed-and-a-lower-one-up", PLAIN, 10, {9: "c 20000"}, "b 22000 short", 23_499, Wait(23_500)),
    ("late-copy-brings-it-up", TWO, 10, {9: "b 20000, a 21900"}, "b 22000", 22_000, Wait(22_100)),
    ("too-late-copy-does-not", TWO, 10, {9: "b 20000, a 22001"}, "b 22000", 22_001, ("b", FIRST, 22_000)),
    ("start-of-event", FROM_10, 10, {}, "b 22000", 22_000, Wait(22_100)),
    ("second-of-the-event", FROM_10, 11, {}, "b 24900", 24_900, Wait(25_000)),
    ("not-down-when-only-one-came-before", FROM_10, 11, {}, "b 24950", 25_050, ("b", WAITED, 25_050)),
    ("not-a-ms-before", FROM_10, 11, {}, "b 24950", 25_049, Wait(25_050)),
    ("third-of-the-event", FROM_10, 12, {}, "b 26000", 26_000, ("b", FIRST, 26_000)),
    ("up-while-a-good-copy-waits", LONG_WAIT, 10, {8: "a 18000"}, "b 22500", 22_500, Wait(23_500)),
    ("its-own-due-does-not-end-the-wait", LONG_WAIT, 10, {8: "a 18000"}, "b 22500", 23_000, Wait(23_500)),
    (
        "a-late-copy-after-the-choice-does-not-count",
        LONG_WAIT,
        10,
        {9: "a 22999"},
        "b 22500",
        23_000,
        ("b", FIRST, 22_500),
    ),
    (
        "a-late-copy-of-another-segment-keeps-it-up",
        LONG_WAIT,
        10,
        {8: "a 18000", 9: "a 22999"},
        "b 22500",
        23_999,
        Wait(24_000),
    ),
    ("until-the-wait-is-over", LONG_WAIT, 10, {8: "a 18000", 9: "a 22999"}, "b 22500", 24_000, ("b", WAITED, 24_000)),
    (
        "but-not-when-it-comes-in-that-ms",
        LONG_WAIT,
        10,
        {7: "a 16000", 9: "a 21000"},
        "b 20000",
        21_000,
        ("b", FIRST, 21_000),
    ),
    ("goes-down-while-a-flawed-copy-waits", TWO, 10, {7: "a 16000"}, "b 20500 short", 21_000, ("b", FIRST, 21_000)),
    ("up-although-the-segment-is-late", LONG_WAIT, 10, {9: "a 20000"}, "b 23600", 25_100, ("b", WAITED, 25_100)),
    ("early-copy-waits-over-an-older-due", LONG_WAIT, 10, {7: "a 16000"}, "b 20000", 21_000, ("b", FIRST, 21_000)),
    ("stays-up-during-a-long-grace", LONG_GRACE, 10, {9: "a 20000"}, "b 22500 short", 24_999, Wait(32_000)),
    ("later-dues-do-not-count", LONG_GRACE, 10, {9: "a 20000"}, "b 22500 short", 32_000, ("b", GRACE, 32_000)),
    (
        "or-stays-up",
        LONG_GRACE,
        10,
        {9: "a 20000", 11: "a 24999", 13: "a 28999"},
        "b 22500 short",
        31_999,
        Wait(32_000),
    ),
    (
        "until-grace-is-over",
        LONG_GRACE,
        10,
        {9: "a 20000", 11: "a 24999", 13: "a 28999"},
        "b 22500 short",
        32_000,
        ("b", GRACE, 32_000),
    ),
    ("nothing-more-is-due-after-the-end", UNTIL_10, 10, {9: "a 20000"}, "b 22500", 26_999, Wait(27_000)),
    ("so-the-wait-runs-to-its-end", UNTIL_10, 10, {9: "a 20000"}, "b 22500", 27_000, ("b", WAITED, 27_000)),
]


@pytest.mark.parametrize(
    ("event", "number", "history", "text", "now_ms", "expected"),
    [case[1:] for case in CHOICES],
    ids=[case[0] for case in CHOICES],
)
def test_only_pipelines_that_are_not_down_are_waited_for(
    event: Event, number: int, history: History, text: str, now_ms: int, expected: Chosen | Wait
) -> None:
    situation = make_situation(event, copies(text), number=number, history=parsed(history))
    assert told(decide(situation, now_ms)) == expected
    if not isinstance(expected, Wait):
        assert told(decide(situation, now_ms + 60_000)) == expected


# (id, what else was published, whether `a` is waited for)
INITS: list[tuple[str, History, bool]] = [
    ("down", {9: "b 20000"}, False),
    ("up", {9: "a 20000"}, True),
]


@pytest.mark.parametrize(("history", "waits"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
def test_an_init_segment_waits_for_pipelines_whose_segments_come(history: History, waits: bool) -> None:
    situation = make_situation(TWO, copies("b 22000"), number=None, history=parsed(history))
    assert told(decide(situation, 22_000)) == (Wait(22_100) if waits else ("b", FIRST, 22_000))


def test_a_copy_that_comes_long_after_the_end_asks_for_no_more_than_one_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An init segment a year later must not walk over every segment that would have been due since."""
    asked: list[int] = []

    def count(event: Event, number: int) -> int:
        asked.append(number)
        return due_ms(event, number)

    monkeypatch.setattr("selection.decide.due_ms", count)
    a_year_later = 365 * 86_400_000
    for number in (None, 10):
        situation = make_situation(UNTIL_10, copies(f"b {a_year_later}"), number=number)
        assert isinstance(decide(situation, a_year_later + 60_000), Choose)
    assert len(asked) < 10


# (id, copies, masks, losses of `a` and `c` to `b`); `a` is down, `c` is not.
LOSSES: list[tuple[str, str, tuple[Mask, ...], list[tuple[str, Loss]]]] = [
    ("down", "b 22000", (), [("a", Loss.DOWN), ("c", Loss.ABSENT)]),
    ("down-and-masked", "b 22000", (Mask("m", "a", 10),), [("a", Loss.MASKED), ("c", Loss.ABSENT)]),
    ("down-but-there", "a 21999 short, b 22000", (), [("a", Loss.DEFECTS), ("c", Loss.ABSENT)]),
    ("down-and-too-late", "b 22000, a 22001", (), [("a", Loss.DOWN), ("c", Loss.ABSENT)]),
]


@pytest.mark.parametrize(("text", "masks", "losses"), [case[1:] for case in LOSSES], ids=[case[0] for case in LOSSES])
def test_a_pipeline_that_was_down_lost_for_that(
    text: str, masks: tuple[Mask, ...], losses: list[tuple[str, Loss]]
) -> None:
    situation = make_situation(PLAIN, copies(text), history=parsed({9: "b 20000, c 20001"}), masks=masks)
    decision = decide(situation, 30_000)
    assert isinstance(decision, Choose)
    assert list(decision.choice.losses) == losses

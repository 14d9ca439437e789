"""What takes the place of a choice whose body is lost: the best copy there is, at once, whatever would be waited for.

The copies are those of segment 10, which is due at 23 000 ms; its grace ends at 23 500 ms. The lost copy is none of
them any more.
"""

from dataclasses import replace
from itertools import permutations

import pytest

from selection.decide import Choose, Situation, Wait, decide
from selection.model import Choice, Event, Loss, Mask, Rule, ScoreMode
from tests.support.events import Chosen, candidate, copies, make_event, make_situation, told

THREE = make_event(pipelines=["a", "b", "c"])
SCORED = make_event(pipelines=["a", "b", "c"], score=ScoreMode.RANK)
B_MASKED = Mask("m", "b", first_number=10, last_number=10)
LOST = Rule.LOST


def after_a_loss(event: Event, text: str, *, masks: tuple[Mask, ...] = (), number: int | None = 10) -> Situation:
    """Return the situation with the copies of `text`, after the one that was chosen was lost."""
    return replace(make_situation(event, copies(text), number=number, masks=masks), has_lost_choice=True)


# (id, event, copies, masks, ms now, what is decided)
TAKE_OVERS: list[tuple[str, Event, str, tuple[Mask, ...], int, Chosen | Wait]] = [
    ("the-only-other", THREE, "b 22000", (), 22_500, ("b", LOST, 22_500)),
    ("at-once-in-the-ms-of-its-record", THREE, "b 22000", (), 22_000, ("b", LOST, 22_000)),
    ("the-first-in-order-not-the-first-that-came", THREE, "c 22000, b 22060", (), 22_060, ("b", LOST, 22_060)),
    ("long-after", THREE, "c 22000", (), 90_000, ("c", LOST, 90_000)),
    ("flawed-within-its-grace", THREE, "b 22000 short", (), 22_500, ("b", LOST, 22_500)),
    ("a-whole-one-before-a-flawed-one", THREE, "b 22000 short, c 22000", (), 22_500, ("c", LOST, 22_500)),
    ("the-less-flawed", THREE, "b 22000 slate, c 22000 short", (), 22_500, ("c", LOST, 22_500)),
    ("by-score-where-scores-count", SCORED, "b 22000 score=1, c 22000 score=2", (), 22_500, ("c", LOST, 22_500)),
    ("not-the-masked-one", THREE, "b 22000, c 22000", (B_MASKED,), 22_500, ("c", LOST, 22_500)),
    ("none-is-there", THREE, "", (), 22_500, Wait(None)),
    ("all-are-masked", THREE, "b 22000", (B_MASKED,), 22_500, Wait(None)),
    ("all-are-corrupt", THREE, "b 22000 corrupt", (), 90_000, Wait(None)),
]


@pytest.mark.parametrize(
    ("event", "text", "masks", "now_ms", "expected"),
    [case[1:] for case in TAKE_OVERS],
    ids=[case[0] for case in TAKE_OVERS],
)
def test_the_best_copy_there_is_takes_over_at_once(
    event: Event, text: str, masks: tuple[Mask, ...], now_ms: int, expected: Chosen | Wait
) -> None:
    assert told(decide(after_a_loss(event, text, masks=masks), now_ms)) == expected


def test_without_the_loss_the_same_copies_would_wait() -> None:
    situation = after_a_loss(THREE, "b 22000")
    assert told(decide(replace(situation, has_lost_choice=False), 22_000)) == Wait(22_100)


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_the_order_of_the_copies_makes_no_difference(order: tuple[str, ...]) -> None:
    situation = after_a_loss(THREE, "a 22000 slate, b 22010, c 22020")
    by_pipeline = {copy.pipeline_id: copy for copy in situation.candidates}
    shuffled = replace(situation, candidates=[by_pipeline[pipeline_id] for pipeline_id in order])
    assert told(decide(shuffled, 22_500)) == ("b", LOST, 22_500)


def test_the_reasons_tell_of_every_other_pipeline() -> None:
    """That which lost its copy has none any more."""
    decision = decide(after_a_loss(THREE, "c 22000, b 22000 short"), 22_500)
    assert isinstance(decision, Choose)
    assert decision.choice.losses == (("a", Loss.ABSENT), ("b", Loss.DEFECTS))


def test_an_init_segment_is_taken_over_like_a_segment() -> None:
    assert told(decide(after_a_loss(THREE, "b 22000, c 22000", number=None), 22_000)) == ("b", LOST, 22_000)


# (id, copies, the chosen one, what becomes of it)
AFTERWARDS: list[tuple[str, str, str, Chosen | Wait]] = [
    ("a-good-one-stays", "b 22000, a 23600", "b", Wait(None)),
    ("a-flawed-one-is-upgraded", "b 22000 short, a 23600", "b", ("a", Rule.UPGRADE, 23_600)),
    ("not-by-one-as-flawed", "b 22000 short, a 23600 short", "b", Wait(None)),
]


@pytest.mark.parametrize(
    ("text", "chosen_id", "expected"), [case[1:] for case in AFTERWARDS], ids=[case[0] for case in AFTERWARDS]
)
def test_what_took_over_is_a_choice_like_any_other(text: str, chosen_id: str, expected: Chosen | Wait) -> None:
    """Though a loss may still be on record, it is the choice in force that counts."""
    situation = after_a_loss(THREE, text)
    chosen = next(copy for copy in situation.candidates if copy.pipeline_id == chosen_id)
    in_force = replace(situation, current=Choice(chosen, LOST, 22_500))
    assert told(decide(in_force, 90_000)) == expected


def test_a_copy_that_comes_after_the_loss_of_the_only_one_is_decided_as_if_there_had_been_none() -> None:
    """Then nothing is lost any more: requests were refused before, and wait for a better one now."""
    situation = make_situation(THREE, [candidate("c", 23_100)])
    assert told(decide(situation, 23_100)) == Wait(23_200)

"""What moves a choice that is in force: a mask, a renewed init segment, a copy with fewer defects. Nothing else.

The copies are those of segment 10, which is due at 23 000 ms. What a choice in force becomes must not depend
on how often and how late the rules are asked, so each case is asked at the end and after every copy.
"""

from dataclasses import replace
from itertools import permutations

import pytest

from selection.decide import Choose, Situation, Wait, Withdraw, decide
from selection.model import Choice, Event, Loss, Mask, Rule, ScoreMode
from tests.support.events import Chosen, candidate, copies, make_event, make_situation, told

THREE = make_event(pipelines=["a", "b", "c"])
SCORED = make_event(pipelines=["a", "b", "c"], score=ScoreMode.RANK)
A_MASKED = Mask("m", "a", first_number=10, last_number=10)
B_MASKED = Mask("n", "b", first_number=0)
C_MASKED = Mask("o", "c", first_number=0)
OTHER_MASKS = (Mask("p", "b", 11), Mask("q", "b", 0, 9), Mask("r", "b", 10, rendition_id="a128"))
ASKED_MS = 90_000  # long after everything

UPGRADE, MASK, RENEWED = Rule.UPGRADE, Rule.MASK, Rule.RENEWED


def in_force(
    event: Event, text: str, chosen_id: str, *, masks: tuple[Mask, ...] = (), number: int | None = 10
) -> Situation:
    """Return the situation with the copies of `text`, of which that of `chosen_id` is the choice in force."""
    situation = make_situation(event, copies(text), number=number, masks=masks)
    chosen = next(copy for copy in situation.candidates if copy.pipeline_id == chosen_id)
    return replace(situation, current=Choice(chosen, Rule.GRACE_OVER, chosen.published_ms))


# (id, event, copies, the chosen one, what becomes of it)
UPGRADES: list[tuple[str, Event, str, str, Chosen | Wait]] = [
    ("good-choice-stays", THREE, "b 22000, a 22200", "b", Wait(None)),
    ("good-copy-for-a-flawed-one", THREE, "b 22000 short, a 23600", "b", ("a", UPGRADE, 23_600)),
    ("good-copy-of-a-lower-pipeline", THREE, "a 22000 short, c 23600", "a", ("c", UPGRADE, 23_600)),
    ("less-severe", THREE, "a 22000 slate, c 23600 short", "a", ("c", UPGRADE, 23_600)),
    ("fewer", THREE, "a 22000 short other, c 23600 short", "a", ("c", UPGRADE, 23_600)),
    ("less-is-missing", THREE, "a 22000 short:120, c 23600 short:119", "a", ("c", UPGRADE, 23_600)),
    ("equally-flawed-in-a-higher-pipeline", THREE, "b 22000 short, a 23600 short", "b", Wait(None)),
    ("more-flawed", THREE, "a 22000 short, b 23600 slate", "a", Wait(None)),
    ("corrupt", THREE, "a 22000 short, b 23600 corrupt", "a", Wait(None)),
    ("score-is-no-upgrade", SCORED, "a 22000 score=1, b 23600 score=100", "a", Wait(None)),
    ("score-of-equally-flawed-is-no-upgrade", SCORED, "a 22000 short, b 23600 short score=9", "a", Wait(None)),
    ("whole-before-score", SCORED, "a 22000 short score=100, b 23600", "a", ("b", UPGRADE, 23_600)),
]


@pytest.mark.parametrize(
    ("event", "text", "chosen_id", "expected"), [case[1:] for case in UPGRADES], ids=[case[0] for case in UPGRADES]
)
def test_a_choice_is_upgraded_by_a_copy_with_fewer_flaws_only(
    event: Event, text: str, chosen_id: str, expected: Chosen | Wait
) -> None:
    assert told(decide(in_force(event, text, chosen_id), ASKED_MS)) == expected


def test_an_upgraded_choice_is_upgraded_again() -> None:
    situation = in_force(THREE, "a 22000 slate, b 23600 short, c 23700", "b")
    assert told(decide(situation, 23_700)) == ("c", UPGRADE, 23_700)


def follow(situation: Situation, now_ms: int) -> Situation:
    """Commit what the rules say until they say nothing more."""
    for _ in range(10):
        decision = decide(situation, now_ms)
        if not isinstance(decision, Choose):
            return situation
        situation = replace(situation, current=decision.choice)
    raise AssertionError("the rules do not come to rest")


# (id, number, copies in the order of the journal, the first of which is chosen, the one that is chosen in the end)
LATE: list[tuple[str, int | None, str, str]] = [
    ("the-first-good-one-stays", 10, "b 22000 short, c 23600, a 23700", "c"),
    ("the-first-less-flawed-one-stays", 10, "c 22000 slate, b 23600 short, a 23700 short", "b"),
    ("in-one-ms-the-first-of-the-journal", 10, "b 22000 short, c 23600, a 23600", "c"),
    ("ever-better", 10, "a 22000 slate, b 23600 short, c 23700", "c"),
    ("init-segment", None, "b 22000 short, c 23600, a 23700", "c"),
]


@pytest.mark.parametrize(("number", "text", "pipeline_id"), [case[1:] for case in LATE], ids=[case[0] for case in LATE])
def test_upgrades_do_not_depend_on_how_late_the_rules_are_asked(
    number: int | None, text: str, pipeline_id: str
) -> None:
    asked_once = in_force(THREE, text, text[0], number=number)
    asked_often = replace(asked_once, candidates=asked_once.candidates[:1])
    for count in range(1, len(asked_once.candidates) + 1):
        known = asked_once.candidates[:count]
        asked_often = follow(replace(asked_often, candidates=known), known[-1].published_ms)
    assert asked_often.current is not None and asked_often.current.candidate.pipeline_id == pipeline_id
    for read in permutations(asked_once.candidates):
        assert follow(replace(asked_once, candidates=read), ASKED_MS).current == asked_often.current


def test_an_upgrade_tells_why_the_others_lost_when_it_came() -> None:
    situation = in_force(THREE, "b 22000 short, c 23600, a 23700", "b")
    decision = decide(situation, ASKED_MS)
    assert isinstance(decision, Choose)
    assert dict(decision.choice.losses) == {"a": Loss.ABSENT, "b": Loss.DEFECTS}


# (id, masks, copies, what becomes of the choice of b at 90 000 ms)
MASKS: list[tuple[str, tuple[Mask, ...], str, Chosen | Wait | Withdraw]] = [
    ("another-copy-is-there", (B_MASKED,), "b 22000, c 22050", ("c", MASK, 90_000)),
    ("the-best-of-the-others", (B_MASKED,), "b 22000, c 22050, a 22300", ("a", MASK, 90_000)),
    ("good-before-flawed", (B_MASKED,), "b 22000, a 22050 short, c 22300", ("c", MASK, 90_000)),
    ("a-flawed-one-if-there-is-no-other", (B_MASKED,), "b 22000, c 22050 slate", ("c", MASK, 90_000)),
    ("not-another-masked-one", (B_MASKED, A_MASKED), "b 22000, a 22050, c 22060", ("c", MASK, 90_000)),
    ("nothing-else-is-there", (B_MASKED,), "b 22000", Withdraw()),
    ("only-corrupt-ones-are-there", (B_MASKED,), "b 22000, c 22050 corrupt", Withdraw()),
    ("only-masked-ones-are-there", (B_MASKED, C_MASKED), "b 22000, c 22050", Withdraw()),
    ("another-pipeline-is-masked", (A_MASKED, C_MASKED), "b 22000, a 22050, c 22060", Wait(None)),
    ("other-numbers-and-renditions-are-masked", OTHER_MASKS, "b 22000, a 22050", Wait(None)),
    ("masked-copies-are-no-upgrade", (A_MASKED,), "b 22000 short, a 22050", Wait(None)),
]


@pytest.mark.parametrize(("masks", "text", "expected"), [case[1:] for case in MASKS], ids=[case[0] for case in MASKS])
def test_a_masked_choice_is_decided_anew_among_those_that_are_there(
    masks: tuple[Mask, ...], text: str, expected: Chosen | Wait | Withdraw
) -> None:
    assert told(decide(in_force(THREE, text, "b", masks=masks), ASKED_MS)) == expected


# (id, copies, why a lost when b was masked and c chosen instead)
LOSSES: list[tuple[str, str, Loss]] = [
    ("absent", "b 22000, c 22050 short", Loss.ABSENT),
    ("defects", "b 22000, c 22050, a 22060 short", Loss.DEFECTS),
    ("corrupt", "b 22000, a 22040 corrupt, c 22050 short", Loss.CORRUPT),
    ("corrupt-and-last", "b 22000, c 22050 short, a 22060 corrupt", Loss.CORRUPT),
    ("defects-in-the-same-ms", "b 22000, c 22050, a 90000 short", Loss.DEFECTS),
    ("corrupt-in-the-same-ms", "b 22000, c 22050, a 90000 corrupt", Loss.CORRUPT),
]


@pytest.mark.parametrize(("text", "loss"), [case[1:] for case in LOSSES], ids=[case[0] for case in LOSSES])
def test_a_choice_decided_anew_tells_why_the_others_lost(text: str, loss: Loss) -> None:
    decision = decide(in_force(THREE, text, "b", masks=(B_MASKED,)), ASKED_MS)
    assert isinstance(decision, Choose)
    assert dict(decision.choice.losses) == {"a": loss, "b": Loss.MASKED}


def test_a_withdrawn_segment_is_decided_by_the_first_rules_again() -> None:
    withdrawn = make_situation(THREE, copies("b 22000"), masks=(B_MASKED,))
    assert decide(withdrawn, ASKED_MS) == Wait(None)
    unmasked = replace(withdrawn, masks=())
    assert told(decide(unmasked, ASKED_MS)) == ("b", Rule.PREFER_WAIT_OVER, 22_100)
    another = make_situation(THREE, copies("b 22000, a 23000"), masks=(B_MASKED,))
    assert told(decide(another, ASKED_MS)) == ("a", Rule.FIRST_IN_ORDER, 23_000)


def test_lifting_a_mask_does_not_move_a_choice_back() -> None:
    assert decide(in_force(THREE, "b 22000, c 22050", "c"), ASKED_MS) == Wait(None)


def renewed(text: str, chosen_id: str, digest: str) -> Situation:
    """Return the situation of an init segment, of which `chosen_id` had other bytes when it was chosen."""
    situation = in_force(THREE, text, chosen_id, number=None)
    assert situation.current is not None
    former = candidate(chosen_id, 1_000, digest=digest)
    return replace(situation, current=Choice(former, Rule.FIRST_IN_ORDER, 1_000))


OTHER_DIGEST = "f" * 32
SAME_DIGEST = candidate("b").digest

# (id, copies, former bytes of b, what becomes of the choice of b)
RENEWALS: list[tuple[str, str, str, Chosen | Wait]] = [
    ("other-bytes", "b 5000", OTHER_DIGEST, ("b", RENEWED, 5_000)),
    ("same-bytes", "b 5000", SAME_DIGEST, Wait(None)),
    ("flawed-now", "b 5000 short", OTHER_DIGEST, ("b", RENEWED, 5_000)),
    ("beside-a-good-copy-of-a-higher-pipeline", "b 5000, a 4000", OTHER_DIGEST, ("b", RENEWED, 5_000)),
    ("another-pipeline-only", "b 1000, a 5000", SAME_DIGEST, Wait(None)),
]


@pytest.mark.parametrize(
    ("text", "digest", "expected"), [case[1:] for case in RENEWALS], ids=[case[0] for case in RENEWALS]
)
def test_an_init_segment_follows_the_chosen_pipeline(text: str, digest: str, expected: Chosen | Wait) -> None:
    assert told(decide(renewed(text, "b", digest), ASKED_MS)) == expected


def test_a_renewal_that_came_after_a_better_copy_comes_too_late() -> None:
    flawed = candidate("b", 1_000, "short", digest=OTHER_DIGEST)
    situation = in_force(THREE, "a 5000, b 6000", "b", number=None)
    situation = replace(situation, current=Choice(flawed, Rule.GRACE_OVER, 1_500))
    settled = follow(situation, ASKED_MS).current
    assert settled is not None
    assert told(Choose(settled)) == ("a", UPGRADE, 5_000)


def test_a_renewal_that_came_before_a_better_copy_is_followed() -> None:
    flawed = candidate("b", 1_000, "short", digest=OTHER_DIGEST)
    situation = in_force(THREE, "b 5000, a 6000", "b", number=None)
    situation = replace(situation, current=Choice(flawed, Rule.GRACE_OVER, 1_500))
    settled = follow(situation, ASKED_MS).current
    assert settled is not None
    assert told(Choose(settled)) == ("b", UPGRADE, 5_000)


def test_a_renewed_init_segment_is_at_rest() -> None:
    situation = follow(renewed("b 5000, a 4000", "b", OTHER_DIGEST), ASKED_MS)
    assert situation.current is not None
    assert situation.current.candidate == situation.candidates[1]

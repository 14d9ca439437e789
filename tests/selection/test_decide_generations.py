"""When an init segment gives way to another: only when no pipeline makes segments for it any more.

Init segments of one generation can stand in for each other. The copies are written as `a 5000 G1 short`: a pipeline,
the ms of its record, a generation, defects. `a`, `b` and `c` have published every segment unless it is said that
they are down.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest

from selection.decide import Choose, Situation, Wait, decide
from selection.model import Candidate, Choice, Event, Facts, Loss, Rule, ScoreMode
from tests.support.events import Chosen, candidate, copies, make_event, make_situation, told

THREE = make_event(pipelines=["a", "b", "c"])
SCORED = make_event(pipelines=["a", "b", "c"], score=ScoreMode.RANK)
NOW_MS = 90_000  # long after everything

NEW, UPGRADE, RENEWED = Rule.NEW_GENERATION, Rule.UPGRADE, Rule.RENEWED


def init_copies(text: str) -> list[Candidate]:
    """Return copies of an init segment from a line such as `a 5000 G1, b 5010 G2 short, c 5020 corrupt`."""
    return [_with_generation(part.split()) for part in text.split(",") if part]


def _with_generation(words: list[str]) -> Candidate:
    generation = next((word for word in words if word.startswith("G")), None)
    (copy,) = copies(" ".join(word for word in words if word != generation))
    # Bytes of their own for each pipeline and generation.
    digest = f"{copy.pipeline_id}{generation}".encode().hex().ljust(32, "0")
    return replace(copy, digest=digest, facts=None if generation is None else Facts((), digest, generation))


def in_force(text: str, chosen: str, *, down: str = "", event: Event = THREE) -> Situation:
    """Return the situation with the copies of `text` and the choice of `chosen`, whose pipeline may have replaced it.

    Args:
        down: Pipelines that have published nothing else; the others have published everything.
    """
    published = [candidate(pipeline.id, -1_000_000) for pipeline in event.pipelines if pipeline.id not in down]
    every_number = dict.fromkeys(range(100), published)
    situation = make_situation(event, init_copies(text), number=None, history=every_number)
    (former,) = init_copies(chosen)
    return replace(situation, current=Choice(former, Rule.FIRST_IN_ORDER, former.published_ms))


# (id, copies, chosen, who is down, what becomes of the choice)
FATES: list[tuple[str, str, str, str, Chosen | Wait]] = [
    ("nothing-changed", "a 10 G1, b 20 G1", "a 10 G1", "", Wait(None)),
    ("chosen-one-changed", "b 20 G1, c 30 G1, a 50 G2", "a 10 G1", "", Wait(None)),
    ("all-but-one-changed", "c 30 G1, a 50 G2, b 60 G2", "a 10 G1", "", Wait(None)),
    ("all-changed", "a 50 G2, b 60 G2, c 70 G2", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("all-changed-the-best-by-order", "c 50 G2, b 60 G2, a 70 G2", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("all-changed-a-good-one-first", "a 50 G2 short, b 60 G2, c 70 G2", "a 10 G1", "", ("b", NEW, NOW_MS)),
    ("all-changed-to-different-ones", "a 50 G2, b 60 G3, c 70 G4", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("one-that-changed-to-the-same-generation", "a 50 G1, b 60 G2, c 70 G2", "a 10 G1", "", Wait(None)),
    ("the-last-one-is-down", "c 30 G1, a 50 G2, b 60 G2", "a 10 G1", "c", ("a", NEW, NOW_MS)),
    ("the-chosen-one-is-down-and-others-are-not", "a 10 G1, b 20 G1, c 30 G1", "a 10 G1", "a", Wait(None)),
    ("the-only-one-of-its-generation-is-down", "a 10 G1, b 50 G2", "a 10 G1", "ac", ("b", NEW, NOW_MS)),
    ("one-that-is-down-is-not-taken", "a 50 G2, b 60 G2", "c 10 G1", "ac", ("b", NEW, NOW_MS)),
    ("all-are-down-but-nobody-has-the-old-one", "a 50 G2, b 60 G2", "c 10 G1", "abc", ("a", NEW, NOW_MS)),
    ("all-are-down", "a 50 G2, b 60 G2, c 10 G1", "c 10 G1", "abc", Wait(None)),
    ("never-published-does-not-count", "a 50 G2", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("corrupt-does-not-count-for-the-old", "b 20 G1 corrupt, a 50 G2", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("corrupt-is-not-taken", "a 50 G2 corrupt, b 60 G2", "b 10 G1", "", ("b", NEW, NOW_MS)),
    ("only-corrupt-ones-are-there", "a 50 corrupt, b 60 G2 corrupt", "b 10 G1", "", Wait(None)),
    ("not-looked-into-is-another-generation", "a 50, b 60 G1", "a 10 G1", "", Wait(None)),
    ("not-looked-into-is-taken-if-there-is-no-other", "a 50", "a 10 G1", "", ("a", NEW, NOW_MS)),
    ("a-flawed-one-is-taken-if-there-is-no-other", "b 60 G2 mismatched-init", "a 10 G1", "", ("b", NEW, NOW_MS)),
    ("left-the-configuration", "z 20 G1, a 50 G2", "a 10 G1", "", ("a", NEW, NOW_MS)),
]


@pytest.mark.parametrize(
    ("text", "chosen", "down", "expected"), [case[1:] for case in FATES], ids=[case[0] for case in FATES]
)
def test_an_init_segment_stays_while_one_pipeline_makes_segments_for_it(
    text: str, chosen: str, down: str, expected: Chosen | Wait
) -> None:
    situation = in_force(text, chosen, down=down)
    for order in permutations(situation.candidates):
        assert told(decide(replace(situation, candidates=order), NOW_MS)) == expected


def test_scores_count_among_those_that_could_follow() -> None:
    situation = in_force("a 50 G2 score=10, b 60 G2 score=90", "c 10 G1", event=SCORED)
    assert told(decide(situation, NOW_MS)) == ("b", NEW, NOW_MS)


def test_a_pipeline_is_down_once_it_missed_two_segments_and_the_next_time_it_is_asked() -> None:
    """Segment n is due at `(n + 1) * 2000 + 1000`; `c`, the last of the old generation, stops after 10."""
    history = {
        number: [candidate(pipeline_id, number * 2_000) for pipeline_id in ("abc" if number <= 10 else "ab")]
        for number in range(100)
    }
    situation = make_situation(THREE, init_copies("c 30 G1, a 50 G2, b 60 G2"), number=None, history=history)
    situation = replace(situation, current=Choice(init_copies("a 10 G1")[0], Rule.FIRST_IN_ORDER, 10))
    assert decide(situation, 26_999) == Wait(None)
    assert told(decide(situation, 27_000)) == ("a", NEW, 27_000)
    assert told(decide(situation, 31_234)) == ("a", NEW, 31_234)


def test_why_the_others_lost_is_told() -> None:
    situation = in_force("b 20 G1 corrupt, c 30 G2 short, a 50 G2", "a 10 G1")
    decision = decide(situation, NOW_MS)
    assert isinstance(decision, Choose)
    assert dict(decision.choice.losses) == {"b": Loss.CORRUPT, "c": Loss.DEFECTS}


# (id, copies, chosen, what becomes of the choice)
UPGRADES: list[tuple[str, str, str, Chosen | Wait]] = [
    ("to-the-same-generation", "b 10 G1 short, a 50 G1", "b 10 G1 short", ("a", UPGRADE, 50)),
    ("to-another-generation", "b 10 G1 mismatched-init, a 50 G2", "b 10 G1 mismatched-init", ("a", UPGRADE, 50)),
    ("by-the-same-pipeline", "b 50 G2", "b 10 G1 mismatched-init", ("b", UPGRADE, 50)),
    ("equally-flawed-is-none", "b 10 G1 short, a 50 G2 short", "b 10 G1 short", Wait(None)),
    ("more-flawed-is-none", "b 10 G1 short, a 50 G2 slate", "b 10 G1 short", Wait(None)),
    ("corrupt-is-none", "b 10 G1 short, a 50 corrupt", "b 10 G1 short", Wait(None)),
    ("a-good-one-is-not-upgraded", "b 10 G1, a 50 G2", "b 10 G1", Wait(None)),
]


@pytest.mark.parametrize(
    ("text", "chosen", "expected"), [case[1:] for case in UPGRADES], ids=[case[0] for case in UPGRADES]
)
def test_a_flawed_init_segment_is_upgraded_whatever_the_generation(
    text: str, chosen: str, expected: Chosen | Wait
) -> None:
    situation = in_force(text, chosen)
    for order in permutations(situation.candidates):
        assert told(decide(replace(situation, candidates=order), NOW_MS)) == expected


# (id, copies, chosen, what becomes of the choice): the chosen one was not looked into.
UNKNOWN: list[tuple[str, str, str, Chosen | Wait]] = [
    ("other-bytes-of-the-same-pipeline", "b 50 G1", "b 10", ("b", RENEWED, 50)),
    ("beside-a-good-one-of-a-higher-pipeline", "a 40 G1, b 50 G2", "b 10", ("b", RENEWED, 50)),
    ("the-same-bytes", "b 10, a 50 G1", "b 10", Wait(None)),
    ("another-pipeline", "b 10, a 50", "b 10", Wait(None)),
]


@pytest.mark.parametrize(
    ("text", "chosen", "expected"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN]
)
def test_one_that_was_not_looked_into_follows_its_pipeline(text: str, chosen: str, expected: Chosen | Wait) -> None:
    assert told(decide(in_force(text, chosen), NOW_MS)) == expected


def test_a_media_segment_has_no_generation() -> None:
    """What would make an init segment give way changes nothing for a segment."""
    text, chosen = "a 50 G2, b 60 G2, c 70 G2", "a 10 G1"
    situation = in_force(text, chosen)
    assert isinstance(decide(situation, NOW_MS), Choose)
    media = replace(situation, key=situation.key._replace(number=10))
    assert decide(media, NOW_MS) == Wait(None)


# -- coming to rest


def rest(situation: Situation, now_ms: int) -> tuple[Situation, list[str]]:
    """Commit what the rules say until they say nothing more; return which generations that were."""
    generations: list[str] = []
    while isinstance(decision := decide(situation, now_ms), Choose):
        facts = decision.choice.candidate.facts
        generations.append("" if facts is None else facts.generation or "")
        situation = replace(situation, current=decision.choice)
        assert len(generations) < 10, "the rules do not come to rest"
    return situation, generations


def follow(steps: Sequence[tuple[str, str]], chosen: str) -> list[str]:
    """Return the generations that were chosen one after the other, step by step: copies, and who is down."""
    (former,) = init_copies(chosen)
    choice, told_generations = Choice(former, Rule.FIRST_IN_ORDER, 10), []
    for step, (text, down) in enumerate(steps):
        situation = replace(in_force(text, chosen, down=down), current=choice)
        situation, generations = rest(situation, NOW_MS + step * 2_000)
        assert situation.current is not None
        choice = situation.current
        told_generations += generations
    return told_generations


ONE_BY_ONE = ("a 10 G1, b 20 G1, c 30 G1", "b 20 G1, c 30 G1, a 50 G2", "c 30 G1, a 50 G2, b 60 G2")
# (id, steps, generations that are chosen after G1)
COURSES: list[tuple[str, list[tuple[str, str]], list[str]]] = [
    ("changed-one-by-one", [*((text, "") for text in ONE_BY_ONE), ("a 50 G2, b 60 G2, c 70 G2", "")], ["G2"]),
    ("a-restart-of-one-does-not-bring-it-back", [("a 50 G2, b 20 G1", "b"), ("a 50 G2, b 20 G1", "")], ["G2"]),
    (
        "not-even-if-it-comes-and-goes",
        [("a 50 G2, b 20 G1", "b"), ("a 50 G2, b 20 G1", ""), ("a 50 G2, b 20 G1", "b"), ("a 50 G2, b 20 G1", "")],
        ["G2"],
    ),
    ("nor-if-all-are-down-for-a-while", [("a 50 G2, b 20 G1", "b"), ("a 50 G2, b 20 G1", "ab")], ["G2"]),
    ("unless-it-is-the-only-one-left", [("a 50 G2, b 20 G1", "b"), ("a 50 G2, b 20 G1", "a")], ["G2", "G1"]),
    ("changed-twice", [("a 50 G2, b 60 G2", ""), ("a 70 G3, b 60 G2", ""), ("a 70 G3, b 80 G3", "")], ["G2", "G3"]),
    ("flawed-and-nothing-else-alive", [("a 10 G1, b 50 G2 mismatched-init", "a")], ["G2"]),
    (
        "flawed-and-the-good-one-returns",
        [("a 10 G1, b 50 G2 short", "a"), ("a 10 G1, b 50 G2 short", "")],
        ["G2", "G1"],
    ),
]


@pytest.mark.parametrize(("steps", "expected"), [case[1:] for case in COURSES], ids=[case[0] for case in COURSES])
def test_generations_do_not_take_turns(steps: list[tuple[str, str]], expected: list[str]) -> None:
    assert follow(steps, "a 10 G1") == expected

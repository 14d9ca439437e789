"""The choice of an init segment comes to rest, whatever generations there are, and whoever is down."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from selection.decide import Choose, Situation, Wait, decide, is_down
from selection.model import Candidate, Choice, Facts, Moment, Rule, ScoreMode
from selection.rank import is_corrupt
from tests.support.events import candidate, make_event, make_situation

PIPELINES = ["a", "b", "c", "z"]  # the last one has left the configuration
NOW_MS = 27_000  # 11 and 12 are the newest that are due: who has neither is down
FEW_MS = st.integers(0, 3)
DEFECTS = st.sampled_from([(), (), ("short",), ("mismatched-init",), ("slate", "own"), ("corrupt",)])
GENERATIONS = st.sampled_from(["1", "2", "3", None])


@st.composite
def init_segments(draw: st.DrawFn, pipeline_id: str) -> Candidate:
    """One pipeline's init segment, looked into or not."""
    generation = draw(GENERATIONS)
    digest = f"{pipeline_id}{generation}".encode().hex().ljust(32, "0")
    copy = candidate(
        pipeline_id, draw(FEW_MS), *draw(DEFECTS), digest=digest, score=draw(st.sampled_from([None, 0, 100]))
    )
    return replace(copy, facts=None if generation is None else Facts((), digest, generation))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """An init segment that was chosen, and what its pipeline and the others have sent since."""
    event = make_event(pipelines=PIPELINES[:3], score=draw(st.sampled_from(ScoreMode)))
    some = st.lists(st.sampled_from(PIPELINES), unique=True)
    present = draw(some)
    history = {number: [candidate(pipeline_id, 20_000) for pipeline_id in draw(some)] for number in (10, 11, 12)}
    situation = make_situation(
        event, [draw(init_segments(pipeline_id)) for pipeline_id in present], number=None, history=history
    )
    known = [copy for copy in situation.candidates if not is_corrupt(copy)]
    if draw(st.booleans()) and known:
        former = draw(st.sampled_from(known))
    else:
        former = draw(st.sampled_from(PIPELINES).flatmap(init_segments).filter(lambda copy: not is_corrupt(copy)))
    return replace(situation, current=Choice(former, Rule.FIRST_IN_ORDER, former.published_ms))


def settled(situation: Situation) -> Situation:
    """Return the situation with the choice that the rules come to rest with."""
    for _ in range(2 * len(PIPELINES)):
        decision = decide(situation, NOW_MS)
        if not isinstance(decision, Choose):
            assert decision == Wait(None)
            return situation
        assert decision.choice.candidate in situation.candidates
        situation = replace(situation, current=decision.choice)
    raise AssertionError("the rules do not come to rest")


@settings(max_examples=300)
@given(situations())
def test_the_rules_come_to_rest_and_stay_with_a_generation_that_is_made(situation: Situation) -> None:
    current = settled(situation).current
    assert current is not None
    generation = generation_of(current.candidate)
    now = Moment(NOW_MS, 1_000)
    made = {
        generation_of(copy)
        for copy in situation.candidates
        if not is_corrupt(copy) and not is_down(situation, copy.pipeline_id, now)
    }
    assert generation is None or not made or generation in made


@given(situations(), st.data())
def test_the_order_of_the_candidates_does_not_count(situation: Situation, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(situation.candidates))
    assert settled(replace(situation, candidates=shuffled)).current == settled(situation).current


def generation_of(copy: Candidate) -> str | None:
    return None if copy.facts is None else copy.facts.generation

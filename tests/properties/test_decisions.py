"""The choice is the same however late and however often the rules are asked, and is the one the design tells."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from selection.decide import Choose, Wait, Withdraw, decide
from selection.model import Choice, Rule
from selection.rank import is_corrupt, rank_key
from selection.window import gives_up_ms
from tests.properties.worlds import END_MS, LONG_AFTER_MS, Step, World, play, referee, settle, worlds

LAGS_MS = st.lists(st.integers(0, 3) | st.integers(0, 60), max_size=30)
TIMES_MS = st.integers(-5, END_MS + 50)


def step(choice: Choice) -> Step:
    return Step(choice.candidate, choice.rule, choice.decided_ms)


@settings(max_examples=400)
@given(worlds())
def test_the_first_choice_is_that_of_the_referee_who_looks_at_every_ms(world: World) -> None:
    decision = decide(world.situation(), LONG_AFTER_MS)
    first = [step(decision.choice)] if isinstance(decision, Choose) else []
    assert first == referee(world)[:1]


@settings(max_examples=200)
@given(worlds(), LAGS_MS)
def test_the_first_choice_does_not_depend_on_how_late_the_rules_are_asked(world: World, lags_ms: list[int]) -> None:
    assert play(world, lags_ms)[:1] == settle(world.situation(), LONG_AFTER_MS)[:1]


@settings(max_examples=200)
@given(worlds(), LAGS_MS)
def test_the_last_choice_does_not_depend_on_how_late_the_rules_are_asked(world: World, lags_ms: list[int]) -> None:
    referees = referee(world)[-1:]
    assert [step(choice) for choice in play(world, lags_ms)[-1:]] == referees
    assert [step(choice) for choice in settle(world.situation(), LONG_AFTER_MS)[-1:]] == referees


@given(worlds(), st.integers(0, 100))
def test_past_the_retry_deadline_what_is_usable_is_chosen_at_once(world: World, late_ms: int) -> None:
    if world.number is None:
        return
    now_ms = gives_up_ms(world.event, world.number) + late_ms
    known_count = sum(copy.published_ms <= now_ms for _, copy in world.copies)
    situation = world.situation(known_count)
    usable = [copy for copy in situation.candidates if not is_corrupt(copy) and not is_masked(world, copy.pipeline_id)]
    decision = decide(situation, now_ms)
    assert isinstance(decision, Choose) if usable else decision == Wait(None)


@given(worlds(), TIMES_MS)
def test_a_choice_stands_whatever_comes_later(world: World, now_ms: int) -> None:
    known_count = sum(copy.published_ms <= now_ms for _, copy in world.copies)
    early = decide(world.situation(known_count), now_ms)
    if isinstance(early, Choose):
        assert early.choice.decided_ms <= now_ms
        assert decide(world.situation(), LONG_AFTER_MS) == early


@given(worlds(), TIMES_MS, st.data())
def test_the_order_of_the_candidates_does_not_count(world: World, now_ms: int, data: st.DataObject) -> None:
    situation = world.situation()
    shuffled = data.draw(st.permutations(situation.candidates))
    current = data.draw(st.none() | st.sampled_from(shuffled).map(as_current)) if shuffled else None
    situation = replace(situation, current=current)
    assert decide(replace(situation, candidates=shuffled), now_ms) == decide(situation, now_ms)


def as_current(copy: object) -> Choice:
    """Return a choice in force, by whatever rule."""
    return Choice(copy, Rule.GRACE_OVER, 0)  # type: ignore[arg-type]


@given(worlds(), TIMES_MS)
def test_asking_again_when_told_to_comes_to_a_choice_in_few_steps(world: World, now_ms: int) -> None:
    situation = world.situation()
    decision = decide(situation, now_ms)
    # One step for each copy, for the end of each wait, and for each segment that becomes due meanwhile.
    for _ in range(len(situation.candidates) + 2 + 100):
        if not isinstance(decision, Wait) or decision.until_ms is None:
            break
        assert decision.until_ms > now_ms
        now_ms = decision.until_ms
        decision = decide(situation, now_ms)
    usable = [copy for copy in situation.candidates if not is_corrupt(copy) and not is_masked(world, copy.pipeline_id)]
    assert isinstance(decision, Choose) if usable else decision == Wait(None)


@given(worlds(), TIMES_MS)
def test_nothing_changes_before_the_time_told_unless_a_copy_comes(world: World, now_ms: int) -> None:
    known_count = sum(copy.published_ms <= now_ms for _, copy in world.copies)
    situation = world.situation(known_count)
    decision = decide(situation, now_ms)
    if isinstance(decision, Wait):
        until_ms = END_MS + 50 if decision.until_ms is None else decision.until_ms
        for between_ms in range(now_ms, until_ms):
            assert decide(situation, between_ms) == decision


def is_masked(world: World, pipeline_id: str) -> bool:
    return world.number is not None and pipeline_id in world.masked


@given(worlds(), LAGS_MS)
def test_corrupt_and_masked_copies_are_never_chosen(world: World, lags_ms: list[int]) -> None:
    for choice in play(world, lags_ms):
        assert not is_corrupt(choice.candidate)
        assert not is_masked(world, choice.candidate.pipeline_id)


@given(worlds(), LAGS_MS)
def test_every_choice_after_the_first_has_fewer_flaws(world: World, lags_ms: list[int]) -> None:
    flaws = [rank_key(world.event, choice.candidate).flaws for choice in play(world, lags_ms)]
    assert all(later < earlier for earlier, later in pairwise(flaws))


@given(worlds(), LAGS_MS)
def test_every_other_pipeline_has_one_reason_why_it_lost(world: World, lags_ms: list[int]) -> None:
    pipeline_ids = [pipeline.id for pipeline in world.event.pipelines]
    for choice in play(world, lags_ms):
        others = [pipeline_id for pipeline_id in pipeline_ids if pipeline_id != choice.candidate.pipeline_id]
        assert [pipeline_id for pipeline_id, _ in choice.losses] == others


@given(worlds(), st.data())
def test_a_masked_choice_gives_way_to_the_best_that_is_there(world: World, data: st.DataObject) -> None:
    situation = world.situation()
    if world.number is None or not situation.candidates:
        return
    current = as_current(data.draw(st.sampled_from(situation.candidates)))
    world = replace(world, masked=(*world.masked, current.candidate.pipeline_id))
    decision = decide(world.situation(current=current), LONG_AFTER_MS)
    usable = [copy for copy in situation.candidates if not is_corrupt(copy) and not is_masked(world, copy.pipeline_id)]
    if usable:
        assert isinstance(decision, Choose)
        assert decision.choice.candidate == min(usable, key=lambda copy: rank_key(world.event, copy))
        assert decision.choice.rule is Rule.MASK
    else:
        assert decision == Withdraw()

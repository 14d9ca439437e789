"""The ranking is a strict total order, whatever order the copies came in."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from selection.model import Candidate, Event, ScoreMode
from selection.rank import best_possible_key, is_corrupt, may_be_outranked_by, rank_key
from tests.support.events import candidate, make_defect, make_event

EVENTS = st.sampled_from([make_event(score=score) for score in ScoreMode])
# The last two have left the configuration; their copies may still be there.
PIPELINES = ["a", "b", "c", "y", "z"]
DEFECTS = st.builds(
    make_defect,
    st.sampled_from(["short", "slate", "no-keyframe", "other", "corrupt"]),
    missing_ms=st.integers(0, 3) | st.floats(0, 3) | st.booleans() | st.just("many"),
)


@st.composite
def segment_copies(draw: st.DrawFn) -> list[Candidate]:
    """The copies of one segment: at most one a pipeline, in any order."""
    return [
        candidate(
            pipeline_id,
            draw(st.integers(0, 3)),
            *draw(st.lists(DEFECTS, max_size=2)),
            sequence=draw(st.integers(0, 3)),
            score=draw(st.none() | st.sampled_from([0, 50, 100])),
        )
        for pipeline_id in draw(st.permutations(PIPELINES))
        if draw(st.booleans())
    ]


def ranked(event: Event, copies: list[Candidate]) -> list[Candidate]:
    return sorted(copies, key=lambda copy: rank_key(event, copy))


@given(EVENTS, segment_copies())
def test_of_two_copies_one_is_better(event: Event, copies: list[Candidate]) -> None:
    for one, other in combinations(copies, 2):
        assert (rank_key(event, one) < rank_key(event, other)) != (rank_key(event, other) < rank_key(event, one))


@given(EVENTS, segment_copies(), st.data())
def test_the_order_of_arrival_does_not_count(event: Event, copies: list[Candidate], data: st.DataObject) -> None:
    assert ranked(event, data.draw(st.permutations(copies))) == ranked(event, copies)


@given(EVENTS, segment_copies())
def test_a_worse_copy_never_changes_the_best(event: Event, copies: list[Candidate]) -> None:
    for count in range(1, len(copies)):
        best = ranked(event, copies[:count])[0]
        if rank_key(event, copies[count]) > rank_key(event, best):
            assert ranked(event, copies[: count + 1])[0] == best


@given(EVENTS, segment_copies())
def test_a_copy_without_flaws_is_better_than_one_with_flaws(event: Event, copies: list[Candidate]) -> None:
    order = [copy.is_good for copy in ranked(event, copies)]
    assert order == sorted(order, reverse=True)


@given(EVENTS, segment_copies())
def test_no_copy_is_better_than_the_best_possible_one(event: Event, copies: list[Candidate]) -> None:
    for copy in copies:
        assert best_possible_key(event, copy.pipeline_id) <= rank_key(event, copy)


@given(EVENTS, segment_copies())
def test_a_copy_may_be_outranked_by_the_pipelines_whose_best_possible_one_is_better(
    event: Event, copies: list[Candidate]
) -> None:
    for copy in copies:
        key = rank_key(event, copy)
        better = [pipeline for pipeline in event.pipelines if best_possible_key(event, pipeline.id) < key]
        assert list(may_be_outranked_by(event, key)) == better


@given(EVENTS, segment_copies())
def test_a_corrupt_copy_is_worse_than_any_other(event: Event, copies: list[Candidate]) -> None:
    order = [is_corrupt(copy) for copy in ranked(event, copies)]
    assert order == sorted(order)

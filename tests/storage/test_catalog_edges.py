"""The live edge of each rendition: the highest number that has a choice, however choices come and go."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from selection.model import SegmentKey
from storage.base import SEGMENTS_PER_BUCKET, bucket_of
from storage.catalog import MemoryCatalog
from storage.records import Collected, Entry, Lost, Published, Record, Withdrawn, decode
from tests.storage.strategies import recorded_at
from tests.storage.test_catalog import INIT, KEY, A, B, choose, fold, moment_of
from tests.support.events import candidate, make_key


def chosen_at(*numbers: int, rendition_id: str = "v720") -> list[Record]:
    """Return the records of segments that are published and chosen; their copies are told apart by their number."""
    records: list[Record] = []
    for number in numbers:
        key = SegmentKey("derby", rendition_id, number)
        copy = candidate("a", 1_000, sequence=number)
        records += [Published(key, copy), choose(copy, key)]
    return records


def edges(*records: Record) -> tuple[int | None, int | None]:
    catalog = fold(*records)
    return catalog.live_edge("derby", "v720"), catalog.live_edge("derby", "a128")


def test_live_edge_is_the_highest_number_of_a_rendition_that_is_chosen_in_whatever_order() -> None:
    assert edges(*chosen_at(7, 9, 8), *chosen_at(3, rendition_id="a128")) == (9, 3)
    assert edges(Published(KEY, A)) == (None, None)
    assert edges(Published(INIT, A), choose(A, INIT)) == (None, None)
    assert fold().live_edge("oaks", "v720") is None


def test_live_edge_goes_back_when_its_choice_is_taken_back_or_lost() -> None:
    below = make_key(8)
    assert edges(*chosen_at(7, 9), Withdrawn(make_key(9))) == (7, None)
    assert edges(*chosen_at(7, 9), Lost(make_key(9), "a", 9)) == (7, None)
    assert edges(*chosen_at(7, 9), choose(candidate("a", sequence=5), make_key(9))) == (7, None), (
        "its copy is not there"
    )
    assert edges(*chosen_at(7, 8, 9), Withdrawn(below)) == (9, None)
    assert edges(*chosen_at(7, 8, 9), Withdrawn(below), Withdrawn(make_key(9))) == (7, None)
    assert edges(*chosen_at(7), Withdrawn(make_key(7))) == (None, None)
    assert edges(*chosen_at(7), Withdrawn(make_key(7)), *chosen_at(6)) == (6, None)
    assert edges(*chosen_at(7, 9), *chosen_at(9, rendition_id="a128"), Withdrawn(make_key(9))) == (7, 9)


def test_live_edge_goes_back_over_buckets_without_a_choice() -> None:
    far = 100 * SEGMENTS_PER_BUCKET
    empty: list[Record] = [Published(make_key(far - 1), A), Published(make_key(50 * SEGMENTS_PER_BUCKET), B)]
    assert edges(*chosen_at(7), *empty, *chosen_at(far), Withdrawn(make_key(far))) == (7, None)
    assert edges(*empty, *chosen_at(far), Withdrawn(make_key(far))) == (None, None)


def test_live_edge_follows_what_is_collected() -> None:
    both = [*chosen_at(7, 40), *chosen_at(8, rendition_id="a128")]
    assert edges(*both, Collected("derby", 0)) == (40, None)
    assert edges(*both, Collected("derby", 1)) == (7, 8)
    assert edges(*both, Collected("derby", 0), Collected("derby", 1)) == (None, None)
    assert edges(*both, Collected("derby", None)) == (None, None)
    assert edges(*both, Collected("derby", None), *chosen_at(5)) == (5, None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["choose", "choose", "withdraw", "lose", "collect"]),
        st.sampled_from(["v720", "a128"]),
        st.sampled_from([1, 2, 3, 31, 32, 40, 64, 1_000]),
    ),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_live_edge_is_the_highest_chosen_number_after_every_record(
    steps: Sequence[tuple[str, str, int]], is_replay: bool
) -> None:
    catalog, chosen = MemoryCatalog(), dict[SegmentKey, int]()
    for sequence, (step, rendition_id, number) in enumerate(steps):
        key = SegmentKey("derby", rendition_id, number)
        records: list[Record] = []
        match step:
            case "choose":
                copy = candidate("a", 1_000, sequence=1_000 + sequence)
                records = [Published(key, copy), choose(copy, key)]
                chosen[key] = copy.sequence
            case "withdraw":
                records = [Withdrawn(key)]
                chosen.pop(key, None)
            case "lose":
                records = [Lost(key, "a", chosen.pop(key, 0))]
            case _:
                records = [Collected("derby", bucket_of(number))]
                chosen = {key: at for key, at in chosen.items() if bucket_of(key.number or 0) != bucket_of(number)}
        for record in records:
            moment = moment_of(record, 1_000 + sequence)
            entry = Entry(moment, recorded_at(record, moment))
            catalog.apply(decode(entry.text) if is_replay else entry)
        for other_id in ("v720", "a128"):
            numbers = [key.number for key in chosen if key.rendition_id == other_id and key.number is not None]
            assert catalog.live_edge("derby", other_id) == max(numbers, default=None)

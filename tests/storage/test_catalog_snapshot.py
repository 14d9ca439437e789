"""A snapshot of the catalog, with records that happen meanwhile, gives the catalog that all records give in order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from selection.model import Mask, Moment, Rule
from storage.catalog import MemoryCatalog
from storage.catalog_snapshot import BATCH_TEXTS, CatalogSnapshot, digest_of_texts
from storage.records import (
    Chosen,
    Collected,
    Entry,
    Lost,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Standing,
    Withdrawn,
    decode,
)
from tests.storage.strategies import recorded_at
from tests.storage.test_catalog_model import BUCKETS, EVENTS, KEYS, NAMES, manifest, records_drawn
from tests.support.events import candidate, make_key

KEY = make_key(1)


def fold(catalog: MemoryCatalog, records: Sequence[Record], first_sequence: int = 1) -> list[str]:
    """Fold records in as a journal would, and return their texts."""
    texts = []
    for sequence, record in enumerate(records, start=first_sequence):
        moment = Moment(1_000 + sequence, sequence)
        entry = Entry(moment, recorded_at(record, moment))
        catalog.apply(entry)
        texts.append(entry.text)
    return texts


def folded(texts: Sequence[str]) -> MemoryCatalog:
    catalog = MemoryCatalog()
    for text in texts:
        catalog.apply(decode(text))
    return catalog


def snapshot_of(catalog: MemoryCatalog) -> list[str]:
    return [text for batch in catalog.snapshot() for text in batch]


def assert_equal(one: MemoryCatalog, other: MemoryCatalog) -> None:
    """Compare every answer that a worker gives, and those that the digest stands for."""
    for key in KEYS:
        assert one.candidates(key) == other.candidates(key)
        assert one.choice(key) == other.choice(key)
        assert one.has_lost_choice(key) == other.has_lost_choice(key)
    assert set(one.undecided()) == set(other.undecided())
    for event_id in EVENTS:
        assert one.masks(event_id) == other.masks(event_id)
        for name in NAMES:
            assert one.manifests(event_id, name) == other.manifests(event_id, name)
        for bucket in (*BUCKETS, None):
            assert one.expected_bodies(event_id, bucket) == other.expected_bodies(event_id, bucket)
        for rendition_id in "va":
            assert one.live_edge(event_id, rendition_id) == other.live_edge(event_id, rendition_id)
    assert one.used_bytes == other.used_bytes
    assert one.digest() == other.digest()


@dataclass
class Telling:
    """A snapshot on its way, and what happened since it was begun."""

    snapshot: CatalogSnapshot
    digest_then: str
    told: list[str] = field(default_factory=list)
    since: list[str] = field(default_factory=list)


# What happens next: a record, or one more batch of every snapshot, or another snapshot.
steps_drawn = st.lists(st.one_of(records_drawn, records_drawn, st.sampled_from(["batch", "begin"])), max_size=40)


@given(steps_drawn)
def test_a_snapshot_and_what_happened_meanwhile_equal_all_records_in_order(steps: Sequence[Record | str]) -> None:
    catalog, tellings = MemoryCatalog(), list[Telling]()
    for sequence, step in enumerate(steps, start=1):
        if step == "begin":
            tellings.append(Telling(catalog.snapshot(), catalog.digest()))
        elif step == "batch":
            for telling in tellings:
                telling.told += next(telling.snapshot, ())
        elif not isinstance(step, str):
            (text,) = fold(catalog, [step], sequence)
            for telling in tellings:
                telling.since.append(text)
    for telling in tellings:
        telling.told += (text for batch in telling.snapshot for text in batch)
        then = folded(telling.told)
        assert then.digest() == telling.digest_then
        for text in telling.since:
            then.apply(decode(text))
        assert_equal(then, catalog)


@given(st.lists(records_drawn, max_size=30), st.lists(records_drawn, max_size=10))
def test_a_catalog_made_of_a_snapshot_goes_on_as_the_first_one_does(
    records: Sequence[Record], later: Sequence[Record]
) -> None:
    catalog = MemoryCatalog()
    fold(catalog, records)
    made = folded(snapshot_of(catalog))
    for text in fold(catalog, later, 100):
        made.apply(decode(text))
    assert_equal(made, catalog)


def test_a_copy_that_was_replaced_and_chosen_again_is_told() -> None:
    catalog = MemoryCatalog()
    copy = Published(KEY, candidate("a", size_bytes=5))
    again = [Chosen(KEY, "a", 1, rule, 0) for rule in (Rule.FIRST_IN_ORDER, Rule.MASK)]
    fold(catalog, [copy, again[0], Published(KEY, candidate("a", size_bytes=7)), again[1]])
    made = folded(snapshot_of(catalog))
    assert_equal(made, catalog)
    choice = made.choice(KEY)
    assert choice is not None and (choice.candidate.sequence, choice.rule) == (1, Rule.MASK)
    assert made.used_bytes == 12


def test_a_copy_said_again_whose_choice_is_not_known_yet_is_told() -> None:
    """Between the two, when what stands is being said again."""
    catalog = MemoryCatalog()
    key = make_key(None)
    fold(catalog, [Published(key, candidate("a"))], 5)
    moment = Moment(1, 2)
    older = recorded_at(Published(key, candidate("a")), moment)
    assert isinstance(older, Published)
    fold(catalog, [Standing(older, moment)], 6)
    made = folded(snapshot_of(catalog))
    for each in (catalog, made):
        fold(each, [Standing(Chosen(key, "a", 2, Rule.FIRST_IN_ORDER, 0), Moment(1, 3))], 7)
    assert_equal(made, catalog)
    assert made.choice(key) is not None


def test_a_choice_that_was_lost_is_told_after_the_copies_that_are_left() -> None:
    catalog = MemoryCatalog()
    copies = [Published(KEY, candidate(pipeline_id)) for pipeline_id in "ab"]
    fold(catalog, [*copies, Chosen(KEY, "a", 1, Rule.FIRST_IN_ORDER, 0), Lost(KEY, "a", 1)])
    made = folded(snapshot_of(catalog))
    assert made.has_lost_choice(KEY)
    assert_equal(made, catalog)


def test_what_is_collected_before_its_turn_is_told_as_it_was() -> None:
    catalog = MemoryCatalog()
    fold(catalog, [Published(make_key(number), candidate("a")) for number in (1, 40)])
    snapshot, digest = catalog.snapshot(), catalog.digest()
    fold(catalog, [Collected("derby", 0), Published(KEY, candidate("b")), Collected("derby", None)], 3)
    assert folded([text for batch in snapshot for text in batch]).digest() == digest


def test_a_snapshot_that_is_closed_ends_and_puts_nothing_aside_any_more() -> None:
    catalog = MemoryCatalog()
    fold(catalog, [Published(KEY, candidate("a"))])
    snapshot = catalog.snapshot()
    snapshot.close()
    snapshot.close()
    fold(catalog, [Published(KEY, candidate("b"))], 2)
    assert list(snapshot) == []
    assert len(snapshot_of(catalog)) == 2


def test_batches_are_bounded_by_what_a_bucket_holds() -> None:
    """So that whoever tells them can do something else in between."""
    catalog = MemoryCatalog()
    fold(catalog, [Published(make_key(number), candidate("a")) for number in range(320)])
    fold(catalog, [Masked("derby", Mask(f"m{number}", "a", number)) for number in range(BATCH_TEXTS + 1)], 400)
    assert [len(batch) for batch in catalog.snapshot()] == [32] * 10 + [BATCH_TEXTS, 1]


def test_each_part_of_what_is_known_changes_the_digest() -> None:
    catalog = MemoryCatalog()
    digests = {catalog.digest()}
    records: list[Record] = [
        Published(KEY, candidate("a")),
        Chosen(KEY, "a", 1, Rule.FIRST_IN_ORDER, 0),
        Chosen(KEY, "a", 1, Rule.MASK, 0),
        Masked("derby", Mask("m", "a", 1)),
        ManifestPublished("derby", "live.mpd", manifest("a")),
        ManifestPublished("derby", "live.mpd", manifest("b")),
        Withdrawn(KEY),
    ]
    for sequence, record in enumerate(records, start=1):
        fold(catalog, [record], sequence)
        digests.add(catalog.digest())
    assert len(digests) == len(records) + 1


def test_a_digest_counts_what_is_there_twice() -> None:
    assert digest_of_texts(["a", "a", "b"]) != digest_of_texts(["a", "b", "b"])

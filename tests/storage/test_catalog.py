"""The catalog is the journal folded into memory: equal entries, equal state, after any prefix."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from selection.model import Candidate, Choice, Mask, Moment, Rule, SegmentKey
from storage.catalog import MemoryCatalog
from storage.records import Chosen, Entry, Manifest, ManifestPublished, Masked, Published, Record, Unmasked, Withdrawn
from tests.support.events import candidate, make_key

KEY = make_key(10)
INIT = make_key(None)


def fold(*records: Record) -> MemoryCatalog:
    catalog = MemoryCatalog()
    for sequence, record in enumerate(records, start=1):
        catalog.apply(Entry(Moment(1_000, sequence), record))
    return catalog


def choose(copy: Candidate) -> Choice:
    return Choice(copy, Rule.FIRST_IN_ORDER, copy.published_ms)


def manifest(pipeline_id: str, published_ms: int) -> Manifest:
    return Manifest(pipeline_id, candidate(pipeline_id).digest, 100, published_ms, 1)


A, B = candidate("a", 1_000, sequence=1), candidate("b", 2_000, sequence=2)
A_AGAIN = candidate("a", 3_000, sequence=3, digest="f" * 32)
MASK, WIDER_MASK, OTHER_MASK = Mask("m1", "a", 1, 5), Mask("m1", "a", 1, 9), Mask("m2", "b", 1)


def test_nothing_is_known_of_what_was_never_recorded() -> None:
    catalog = fold()
    assert list(catalog.candidates(KEY)) == []
    assert catalog.choice(KEY) is None
    assert list(catalog.masks("derby")) == []
    assert list(catalog.manifests("derby", "live.mpd")) == []
    assert list(catalog.undecided()) == []


def test_the_copies_of_a_segment_stand_in_the_order_of_publication() -> None:
    assert list(fold(Published(KEY, A), Published(KEY, B)).candidates(KEY)) == [A, B]
    assert list(fold(Published(KEY, B), Published(KEY, A)).candidates(KEY)) == [B, A]


def test_a_pipelines_new_copy_takes_the_place_of_its_former_one() -> None:
    catalog = fold(Published(KEY, A), Published(KEY, B), Published(KEY, A_AGAIN))
    assert list(catalog.candidates(KEY)) == [B, A_AGAIN]


def test_segments_init_segments_renditions_and_events_are_kept_apart() -> None:
    others = [INIT, make_key(11), make_key(10, "a128"), make_key(10, event_id="oaks")]
    catalog = fold(Published(KEY, A))
    assert [list(catalog.candidates(other)) for other in others] == [[], [], [], []]


def test_the_last_choice_is_in_force() -> None:
    assert fold(Chosen(KEY, choose(A))).choice(KEY) == choose(A)
    assert fold(Chosen(KEY, choose(A)), Chosen(KEY, choose(B))).choice(KEY) == choose(B)


def test_a_choice_that_was_taken_back_is_gone_and_can_be_made_again() -> None:
    assert fold(Chosen(KEY, choose(A)), Withdrawn(KEY)).choice(KEY) is None
    assert fold(Chosen(KEY, choose(A)), Withdrawn(KEY), Chosen(KEY, choose(B))).choice(KEY) == choose(B)
    assert fold(Withdrawn(KEY)).choice(KEY) is None


def test_a_choice_stays_when_another_copy_comes() -> None:
    assert fold(Published(KEY, A), Chosen(KEY, choose(A)), Published(KEY, B)).choice(KEY) == choose(A)


def test_masks_stand_in_the_order_in_which_they_were_set() -> None:
    assert list(fold(Masked("derby", MASK), Masked("derby", OTHER_MASK)).masks("derby")) == [MASK, OTHER_MASK]


def test_a_mask_that_is_set_again_takes_the_place_of_the_former_one() -> None:
    catalog = fold(Masked("derby", MASK), Masked("derby", OTHER_MASK), Masked("derby", WIDER_MASK))
    assert list(catalog.masks("derby")) == [OTHER_MASK, WIDER_MASK]


def test_a_mask_that_was_lifted_is_gone() -> None:
    assert list(fold(Masked("derby", MASK), Masked("derby", OTHER_MASK), Unmasked("derby", "m1")).masks("derby")) == [
        OTHER_MASK
    ]
    assert list(fold(Unmasked("derby", "m1")).masks("derby")) == []


def test_masks_of_one_event_are_not_those_of_another() -> None:
    catalog = fold(Masked("derby", MASK), Masked("oaks", OTHER_MASK), Unmasked("oaks", "m1"))
    assert list(catalog.masks("derby")) == [MASK]
    assert list(catalog.masks("oaks")) == [OTHER_MASK]


def test_each_pipelines_newest_copy_of_a_manifest_is_kept() -> None:
    catalog = fold(
        ManifestPublished("derby", "live.mpd", manifest("a", 1_000)),
        ManifestPublished("derby", "live.mpd", manifest("b", 2_000)),
        ManifestPublished("derby", "live.mpd", manifest("a", 3_000)),
        ManifestPublished("derby", "live.m3u8", manifest("a", 4_000)),
        ManifestPublished("oaks", "live.mpd", manifest("a", 5_000)),
    )
    copies = {copy.pipeline_id: copy.published_ms for copy in catalog.manifests("derby", "live.mpd")}
    assert copies == {"a": 3_000, "b": 2_000}


def test_a_segment_with_copies_and_no_choice_is_undecided() -> None:
    assert list(fold(Published(KEY, A)).undecided()) == [KEY]
    assert list(fold(Published(KEY, A), Chosen(KEY, choose(A)), Withdrawn(KEY)).undecided()) == [KEY]


def test_a_segment_whose_choice_knew_every_copy_is_decided() -> None:
    assert list(fold(Published(KEY, A), Chosen(KEY, choose(A))).undecided()) == []


def test_a_segment_is_undecided_again_when_a_copy_came_after_its_choice() -> None:
    """A kill between the record of a better copy and that of the choice it makes must not cost the upgrade."""
    catalog = fold(Published(KEY, A), Chosen(KEY, choose(A)), Published(KEY, B))
    assert list(catalog.undecided()) == [KEY]


# -- Against a model that keeps the whole history and answers by searching it

EVENTS = ["derby", "oaks"]
KEYS = [SegmentKey(event, rendition, number) for event in EVENTS for rendition in "va" for number in (1, None)]
NAMES = ["live.mpd", "hls/live.m3u8"]
copies_drawn = st.builds(candidate, st.sampled_from("ab"), st.integers(0, 9), st.sampled_from(["short", "slate"]))
keys_drawn, events_drawn = st.sampled_from(KEYS), st.sampled_from(EVENTS)
records_drawn: st.SearchStrategy[Record] = st.one_of(
    st.builds(Published, keys_drawn, copies_drawn),
    st.builds(Chosen, keys_drawn, st.builds(choose, copies_drawn)),
    st.builds(Withdrawn, keys_drawn),
    st.builds(Masked, events_drawn, st.builds(Mask, st.sampled_from("mn"), st.sampled_from("ab"), st.integers(0, 9))),
    st.builds(Unmasked, events_drawn, st.sampled_from("mn")),
    st.builds(
        ManifestPublished,
        events_drawn,
        st.sampled_from(NAMES),
        st.builds(manifest, st.sampled_from("ab"), st.integers(0, 9)),
    ),
)


@dataclass
class History:
    """What the catalog should say, found by reading all records from the end."""

    records: list[Record] = field(default_factory=list)

    def candidates(self, key: SegmentKey) -> list[Candidate]:
        newest: dict[str, Candidate] = {}
        for record in reversed(self.records):
            if isinstance(record, Published) and record.key == key:
                newest.setdefault(record.candidate.pipeline_id, record.candidate)
        return list(newest.values())[::-1]

    def choice(self, key: SegmentKey) -> Choice | None:
        last = next((r for r in reversed(self.records) if isinstance(r, Chosen | Withdrawn) and r.key == key), None)
        return last.choice if isinstance(last, Chosen) else None

    def masks(self, event_id: str) -> list[Mask]:
        newest: dict[str, Mask | None] = {}
        for record in reversed(self.records):
            if isinstance(record, Masked) and record.event_id == event_id:
                newest.setdefault(record.mask.id, record.mask)
            elif isinstance(record, Unmasked) and record.event_id == event_id:
                newest.setdefault(record.mask_id, None)
        return [mask for mask in reversed(newest.values()) if mask is not None]

    def manifests(self, event_id: str, name: str) -> dict[str, Manifest]:
        return {
            record.manifest.pipeline_id: record.manifest
            for record in self.records
            if isinstance(record, ManifestPublished) and (record.event_id, record.name) == (event_id, name)
        }

    def is_undecided(self, key: SegmentKey) -> bool:
        about = [r for r in self.records if isinstance(r, Published | Chosen | Withdrawn) and r.key == key]
        if self.choice(key) is None:
            return any(isinstance(record, Published) for record in about)
        return isinstance(about[-1], Published)


@given(st.lists(records_drawn, max_size=30))
def test_after_every_record_the_catalog_says_what_the_whole_history_says(records: Sequence[Record]) -> None:
    catalog, history = MemoryCatalog(), History()
    for sequence, record in enumerate(records, start=1):
        catalog.apply(Entry(Moment(1_000, sequence), record))
        history.records.append(record)
        for key in KEYS:
            assert list(catalog.candidates(key)) == history.candidates(key)
            assert catalog.choice(key) == history.choice(key)
        assert set(catalog.undecided()) == {key for key in KEYS if history.is_undecided(key)}
        for event_id in EVENTS:
            assert list(catalog.masks(event_id)) == history.masks(event_id)
            for name in NAMES:
                copies = {copy.pipeline_id: copy for copy in catalog.manifests(event_id, name)}
                assert copies == history.manifests(event_id, name)


@given(st.lists(records_drawn, max_size=30))
def test_what_was_answered_before_does_not_change_with_what_comes_later(records: Sequence[Record]) -> None:
    """Readers keep what they were given across awaits."""
    catalog = MemoryCatalog()
    taken: list[tuple[Sequence[object], list[object]]] = []
    for sequence, record in enumerate(records, start=1):
        catalog.apply(Entry(Moment(1_000, sequence), record))
        answers: list[Sequence[object]] = [catalog.candidates(KEYS[0]), catalog.masks("derby"), catalog.undecided()]
        taken += [(answer, list(answer)) for answer in answers]
    for answer, then in taken:
        assert list(answer) == then

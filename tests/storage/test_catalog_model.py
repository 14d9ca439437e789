"""The catalog against a plain one: the same answers after every record, and after a restart."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.model import Candidate, Choice, Loss, Mask, Moment, Rule, SegmentKey
from storage.base import BodyKey, BucketUse, body_key, bucket_of, manifest_key
from storage.catalog import MemoryCatalog
from storage.journal import FileJournal
from storage.records import (
    Chosen,
    Collected,
    Entry,
    Lost,
    Manifest,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Unmasked,
    Withdrawn,
    decode,
)
from tests.storage.strategies import recorded_at
from tests.support.events import candidate


def bucket_in(key: SegmentKey) -> int | None:
    return None if key.number is None else bucket_of(key.number)


def manifest(pipeline_id: str) -> Manifest:
    return Manifest(pipeline_id, candidate(pipeline_id).digest, 100, 0, 0)


EVENTS = ["derby", "oaks"]
KEYS = [SegmentKey(event, rendition, number) for event in EVENTS for rendition in "va" for number in (1, 2, 40, None)]
NAMES = ["live.mpd", "hls/live.m3u8"]
BUCKETS = [bucket_of(1), bucket_of(40)]
copies_drawn = st.builds(
    lambda pipeline_id, defects, **others: candidate(pipeline_id, 0, *defects, **others),
    st.sampled_from("ab"),
    st.sampled_from([(), ("slate",)]),
    digest=st.sampled_from(["0" * 32, "f" * 32]),
    size_bytes=st.integers(1, 9),
)
keys_drawn, events_drawn = st.sampled_from(KEYS), st.sampled_from(EVENTS)
# Where a copy is meant, by its place: not always one that is there.
places_drawn = st.integers(1, 30)
records_drawn: st.SearchStrategy[Record] = st.one_of(
    st.builds(Published, keys_drawn, copies_drawn),
    st.builds(
        Chosen,
        keys_drawn,
        st.just("a"),
        places_drawn,
        st.sampled_from(Rule),
        st.integers(0, 9),
        st.just((("b", Loss.ORDER),)),
    ),
    st.builds(Withdrawn, keys_drawn),
    st.builds(Lost, keys_drawn, st.just("a"), places_drawn),
    st.builds(Masked, events_drawn, st.builds(Mask, st.sampled_from("mn"), st.sampled_from("ab"), st.integers(0, 9))),
    st.builds(Unmasked, events_drawn, st.sampled_from("mn")),
    st.builds(ManifestPublished, events_drawn, st.sampled_from(NAMES), st.builds(manifest, st.sampled_from("ab"))),
    st.builds(Collected, events_drawn, st.none() | st.sampled_from(BUCKETS)),
)


@dataclass
class Segment:
    """What should be known of one segment, in the plainest way."""

    is_init: bool = False
    copies: list[Candidate] = field(default_factory=list)
    choice: Choice | None = None
    chosen_at: int = 0
    has_lost_choice: bool = False

    @property
    def kept(self) -> list[Candidate]:
        chosen = [self.choice.candidate] if self.choice is not None else []
        return [copy for copy in chosen if copy not in self.copies] + self.copies

    @property
    def is_undecided(self) -> bool:
        if self.choice is None or not self.copies:
            return bool(self.copies)
        chosen = self.choice.candidate
        matters = self.is_init or bool(chosen.defects) or chosen not in self.copies
        return matters and self.copies[-1].sequence > self.chosen_at


class Model:
    """What the catalog should say, kept as objects in plain dictionaries."""

    def __init__(self) -> None:
        self.segments: dict[SegmentKey, Segment] = {}
        self.masks: dict[str, dict[str, Mask]] = {}
        self.manifests: dict[tuple[str, str], dict[str, Manifest]] = {}
        self.newest: dict[tuple[str, str], int] = {}

    def segment(self, key: SegmentKey) -> Segment:
        return self.segments.get(key, Segment())

    def apply(self, record: Record, sequence: int) -> None:
        match record:
            case Published(key, copy):
                self._publish(key, copy)
            case Chosen(key):
                self._choose(record, self.segments.setdefault(key, Segment(key.is_init)), sequence)
            case Withdrawn(key):
                segment = self.segment(key)
                segment.choice, segment.has_lost_choice = None, False
            case Lost(key, _, sequence):
                self._lose(self.segment(key), sequence)
            case Masked(event_id, mask):
                masks = self.masks.setdefault(event_id, {})
                masks.pop(mask.id, None)
                masks[mask.id] = mask
            case Unmasked(event_id, mask_id):
                self.masks.get(event_id, {}).pop(mask_id, None)
            case ManifestPublished(event_id, name, copy):
                self.manifests.setdefault((event_id, name), {})[copy.pipeline_id] = copy
            case Collected(event_id, bucket):
                self._collect(event_id, bucket)

    def _publish(self, key: SegmentKey, copy: Candidate) -> None:
        segment = self.segments.setdefault(key, Segment(key.is_init))
        segment.copies = [other for other in segment.copies if other.pipeline_id != copy.pipeline_id] + [copy]
        segment.has_lost_choice = False
        if key.number is not None:
            pipeline = (key.event_id, copy.pipeline_id)
            self.newest[pipeline] = max(self.newest.get(pipeline, 0), key.number)

    def _choose(self, record: Chosen, segment: Segment, sequence: int) -> None:
        copy = next((copy for copy in segment.kept if copy.sequence == record.copy_sequence), None)
        segment.choice = None if copy is None else record.choice(copy)
        segment.chosen_at, segment.has_lost_choice = sequence, copy is None

    def _lose(self, segment: Segment, sequence: int) -> None:
        if segment.choice is not None and segment.choice.candidate.sequence == sequence:
            segment.choice, segment.has_lost_choice = None, True
        lost = next((copy for copy in segment.copies if copy.sequence == sequence), None)
        if lost is not None:
            segment.copies.remove(lost)
            if segment.choice is not None and segment.choice.candidate.pipeline_id == lost.pipeline_id:
                segment.copies = sorted([segment.choice.candidate, *segment.copies], key=lambda copy: copy.sequence)

    def _collect(self, event_id: str, bucket: int | None) -> None:
        for key in list(self.segments):
            if key.event_id == event_id and (bucket is None or bucket_in(key) == bucket):
                del self.segments[key]
        if bucket is None:
            self.masks.pop(event_id, None)
            for name in NAMES:
                self.manifests.pop((event_id, name), None)
            for pipeline_id in "ab":
                self.newest.pop((event_id, pipeline_id), None)

    def live_edge(self, event_id: str, rendition_id: str) -> int | None:
        chosen = [key for key, segment in self.segments.items() if segment.choice is not None]
        numbers = [key.number for key in chosen if key[:2] == (event_id, rendition_id) and key.number is not None]
        return max(numbers, default=None)

    def bodies(self, event_id: str, bucket: int | None) -> list[tuple[BodyKey, int]]:
        return [
            (body_key(key, copy.pipeline_id, copy.digest), copy.size_bytes)
            for key, segment in self.segments.items()
            if key.event_id == event_id and bucket_in(key) == bucket
            for copy in segment.kept
        ]

    def manifest_bodies(self, event_id: str) -> set[BodyKey]:
        return {
            manifest_key(event_id, name, copy.pipeline_id, copy.digest)
            for (other_id, name), copies in self.manifests.items()
            if other_id == event_id
            for copy in copies.values()
        }


def assert_same(catalog: MemoryCatalog, model: Model, *, is_whole: bool = True) -> None:
    """Compare every answer. Of a journal whose oldest files were dropped the newest number may be forgotten."""
    for key in KEYS:
        segment = model.segment(key)
        assert list(catalog.candidates(key)) == segment.copies
        assert catalog.choice(key) == segment.choice
        assert catalog.has_lost_choice(key) == segment.has_lost_choice
    assert set(catalog.undecided()) == {key for key, segment in model.segments.items() if segment.is_undecided}
    used_bytes = 0
    for event_id in EVENTS:
        assert list(catalog.masks(event_id)) == list(model.masks.get(event_id, {}).values())
        for name in NAMES:
            copies = {copy.pipeline_id: copy for copy in catalog.manifests(event_id, name)}
            assert copies == model.manifests.get((event_id, name), {})
        uses = {bucket: use for bucket, use in catalog.buckets(event_id).items() if use.copies_count}
        for bucket in (*BUCKETS, None):
            bodies = model.bodies(event_id, bucket)
            manifests = model.manifest_bodies(event_id) if bucket is None else set()
            assert catalog.expected_bodies(event_id, bucket) == {body for body, _ in bodies} | manifests
            used_bytes += sum(size_bytes for _, size_bytes in bodies)
            if bucket is not None and bodies:
                assert uses.pop(bucket) == BucketUse(len(bodies), sum(size_bytes for _, size_bytes in bodies))
        assert uses == {}
        for rendition_id in "vax":
            assert catalog.live_edge(event_id, rendition_id) == model.live_edge(event_id, rendition_id)
        for pipeline_id in "ab" if is_whole else "":
            assert catalog.newest_number(event_id, pipeline_id) == model.newest.get((event_id, pipeline_id))
    assert catalog.used_bytes == used_bytes


steps_drawn = st.lists(records_drawn, max_size=30)


@pytest.mark.parametrize("read_slots_count", [1, 100])
@given(steps_drawn, st.booleans())
def test_after_every_record_the_catalog_says_what_a_plain_one_says(
    read_slots_count: int, records: Sequence[Record], is_replay: bool
) -> None:
    """However few slots are kept read, and whether records come as they are made or as they are read back."""
    catalog, model = MemoryCatalog(read_slots_count), Model()
    for sequence, drawn in enumerate(records, start=1):
        moment = Moment(1_000, sequence)
        record = recorded_at(drawn, moment)
        entry = Entry(moment, record)
        catalog.apply(decode(entry.text) if is_replay else entry)
        model.apply(record, sequence)
        assert_same(catalog, model)
    before = list(catalog.standing())
    for sequence, standing in enumerate(before, start=1_000):
        catalog.apply(Entry(Moment(2_000, sequence), standing))
    assert_same(catalog, model)
    assert list(catalog.standing()) == before


@given(st.lists(st.tuples(records_drawn, st.integers(0, 200_000)), max_size=30))
def test_after_a_restart_the_catalog_says_what_it_said_before(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[tuple[Record, int]]
) -> None:
    """With all the rolling, dropping and carrying over that some minutes bring."""
    folder, model = tmp_path_factory.mktemp("journal") / "journal", Model()
    catalog = MemoryCatalog()
    journal = FileJournal(folder, fsync=False, standing=catalog.standing)
    journal.follow(catalog.apply)
    journal.open()
    now_ms = 0
    for drawn, later_ms in steps:
        now_ms += later_ms
        moment = journal.next_moment(now_ms)
        record = recorded_at(drawn, moment)
        journal.append(record, moment)
        model.apply(record, moment.sequence)
    assert_same(catalog, model)
    journal.close()
    catalog = MemoryCatalog()
    journal = FileJournal(folder, fsync=False, standing=catalog.standing)
    journal.follow(catalog.apply)
    journal.open()
    assert_same(catalog, model, is_whole=False)
    journal.close()


@given(steps_drawn)
def test_what_was_answered_before_does_not_change_with_what_comes_later(records: Sequence[Record]) -> None:
    """Readers keep what they were given across awaits."""
    catalog = MemoryCatalog()
    taken: list[tuple[Sequence[object], list[object]]] = []
    for sequence, record in enumerate(records, start=1):
        moment = Moment(1_000, sequence)
        catalog.apply(Entry(moment, recorded_at(record, moment)))
        answers: list[Sequence[object]] = [catalog.candidates(KEYS[0]), catalog.masks("derby"), catalog.undecided()]
        taken += [(answer, list(answer)) for answer in answers]
    for answer, then in taken:
        assert list(answer) == then

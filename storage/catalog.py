"""The journal folded into memory: what exists and what is chosen."""

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Final

from selection.model import Candidate, Choice, Mask, Moment, SegmentKey
from storage.base import SEGMENTS_PER_BUCKET, BodyKey, BucketUse, body_key, bucket_of, manifest_key
from storage.catalog_snapshot import CatalogSnapshot, digest_of_texts, edge_texts
from storage.event_records import Bucket, EventRecords, standing_of
from storage.recent import Recent
from storage.records import (
    ALL,
    Chosen,
    Entry,
    Lost,
    Manifest,
    ManifestPublished,
    Masked,
    Standing,
    Unmasked,
    copy_address,
    decode,
    manifest_name,
)
from storage.slots import NOTHING, Answers, Slot, sequence_of, size_of

# Slots that are kept read, beside their texts. One with two copies takes about 4 KB, so all of them 32 MB; the
# segments that can be asked for at the live edge of ten events with ten renditions are a thousand.
READ_SLOTS_COUNT: Final = 8_192


class MemoryCatalog:
    """Implements `storage.base.Catalog` with dictionaries. Deterministic: equal entries, equal state.

    Segments and init segments are kept as the texts of their records (`storage.slots`), those that were asked
    for last also read.

    Args:
        read_slots_count: How many of them, at most.
    """

    def __init__(self, read_slots_count: int = READ_SLOTS_COUNT) -> None:
        self.used_bytes = 0
        self.state = object()
        self._events: dict[str, EventRecords] = {}
        self._read: Recent[SegmentKey, Answers] = Recent(read_slots_count)
        self._has_read = False
        self._snapshots: list[CatalogSnapshot] = []
        self._folds = {
            "published": self._fold_published,
            "chosen": self._fold_chosen,
            "withdrawn": self._fold_withdrawn,
            "lost": self._fold_lost,
            "masked": self._fold_masked,
            "unmasked": self._fold_unmasked,
            "manifest": self._fold_manifest,
            "collected": self._fold_collected,
            "standing": self._fold_standing,
        }

    def apply(self, entry: Entry) -> None:
        """Fold one entry in."""
        self.state = object()
        self._folds[entry.kind](entry)

    # -- What it tells

    def candidates(self, key: SegmentKey) -> Sequence[Candidate]:
        """Return the copies of a segment, at most one a pipeline, oldest first."""
        return self._answers(key).candidates

    def choice(self, key: SegmentKey) -> Choice | None:
        """Return the choice in force, or None."""
        return self._answers(key).choice

    def has_lost_choice(self, key: SegmentKey) -> bool:
        """Tell whether the copy that was chosen is lost, and nothing was published or chosen since."""
        event = self._events.get(key.event_id)
        return event is not None and key in event.lost_choices

    def masks(self, event_id: str) -> Sequence[Mask]:
        """Return the event's masks, oldest first."""
        event = self._events.get(event_id)
        return () if event is None else tuple(mask for _, mask in event.masks)

    def manifests(self, event_id: str, name: str) -> Sequence[Manifest]:
        """Return the copies of a manifest, one a pipeline."""
        event = self._events.get(event_id)
        texts = {} if event is None else event.manifests.get(manifest_name(name), {})
        records = [decode(text).record for text in texts.values()]
        return tuple(record.manifest for record in records if isinstance(record, ManifestPublished))

    def undecided(self) -> Sequence[SegmentKey]:
        """Return what a restart must decide: the segments with copies and no choice, or with one that may move it."""
        return [key for key, slot in self._slots() if slot.is_undecided(is_init=key.is_init)]

    def event_ids(self) -> Sequence[str]:
        """Return the events of which anything is known, in the order in which they were heard of."""
        return tuple(self._events)

    def bucket_numbers(self, event_id: str) -> Sequence[int]:
        """Return the time buckets of which there are segments, in any order."""
        event = self._events.get(event_id)
        return () if event is None else [number for number in event.buckets if number is not None]

    def buckets(self, event_id: str) -> Mapping[int, BucketUse]:
        """Return what the segments of an event take, by time bucket."""
        event = self._events.get(event_id)
        return {
            number: BucketUse(bucket.copies_count, bucket.size_bytes)
            for number, bucket in (() if event is None else event.buckets.items())
            if number is not None
        }

    def expected_bodies(self, event_id: str, bucket: int | None) -> Set[BodyKey]:
        """Return the addresses of all bodies that a request may need.

        Args:
            bucket: Whose; None for init segments and manifests.
        """
        event = self._events.get(event_id)
        if event is None:
            return set()
        found = event.buckets.get(bucket)
        expected = {
            body_key(key, *copy_address(text))
            for key, slot in (() if found is None else found.keys(event_id))
            for text in slot.kept
        }
        if bucket is None:
            texts = [text for copies in event.manifests.values() for text in copies.values()]
            manifests = [record for text in texts if isinstance(record := decode(text).record, ManifestPublished)]
            expected |= {
                manifest_key(event_id, record.name, record.manifest.pipeline_id, record.manifest.digest)
                for record in manifests
            }
        return expected

    def newest_number(self, event_id: str, pipeline_id: str) -> int | None:
        """Return the highest number that a pipeline has published; also of a segment that is gone since.

        After a restart it is the highest that the journal still knows.
        """
        event = self._events.get(event_id)
        return None if event is None else event.newest_numbers.get(pipeline_id)

    def live_edge(self, event_id: str, rendition_id: str) -> int | None:
        """Return the highest number of a rendition that has a choice in force, or None."""
        event = self._events.get(event_id)
        return None if event is None else event.live_edges.get(rendition_id)

    def standing(self) -> Sequence[Standing]:
        """Return what must be said again before the records of then are dropped.

        That is everything that belongs to no time bucket: masks, manifests, and init segments with their choices.
        Copies come newest first, so that whoever folds them knows of one that was replaced that it is the one
        chosen; then choices.
        """
        orders = [order for event_id, event in self._events.items() for order in standing_of(event_id, event)]
        return sorted(orders, key=lambda order: (isinstance(order.record, Chosen | Lost), -order.moment.sequence))

    def snapshot(self) -> CatalogSnapshot:
        """Return batches of texts which, folded in this order by an empty catalog, make it equal to this one now.

        The catalog may change between two of them. What it does not tell are newest numbers of segments that are gone.
        """
        snapshot = CatalogSnapshot(self._events, self._snapshots.remove)
        self._snapshots.append(snapshot)
        return snapshot

    def digest(self) -> str:
        """Return 32 hex digits that are equal for catalogs which give equal answers; takes as long as a snapshot.

        Of copies, choices, masks, manifests, live edges and the bytes in use. Newest numbers are left out.
        """
        texts = (text for batch in self.snapshot() for text in batch)
        return digest_of_texts(chain(texts, edge_texts(self._events), [f"used {self.used_bytes}"]))

    # -- Folding

    def _fold_published(self, entry: Entry) -> None:
        words = entry.words
        event, bucket, slot = self._place(entry)
        pipeline_id, size_bytes, number = words[6], int(words[8]), entry.number
        dropped = slot.publish(entry.text, pipeline_id)
        if dropped:
            self._drop(bucket, dropped)
        bucket.copies_count += 1  # as `_add` does, and a call would cost as much again
        bucket.size_bytes += size_bytes
        self.used_bytes += size_bytes
        if number is not None and number > event.newest_numbers.get(pipeline_id, number - 1):
            event.newest_numbers[pipeline_id] = number
        if event.lost_choices:
            event.lost_choices.pop(entry.key, None)
        if self._has_read or entry.is_read:
            self._renew(entry, slot)

    def _fold_chosen(self, entry: Entry) -> None:
        words, number = entry.words, entry.number
        event, bucket, slot = self._place(entry)
        is_there, dropped = slot.choose(entry.text, words[7])
        if dropped:
            self._drop(bucket, dropped)
        if event.lost_choices:
            event.lost_choices.pop(entry.key, None)
        if not is_there:  # its record was in a part of the journal that is damaged
            event.lost_choices[entry.key] = _lost(entry)
            event.lower_edge(words[4], number)
        elif number is not None and number > event.live_edges.get(words[4], -1):
            event.live_edges[words[4]] = number
        if self._has_read or entry.is_read:
            self._renew(entry, slot)

    def _fold_withdrawn(self, entry: Entry) -> None:
        if self._find(entry.key) is None:
            return
        event, bucket, slot = self._place(entry)
        self._drop(bucket, slot.withdraw())
        event.lower_edge(entry.words[4], entry.number)
        event.lost_choices.pop(entry.key, None)
        self._renew(entry, slot)

    def _fold_lost(self, entry: Entry) -> None:
        if self._find(entry.key) is None:
            return
        event, bucket, slot = self._place(entry)
        was_chosen, dropped = slot.lose(entry.words[7])
        self._drop(bucket, dropped)
        self._renew(entry, slot)
        if was_chosen:
            event.lost_choices[entry.key] = _lost(entry)
            event.lower_edge(entry.words[4], entry.number)

    def _fold_masked(self, entry: Entry) -> None:
        record = entry.record
        assert isinstance(record, Masked)
        event, mask = self._event(record.event_id), record.mask
        event.masks = (*(known for known in event.masks if known[1].id != mask.id), (entry.moment, mask))

    def _fold_unmasked(self, entry: Entry) -> None:
        record = entry.record
        assert isinstance(record, Unmasked)
        event = self._events.get(record.event_id)
        if event is not None:
            event.masks = tuple(known for known in event.masks if known[1].id != record.mask_id)

    def _fold_manifest(self, entry: Entry) -> None:
        self._event(entry.words[3]).manifests.setdefault(entry.rest(7), {})[entry.words[4]] = entry.text

    def _fold_collected(self, entry: Entry) -> None:
        event_id, bucket_text = entry.words[3], entry.words[4]
        event = self._events.get(event_id)
        if event is None:
            return
        if bucket_text == ALL:
            del self._events[event_id]
            buckets = list(event.buckets.values())
        else:
            buckets = [bucket] if (bucket := event.buckets.pop(int(bucket_text), None)) is not None else []
        for bucket in buckets:
            self.used_bytes -= bucket.size_bytes
            for key, _ in bucket.keys(event_id):
                self._read.forget(key)
                event.lost_choices.pop(key, None)
                event.lower_edge(key.rendition_id, key.number)

    def _fold_standing(self, entry: Entry) -> None:
        """Fold in what is not known already, so that everything is as it was when this was said again."""
        then = decode(entry.rest(3))
        match then.kind:
            case "published":
                self._restore_copy(then)
            case "chosen":
                slot = self._find(then.key)
                if slot is None or slot.choice is None or sequence_of(slot.choice) < then.sequence:
                    self._fold_chosen(then)
            case "lost":
                slot = self._find(then.key)
                if slot is None or slot.choice is None:
                    event, _, _ = self._place(then)
                    event.lost_choices[then.key] = _lost(then)
            case "masked":
                self._restore_mask(then)
            case "manifest":
                known = self._event(then.words[3]).manifests.get(then.rest(7), {}).get(then.words[4])
                if known is None or sequence_of(known) < then.sequence:
                    self._fold_manifest(then)

    def _restore_copy(self, then: Entry) -> None:
        event, bucket, slot = self._place(then)
        if slot.copy_at(then.words[0]) is not None:
            return
        self._drop(bucket, slot.restore(then.text, then.words[6]))
        self._add(bucket, int(then.words[8]))
        event.lost_choices.pop(then.key, None)
        self._renew(then, slot)

    def _restore_mask(self, then: Entry) -> None:
        record = then.record
        assert isinstance(record, Masked)
        event = self._event(record.event_id)
        if not any(mask.id == record.mask.id and moment >= then.moment for moment, mask in event.masks):
            self._fold_masked(then)
            event.masks = tuple(sorted(event.masks, key=lambda known: known[0].sequence))

    # -- Where things are

    def _place(self, entry: Entry) -> tuple[EventRecords, Bucket, Slot]:
        """Return the slot that an entry is about, and what it is part of; made if it is not there."""
        words, number = entry.words, entry.number
        event = self._events.get(words[3]) or self._event(words[3])
        bucket_number = None if number is None else number // SEGMENTS_PER_BUCKET  # a call would cost as much again
        bucket = event.buckets.get(bucket_number)
        if bucket is None:
            bucket = event.buckets[bucket_number] = Bucket()
        for snapshot in self._snapshots:
            snapshot.keep(bucket)
        slots = bucket.slots.get(words[4])
        if slots is None:
            slots = bucket.slots[words[4]] = {}
        slot = slots.get(number)
        if slot is None:
            slot = slots[number] = Slot()
        return event, bucket, slot

    def _event(self, event_id: str) -> EventRecords:
        event = self._events.get(event_id)
        if event is None:
            event = self._events[event_id] = EventRecords()
        return event

    def _find(self, key: SegmentKey) -> Slot | None:
        event_id, rendition_id, number = key
        event = self._events.get(event_id)
        bucket = None if event is None else event.buckets.get(None if number is None else bucket_of(number))
        return None if bucket is None else bucket.slots.get(rendition_id, {}).get(number)

    def _slots(self) -> Iterator[tuple[SegmentKey, Slot]]:
        for event_id, event in self._events.items():
            for bucket in event.buckets.values():
                yield from bucket.keys(event_id)

    def _add(self, bucket: Bucket, size_bytes: int) -> None:
        bucket.copies_count += 1
        bucket.size_bytes += size_bytes
        self.used_bytes += size_bytes

    def _drop(self, bucket: Bucket, copies: Sequence[str]) -> None:
        """Take copies out of the sums of which no record in force speaks any more."""
        for text in copies:
            size_bytes = size_of(text)
            bucket.copies_count -= 1
            bucket.size_bytes -= size_bytes
            self.used_bytes -= size_bytes

    # -- What is read

    def _answers(self, key: SegmentKey) -> Answers:
        answers = self._read.get(key)
        if answers is not None:
            return answers
        slot = self._find(key)
        if slot is None:  # then it is not read either, as one finds out soonest of what is being uploaded
            return NOTHING
        try:
            return self._read[key]  # not among the newest
        except KeyError:
            return self._keep(key, slot.read())

    def _renew(self, entry: Entry, slot: Slot) -> None:
        """Read a slot again after a change, if it was read before or the change is being made now."""
        key = entry.key
        former = self._read.forget(key)
        if former is not None or entry.is_read:
            self._keep(key, slot.read(former or NOTHING, entry.record if entry.is_read else None))

    def _keep(self, key: SegmentKey, answers: Answers) -> Answers:
        self._has_read = True
        self._read.keep(key, answers)
        return answers


def _lost(entry: Entry) -> tuple[Moment, Lost]:
    """Return the loss of the copy that a record of a choice, or of its loss, speaks of."""
    return entry.moment, Lost(entry.key, entry.words[6], int(entry.words[7]))

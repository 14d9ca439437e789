"""What the catalog holds of one event, and what of it must be said again before old records are dropped."""

from collections.abc import Iterator
from contextlib import suppress

from selection.model import Mask, Moment, SegmentKey
from storage.base import bucket_of
from storage.records import Chosen, Lost, ManifestPublished, Masked, Published, Standing, decode
from storage.slots import Slot


class Bucket:
    """The segments of one time bucket of an event, or with None as its number all of its init segments."""

    __slots__ = ("copies_count", "size_bytes", "slots")

    def __init__(self) -> None:
        self.copies_count = 0
        self.size_bytes = 0
        self.slots: dict[str, dict[int | None, Slot]] = {}

    def keys(self, event_id: str) -> Iterator[tuple[SegmentKey, Slot]]:
        for rendition_id, slots in self.slots.items():
            for number, slot in slots.items():
                yield SegmentKey(event_id, rendition_id, number), slot


class EventRecords:
    """Everything of one event. Manifests by what their text says of their name, then by pipeline.

    Live edges are the highest number of each rendition that has a choice.
    """

    __slots__ = ("buckets", "live_edges", "lost_choices", "manifests", "masks", "newest_numbers")

    def __init__(self) -> None:
        self.buckets: dict[int | None, Bucket] = {}
        self.newest_numbers: dict[str, int] = {}
        self.live_edges: dict[str, int] = {}
        self.masks: tuple[tuple[Moment, Mask], ...] = ()
        self.manifests: dict[str, dict[str, str]] = {}
        self.lost_choices: dict[SegmentKey, tuple[Moment, Lost]] = {}

    def lower_edge(self, rendition_id: str, number: int | None) -> None:
        """Find a rendition's live edge again, after the choice of `number` has gone.

        What is above the edge has no choice, so this looks below it only: at the number before, as a rule. The
        cost is that of the numbers in between, and these are not looked at again until one above them is chosen.
        """
        edge = self.live_edges.get(rendition_id)
        if edge is None or number != edge:
            return
        found = self._chosen_below(rendition_id, edge)
        if found is None:
            del self.live_edges[rendition_id]
        else:
            self.live_edges[rendition_id] = found

    def _chosen_below(self, rendition_id: str, edge: int) -> int | None:
        bucket_number: int | None = bucket_of(edge)
        while bucket_number is not None:
            bucket = self.buckets.get(bucket_number)
            slots = {} if bucket is None else bucket.slots.get(rendition_id, {})
            chosen = [number for number, slot in slots.items() if number is not None and slot.choice is not None]
            if chosen:
                return max(chosen)
            bucket_number = self._bucket_before(bucket_number)
        return None

    def _bucket_before(self, bucket_number: int) -> int | None:
        if bucket_number - 1 in self.buckets:
            return bucket_number - 1
        return max((number for number in self.buckets if number is not None and number < bucket_number), default=None)


def standing_of(event_id: str, event: EventRecords) -> Iterator[Standing]:
    """Return what is in force and belongs to no time bucket."""
    for moment, mask in event.masks:
        yield Standing(Masked(event_id, mask), moment)
    texts = [text for copies in event.manifests.values() for text in copies.values()]
    inits = event.buckets.get(None)
    for _, slot in () if inits is None else inits.keys(event_id):
        texts += slot.kept if slot.choice is None else (*slot.kept, slot.choice)
    for text in texts:
        entry = decode(text)
        with suppress(ValueError):  # of a newer version: passed over here as by whoever asks for it
            record = entry.record
            assert isinstance(record, Published | Chosen | ManifestPublished)
            yield Standing(record, entry.moment)
    for moment, loss in event.lost_choices.values():
        if loss.key.is_init:
            yield Standing(loss, moment)

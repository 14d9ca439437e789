"""What the catalog holds of one event, and what of it must be said again before old records are dropped."""

from collections.abc import Iterator
from contextlib import suppress

from selection.model import Mask, Moment, SegmentKey
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
    """Everything of one event. Manifests by what their text says of their name, then by pipeline."""

    __slots__ = ("buckets", "lost_choices", "manifests", "masks", "newest_numbers")

    def __init__(self) -> None:
        self.buckets: dict[int | None, Bucket] = {}
        self.newest_numbers: dict[str, int] = {}
        self.masks: tuple[tuple[Moment, Mask], ...] = ()
        self.manifests: dict[str, dict[str, str]] = {}
        self.lost_choices: dict[SegmentKey, tuple[Moment, Lost]] = {}


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

"""What a catalog holds at one moment, told in steps while it goes on changing.

The texts are those of journal records. An empty catalog that folds them in this order says what the first one said
when the snapshot was begun. Nothing is copied for that at the beginning: a time bucket is put aside only when it
is about to change before its turn has come.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from storage.event_records import Bucket, EventRecords
from storage.records import Masked, Standing, encode
from storage.slots import Slot

# What belongs to no time bucket comes in steps of so many texts.
BATCH_TEXTS: Final = 500
_DIGEST_BYTES: Final = 16


class CatalogSnapshot(Iterator[Sequence[str]]):
    """Iterates over batches of texts: a time bucket each, then masks, manifests and choices that were lost.

    Close it when it is not iterated to its end, or the catalog goes on putting things aside for it.

    Args:
        ended: Told once it is at its end or closed.
    """

    def __init__(self, events: Mapping[str, EventRecords], ended: Callable[["CatalogSnapshot"], None]) -> None:
        buckets = [bucket for event in events.values() for bucket in event.buckets.values()]
        self._coming = buckets[::-1]
        self._unsent: dict[Bucket, Sequence[str] | None] = dict.fromkeys(buckets)
        lasting = list(_lasting_texts(events))
        self._lasting = [lasting[first : first + BATCH_TEXTS] for first in range(0, len(lasting), BATCH_TEXTS)][::-1]
        self._ended = ended
        self._is_open = True

    def __next__(self) -> Sequence[str]:
        while self._coming:
            bucket = self._coming.pop()
            kept = self._unsent.pop(bucket)
            texts = bucket_texts(bucket) if kept is None else kept
            if texts:
                return texts
        if self._lasting:
            return self._lasting.pop()
        self.close()
        raise StopIteration

    def keep(self, bucket: Bucket) -> None:
        """Put a bucket aside as it is, before it changes."""
        if self._unsent.get(bucket, ()) is None:
            self._unsent[bucket] = bucket_texts(bucket)

    def close(self) -> None:
        """Let go of everything; the iteration ends here."""
        if self._is_open:
            self._is_open = False
            self._coming, self._lasting = [], []
            self._unsent.clear()
            self._ended(self)


def bucket_texts(bucket: Bucket) -> Sequence[str]:
    """Return what makes the slots of a bucket, in the order in which it is to be folded."""
    return [text for slots in bucket.slots.values() for slot in slots.values() for text in slot_texts(slot)]


def slot_texts(slot: Slot) -> Iterator[str]:
    """Yield what makes a slot: its copies, the one among them that was replaced and is still chosen, the choice."""
    yield from slot.copies
    if slot.replaced is not None:
        # As an order that stands: a copy that is told after the one that replaced it would take its place.
        sequence, ms, _ = slot.replaced.split(" ", 2)
        yield f"{sequence} {ms} standing {slot.replaced}"
    if slot.choice is not None:
        yield slot.choice


def digest_of_texts(texts: Iterable[str]) -> str:
    """Return 32 hex digits that are the same for the same texts in any order.

    A sum of digests, so that nothing has to be sorted. It is compared among processes of one origin, which have no
    reason to forge it.

    >>> digest_of_texts(["a", "b"]) == digest_of_texts(["b", "a"]) != digest_of_texts(["a", "a"])
    True
    """
    total = 0
    for text in texts:
        total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest(), "big")
    return f"{total % (1 << 8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"


def edge_texts(events: Mapping[str, EventRecords]) -> Iterator[str]:
    """Yield what tells the live edges; for digests."""
    for event_id, event in events.items():
        for rendition_id, number in event.live_edges.items():
            yield f"edge {event_id} {rendition_id} {number}"


def _lasting_texts(events: Mapping[str, EventRecords]) -> Iterator[str]:
    for event_id, event in events.items():
        for moment, mask in event.masks:
            yield encode(moment, Masked(event_id, mask))
        for copies in event.manifests.values():
            yield from copies.values()
    for event in events.values():
        # After all copies: a copy that is published ends the search for what takes the place of a lost one.
        for moment, loss in event.lost_choices.values():
            yield encode(moment, Standing(loss, moment))

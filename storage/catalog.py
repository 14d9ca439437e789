"""The journal folded into memory: what exists and what is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from selection.model import Candidate, Choice, Mask, SegmentKey
from storage.records import Chosen, Entry, Manifest, ManifestPublished, Masked, Published, Unmasked, Withdrawn


@dataclass(slots=True)
class _Slot:
    candidates: tuple[Candidate, ...] = ()
    choice: Choice | None = None
    has_news: bool = False  # a copy came after the choice


class MemoryCatalog:
    """Implements `storage.base.Catalog` with dictionaries. Deterministic: equal entries, equal state."""

    def __init__(self) -> None:
        self._slots: dict[SegmentKey, _Slot] = {}
        self._manifests: dict[tuple[str, str], dict[str, Manifest]] = {}
        self._masks: dict[str, tuple[Mask, ...]] = {}

    def apply(self, entry: Entry) -> None:
        """Fold one entry in."""
        record = entry.record
        match record:
            case Published(key, candidate):
                slot = self._slots.setdefault(key, _Slot())
                others = [other for other in slot.candidates if other.pipeline_id != candidate.pipeline_id]
                slot.candidates = (*others, candidate)
                slot.has_news = True
            case Chosen(key, choice):
                slot = self._slots.setdefault(key, _Slot())
                slot.choice = choice
                slot.has_news = False
            case Withdrawn(key):
                self._slots.setdefault(key, _Slot()).choice = None
            case Masked(event_id, mask):
                others_masks = [other for other in self.masks(event_id) if other.id != mask.id]
                self._masks[event_id] = (*others_masks, mask)
            case Unmasked(event_id, mask_id):
                self._masks[event_id] = tuple(mask for mask in self.masks(event_id) if mask.id != mask_id)
            case ManifestPublished(event_id, name, manifest):
                self._manifests.setdefault((event_id, name), {})[manifest.pipeline_id] = manifest
            case _:
                assert_never(record)

    def candidates(self, key: SegmentKey) -> Sequence[Candidate]:
        """Return the copies of a segment, at most one a pipeline, oldest first."""
        slot = self._slots.get(key)
        return () if slot is None else slot.candidates

    def choice(self, key: SegmentKey) -> Choice | None:
        """Return the choice in force, or None."""
        slot = self._slots.get(key)
        return None if slot is None else slot.choice

    def masks(self, event_id: str) -> Sequence[Mask]:
        """Return the event's masks, oldest first."""
        return self._masks.get(event_id, ())

    def manifests(self, event_id: str, name: str) -> Sequence[Manifest]:
        """Return the copies of a manifest, one a pipeline."""
        return tuple(self._manifests.get((event_id, name), {}).values())

    def undecided(self) -> Sequence[SegmentKey]:
        """Return what a restart must decide: the segments with copies and no choice, or with one that came after it."""
        return [key for key, slot in self._slots.items() if slot.candidates and (slot.choice is None or slot.has_news)]

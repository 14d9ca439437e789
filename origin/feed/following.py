"""The catalog of a deliver process: one object for those who read it, whatever is behind it at the moment."""

from collections.abc import Mapping, Sequence, Set

from selection.model import Candidate, Choice, Mask, SegmentKey
from storage.base import BodyKey, BucketUse
from storage.catalog import MemoryCatalog
from storage.records import Entry, Manifest, Standing


class FollowingCatalog:
    """Implements `storage.base.Catalog` with the catalog that was complete last.

    Args:
        current: The one that answers now.
    """

    def __init__(self, current: MemoryCatalog) -> None:
        self.current = current

    @property
    def used_bytes(self) -> int:
        return self.current.used_bytes

    @used_bytes.setter
    def used_bytes(self, size_bytes: int) -> None:
        self.current.used_bytes = size_bytes

    @property
    def state(self) -> object:
        return self.current.state

    def apply(self, entry: Entry) -> None:
        self.current.apply(entry)

    def candidates(self, key: SegmentKey) -> Sequence[Candidate]:
        return self.current.candidates(key)

    def choice(self, key: SegmentKey) -> Choice | None:
        return self.current.choice(key)

    def masks(self, event_id: str) -> Sequence[Mask]:
        return self.current.masks(event_id)

    def manifests(self, event_id: str, name: str) -> Sequence[Manifest]:
        return self.current.manifests(event_id, name)

    def undecided(self) -> Sequence[SegmentKey]:
        return self.current.undecided()

    def has_lost_choice(self, key: SegmentKey) -> bool:
        return self.current.has_lost_choice(key)

    def event_ids(self) -> Sequence[str]:
        return self.current.event_ids()

    def bucket_numbers(self, event_id: str) -> Sequence[int]:
        return self.current.bucket_numbers(event_id)

    def buckets(self, event_id: str) -> Mapping[int, BucketUse]:
        return self.current.buckets(event_id)

    def expected_bodies(self, event_id: str, bucket: int | None) -> Set[BodyKey]:
        return self.current.expected_bodies(event_id, bucket)

    def newest_number(self, event_id: str, pipeline_id: str) -> int | None:
        return self.current.newest_number(event_id, pipeline_id)

    def live_edge(self, event_id: str, rendition_id: str) -> int | None:
        return self.current.live_edge(event_id, rendition_id)

    def standing(self) -> Sequence[Standing]:
        return self.current.standing()

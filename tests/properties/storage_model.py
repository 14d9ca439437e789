"""What a node acknowledged, as a dictionary has it, and what may become of it."""

from collections.abc import Callable
from typing import Final

from selection.capacity import CapacityLevel
from selection.model import Candidate, Event, SegmentKey
from selection.rank import flaws
from storage.base import BodyKey, digest_of
from storage.records import Chosen, Collected, Entry, Lost, ManifestPublished, Published, Withdrawn
from tests.properties.storage_world import address_of
from tests.properties.strategies import exact_end_ms
from tests.support.events import make_event, make_rendition

START_MS: Final = 1_000_000
SEGMENT_MS: Final = 1_000
DVR_WINDOW_MS: Final = 90_000
RETENTION_MS: Final = 40_000
MINUTE_MS: Final = 60_000
MANIFESTS: Final = ("live.mpd", "hls/live.m3u8")
WINDOWS: Final = {"dvr_window_ms": DVR_WINDOW_MS, "retention_ms": RETENTION_MS}
EVENTS: Final = {
    event.id: event
    for event in (
        make_event(
            event_id,
            duration=1,
            pipelines=("a", "b"),
            renditions=[make_rendition(rendition_id) for rendition_id in ("v", "w")],
            dvr_window_ms=DVR_WINDOW_MS,
            retention_ms=RETENTION_MS,
            end_ms=end_ms,
        )
        for event_id, end_ms in (("derby", None), ("cup", START_MS + 60_000))
    )
}
BODIES: Final = (b"one", b"another one", b"the third one, " * 6)


class Model:
    """What was acknowledged, in plain dictionaries: what records promised, and what became of it.

    Args:
        true_ms: Returns what the time is, whatever the wall clock says.
        level: Returns how full the disk is.
    """

    def __init__(self, true_ms: Callable[[], int], level: Callable[[], CapacityLevel]) -> None:
        self._true_ms = true_ms
        self._level = level
        self.bytes_of: dict[str, bytes] = {digest_of(body): body for body in BODIES}
        self.copies: dict[tuple[SegmentKey, str], Candidate] = {}
        self.chosen: dict[SegmentKey, Candidate] = {}
        self.manifests: dict[tuple[str, str, str], str] = {}
        self.rotten: dict[BodyKey, str] = {}
        # Every key there ever was: what is gone must not come back.
        self.keys: set[SegmentKey] = set()

    def kept(self) -> dict[BodyKey, Candidate]:
        """Return what must be readable: all copies, and those chosen that their pipeline has replaced since."""
        chosen = {address_of(key, copy.pipeline_id, copy.digest): copy for key, copy in self.chosen.items()}
        copies = {address_of(key, copy.pipeline_id, copy.digest): copy for (key, _), copy in self.copies.items()}
        return chosen | copies

    def replaced(self, key: SegmentKey) -> set[BodyKey]:
        """Return the copy that is chosen and that its pipeline has replaced since, if there is one.

        That is an init segment which was followed by one that cannot be delivered. When a third one is chosen, the
        file of the first one stays until the next start.
        """
        copy = self.chosen.get(key)
        if copy is None or self.copies.get((key, copy.pipeline_id)) == copy:
            return set()
        return {address_of(key, copy.pipeline_id, copy.digest)}

    def recorded_bytes(self) -> int:
        """Return the size of all copies; one that was sent again after it was replaced counts twice while chosen."""
        chosen = {(key, copy.pipeline_id, copy.sequence): copy.size_bytes for key, copy in self.chosen.items()}
        copies = {(key, of, copy.sequence): copy.size_bytes for (key, of), copy in self.copies.items()}
        return sum((chosen | copies).values())

    def kept_manifests(self) -> dict[BodyKey, str]:
        """Return the manifests that must be readable, with their digests."""
        return {
            BodyKey(f"{event_id}/manifest/{digest_of(name.encode())}~{pipeline_id}~{digest}"): digest
            for (event_id, name, pipeline_id), digest in self.manifests.items()
        }

    def follow(self, entry: Entry) -> None:
        """Take in what was recorded, if that may happen."""
        match entry.record:
            case Published(key, copy):
                self.copies[key, copy.pipeline_id] = copy
                self.keys.add(key)
            case Chosen(key, pipeline_id, sequence):
                self._choose(key, pipeline_id, sequence)
            case Withdrawn(key):
                raise AssertionError(f"the choice of {key} was taken back, and nobody masked it")
            case Lost(key, pipeline_id, sequence):
                self._lose(key, pipeline_id, sequence)
            case ManifestPublished(event_id, name, copy):
                self.manifests[event_id, name, copy.pipeline_id] = copy.digest
            case Collected(event_id, bucket):
                self._collect(event_id, bucket)

    def _choose(self, key: SegmentKey, pipeline_id: str, sequence: int) -> None:
        copy, former = self.copies[key, pipeline_id], self.chosen.get(key)
        assert copy.sequence == sequence
        if former is not None:
            is_renewed = key.is_init and copy.pipeline_id == former.pipeline_id
            assert is_renewed or flaws(copy.defects) < flaws(former.defects), "a choice stays, or becomes better"
        self.chosen[key] = copy

    def _lose(self, key: SegmentKey, pipeline_id: str, sequence: int) -> None:
        kept = (self.copies.get((key, pipeline_id)), self.chosen.get(key))
        lost = next(copy for copy in kept if copy is not None and copy.sequence == sequence)
        assert address_of(key, pipeline_id, lost.digest) in self.rotten, "nothing is lost by itself"
        if self.copies.get((key, pipeline_id)) == lost:
            del self.copies[key, pipeline_id]
        if self.chosen.get(key) == lost:
            del self.chosen[key]
        self.rotten[address_of(key, pipeline_id, lost.digest)] = "gone"  # also for another record of the same bytes
        self._forget_rot()

    def _collect(self, event_id: str, bucket: int | None) -> None:
        event = EVENTS[event_id]
        known = [key for key in {key for key, _ in self.copies} | set(self.chosen) if key.event_id == event_id]
        gone = [key for key in known if bucket is None or (key.number is not None and key.number // 32 == bucket)]
        if bucket is None:
            assert event.last_number is not None, "an event without an end is never over"
            self._assert_expired(event, event.last_number)
            self.manifests = {place: copy for place, copy in self.manifests.items() if place[0] != event_id}
        for key in gone:
            self._assert_expired(event, event.last_number if key.number is None else key.number)
            self.chosen.pop(key, None)
            for pipeline_id in "ab":
                self.copies.pop((key, pipeline_id), None)
        self._forget_rot()

    def _assert_expired(self, event: Event, number: int | None) -> None:
        assert number is not None
        age_ms = self._true_ms() - exact_end_ms(event, number) - event.publish_delay_ms
        assert age_ms >= event.dvr_window_ms, f"{number} is in the window"
        assert self._level() is not CapacityLevel.AMPLE or age_ms >= event.dvr_window_ms + event.retention_ms

    def _forget_rot(self) -> None:
        kept = self.kept()
        self.rotten = {address: how for address, how in self.rotten.items() if address in kept}

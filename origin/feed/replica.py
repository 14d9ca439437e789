"""Folds what the publish process tells, and finds out when something of it is missing."""

import zlib
from collections.abc import Callable, Iterator

from origin.feed.following import FollowingCatalog
from origin.feed.wire import FeedFault, Heartbeat, Hello, SnapshotEnd, decode_records
from storage.catalog import MemoryCatalog
from storage.records import Entry, decode


class Replica:
    """What one connection has told so far, checked. It does no I/O.

    A snapshot is folded into a catalog of its own, which takes the place of the former one when it is complete.
    From there on every record must have the place after the one before.

    Args:
        catalog: Whose current catalog is exchanged, and then follows.
    """

    def __init__(self, catalog: FollowingCatalog, make_catalog: Callable[[], MemoryCatalog]) -> None:
        self._catalog = catalog
        self._coming: MemoryCatalog | None = make_catalog()
        self._begun_at: int | None = None
        self._checksum = 0
        self.sequence = 0

    @property
    def is_complete(self) -> bool:
        """Whether the snapshot has been taken over."""
        return self._coming is None

    def begin(self, hello: Hello) -> None:
        """Take in where the snapshot was taken. Raises FeedFault."""
        if self._begun_at is not None:
            raise FeedFault("a second greeting")
        self._begun_at = hello.sequence

    def take_snapshot(self, payload: bytes) -> None:
        """Fold a part of the snapshot. Raises FeedFault."""
        if self._begun_at is None or self._coming is None:
            raise FeedFault("a snapshot at the wrong moment")
        self._checksum = zlib.crc32(payload, self._checksum)
        for entry in _entries(payload):
            _fold(self._coming, entry)

    def end_snapshot(self, end: SnapshotEnd) -> MemoryCatalog:
        """Let the new catalog take over, and return the former one. Raises FeedFault if parts are missing."""
        if self._coming is None or self._begun_at is None:
            raise FeedFault("a snapshot at the wrong moment")
        if (end.sequence, end.checksum) != (self._begun_at, self._checksum):
            raise FeedFault("parts of the snapshot are missing")
        former, self._catalog.current = self._catalog.current, self._coming
        self._coming = None
        self.sequence = end.sequence
        return former

    def take_entries(self, payload: bytes) -> Iterator[Entry]:
        """Fold records in, and yield each when it is. Raises FeedFault at the first that is not the next one."""
        if self._coming is not None:
            raise FeedFault("a record before the snapshot has ended")
        for entry in _entries(payload):
            if entry.sequence != self.sequence + 1:
                raise FeedFault(f"record {entry.sequence} after {self.sequence}")
            _fold(self._catalog.current, entry)
            self.sequence = entry.sequence
            yield entry

    def check(self, heartbeat: Heartbeat) -> None:
        """Raise FeedFault if there is a record that should have come before this heartbeat."""
        if not self.is_complete or heartbeat.sequence != self.sequence:
            raise FeedFault(f"record {heartbeat.sequence} was not told, {self.sequence} was the last")


def _entries(payload: bytes) -> Iterator[Entry]:
    for text in decode_records(payload):
        try:
            yield decode(text)
        except ValueError as exc:
            raise FeedFault(f"not a record: {exc}") from exc


def _fold(catalog: MemoryCatalog, entry: Entry) -> None:
    try:
        catalog.apply(entry)
    except ValueError as exc:
        raise FeedFault(f"a record that cannot be folded: {exc}") from exc

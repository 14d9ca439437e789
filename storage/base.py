"""The seams: bytes by key, an append-only journal, and what both say exists.

A shared store for many nodes can stand beside the local one behind these protocols. Nothing above them
knows files; nothing below them knows URLs, statuses or headers.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, NewType, Protocol

from selection.model import Candidate, Choice, Mask, Moment, SegmentKey
from storage.records import Entry, Manifest, Record, Standing

# A path-like address: "{event}/{bucket}/{file}". Ids are checked by the configuration, so parts are safe.
BodyKey = NewType("BodyKey", str)
# The whole of a body, which nobody changes any more: bytes of its own, or a view of memory that lives as long as it.
Body = bytes | bytearray | memoryview
Follower = Callable[[Entry], None]

# Segments of one time bucket share a folder, so that what aged out goes a folder at a time. 32 two-second
# segments are about a minute: few enough to keep retention exact, many enough to keep folders few.
SEGMENTS_PER_BUCKET: Final = 32
DIGEST_HEX_LENGTH: Final = 32
# What stands for a bucket where there is no number.
_LASTING: Final = ("init", "manifest")

_SEGMENT_KEY: Final = re.compile(
    r"(?P<event>[^/~]+)/[^/~]+/(?P<rendition>[^/~]+)~(?P<number>[0-9]{1,20}|init)~(?P<pipeline>[^/~]+)~(?P<digest>[0-9a-f]+)"
)

_MANIFEST_KEY: Final = re.compile(r"[^/~]+/manifest/[0-9a-f]{32}~[^/~]+~[0-9a-f]{32}")


def digest_of(body: Body) -> str:
    """Return the address and strong ETag of `body`: 128 bits of SHA-256 in hex.

    A cryptographic digest, because equal ETags must mean equal bytes even for a hostile publisher; hardware
    support makes it cheap (2.3 ms for 4 MB, measured).
    """
    return hashlib.sha256(body).hexdigest()[:DIGEST_HEX_LENGTH]


def body_key(key: SegmentKey, pipeline_id: str, digest: str) -> BodyKey:
    """Return where a candidate's body lies. The digest is part of it: bytes behind a key never change."""
    bucket = "init" if key.number is None else str(bucket_of(key.number))
    number = "init" if key.number is None else str(key.number)
    return BodyKey(f"{key.event_id}/{bucket}/{key.rendition_id}~{number}~{pipeline_id}~{digest}")


def manifest_key(event_id: str, name: str, pipeline_id: str, digest: str) -> BodyKey:
    """Return where a manifest's body lies. Names may be long and hold slashes, so their digest stands for them."""
    return BodyKey(f"{event_id}/manifest/{digest_of(name.encode())}~{pipeline_id}~{digest}")


def parse_body_key(key: BodyKey) -> SegmentKey | None:
    """Return what a body is a copy of: the key that `body_key` was given. None for manifests, and for foreign names.

    >>> parse_body_key(BodyKey("derby/31/v720~1007~a~0123456789abcdef0123456789abcdef"))
    SegmentKey(event_id='derby', rendition_id='v720', number=1007)
    """
    match = _SEGMENT_KEY.fullmatch(key)
    if match is None:
        return None
    number = None if match["number"] == "init" else int(match["number"])
    segment = SegmentKey(match["event"], match["rendition"], number)
    return segment if body_key(segment, match["pipeline"], match["digest"]) == key else None


def is_body_key(key: BodyKey) -> bool:
    """Tell whether an address is one that `body_key` or `manifest_key` makes: all else in our folders is not ours."""
    return parse_body_key(key) is not None or _MANIFEST_KEY.fullmatch(key) is not None


def is_intact(key: BodyKey, body: Body) -> bool:
    """Tell whether `body` is what was stored behind `key`, which ends with its digest."""
    return key.endswith(f"~{digest_of(body)}")


def bucket_of(number: int) -> int:
    """Return the time bucket of a segment number."""
    return number // SEGMENTS_PER_BUCKET


def bucket_folders(event_id: str, bucket: int | None) -> list[str]:
    """Return where the bodies of a bucket lie; those of what lasts as long as the event, with None, count as one.

    >>> bucket_folders("derby", 7), bucket_folders("derby", None)
    (['derby/7'], ['derby/init', 'derby/manifest'])
    """
    return [f"{event_id}/{name}" for name in (_LASTING if bucket is None else [str(bucket)])]


class Incoming(Protocol):
    """A body on its way in: stored piece by piece, under no key until it is adopted. One caller, one call at a time.

    A call that is cancelled leaves `discard` to be called, like any other; nothing else may follow it.
    """

    async def write(self, piece: Body) -> None:
        """Store the next bytes.

        Raises:
            StorageFull, StorageError: Discard what there is.
        """

    async def finish(self) -> None:
        """Say that nothing more comes; on return all of it is as durable as configured.

        Raises:
            StorageFull, StorageError: Discard what there is.
        """

    async def read(self) -> bytes:
        """Return the whole of what was written and finished.

        Raises:
            StorageError: It cannot be read, or is not as long as what was written.
        """

    async def discard(self) -> None:
        """Leave nothing of it. Never fails, and does nothing once it is adopted or discarded."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What one step of removing a bucket did.

    Args:
        is_done: Whether the bucket is gone.
    """

    files_count: int
    size_bytes: int
    is_done: bool


class Bodies(Protocol):
    """Bytes by key. A key's bytes never change; a body is there whole or not at all."""

    async def write(self, key: BodyKey, body: Body) -> None:
        """Store `body`; on return it survives a kill (or a power cut, where so configured).

        Raises:
            StorageFull, StorageError: Nothing was stored.
        """

    def incoming(self) -> Incoming:
        """Return where a body goes whose key is not known before its last byte. Nothing is done until it is written."""

    async def adopt(self, incoming: Incoming, key: BodyKey, body: Body) -> None:
        """Store what came in under its key, as `write` does. It takes over: nothing is left of it if this fails.

        Args:
            incoming: One of this store's own, finished.
            body: The bytes that were written to it.
        Raises:
            StorageFull, StorageError: Nothing was stored.
        """

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body.

        Raises:
            BodyMissing, BodyDamaged, StorageError: Not there; not what was stored; cannot be read.
        """

    async def delete(self, key: BodyKey) -> None:
        """Remove one body; one that is not there is no error."""

    async def set_aside(self, key: BodyKey) -> bool:
        """Take a body out of the way whose bytes are not those that were stored; a copy may be kept for analysis.

        Returns False, with nothing done, if a second look finds them right: then it was the read that failed.
        """

    async def remove_bucket(self, event_id: str, bucket: int | None, files_count_max: int) -> Removed:
        """Remove up to so many bodies of one bucket; to be called again until it is done.

        Args:
            bucket: A bucket of segments; None for init segments and manifests.
        Raises:
            StorageError: Some may have been removed.
        """


class SharedReads(Protocol):
    """Bodies as delivery reads them: at once where that is possible, else once for all who ask."""

    def read_now(self, key: BodyKey) -> Body | None:
        """Return the body if that takes no waiting, else None."""

    def is_ready(self, key: BodyKey) -> bool:
        """Tell whether `read_now` would return the body."""

    def is_reading(self, key: BodyKey) -> bool:
        """Tell whether a read of this body is in flight: joining it costs nothing."""

    def begin_read(self, key: BodyKey) -> "asyncio.Task[bytes]":
        """Return the read of a body, which counts from now on. It is shared: wait for it with `asyncio.shield`.

        It raises BodyMissing, BodyDamaged, StorageError: not there; not what was stored; cannot be read.
        """


class Journal(Protocol):
    """Everything that happened, in order; each record survives a kill once `append` returned."""

    def next_moment(self, now_ms: int) -> Moment:
        """Return the moment the next record will have. Never goes back, whatever the wall clock does."""

    def append(self, record: Record, moment: Moment) -> Entry:
        """Write one record and tell every follower, in the order they registered.

        Raises:
            StorageFull, StorageError: Nothing was recorded, nobody was told.
        """

    async def sync(self) -> None:
        """Return once everything appended so far is as durable as configured."""

    def follow(self, follower: Follower) -> None:
        """Call `follower` with every entry from now on."""


@dataclass(frozen=True, slots=True)
class BucketUse:
    """What the segments of one time bucket take."""

    copies_count: int
    size_bytes: int


class Catalog(Protocol):
    """The journal folded into memory: what exists and what is chosen. Answers never wait.

    `used_bytes` is the size of all bodies of segments and init segments that a request may need. `state` is another
    object after each change: what was found out while it was the same is still so.
    """

    used_bytes: int

    @property
    def state(self) -> object: ...

    def apply(self, entry: Entry) -> None: ...

    def candidates(self, key: SegmentKey) -> Sequence[Candidate]: ...

    def choice(self, key: SegmentKey) -> Choice | None: ...

    def masks(self, event_id: str) -> Sequence[Mask]: ...

    def manifests(self, event_id: str, name: str) -> Sequence[Manifest]: ...

    def undecided(self) -> Sequence[SegmentKey]: ...

    def has_lost_choice(self, key: SegmentKey) -> bool: ...

    def event_ids(self) -> Sequence[str]: ...

    def bucket_numbers(self, event_id: str) -> Sequence[int]: ...

    def buckets(self, event_id: str) -> Mapping[int, BucketUse]: ...

    def expected_bodies(self, event_id: str, bucket: int | None) -> Set[BodyKey]: ...

    def newest_number(self, event_id: str, pipeline_id: str) -> int | None: ...

    def live_edge(self, event_id: str, rendition_id: str) -> int | None: ...

    def standing(self) -> Sequence[Standing]: ...


def copy_of(catalog: Catalog, key: SegmentKey, pipeline_id: str) -> Candidate | None:
    """Return a pipeline's copy of a segment, or None."""
    for copy in catalog.candidates(key):
        if copy.pipeline_id == pipeline_id:
            return copy
    return None


@dataclass(frozen=True, slots=True)
class Stores:
    """The three seams of one node, as they are handed around together."""

    bodies: Bodies
    journal: Journal
    catalog: Catalog

"""The seams: bytes by key, an append-only journal, and what both say exists.

A shared store for many nodes can stand beside the local one behind these protocols. Nothing above them
knows files; nothing below them knows URLs, statuses or headers.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NewType, Protocol

from selection.model import Candidate, Choice, Mask, Moment, SegmentKey
from storage.records import Entry, Manifest, Record

# A path-like address: "{event}/{bucket}/{file}". Ids are checked by the configuration, so parts are safe.
BodyKey = NewType("BodyKey", str)
Follower = Callable[[Entry], None]

# Segments of one time bucket share a folder, so that what aged out goes a folder at a time. 32 two-second
# segments are about a minute: few enough to keep retention exact, many enough to keep folders few.
SEGMENTS_PER_BUCKET: Final = 32
DIGEST_HEX_LENGTH: Final = 32


def digest_of(body: bytes) -> str:
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


def is_intact(key: BodyKey, body: bytes) -> bool:
    """Tell whether `body` is what was stored behind `key`, which ends with its digest."""
    return key.endswith(f"~{digest_of(body)}")


def bucket_of(number: int) -> int:
    """Return the time bucket of a segment number."""
    return number // SEGMENTS_PER_BUCKET


class Bodies(Protocol):
    """Bytes by key. A key's bytes never change; a body is there whole or not at all."""

    async def write(self, key: BodyKey, body: bytes) -> None:
        """Store `body`; on return it survives a kill (or a power cut, where so configured).

        Raises:
            StorageFull, StorageError: Nothing was stored.
        """

    async def read(self, key: BodyKey) -> bytes:
        """Return the whole body.

        Raises:
            BodyMissing, StorageError: Not there; cannot be read.
        """

    async def delete(self, key: BodyKey) -> None:
        """Remove one body; one that is not there is no error."""


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


class Catalog(Protocol):
    """The journal folded into memory: what exists and what is chosen. Answers never wait."""

    def apply(self, entry: Entry) -> None: ...

    def candidates(self, key: SegmentKey) -> Sequence[Candidate]: ...

    def choice(self, key: SegmentKey) -> Choice | None: ...

    def masks(self, event_id: str) -> Sequence[Mask]: ...

    def manifests(self, event_id: str, name: str) -> Sequence[Manifest]: ...

    def undecided(self) -> Sequence[SegmentKey]: ...


@dataclass(frozen=True, slots=True)
class Stores:
    """The three seams of one node, as they are handed around together."""

    bodies: Bodies
    journal: Journal
    catalog: Catalog

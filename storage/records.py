"""The records of the journal and their JSON form.

A record says one thing that happened. Together they are the whole truth: folding them in order gives the
catalog, on this node after a restart, in a worker, or on a second node. Keys are written out in full, so
that an operator can read a journal with `less`.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from selection.model import (
    Candidate,
    Choice,
    Defect,
    Facts,
    Kind,
    Loss,
    Mask,
    Moment,
    Rule,
    SegmentKey,
    TrackFacts,
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """One pipeline's copy of one of its own manifests.

    Args:
        digest: 32 hex digits, as for a candidate: the ETag and the body's address.
    """

    pipeline_id: str
    digest: str
    size_bytes: int
    published_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Published:
    """A candidate became readable; it takes the place of the same pipeline's former copy."""

    key: SegmentKey
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice was made, or made anew."""

    key: SegmentKey
    choice: Choice


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A choice was taken back with nothing to put in its place."""

    key: SegmentKey


@dataclass(frozen=True, slots=True)
class Masked:
    """An operator left a pipeline's range out of selection."""

    event_id: str
    mask: Mask


@dataclass(frozen=True, slots=True)
class Unmasked:
    """An operator lifted a mask."""

    event_id: str
    mask_id: str


@dataclass(frozen=True, slots=True)
class ManifestPublished:
    """A packager renewed one of its manifests."""

    event_id: str
    name: str
    manifest: Manifest


Record = Published | Chosen | Withdrawn | Masked | Unmasked | ManifestPublished

_TYPES: dict[str, type[Record]] = {
    "published": Published,
    "chosen": Chosen,
    "withdrawn": Withdrawn,
    "masked": Masked,
    "unmasked": Unmasked,
    "manifest": ManifestPublished,
}
_NAMES = {record_type: name for name, record_type in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its place in the journal."""

    moment: Moment
    record: Record


def encode(entry: Entry) -> bytes:
    """Return one line of JSON in ASCII, without its line end."""
    fields = {"sequence": entry.moment.sequence, "at_ms": entry.moment.ms, "type": _NAMES[type(entry.record)]}
    return json.dumps(fields | asdict(entry.record), separators=(",", ":")).encode("ascii")


def decode(line: bytes) -> Entry:
    """Return the entry of one line written by `encode`.

    Raises:
        ValueError: Not such a line; also for a record type that a newer version may have written.
    """
    try:
        fields: dict[str, Any] = json.loads(line)
        moment = Moment(fields["at_ms"], fields["sequence"])
        return Entry(moment, _decode_record(fields))
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"not a journal record: {exc!r}") from exc


def _decode_record(fields: dict[str, Any]) -> Record:
    match fields["type"]:
        case "published":
            return Published(SegmentKey(*fields["key"]), _candidate(fields["candidate"]))
        case "chosen":
            choice = fields["choice"]
            losses = tuple((pipeline_id, Loss(loss)) for pipeline_id, loss in choice["losses"])
            chosen = Choice(_candidate(choice["candidate"]), Rule(choice["rule"]), choice["decided_ms"], losses)
            return Chosen(SegmentKey(*fields["key"]), chosen)
        case "withdrawn":
            return Withdrawn(SegmentKey(*fields["key"]))
        case "masked":
            return Masked(fields["event_id"], Mask(**fields["mask"]))
        case "unmasked":
            return Unmasked(fields["event_id"], fields["mask_id"])
        case "manifest":
            return ManifestPublished(fields["event_id"], fields["name"], Manifest(**fields["manifest"]))
        case other:
            raise ValueError(f"unknown record type {other!r}")


def _candidate(fields: dict[str, Any]) -> Candidate:
    defects = tuple(
        Defect(defect["name"], tuple((name, value) for name, value in defect["parameters"]))
        for defect in fields["defects"]
    )
    # Absent in journals of the first version.
    facts = _facts(fields["facts"]) if fields.get("facts") is not None else None
    return Candidate(**(fields | {"defects": defects, "facts": facts}))


def _facts(fields: dict[str, Any]) -> Facts:
    tracks = tuple(TrackFacts(track_id, Kind(kind), *others) for track_id, kind, *others in fields["tracks"])
    return Facts(tracks, fields["init_digest"], fields["generation"])

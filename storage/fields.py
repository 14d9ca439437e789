"""The JSON of the journal's records: what stands behind the words of a line. What is empty is left out."""

import json
from dataclasses import asdict
from typing import Any, Final

from selection.model import Candidate, Defect, Facts, Kind, Loss, Mask, TrackFacts

Fields = dict[str, Any]
# `json.dumps` with separators makes an encoder for each call.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def dumps(fields: Fields) -> str:
    """Return fields as JSON in ASCII, with no space between its parts. Equal fields, equal text."""
    return _encode(fields)


def loads(text: str) -> Fields:
    """Return the fields of a text. Raises ValueError."""
    fields = json.loads(text)
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    return fields


def copy_fields(candidate: Candidate) -> Fields:
    """Return what is known of a copy beside what a line says in words."""
    fields: Fields = {"received_ms": candidate.received_ms}
    if candidate.defects:
        fields["defects"] = [[defect.name, *defect.parameters] for defect in candidate.defects]
    if candidate.score is not None:
        fields["score"] = candidate.score
    if candidate.facts is not None:
        fields["facts"] = _without_none(
            {
                "tracks": candidate.facts.tracks,
                "init_digest": candidate.facts.init_digest,
                "generation": candidate.facts.generation,
            }
        )
    return fields


def defects_of(fields: Fields) -> tuple[Defect, ...]:
    """Return the defects that `copy_fields` wrote."""
    return tuple(
        Defect(name, tuple((parameter, value) for parameter, value in parameters))
        for name, *parameters in fields.get("defects", ())
    )


def facts_of(fields: Fields) -> Facts | None:
    """Return the facts that `copy_fields` wrote."""
    facts = fields.get("facts")
    if facts is None:
        return None
    tracks = tuple(TrackFacts(track_id, Kind(kind), *others) for track_id, kind, *others in facts["tracks"])
    return Facts(tracks, facts.get("init_digest"), facts.get("generation"))


def losses_of(fields: Fields) -> tuple[tuple[str, Loss], ...]:
    """Return why the other pipelines were not chosen."""
    return tuple((pipeline_id, Loss(loss)) for pipeline_id, loss in fields.get("losses", ()))


def mask_fields(mask: Mask) -> Fields:
    """Return a mask as it is written."""
    return _without_none(asdict(mask))


def mask_of(fields: Fields) -> Mask:
    """Return the mask that `mask_fields` wrote."""
    return Mask(
        fields["id"],
        fields["pipeline_id"],
        fields["first_number"],
        fields.get("last_number"),
        fields.get("rendition_id"),
    )


def _without_none(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}

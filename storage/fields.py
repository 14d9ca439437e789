"""The JSON of the journal's records: what stands behind the words of a line. What is empty is left out."""

import json
from dataclasses import asdict
from typing import Any, Final

from selection.model import Candidate, Defect, Facts, Kind, Loss, Mask, Rule, TrackFacts

Fields = dict[str, Any]
Losses = tuple[tuple[str, Loss], ...]
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


def copy_text(candidate: Candidate) -> str:
    """Return as JSON what is known of a copy beside what a line says in words.

    The same as `dumps` of a dictionary of it, in less than half of the time, as every upload has one: only what may
    need escapes is left to the encoder.
    """
    text = f'{{"received_ms":{candidate.received_ms}'
    if candidate.defects:
        text += f',"defects":{_encode([[defect.name, *defect.parameters] for defect in candidate.defects])}'
    if candidate.score is not None:
        text += f',"score":{candidate.score}'
    facts = candidate.facts
    if facts is not None:
        text += f',"facts":{{"tracks":[{",".join(map(_track_text, facts.tracks))}]'
        if facts.init_digest is not None:
            text += f',"init_digest":{_encode(facts.init_digest)}'
        if facts.generation is not None:
            text += f',"generation":{_encode(facts.generation)}'
        text += "}"
    return text + "}"


def _track_text(track: TrackFacts) -> str:
    track_id, kind, codec, timescale, begin, presentation, end, duration, samples_count, starts_with_sync = track
    return (
        f'[{track_id},"{kind}",{_encode(codec)},{timescale},{begin},{presentation},{end},{duration},{samples_count},'
        f"{'true' if starts_with_sync else 'false'}]"
    )


def defects_of(fields: Fields) -> tuple[Defect, ...]:
    """Return the defects that `copy_text` wrote."""
    return tuple(
        Defect(name, tuple((parameter, value) for parameter, value in parameters))
        for name, *parameters in fields.get("defects", ())
    )


def facts_of(fields: Fields) -> Facts | None:
    """Return the facts that `copy_text` wrote."""
    facts = fields.get("facts")
    if facts is None:
        return None
    tracks = tuple(TrackFacts(track_id, Kind(kind), *others) for track_id, kind, *others in facts["tracks"])
    return Facts(tracks, facts.get("init_digest"), facts.get("generation"))


def choice_text(rule: Rule, decided_ms: int, losses: Losses) -> str:
    """Return as JSON what a choice says beside its words."""
    text = f'{{"rule":"{rule}","decided_ms":{decided_ms}'
    if losses:
        pairs = [f'[{_encode(pipeline_id)},"{loss}"]' for pipeline_id, loss in losses]
        text += f',"losses":[{",".join(pairs)}]'
    return text + "}"


def losses_of(fields: Fields) -> Losses:
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

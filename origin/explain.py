"""Explains a segment: what is known of every copy, what was chosen, when, by which rule, and why each other lost.

Rendered from the catalog, which is the journal folded into memory; so it is the same before and after a restart.
"""

from typing import Any

from origin.decider import situation_of
from origin.headers import etag
from selection.decide import SEQUENCE_MAX, Situation, Wait, decide, is_down, is_masked
from selection.model import Candidate, Choice, Event, Facts, Loss, Moment, SegmentKey, TrackFacts
from selection.rank import is_corrupt, rank_key
from selection.window import classify, due_ms
from storage.base import Catalog


def explain(event: Event, key: SegmentKey, catalog: Catalog, now_ms: int) -> dict[str, Any]:
    """Return the state of a segment, or of an init segment, as a document."""
    situation = situation_of(event, key, catalog)
    document: dict[str, Any] = {"event": event.id, "rendition": key.rendition_id, "number": key.number}
    if key.number is not None:
        document |= {
            "window": classify(event, key.number, now_ms),
            "media_start_ms": event.timeline.start_ms(key.number),
            "due_ms": due_ms(event, key.number),
        }
    document["choice"] = None if situation.current is None else _choice(event, key, situation.current)
    if situation.current is None:
        document["waits_until_ms"] = _waits_until_ms(situation, now_ms)
    ranked = sorted(situation.candidates, key=lambda copy: (is_corrupt(copy), rank_key(event, copy)))
    document["candidates"] = [_candidate(situation, copy) for copy in ranked]
    moment = Moment(now_ms, SEQUENCE_MAX)
    present = {copy.pipeline_id for copy in situation.candidates}
    document["absent"] = [
        {
            "pipeline": pipeline.id,
            "region": pipeline.region,
            "down": is_down(situation, pipeline.id, moment),
            "masked": is_masked(situation, pipeline.id),
        }
        for pipeline in event.pipelines
        if pipeline.id not in present
    ]
    return document


def _waits_until_ms(situation: Situation, now_ms: int) -> int | None:
    """Return when the rules will decide even if nothing arrives; None if only an arrival can bring a choice."""
    decision = decide(situation, now_ms)
    return decision.until_ms if isinstance(decision, Wait) else now_ms


def _choice(event: Event, key: SegmentKey, choice: Choice) -> dict[str, Any]:
    document: dict[str, Any] = {
        "pipeline": choice.candidate.pipeline_id,
        "rule": choice.rule,
        "decided_ms": choice.decided_ms,
        "etag": etag(choice.candidate.digest),
        "lost": dict(choice.losses),
    }
    if key.number is not None:
        document["decided_after_due_ms"] = choice.decided_ms - due_ms(event, key.number)
    return document


def _candidate(situation: Situation, copy: Candidate) -> dict[str, Any]:
    event, choice = situation.event, situation.current
    pipeline = event.pipeline(copy.pipeline_id)
    document: dict[str, Any] = {
        "pipeline": copy.pipeline_id,
        "region": None if pipeline is None else pipeline.region,
        "etag": etag(copy.digest),
        "bytes": copy.size_bytes,
        "received_ms": copy.received_ms,
        "published_ms": copy.published_ms,
        "journal_sequence": copy.sequence,
        "score": copy.score,
        "defects": defects_document(copy),
        "masked": is_masked(situation, copy.pipeline_id),
        "chosen": choice is not None and choice.candidate == copy,
        "lost": None,
        "facts": None if copy.facts is None else _facts(copy.facts),
    }
    if choice is not None and choice.candidate != copy:
        loss = dict(choice.losses).get(copy.pipeline_id)
        # A choice is made with what is known at its moment; what was absent then came after it.
        document |= {"lost": loss, "came_after_choice": loss in (None, Loss.ABSENT, Loss.DOWN)}
    if situation.key.number is not None:
        document["late_ms"] = copy.received_ms - due_ms(event, situation.key.number)
    return document


def defects_document(copy: Candidate) -> list[dict[str, Any]]:
    """Return the defects of a copy, the worst first."""
    return [{"name": defect.name} | dict(defect.parameters) for defect in copy.defects]


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "init": None if facts.init_digest is None else etag(facts.init_digest),
        "generation": None if facts.generation is None else etag(facts.generation),
        "tracks": [_track(track, is_media=facts.generation is None) for track in facts.tracks],
    }


def _track(track: TrackFacts, *, is_media: bool) -> dict[str, Any]:
    """Return the facts of a track; of an init segment only what it tells."""
    document = track._asdict()
    return document if is_media else {name: document[name] for name in ("track_id", "kind", "codec", "timescale")}

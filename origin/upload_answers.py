"""What a packager is told about its upload: outcomes of `intake`, rendered."""

from typing import Any, assert_never

from origin.explain import defects_document
from origin.headers import etag
from origin.intake import Conflict, OutsideWindow, Refusal, Stored, TooFarAhead, Unchanged, Upload
from origin.reply import Problem, Reply, json_reply, problem
from origin.target import PublishTarget
from selection.model import Choice, SegmentKey
from selection.window import due_ms


def taken(target: PublishTarget, upload: Upload, outcome: Stored | Unchanged, choice: Choice | None) -> Reply:
    """Return the answer to a copy that is stored: what came of it, how late it was, whether it was chosen."""
    key, candidate = upload.key, outcome.candidate
    match outcome:
        case Stored(replaced=False):
            status, word = 201, "stored"
        case Stored():
            status, word = 200, "renewed" if key.is_init else "replaced"
        case Unchanged():
            status, word = 200, "unchanged"
        case _:
            assert_never(outcome)
    document: dict[str, Any] = {
        "outcome": word,
        "event": key.event_id,
        "pipeline": upload.pipeline_id,
        "rendition": key.rendition_id,
        "number": key.number,
        "bytes": candidate.size_bytes,
        "etag": etag(candidate.digest),
        "defects": defects_document(candidate),
        "chosen": choice is not None and choice.candidate == candidate,
        "choice": None if choice is None else {"pipeline": choice.candidate.pipeline_id, "rule": choice.rule},
    }
    if key.number is not None:
        due = due_ms(target.event, key.number)
        document |= {"due_ms": due, "late_ms": upload.received_ms - due}
    return json_reply(status, word, document)


def refused(target: PublishTarget, key: SegmentKey, refusal: Refusal, now_ms: int) -> Reply:
    """Return the answer to a copy that cannot be taken: why, and what would be right."""
    members: dict[str, Any] = {"event": key.event_id, "rendition": key.rendition_id, "segment_number": key.number}
    match refusal:
        case TooFarAhead(opens_ms):
            detail = (
                f"Segment {key.number} may be published from {opens_ms} on, in {opens_ms - now_ms} ms."
                " Check the packager's clock, its numbering, and the event's epoch."
            )
            return problem(Problem.TOO_FAR_AHEAD, detail, opens_ms=opens_ms, **members)
        case OutsideWindow(window_class):
            first, last = target.event.first_number, target.event.last_number
            detail = (
                f"Segment {key.number} is {window_class.value}: the event takes {first} to"
                f" {'any later number' if last is None else last}, and only what is in its DVR window of"
                f" {target.event.dvr_window_ms} ms."
            )
            return problem(Problem.OUTSIDE_WINDOW, detail, **members)
        case Conflict(choice):
            detail = (
                f"Segment {key.number} of pipeline {choice.candidate.pipeline_id!r} was chosen with other bytes"
                " and may be in caches; it cannot be replaced."
            )
            return problem(Problem.ALREADY_CHOSEN, detail, etag=etag(choice.candidate.digest), **members)
        case _:
            assert_never(refusal)

"""Builders of what decisions are made of: events, renditions, candidates, situations.

The defaults are easy to count with: segments of 2 s from the epoch on, due 1 s after their media has ended,
so segment n is due at `(n + 1) * 2000 + 1000`; the pipelines `a`, `b`, `c` in this order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from selection.decide import Choose, Decision, Situation
from selection.model import (
    Candidate,
    Checks,
    Choice,
    Defect,
    Event,
    InspectionPolicy,
    Kind,
    Mask,
    Pipeline,
    Rendition,
    Rule,
    ScoreMode,
    SegmentKey,
    SelectionPolicy,
    event_timeline,
    rendition_template,
)

EVENT_ID = "derby"
RENDITION_ID = "v720"
MEDIA = "$RepresentationID$/$Number$.m4s"
INIT = "$RepresentationID$/init.mp4"

# A choice told in short: its pipeline, its rule, and when it was made, in ms.
Chosen = tuple[str, Rule, int]


def make_rendition(
    rendition_id: str = RENDITION_ID,
    *,
    kind: Kind = Kind.VIDEO,
    timescale: int = 90_000,
    bandwidth: int = 3_000_000,
    media: str = MEDIA,
    init: str | None = INIT,
    codecs: str | None = None,
    language: str | None = None,
) -> Rendition:
    """Return a rendition; `media` and `init` are written as in a configuration."""
    return Rendition(
        id=rendition_id,
        kind=kind,
        timescale=timescale,
        bandwidth=bandwidth,
        media=rendition_template(media, rendition_id),
        init=None if init is None else rendition_template(init, rendition_id),
        codecs=codecs,
        language=language,
    )


def make_event(
    event_id: str = EVENT_ID,
    *,
    epoch_ms: int = 0,
    duration: Fraction | int = 2,
    start_number: int = 0,
    renditions: Sequence[Rendition] | None = None,
    pipelines: Sequence[str] = ("a", "b", "c"),
    publish_delay_ms: int = 1_000,
    retry_deadline_ms: int = 10_000,
    dvr_window_ms: int = 60_000,
    retention_ms: int = 30_000,
    hold_ahead_ms: int = 3_000,
    live_edge_ms: int = 6_000,
    recent_ms: int = 20_000,
    start_ms: int | None = None,
    end_ms: int | None = None,
    prefer_wait_ms: int = 100,
    grace_ms: int = 500,
    score: ScoreMode = ScoreMode.IGNORE,
    checks: Checks = Checks.NONE,
) -> Event:
    """Return an event with one rendition, unless others are given; `duration` is in seconds.

    Its segments are not looked into, so that any bytes will do for one.
    """
    return Event(
        id=event_id,
        timeline=event_timeline(epoch_ms, Fraction(duration), start_number),
        renditions=(make_rendition(),) if renditions is None else tuple(renditions),
        pipelines=tuple(Pipeline(pipeline_id, f"region-{pipeline_id}") for pipeline_id in pipelines),
        publish_delay_ms=publish_delay_ms,
        retry_deadline_ms=retry_deadline_ms,
        dvr_window_ms=dvr_window_ms,
        retention_ms=retention_ms,
        hold_ahead_ms=hold_ahead_ms,
        live_edge_ms=live_edge_ms,
        recent_ms=recent_ms,
        start_ms=start_ms,
        end_ms=end_ms,
        policy=SelectionPolicy(prefer_wait_ms, grace_ms, score),
        inspection=InspectionPolicy(checks=checks),
    )


def make_defect(name: str, **parameters: str | float | bool) -> Defect:
    """Return a defect: `make_defect("short", missing_ms=120)`."""
    return Defect(name, tuple(parameters.items()))


def candidate(
    pipeline_id: str = "a",
    published_ms: int = 0,
    *defects: str | Defect,
    sequence: int = 0,
    score: int | None = None,
    digest: str | None = None,
    size_bytes: int = 1_000,
    received_ms: int | None = None,
) -> Candidate:
    """Return a copy: `candidate("a", 22_000, "short")`. Each pipeline has bytes of its own unless `digest` is given.

    >>> candidate("b", 7).digest
    '62000000000000000000000000000000'
    """
    return Candidate(
        pipeline_id=pipeline_id,
        digest=pipeline_id.encode().hex().ljust(32, "0")[:32] if digest is None else digest,
        size_bytes=size_bytes,
        published_ms=published_ms,
        sequence=sequence,
        received_ms=published_ms if received_ms is None else received_ms,
        defects=tuple(Defect(defect) if isinstance(defect, str) else defect for defect in defects),
        score=score,
    )


def in_journal(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates with the sequence that a journal gives them: those of one ms in the order given."""
    ordered = sorted(candidates, key=lambda copy: copy.published_ms)
    return [replace(copy, sequence=sequence) for sequence, copy in enumerate(ordered, start=1)]


def make_key(number: int | None = 10, rendition_id: str = RENDITION_ID, event_id: str = EVENT_ID) -> SegmentKey:
    """Return what can be requested: a segment, or with None an init segment."""
    return SegmentKey(event_id, rendition_id, number)


def make_situation(
    event: Event,
    candidates: Iterable[Candidate],
    *,
    number: int | None = 10,
    history: Mapping[int, Sequence[Candidate]] | None = None,
    masks: Sequence[Mask] = (),
    current: Choice | None = None,
) -> Situation:
    """Return a situation, its candidates sequenced as in a journal.

    Args:
        history: The copies of other segments. By default every pipeline has published every segment long ago,
            so that none is down.
    """
    punctual = [candidate(pipeline.id, -1_000_000_000) for pipeline in event.pipelines]

    def neighbours(other_number: int) -> Sequence[Candidate]:
        return punctual if history is None else history.get(other_number, ())

    return Situation(event, make_key(number), in_journal(candidates), neighbours, masks, current)


def copies(text: str) -> list[Candidate]:
    """Return candidates from a line such as `b 22000, a 22050 short:120 slate, c 22060 score=51`.

    Each is a pipeline, the ms of its record, then defects (with `missing_ms` behind a colon) and the score.

    >>> [copy.published_ms for copy in copies("b 22000, a 22050 short")]
    [22000, 22050]
    >>> copies("")
    []
    """
    return [_copy(part.split()) for part in text.split(",") if part]


def _copy(words: Sequence[str]) -> Candidate:
    pipeline_id, published_ms, *facts = words
    scores = [int(fact.removeprefix("score=")) for fact in facts if fact.startswith("score=")]
    defects = [_defect(fact) for fact in facts if not fact.startswith("score=")]
    return candidate(pipeline_id, int(published_ms), *defects, score=scores[0] if scores else None)


def _defect(fact: str) -> Defect:
    name, colon, missing_ms = fact.partition(":")
    return make_defect(name, missing_ms=int(missing_ms)) if colon else make_defect(name)


def told(decision: Decision) -> Chosen | Decision:
    """Return a choice in short, anything else as it is."""
    if isinstance(decision, Choose):
        choice = decision.choice
        return (choice.candidate.pipeline_id, choice.rule, choice.decided_ms)
    return decision

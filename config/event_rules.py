"""The rules between the settings of one event. Locations are as seen from the event."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final, NamedTuple

from config.event import EventSettings
from config.problems import Finding, Location
from config.rules import after, at_least, at_most, duration, less_than, moment, not_before, seconds, unique_ids
from selection.model import Kind, Rendition, rendition_template

# Carries one template at a time, to hear what selection has to say against it. Its id has no digit, so that
# what is found is the template's own fault.
_TRIAL: Final = Rendition("trial", Kind.VIDEO, timescale=1, bandwidth=1, media=rendition_template("$Number$", "trial"))


def event_findings(event: EventSettings) -> Iterator[Finding]:
    """Yield every rule that the event breaks."""
    yield from _wait_findings(event)
    yield from _span_findings(event)
    yield from unique_ids(("renditions",), [rendition.id for rendition in event.renditions])
    yield from unique_ids(("pipelines",), [pipeline.id for pipeline in event.pipelines])
    yield from _template_findings(event)


def _wait_findings(event: EventSettings) -> Iterator[Finding]:
    segment = seconds(("segment_duration",), event.segment_duration_seconds)
    deadline = duration(("retry_deadline",), event.retry_deadline_ms)
    window = duration(("dvr_window",), event.dvr_window_ms)
    yield from at_most(deadline, window, "a segment would leave the window before it is given up")
    yield from at_least(window, segment, "nothing could be requested between two segments")
    grace = duration(("selection", "grace"), event.selection.grace_ms)
    yield from less_than(grace, deadline, "a segment would be given up before a flawed copy is taken")
    prefer_wait = duration(("selection", "prefer_wait"), event.selection.prefer_wait_ms)
    yield from less_than(prefer_wait, segment, "the wait would outlast the segment")
    if event.hold_ahead_ms is not None:
        hold_ahead = duration(("hold_ahead",), event.hold_ahead_ms)
        yield from at_least(hold_ahead, segment, "the next segment would be refused instead of held")
    live_edge = duration(("live_edge",), event.effective_live_edge_ms)
    yield from at_least(live_edge, segment, "the newest segment would not go first while it is the newest")
    if event.recent_ms is not None:
        recent = duration(("recent",), event.recent_ms)
        yield from at_least(recent, live_edge, "segments would count as rewinds at the live edge")


def _span_findings(event: EventSettings) -> Iterator[Finding]:
    begin = moment(("epoch",), event.epoch_ms)
    if event.start_ms is not None:
        epoch, begin = begin, moment(("start",), event.start_ms)
        yield from not_before(begin, epoch, "no segment begins before the epoch")
    if event.end_ms is not None:
        yield from after(moment(("end",), event.end_ms), begin, "the event would be over before it begins")


class _Name(NamedTuple):
    """A template that is fine by itself: the trial that carries it, whose it is, and where it is written."""

    trial: Rendition
    text: str
    rendition_index: int
    location: Location


def _template_findings(event: EventSettings) -> Iterator[Finding]:
    """Yield what is wrong with each template, then the pairs that can make the same name."""
    names: list[_Name] = []
    for index, rendition in enumerate(event.renditions):
        for field, (location, text) in (("media", event.media_template(index)), ("init", event.init_template(index))):
            if text is None:
                continue
            try:
                trial = _trial(field, text, _TRIAL.id)
            except ValueError as exc:
                yield _refusal((location,), exc)
                continue
            if trial.media.variable == "Time" and rendition.timescale is None:
                yield _timescale_missing(index, location, text)
            try:
                names.append(_Name(_trial(field, text, rendition.id), text, index, location))
            except ValueError as exc:
                yield _refusal((location, ("renditions", index, "id")), exc)
    for first, second in combinations(names, 2):
        same_id = event.renditions[first.rendition_index].id == event.renditions[second.rendition_index].id
        if same_id and first.rendition_index != second.rendition_index:
            continue  # reported as what it is: an id that is there twice
        if _overlaps(first.trial, second.trial):
            yield _overlap(first, second)


def _trial(field: str, text: str, rendition_id: str) -> Rendition:
    template = rendition_template(text, rendition_id)
    return replace(_TRIAL, media=template) if field == "media" else replace(_TRIAL, init=template)


def _timescale_missing(index: int, location: Location, media: str) -> Finding:
    return Finding(
        (("renditions", index, "timescale"), location),
        f"is missing, and the time in {media!r} counts in it",
        "add the timescale of the packager's track, such as timescale: 90000",
    )


def _refusal(locations: tuple[Location, ...], error: ValueError) -> Finding:
    """Return what selection said as a finding; it ends with the remedy, after a semicolon."""
    message, _, remedy = str(error).rpartition("; ")
    if not message:
        message, remedy = remedy, "write it like $RepresentationID$/$Number$.m4s"
    return Finding(locations, message, remedy)


def _overlaps(first: Rendition, second: Rendition) -> bool:
    return (first.init or first.media).overlaps(second.init or second.media)


def _overlap(first: _Name, second: _Name) -> Finding:
    ids: list[Location] = [("renditions", name.rendition_index, "id") for name in (first, second)]
    return Finding(
        (second.location, first.location, *ids),
        f"{first.text!r} and {second.text!r} can make the same name twice",
        "put $RepresentationID$ into them",
    )

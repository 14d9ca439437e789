"""The values every decision is made of: what is on air, what was published, what was chosen.

All are immutable. Wall clock is in ms since 1970-01-01T00:00:00Z, durations in ms.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final, NamedTuple

from selection.template import Template, TemplateError, compile_template
from selection.timeline import Timeline


class Kind(StrEnum):
    """What a rendition carries."""

    VIDEO = "video"
    AUDIO = "audio"
    MUXED = "muxed"  # audio and video in one file, as HLS with MPEG-TS has it
    TEXT = "text"


class Format(StrEnum):
    """How the segments of a rendition are written."""

    CMAF = "cmaf"
    MPEG_TS = "mpeg-ts"
    OTHER = "other"  # WebVTT, packed audio: not looked into


# Names of segments in ISO base media files, which need an init segment; the others carry their own.
CMAF_SUFFIXES: Final = (".m4s", ".mp4", ".m4v", ".m4a", ".cmfv", ".cmfa", ".cmft", ".cmfm")
TS_SUFFIXES: Final = (".ts", ".mts", ".m2ts")


class ScoreMode(StrEnum):
    """Whether the packager's `Live-Origin-Score` takes part in the ranking."""

    IGNORE = "ignore"
    RANK = "rank"


@dataclass(frozen=True, slots=True)
class Rendition:
    """One encoded version of one component (DASH Representation, CMAF track).

    Args:
        timescale: Ticks per second of its media time; what `$Time$` counts in.
        bandwidth: Bits per second.
        media: Names of its segments.
        init: Name of its init segment, or None where none exists (MPEG-TS).

    `format`, how its segments are written, follows from their names.
    """

    id: str
    kind: Kind
    timescale: int
    bandwidth: int
    media: Template
    init: Template | None = None
    codecs: str | None = None
    width: int | None = None
    height: int | None = None
    language: str | None = None
    format: Format = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.media.variable is None:
            raise TemplateError(f"{self.media.text!r} gives every segment the same name; add $Number$ or $Time$")
        if self.init is not None and self.init.variable is not None:
            variable = self.init.variable
            raise TemplateError(f"{self.init.text!r} names an init segment, of which there is one; drop ${variable}$")
        object.__setattr__(self, "format", _format(self.media, self.init))


def _format(media: Template, init: Template | None) -> Format:
    name = media.text.lower()
    if init is not None or name.endswith(CMAF_SUFFIXES):
        return Format.CMAF
    return Format.MPEG_TS if name.endswith(TS_SUFFIXES) else Format.OTHER


def rendition_template(text: str, rendition_id: str) -> Template:
    """Return a rendition's media or init template. Raises ValueError with a remedy if it names nothing."""
    return compile_template(text, rendition_id)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One redundant encoder+packager chain, and the region it runs in."""

    id: str
    region: str


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """How long a choice may wait for something better.

    Args:
        prefer_wait_ms: How long a good copy of a lower pipeline waits for the higher ones.
        grace_ms: How long after due the least flawed copy is taken when no good one came.
    """

    prefer_wait_ms: int = 100
    grace_ms: int = 500
    score: ScoreMode = ScoreMode.IGNORE


class Checks(StrEnum):
    """What inspection looks for in published media."""

    ALL = "all"
    STRUCTURE = "structure"  # whether it can be parsed, is filler, and fits its init segment; no times
    NONE = "none"  # bodies are not looked into


@dataclass(frozen=True, slots=True)
class InspectionPolicy:
    """What counts as a defect. Counts are in frames of the track in question: pictures, or codec frames of sound.

    Args:
        time_frames_max, audio_time_frames_max: How far a segment may begin off the grid.
        missing_frames_max, audio_missing_frames_max: How much shorter, or longer, than the grid it may be.
        gap_frames_max: How far it may begin from the end of the same pipeline's segment before it.
    """

    checks: Checks = Checks.ALL
    time_frames_max: int = 1
    audio_time_frames_max: int = 4
    missing_frames_max: int = 0
    audio_missing_frames_max: int = 1
    gap_frames_max: int = 0


def event_timeline(epoch_ms: int, duration: Fraction, start_number: int) -> Timeline:
    """Return the timeline of segments that last exactly `duration` seconds, more than 0.

    >>> event_timeline(epoch_ms=0, duration=Fraction(192, 100), start_number=1)
    Timeline(epoch_ms=0, duration_ticks=48, timescale=25, start_number=1)
    """
    return Timeline(epoch_ms, duration.numerator, duration.denominator, start_number)


@dataclass(frozen=True, slots=True)
class Event:
    """One live programme. The order of `pipelines` is the selection order.

    Args:
        publish_delay_ms: Encoder, packager and upload: a segment is due this long after its media has ended.
        retry_deadline_ms: A segment nobody published is given up this long after it was due.
        dvr_window_ms: A segment stays requestable this long after it was due.
        retention_ms: And stays on disk this much longer.
        hold_ahead_ms: A request is held when its segment is due within this time (`window.hold_opens_ms`).
        live_edge_ms, recent_ms: Segments due within these times come first, and second, when load is shed.
        start_ms, end_ms: Nothing before the start or after the end exists; None for open.

    What follows from these is worked out once, as every request and every upload asks for it: `first_number`, of the
    segment on air at the start, the oldest that can exist; `last_number`, of the one on air in the last ms before the
    end, or None for an open end; `rendition_ids`.
    """

    id: str
    timeline: Timeline
    renditions: tuple[Rendition, ...]
    pipelines: tuple[Pipeline, ...]
    publish_delay_ms: int
    retry_deadline_ms: int
    dvr_window_ms: int
    retention_ms: int
    hold_ahead_ms: int
    live_edge_ms: int
    recent_ms: int
    start_ms: int | None = None
    end_ms: int | None = None
    policy: SelectionPolicy = SelectionPolicy()
    inspection: InspectionPolicy = InspectionPolicy()
    first_number: int = field(init=False, repr=False, compare=False)
    last_number: int | None = field(init=False, repr=False, compare=False)
    rendition_ids: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.pipelines and self.renditions, "an event has pipelines and renditions"
        first, last = self.timeline.start_number, None
        if self.start_ms is not None:
            first = max(first, self.timeline.number_at_ms(self.start_ms))
        if self.end_ms is not None:
            last = self.timeline.number_at_ms(self.end_ms - 1)
        object.__setattr__(self, "first_number", first)
        object.__setattr__(self, "last_number", last)
        object.__setattr__(self, "rendition_ids", frozenset(rendition.id for rendition in self.renditions))
        templates = [template for r in self.renditions for template in (r.media, r.init) if template is not None]
        for position, template in enumerate(templates):
            for other in templates[position + 1 :]:
                if template.overlaps(other):
                    raise TemplateError(
                        f"{template.text!r} and {other.text!r} can make the same name twice in event {self.id!r};"
                        " put $RepresentationID$ into them"
                    )

    def rendition(self, rendition_id: str) -> Rendition:
        """Return one rendition; an unknown id is a programmer's error (KeyError)."""
        for rendition in self.renditions:
            if rendition.id == rendition_id:
                return rendition
        raise KeyError(rendition_id)

    def pipeline(self, pipeline_id: str) -> Pipeline | None:
        """Return one pipeline, or None for an unknown id."""
        return next((pipeline for pipeline in self.pipelines if pipeline.id == pipeline_id), None)


class SegmentKey(NamedTuple):
    """What can be requested: a segment of a rendition, or its init segment (`number` is None)."""

    event_id: str
    rendition_id: str
    number: int | None

    @property
    def is_init(self) -> bool:
        return self.number is None


@dataclass(frozen=True, slots=True)
class Defect:
    """A known flaw of a candidate: one of `rank.SEVERITY`, or one the packager names, with its parameters."""

    name: str
    parameters: tuple[tuple[str, str | int | float | bool], ...] = ()

    def parameter(self, name: str) -> str | int | float | bool | None:
        """Return a parameter, such as `missing_ms`, or None."""
        return next((value for key, value in self.parameters if key == name), None)


class Moment(NamedTuple):
    """When something became known: wall clock, then its place in the journal.

    Two things of the same ms still have an order, the same on every reader of the journal. A timer that
    ends at `ms` comes before everything recorded in that ms, whenever the process gets round to it.
    """

    ms: int
    sequence: int

    @classmethod
    def timer(cls, ms: int) -> "Moment":
        return cls(ms, -1)


class TrackFacts(NamedTuple):
    """What the bytes of a copy say of one of its tracks. Of an init segment, all times and counts are 0.

    Args:
        track_id: Track id, or packet id in a transport stream.
        timescale: Ticks per second of the times below; 0 where no init segment told it.
        begin: Decode time of the first sample (`tfdt`); in a transport stream the earliest PTS, unwrapped.
        presentation: When the first sample is shown; in a transport stream the same as `begin`.
        end: Where the last sample ends; more than `begin + duration` if there are holes in between.
        duration: Sum over all samples.
        samples_count: Of a transport stream: PES packets, of which those of sound may hold several codec frames.
        starts_with_sync: The first sample can be decoded by itself.
    """

    track_id: int
    kind: Kind
    codec: str
    timescale: int
    begin: int = 0
    presentation: int = 0
    end: int = 0
    duration: int = 0
    samples_count: int = 0
    starts_with_sync: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What inspection found in a copy.

    Args:
        init_digest: The init segment that this copy needs: the one that is delivered if that will do, else that of
            its own pipeline; of an init segment, its own digest. None where there is none.
        generation: Of an init segment: the digest of the first one behind which segments made for this one can be
            played, too. None for media.
    """

    tracks: tuple[TrackFacts, ...] = ()
    init_digest: str | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pipeline's copy of one segment, with the facts known of it.

    Args:
        digest: 32 hex digits, the first half of the body's SHA-256: the strong ETag and the body's address.
        published_ms, sequence: When its record was written, and that record's place in the journal.
        received_ms: Arrival of the last byte; lateness is measured from here.
        score: 0 to 100 as the packager judged it, or None.
        facts: What its bytes say; None if they were not looked into, or cannot be read.
    """

    pipeline_id: str
    digest: str
    size_bytes: int
    published_ms: int
    sequence: int
    received_ms: int
    defects: tuple[Defect, ...] = ()
    score: int | None = None
    facts: Facts | None = None

    @property
    def moment(self) -> Moment:
        return Moment(self.published_ms, self.sequence)

    @property
    def is_good(self) -> bool:
        return not self.defects


class Rule(StrEnum):
    """Why a choice could be made at that moment."""

    FIRST_IN_ORDER = "first-in-order"  # no copy that might still have come could rank higher
    PREFER_WAIT_OVER = "prefer-wait-over"  # a good copy had waited long enough for higher pipelines
    GRACE_OVER = "grace-over"  # only flawed copies by due + grace: the least flawed one
    OVERDUE = "overdue"  # past the retry deadline nothing is waited for
    UPGRADE = "upgrade"  # a better copy replaced a flawed choice
    RENEWED = "renewed"  # the chosen pipeline replaced its own init segment, which is not looked into
    NEW_GENERATION = "new-generation"  # no pipeline makes segments for the former init segment any more
    MASK = "mask"  # the former choice was masked: decided anew
    LOST = "lost"  # the body of the former choice is missing or damaged: decided anew


class Loss(StrEnum):
    """Why a pipeline was not chosen."""

    ABSENT = "absent"
    DOWN = "down"
    MASKED = "masked"
    CORRUPT = "corrupt"
    DEFECTS = "defects"
    SCORE = "score"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate picked for a segment, when, by which rule, and why each other pipeline lost."""

    candidate: Candidate
    rule: Rule
    decided_ms: int
    losses: tuple[tuple[str, Loss], ...] = ()


@dataclass(frozen=True, slots=True)
class Mask:
    """An operator's order to leave one pipeline's range of segments out of selection (both ends included).

    Args:
        rendition_id: One rendition, or None for all of them.
        last_number: None for every number from the first on.
    """

    id: str
    pipeline_id: str
    first_number: int
    last_number: int | None = None
    rendition_id: str | None = None

    def covers(self, key: SegmentKey, pipeline_id: str) -> bool:
        """Tell whether this mask leaves `pipeline_id` out for `key`. Init segments are never masked by number."""
        if pipeline_id != self.pipeline_id or key.number is None:
            return False
        if self.rendition_id is not None and key.rendition_id != self.rendition_id:
            return False
        return self.first_number <= key.number and (self.last_number is None or key.number <= self.last_number)

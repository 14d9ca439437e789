"""The settings of one event, and the event they describe."""

from fractions import Fraction
from math import ceil
from typing import Annotated, Final

from pydantic import Field

from config.fields import (
    Codecs,
    Count,
    DurationMs,
    Identifier,
    InitTemplate,
    Language,
    NameTemplate,
    Seconds,
    TimestampMs,
)
from config.problems import Location
from config.section import Documented, Section
from config.units import DAY, MINUTE, SECOND
from selection.model import (
    CMAF_SUFFIXES,
    Checks,
    Event,
    InspectionPolicy,
    Kind,
    Pipeline,
    Rendition,
    ScoreMode,
    SelectionPolicy,
    event_timeline,
    rendition_template,
)

INIT_DEFAULT: Final = "$RepresentationID$/init.mp4"
TIMESCALE_DEFAULTS: Final = {Kind.VIDEO: 90_000, Kind.MUXED: 90_000, Kind.TEXT: 90_000, Kind.AUDIO: 48_000}
HOLD_AHEAD_MARGIN_MS: Final = 1 * SECOND
LIVE_EDGE_SEGMENTS: Final = 3


class SelectionSettings(Section):
    """How long a choice may wait for something better."""

    prefer_wait_ms: DurationMs = Field(
        100,
        alias="prefer_wait",
        ge=0,
        le=MINUTE,
        description="How long a good copy of a lower pipeline waits for the higher ones.",
    )
    grace_ms: DurationMs = Field(
        500,
        alias="grace",
        ge=0,
        le=10 * MINUTE,
        description="How long after due the least flawed copy is taken when no good one came.",
    )
    score: ScoreMode = Field(
        ScoreMode.IGNORE,
        description="Whether the packager's `Live-Origin-Score` ranks copies with equal defects.",
    )


class InspectionSettings(Section):
    """What counts as a defect of a copy. Frames are those of the track: pictures, or codec frames of sound."""

    checks: Checks = Field(
        Checks.ALL,
        description="What published media is inspected for: `all`; `structure` for everything but times; `none`.",
    )
    time_frames: Count = Field(
        1, ge=0, le=1_000, description="Frames that a picture may begin off the grid; beyond it is `wrong-time`."
    )
    audio_time_frames: Count = Field(
        4, ge=0, le=1_000, description="Codec frames that sound may begin off the grid; beyond it is `wrong-time`."
    )
    missing_frames: Count = Field(
        0, ge=0, le=1_000, description="Frames of a picture that may be missing; beyond it is `short`."
    )
    audio_missing_frames: Count = Field(
        1, ge=0, le=1_000, description="Codec frames of sound that may be missing; beyond it is `short`."
    )
    gap_frames: Count = Field(
        0,
        ge=0,
        le=1_000,
        description="Frames that a segment may begin off the end of the same pipeline's last one; beyond it is"
        " `discontinuity`.",
    )

    def to_policy(self) -> InspectionPolicy:
        """Return the thresholds as values."""
        return InspectionPolicy(
            checks=self.checks,
            time_frames_max=self.time_frames,
            audio_time_frames_max=self.audio_time_frames,
            missing_frames_max=self.missing_frames,
            audio_missing_frames_max=self.audio_missing_frames,
            gap_frames_max=self.gap_frames,
        )


class RenditionSettings(Section):
    """One encoded version of one component."""

    id: Identifier = Field(
        examples=["my-rendition"],
        description="Its name, which `$RepresentationID$` stands for.",
    )
    kind: Kind = Field(
        examples=["video"],
        description="What it carries; `muxed` is audio and video in one file.",
    )
    timescale: Annotated[Count | None, Documented(default="48000 for audio, else 90000; required with `$Time$`")] = (
        Field(
            None,
            ge=1,
            le=1_000_000_000,
            description="Ticks per second of its media time, which `$Time$` counts in.",
        )
    )
    bandwidth: Count = Field(
        examples=[3_000_000],
        ge=1,
        le=10_000_000_000,
        description="Bits per second.",
    )
    codecs: Codecs | None = Field(None, description="What a player needs to decode it.")
    width: Count | None = Field(None, ge=1, le=65_535, description="Pixels across.")
    height: Count | None = Field(None, ge=1, le=65_535, description="Pixels down.")
    language: Language | None = Field(None, description="Language of its audio or text.")
    media: Annotated[NameTemplate | None, Documented(default="the event's `media`")] = Field(
        None,
        description="Names of its segments.",
    )
    init: Annotated[InitTemplate | None, Documented(default="the event's `init`")] = Field(
        None,
        description="Name of its init segment; `null` for none.",
    )


class PipelineSettings(Section):
    """One redundant encoder+packager chain."""

    id: Identifier = Field(
        examples=["my-pipeline"],
        description="Its name in publish URLs; the order of the pipelines is the selection order.",
    )
    region: Annotated[Identifier | None, Documented(default="the pipeline's `id`")] = Field(
        None,
        description="Where it runs.",
    )


class EventSettings(Section):
    """One live programme."""

    id: Identifier = Field(examples=["my-event"], description="Its name in every URL.")
    epoch_ms: TimestampMs = Field(
        0,
        alias="epoch",
        ge=0,
        description="When segment `start_number` begins.",
    )
    start_number: Count = Field(
        0,
        ge=0,
        le=1_000_000_000_000,
        description="Number of the segment that begins at the epoch.",
    )
    segment_duration_seconds: Seconds = Field(
        alias="segment_duration",
        examples=["2s"],
        ge=Fraction(1, 10),
        le=60,
        description="Length of every segment, exact and constant; ticks/timescale such as 60060/30000 is fine.",
    )
    start_ms: TimestampMs | None = Field(
        None, alias="start", ge=0, description="When the event begins; nothing before it exists."
    )
    end_ms: TimestampMs | None = Field(
        None, alias="end", ge=0, description="When the event ends; nothing after it exists."
    )
    publish_delay_ms: DurationMs = Field(
        1 * SECOND,
        alias="publish_delay",
        ge=0,
        le=10 * MINUTE,
        description="Encoder, packager and upload: a segment is due this long after its media has ended.",
    )
    retry_deadline_ms: DurationMs = Field(
        10 * SECOND,
        alias="retry_deadline",
        ge=1,
        le=DAY,
        description="A segment nobody published is given up this long after it was due.",
    )
    dvr_window_ms: DurationMs = Field(
        30 * MINUTE,
        alias="dvr_window",
        ge=100,
        le=30 * DAY,
        description="A segment can be requested this long after it was due.",
    )
    retention_ms: DurationMs = Field(
        10 * MINUTE,
        alias="retention",
        ge=0,
        le=30 * DAY,
        description="How long a segment stays on disk after it has left the DVR window.",
    )
    hold_ahead_ms: Annotated[DurationMs | None, Documented(default="`segment_duration` + 1s")] = Field(
        None,
        alias="hold_ahead",
        ge=0,
        le=2 * MINUTE,
        description="A request is held, not refused, when its segment is due within this time.",
    )
    live_edge_ms: Annotated[DurationMs | None, Documented(default="three segments")] = Field(
        None,
        alias="live_edge",
        ge=0,
        le=10 * MINUTE,
        description="Under load, requests for segments due within this time go first.",
    )
    recent_ms: Annotated[DurationMs | None, Documented(default="`live_edge` + 1m")] = Field(
        None,
        alias="recent",
        ge=0,
        le=DAY,
        description="Then those due within this time; older ones are rewinds and are refused first.",
    )
    media: NameTemplate = Field("$RepresentationID$/$Number$.m4s", description="Names of the segments.")
    init: Annotated[
        InitTemplate | None,
        Documented(default=f"`{INIT_DEFAULT}` if `media` ends in .m4s, .mp4 or .cmf?, else none"),
    ] = Field(None, description="Names of the init segments; `null` for none, as with MPEG-TS.")
    selection: SelectionSettings = SelectionSettings()
    inspection: InspectionSettings = InspectionSettings()
    renditions: tuple[RenditionSettings, ...] = Field(examples=[[{}]], min_length=1)
    pipelines: tuple[PipelineSettings, ...] = Field(examples=[[{}]], min_length=1)

    @property
    def effective_hold_ahead_ms(self) -> int:
        """`hold_ahead`; by default one segment, rounded up to a ms, and a second."""
        if self.hold_ahead_ms is not None:
            return self.hold_ahead_ms
        return ceil(self.segment_duration_seconds * 1000) + HOLD_AHEAD_MARGIN_MS

    @property
    def effective_live_edge_ms(self) -> int:
        """`live_edge`; by default three segments, rounded up to a ms."""
        if self.live_edge_ms is not None:
            return self.live_edge_ms
        return ceil(self.segment_duration_seconds * 1000 * LIVE_EDGE_SEGMENTS)

    @property
    def effective_recent_ms(self) -> int:
        """`recent`; by default a minute more than the live edge."""
        return self.effective_live_edge_ms + MINUTE if self.recent_ms is None else self.recent_ms

    def to_event(self) -> Event:
        """Return the event these settings describe. They fit together, or `Settings` would not exist."""
        return Event(
            id=self.id,
            timeline=event_timeline(self.epoch_ms, self.segment_duration_seconds, self.start_number),
            renditions=tuple(self._rendition(index) for index in range(len(self.renditions))),
            pipelines=tuple(Pipeline(pipeline.id, pipeline.region or pipeline.id) for pipeline in self.pipelines),
            publish_delay_ms=self.publish_delay_ms,
            retry_deadline_ms=self.retry_deadline_ms,
            dvr_window_ms=self.dvr_window_ms,
            retention_ms=self.retention_ms,
            hold_ahead_ms=self.effective_hold_ahead_ms,
            live_edge_ms=self.effective_live_edge_ms,
            recent_ms=self.effective_recent_ms,
            start_ms=self.start_ms,
            end_ms=self.end_ms,
            policy=SelectionPolicy(self.selection.prefer_wait_ms, self.selection.grace_ms, self.selection.score),
            inspection=self.inspection.to_policy(),
        )

    def _rendition(self, index: int) -> Rendition:
        settings = self.renditions[index]
        init = self.init_template(index)[1]
        return Rendition(
            id=settings.id,
            kind=settings.kind,
            timescale=settings.timescale or TIMESCALE_DEFAULTS[settings.kind],
            bandwidth=settings.bandwidth,
            media=rendition_template(self.media_template(index)[1], settings.id),
            init=None if init is None else rendition_template(init, settings.id),
            codecs=settings.codecs,
            width=settings.width,
            height=settings.height,
            language=settings.language,
        )

    def media_template(self, index: int) -> tuple[Location, str]:
        """Return a rendition's media template, and where it is written."""
        own = self.renditions[index].media
        return (("media",), self.media) if own is None else (("renditions", index, "media"), own)

    def init_template(self, index: int) -> tuple[Location, str | None]:
        """Return a rendition's init template, and where it is written. A `null` that is written down counts."""
        rendition = self.renditions[index]
        if "init" in rendition.model_fields_set:
            return ("renditions", index, "init"), rendition.init
        if "init" in self.model_fields_set:
            return ("init",), self.init
        return ("init",), INIT_DEFAULT if self.media_template(index)[1].endswith(CMAF_SUFFIXES) else None

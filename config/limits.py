"""Bounds on what one client, or all of them together, can take."""

from pydantic import Field

from config.fields import Count, DurationMs, SizeBytes
from config.section import Section
from config.units import GIB, HOUR, KIB, MIB, MINUTE, SECOND, TIB


class Limits(Section):
    """Bounds on what one client, or all of them together, can take."""

    segment_bytes: SizeBytes = Field(
        64 * MIB, ge=1 * KIB, le=1 * GIB, description="Largest segment or init segment a packager may PUT."
    )
    manifest_bytes: SizeBytes = Field(
        1 * MIB, ge=1 * KIB, le=64 * MIB, description="Largest manifest a packager may PUT."
    )
    hold_ms: DurationMs = Field(
        8 * SECOND, alias="hold", ge=0, le=2 * MINUTE, description="How long a request is held at most, then 404."
    )
    holds: Count = Field(20_000, ge=0, le=1_000_000, description="Requests held at once; those beyond are refused.")
    holds_per_event: Count = Field(
        10_000, ge=0, le=1_000_000, description="Of them, requests for segments of one event."
    )
    holds_per_segment: Count = Field(5_000, ge=0, le=1_000_000, description="Of them, requests for one segment.")
    uploads: Count = Field(
        512, ge=1, le=65_536, description="PUTs in progress at once; those beyond are refused with 503."
    )
    body_idle_ms: DurationMs = Field(
        15 * SECOND,
        alias="body_idle",
        ge=100,
        le=10 * MINUTE,
        description="How long the body of a PUT may pause, or take to begin, before the upload is dropped.",
    )
    connections: Count = Field(
        32_768,
        ge=1,
        le=1_000_000,
        description="Connections to one listener at once; those beyond are refused with 503.",
    )
    connections_per_address: Count = Field(
        2_048,
        ge=1,
        le=1_000_000,
        description="Of them, connections from one address; fewer than `holds_per_segment`, or one takes all places.",
    )
    head_ms: DurationMs = Field(
        10 * SECOND,
        alias="head",
        ge=100,
        le=10 * MINUTE,
        description="How long the head of a request may take, from its first byte or from connecting on.",
    )
    head_bytes: SizeBytes = Field(
        8 * KIB, ge=1 * KIB, le=64 * KIB, description="Longest request target, and longest header field."
    )
    keepalive_ms: DurationMs = Field(
        75 * SECOND,
        alias="keepalive",
        ge=1 * SECOND,
        le=1 * HOUR,
        description="How long a connection may be idle between two requests; longer than in the caches in front.",
    )
    send_rate_bytes: SizeBytes = Field(
        64 * KIB,
        alias="send_rate",
        ge=0,
        le=1 * GIB,
        description="Least that a client must take a second of an answer that waits for it, or it is cut; 0 for any.",
    )
    unsent_bytes: SizeBytes = Field(
        1 * GIB,
        alias="unsent",
        ge=1 * MIB,
        le=16 * TIB,
        description="Bytes of answers that clients have not taken yet: at half of it rewinds are refused, at three"
        " quarters recent segments, and beyond it the clients who are behind for longest are cut.",
    )
    reads: Count = Field(
        256,
        ge=1,
        le=65_536,
        description="Reads of the SSD tier at once; how many of them are for rewinds follows `read_time`.",
    )
    read_time_ms: DurationMs = Field(
        5,
        alias="read_time",
        ge=1,
        le=10 * SECOND,
        description="When reads of the SSD tier take longer than this, fewer are begun for rewinds.",
    )
    loop_lag_ms: DurationMs = Field(
        10,
        alias="loop_lag",
        ge=1,
        le=10 * SECOND,
        description="When the event loop is later than this, rewinds are refused, and at twice this recent segments.",
    )

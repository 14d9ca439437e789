"""What the demo tells while it runs: one report for each thing that happens, in the order it happens.

`live-origin demo --json` writes each as one line of JSON: its fields under their own names, after `type` and
`at_ms` (wall clock, ms since 1970-01-01T00:00:00Z). The fields are an interface for scripts: more may be
added, none changes its meaning. Where `number` is null, the object is an init segment. `late_ms` counts from
the moment a segment was due and is negative for one that came before it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Started:
    """Everything runs; the packagers' media begins now, with segment `first_number`.

    Args:
        publish, deliver, admin: Where the origin listens, as `http://host:port`.
        config: The configuration file. folder: where it and the data lie. log: the origin's log, if it has a file.
        ffmpeg: The binary. text_drawn: whether it found a font to write the clock with.
        pids: The packagers' process ids, by pipeline.
        faults: What will go wrong on purpose, as the options say it.
    """

    publish: str
    deliver: str
    admin: str
    config: str
    folder: str
    log: str | None
    ffmpeg: str
    text_drawn: bool
    first_number: int
    segment_ms: int
    renditions: tuple[str, ...]
    pids: dict[str, int]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """A pipeline's copy is a candidate now. `late_ms` is null for an init segment."""

    pipeline: str
    rendition: str
    number: int | None
    bytes: int
    late_ms: int | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The origin decided.

    Args:
        rule: By which rule. losses: why each other pipeline lost.
        decision_ms: From the first copy's record to the decision.
    """

    pipeline: str
    rendition: str
    number: int | None
    rule: str
    decision_ms: int
    losses: dict[str, str]


@dataclass(frozen=True, slots=True)
class Requested:
    """The reader asked for it: segments the moment their media has ended, init segments at the start."""

    rendition: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The reader has it, whole.

    Args:
        pipeline: As the origin's answer says.
        wait_ms: From the request to the last byte, repeated requests included.
        held: Whether the request was there before the segment.
        intact: Whether the body is the one its ETag speaks of.
        digest: Of the body that came: the first 128 bits of its SHA-256, in hex.
        late_ms: When the last byte came, counted from due; null for an init segment.
    """

    pipeline: str
    rendition: str
    number: int | None
    status: int
    bytes: int
    wait_ms: int
    held: bool
    intact: bool
    digest: str
    late_ms: int | None


@dataclass(frozen=True, slots=True)
class Missed:
    """The reader gave up. `status` is the last answer, 0 if there was none."""

    rendition: str
    number: int | None
    status: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A segment vanished between packager and origin, because of `--drop`."""

    pipeline: str
    rendition: str
    number: int


@dataclass(frozen=True, slots=True)
class Garbled:
    """A segment became garbage between packager and origin, because of `--garble`.

    Args:
        kind: Which, see `garbage.Garbage`.
        digest: Of the garbage, as `Delivered` has it.
    """

    pipeline: str
    rendition: str
    number: int
    kind: str
    digest: str


@dataclass(frozen=True, slots=True)
class Killed:
    """A packager was killed, because of `--kill`."""

    pipeline: str
    pid: int


@dataclass(frozen=True, slots=True)
class PackagerEnded:
    """A packager ended by itself, which it should not. `stderr` is the end of what it said."""

    pipeline: str
    pid: int
    status: int
    stderr: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The end begins: segments up to `last_number` are still waited for, then everything stops."""

    reason: str
    last_number: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How it went; always the last report.

    Due is every rendition's segment from `first_number` to `last_number`: from the one with which the packagers
    begin (on a grid line, so that it is whole) to the newest whose media had ended when the stop was asked
    for. What comes after that, such as the piece of a segment that a packager sends as it ends, counts nowhere.
    `due` is the sum of `delivered`, `damaged`, `missing` and `unanswered`.

    Args:
        delivered: Answered with 200 and a body that is intact. damaged: the body was not the one of its ETag, or
            it was garbage. garbage_delivered: how many of those were.
        unanswered: Still waited for when a second signal came.
        delivered_from: By pipeline. missing_by_rendition: what `missing` is made of.
        late: Delivered after due. held: delivered to a request that was there before the segment.
        published, published_late, dropped, garbled: Copies, by pipeline.
        inits_missing: Renditions whose init segment was not delivered.
        text: What it comes to, in a sentence.
        exit_status: Of the process: 0, or 1 if anything is missing or damaged, or a packager could not start.
    """

    first_number: int
    last_number: int
    due: int
    delivered: int
    damaged: int
    garbage_delivered: int
    missing: int
    unanswered: int
    delivered_from: dict[str, int]
    missing_by_rendition: dict[str, int]
    late: int
    held: int
    published: dict[str, int]
    published_late: dict[str, int]
    dropped: dict[str, int]
    garbled: dict[str, int]
    inits_missing: tuple[str, ...]
    text: str
    exit_status: int


Report = (
    Started
    | Published
    | Chosen
    | Requested
    | Delivered
    | Missed
    | Dropped
    | Garbled
    | Killed
    | PackagerEnded
    | Stopping
    | Summary
)
Tell = Callable[[Report], None]

TYPES: Final[dict[type[Report], str]] = {
    Started: "started",
    Published: "published",
    Chosen: "chosen",
    Requested: "requested",
    Delivered: "delivered",
    Missed: "missed",
    Dropped: "dropped",
    Garbled: "garbled",
    Killed: "killed",
    PackagerEnded: "packager_ended",
    Stopping: "stopping",
    Summary: "summary",
}


def json_line(report: Report, at_ms: int) -> str:
    """Return a report as one line of JSON, without its line end.

    >>> json_line(Killed("a", 7), at_ms=5)
    '{"type": "killed", "at_ms": 5, "pipeline": "a", "pid": 7}'
    """
    return json.dumps({"type": TYPES[type(report)], "at_ms": at_ms, **asdict(report)})

"""What can be chosen for a run; the command and the locustfile read the same options."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from loadtests.judge import Limits
from loadtests.schedule import Grid
from loadtests.stages import NAMES, TOUR, Fleet, Plan, plan

SECONDS_DEFAULT: Final = {TOUR: 120, "all": 120}
_SECONDS_OF_ONE: Final = 30

# Option, default, help. The type is that of the default.
_EVENT: Final = (
    ("event", "load", "event id"),
    ("renditions", "v1080,v720,v360", "rendition ids; each has half the bytes of the one before"),
    ("pipelines", "a,b", "pipeline ids, in the order of their selection; the first one dies in `failover`"),
    ("segment-ms", 1_920, "segment duration in ms, a multiple of 40"),
    ("epoch-ms", 0, "when segment `start-number` begins, ms since 1970"),
    ("start-number", 0, "the number of that segment"),
    ("publish-delay-ms", 1_000, "how long after the end of its media a segment is due"),
    ("dvr-ms", 60_000, "the event's DVR window"),
    ("media", "{rendition}/{number}.m4s", "names of segments, with {rendition} and {number}"),
    ("init", "{rendition}/init.mp4", "names of init segments, with {rendition}; empty for none"),
)
_LOAD: Final = (
    ("caches", 20, "clients at the live edge: connections of caches, one rendition each"),
    ("rewinders", 4, "clients that ask for any segment of the DVR window"),
    ("junk", 4, "clients that ask for what cannot exist"),
    ("storm", 10, "a storm has so many times more of one kind"),
    ("rate", 5, "requests a second of each rewinder and junk client"),
    ("segment-bytes", 131_072, "size of a segment of the first rendition"),
    ("history", 20, "segments that packagers publish before it begins, so that there is something to rewind to"),
    ("jitter-ms", 20, "packagers send a segment within so many ms of the end of its media"),
    ("late", "", "a pipeline that is late, and by how many ms: b:800"),
)
# A quiet machine of two cores keeps them about three times over (docs/loadtests.md).
_LIMITS: Final = (
    ("late-p50-ms-max", 80, "live lateness, half of all: from the end of the media to the last byte"),
    ("late-p99-ms-max", 350, "live lateness, 99 of 100; two segments of a failover wait for the dead pipeline"),
    ("put-p99-ms-max", 100, "duration of a PUT, 99 of 100"),
    ("missed-ms", 5_000, "who has no answer so long after the end of the media has missed the segment"),
)


def add_options(parser: ArgumentParser | Any) -> None:
    """Add all options that both sides know; `parser` may be locust's own."""
    group = parser.add_argument_group("Live Origin")
    group.add_argument("--shape", choices=NAMES, default=TOUR, help="what happens; `tour` is all of it")
    group.add_argument("--seconds", type=float, help="how long all of it takes: 30 for one shape, 120 for the tour")
    group.add_argument("--publish", default="", help="base URL to publish to; without it there are only clients")
    group.add_argument("--report", default="load-report", help="folder of the report")
    for name, default, text in (*_EVENT, *_LOAD, *_LIMITS):
        group.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} (default: {default})")


def plan_of(options: Namespace) -> Plan:
    """Return the stages that are asked for."""
    fleet = Fleet(options.caches, options.rewinders, options.junk, options.storm)
    seconds = options.seconds or SECONDS_DEFAULT.get(options.shape, _SECONDS_OF_ONE)
    return plan(options.shape, fleet, seconds)


def grid_of(options: Namespace) -> Grid:
    """Return the event's arithmetic."""
    return Grid(
        epoch_ms=options.epoch_ms,
        segment_ms=options.segment_ms,
        start_number=options.start_number,
        publish_delay_ms=options.publish_delay_ms,
        dvr_ms=options.dvr_ms,
    )


def limits_of(options: Namespace) -> Limits:
    """Return what is allowed."""
    return Limits(options.late_p50_ms_max, options.late_p99_ms_max, options.put_p99_ms_max)


def late_of(options: Namespace) -> dict[str, int]:
    """Return by how many ms pipelines are late on purpose.

    >>> late_of(Namespace(late="b:800"))
    {'b': 800}
    """
    pipeline, _, late_ms = options.late.partition(":")
    return {pipeline: int(late_ms)} if pipeline else {}


def report_file(options: Namespace, name: str) -> Path:
    """Return a file of the report."""
    return Path(options.report, name)

"""Reports as a run would make them, with only what a test is about to be said."""

from origin.demo import media
from origin.demo.reports import Chosen, Delivered, Garbled, Missed, Published, Report, Requested, Started, Stopping

FIRST = 935_091_412
A, B = media.PIPELINE_IDS
VIDEO, SMALL, AUDIO = media.RENDITION_IDS


def started(faults: tuple[str, ...] = (), log: str | None = "/tmp/demo/origin.log") -> Started:
    return Started(
        publish="http://127.0.0.1:1001",
        deliver="http://127.0.0.1:1002",
        admin="http://127.0.0.1:1003",
        config="/tmp/demo/live-origin.yaml",
        folder="/tmp/demo",
        log=log,
        ffmpeg="/usr/bin/ffmpeg",
        text_drawn=True,
        first_number=FIRST,
        segment_ms=media.SEGMENT_MS,
        renditions=media.RENDITION_IDS,
        pids={A: 11, B: 12},
        faults=faults,
    )


def published(
    pipeline: str = A, rendition: str = VIDEO, number: int | None = FIRST, late_ms: int | None = -800
) -> Published:
    return Published(pipeline, rendition, number, bytes=1000, late_ms=None if number is None else late_ms)


def chosen(
    pipeline: str = A,
    rendition: str = VIDEO,
    *,
    rule: str = "first-in-order",
    loss: str = "absent",
    decision_ms: int = 0,
) -> Chosen:
    other = B if pipeline == A else A
    return Chosen(pipeline, rendition, FIRST, rule, decision_ms, {other: loss})


def delivered(
    rendition: str = VIDEO,
    number: int | None = FIRST,
    pipeline: str = A,
    *,
    wait_ms: int = 200,
    late_ms: int = -790,
    held: bool = True,
    intact: bool = True,
    digest: str = "good",
) -> Delivered:
    lateness_ms = None if number is None else late_ms
    return Delivered(pipeline, rendition, number, 200, 1000, wait_ms, held, intact, digest, lateness_ms)


def garbled(pipeline: str = A, rendition: str = VIDEO, number: int = FIRST, digest: str = "bad") -> Garbled:
    return Garbled(pipeline, rendition, number, "noise", digest)


def missed(rendition: str = VIDEO, number: int | None = FIRST, status: int = 410) -> Missed:
    return Missed(rendition, number, status, wait_ms=6_000)


def stopping(last_number: int = FIRST) -> Stopping:
    return Stopping("Ctrl-C", last_number)


def whole_number(number: int = FIRST, pipeline: str = A) -> list[Report]:
    """All that happens to one number when nothing goes wrong."""
    renditions = media.RENDITION_IDS
    return [
        *(Requested(each, number) for each in renditions),
        *(published(pipeline, each, number) for each in renditions),
        *(Chosen(pipeline, each, number, "first-in-order", 0, {}) for each in renditions),
        *(delivered(each, number, pipeline) for each in renditions),
    ]


def inits() -> list[Report]:
    return [delivered(each, None) for each in media.RENDITION_IDS]

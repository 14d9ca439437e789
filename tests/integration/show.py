"""One evening on air: an origin, events with two pipelines each, one of which is killed, and a reader for each.

Everything happens in real time and at once; what happened is kept as values, for tests to look at.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from selection.model import Candidate, Choice, SegmentKey
from storage.records import Manifest
from tests.support.media import count_frames, decode
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import (
    DASH,
    HLS_FMP4,
    HLS_TRACKS,
    HLS_TS,
    SEGMENT_MS,
    SEGMENTS_TS,
    Feed,
    Format,
    Pipeline,
    ffmpeg_command,
    number_now,
    pipeline,
    shaka_commands,
    start_ms,
    until_ms,
)
from tests.support.reader import Delivered, JournalWatch, Reader

SEGMENTS: Final = 6
# While this one of the reader's segments is on air, pipeline a is killed.
KILLED_IN: Final = 2
# Longer than one ffmpeg takes to start later than the other on a loaded machine: a's copies come in time.
PREFER_WAIT_MS: Final = 900
# Before the first segment on air, so that everything is set up when it begins.
READY_MS: Final = 500
MANIFEST_LAG_SEGMENTS: Final = 3


@dataclass(frozen=True)
class Cast:
    """An event, and who publishes it.

    Args:
        head_starts: How many segments before the reader a and b begin.
        shaka: Template of segment names with which shaka-packager plays b, or None for ffmpeg.
    """

    event_id: str
    format: Format
    head_starts: tuple[int, int] = (1, 2)
    shaka: str | None = None


@dataclass(frozen=True)
class Sequel:
    """The segments of a track, decoded as one file.

    Args:
        said: What the decoder had to say.
        frames: (packets, frames) of each of its streams.
    """

    said: str
    frames: list[tuple[int, int]]


@dataclass(frozen=True)
class Act:
    """What happened at one event. Dictionaries go by rendition, manifests by name.

    Args:
        again: The first segments, asked for once more at the end.
    """

    cast: Cast
    numbers: range
    killed_ms: int
    delivered: Mapping[str, Sequence[Delivered]]
    inits: Mapping[str, Delivered]
    sequels: Mapping[str, Sequel]
    again: Mapping[str, Delivered]
    copies: Mapping[str, Mapping[SegmentKey, Candidate]]
    choices: Mapping[SegmentKey, Sequence[Choice]]
    manifests_before: Mapping[str, Delivered]
    manifests_after: Mapping[str, Delivered]
    manifests_published: Mapping[str, Mapping[str, Sequence[Manifest]]]
    metrics: str


CASTS: Final = (
    Cast("dash", DASH),
    Cast("hls-fmp4", HLS_FMP4),
    Cast("hls-ts", HLS_TS, head_starts=(1, 1)),
    Cast("segments-ts", SEGMENTS_TS),
    Cast("dash-shaka", DASH, shaka="r$RepresentationID$-t$Time$.m4s"),
    Cast("hls-shaka", HLS_TRACKS, shaka="r$RepresentationID$-$Number$.m4s"),
)


def event_settings(cast: Cast) -> dict[str, Any]:
    """Return the event as the configuration has it."""
    return {
        "id": cast.event_id,
        "segment_duration": EVENT["segment_duration"],
        "pipelines": EVENT["pipelines"],
        "selection": {"prefer_wait": f"{PREFER_WAIT_MS}ms"},
    } | cast.format.event


async def perform(casts: Sequence[Cast], folder: Path) -> dict[str, Act]:
    """Put all events on air at once, on one origin; returns what happened at each."""
    settings = make_settings(folder, events=[event_settings(cast) for cast in casts])
    async with running_origin(settings) as running, aiohttp.ClientSession() as session:
        watch = JournalWatch(running.origin.journal)
        opening = number_now() + 1
        if start_ms(opening) - time.time_ns() // 1_000_000 < READY_MS:
            opening += 1
        first = opening + max(max(cast.head_starts) for cast in casts)
        reader = Reader(session, running.deliver)
        acts = await asyncio.gather(
            *(_play(cast, range(first, first + SEGMENTS), running, reader, watch, folder) for cast in casts)
        )
    return {act.cast.event_id: act for act in acts}


async def _play(cast: Cast, numbers: range, running: Running, reader: Reader, watch: JournalWatch, folder: Path) -> Act:
    folder = folder / cast.event_id
    folder.mkdir()
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(pipeline(folder / "a.log"))
        b = await stack.enter_async_context(pipeline(folder / "b.log"))
        async with asyncio.TaskGroup() as group:
            group.create_task(_start(cast, numbers, a, b, running.publish, folder))
            ending = group.create_task(_end_of_a(cast, numbers, a, reader, watch))
            readings = {
                track.rendition_id: group.create_task(reader.watch(cast.event_id, track, numbers))
                for track in cast.format.tracks
            }
        await watch.until(lambda: _has_fallen_behind(cast, watch))
        assert b.running, f"pipeline b of {cast.event_id} ended: {(folder / 'b.log').read_text()}"
        delivered = {rendition_id: reading.result() for rendition_id, reading in readings.items()}
        killed_ms, manifests_before = ending.result()
        inits = {
            track.rendition_id: await reader.get(f"{cast.event_id}/{track.init}")
            for track in cast.format.tracks
            if track.init is not None
        }
        return Act(
            cast=cast,
            numbers=numbers,
            killed_ms=killed_ms,
            delivered=delivered,
            inits=inits,
            sequels=await _sequels(delivered, inits, folder),
            again={
                track.rendition_id: await reader.get(f"{cast.event_id}/{track.name(numbers[0])}")
                for track in cast.format.tracks
            },
            copies={pipeline_id: watch.copies(cast.event_id, pipeline_id) for pipeline_id in "ab"},
            choices=watch.choices(cast.event_id),
            manifests_before=manifests_before,
            manifests_after=await _manifests(cast, reader),
            manifests_published={
                name: {pipeline_id: watch.manifests(cast.event_id, pipeline_id, name) for pipeline_id in "ab"}
                for name in _manifest_names(cast)
            },
            metrics=(await reader.get_url(f"{running.admin}/metrics")).decode(),
        )


async def _start(cast: Cast, numbers: range, a: Pipeline, b: Pipeline, publish: str, folder: Path) -> None:
    """Start each pipeline when the media of its first segment begins."""

    async def start_a() -> None:
        feed = Feed(numbers[0] - cast.head_starts[0])
        await until_ms(start_ms(feed.first_number))
        await a.start(ffmpeg_command(feed, cast.format.output, f"{publish}/{cast.event_id}/a"))

    async def start_b() -> None:
        feed = Feed(numbers[0] - cast.head_starts[1])
        base = f"{publish}/{cast.event_id}/b"
        await until_ms(start_ms(feed.first_number))
        if cast.shaka is not None:
            await b.start(*shaka_commands(feed, folder / "encoded", base, cast.shaka))
        else:
            await b.start(ffmpeg_command(feed, cast.format.output, base, *cast.format.persistent))

    await asyncio.gather(start_a(), start_b())


async def _end_of_a(
    cast: Cast, numbers: range, a: Pipeline, reader: Reader, watch: JournalWatch
) -> tuple[int, dict[str, Delivered]]:
    """Kill a in the middle of a segment. Returns when, in ms, and the manifests as they were just before."""
    last = numbers[KILLED_IN - 1]
    wanted = [SegmentKey(cast.event_id, track.rendition_id, last) for track in cast.format.tracks]
    await watch.until(lambda: all(key in watch.copies(cast.event_id, "a") for key in wanted))
    await until_ms(start_ms(last + 1) + SEGMENT_MS // 2)
    manifests = await _manifests(cast, reader)
    assert a.running, f"pipeline a of {cast.event_id} ended by itself"
    return await a.kill(), manifests


def _has_fallen_behind(cast: Cast, watch: JournalWatch) -> bool:
    """Tell whether a's manifest is so much older than b's that it may not be delivered any more."""
    of_a, of_b = (watch.manifests(cast.event_id, pipeline_id, cast.format.manifest) for pipeline_id in "ab")
    return of_b[-1].published_ms - of_a[-1].published_ms > MANIFEST_LAG_SEGMENTS * SEGMENT_MS


def _manifest_names(cast: Cast) -> list[str]:
    return [name for name in (cast.format.manifest, cast.format.master) if name is not None]


async def _manifests(cast: Cast, reader: Reader) -> dict[str, Delivered]:
    return {name: await reader.get(f"{cast.event_id}/{name}") for name in _manifest_names(cast)}


async def _sequels(
    delivered: Mapping[str, Sequence[Delivered]], inits: Mapping[str, Delivered], folder: Path
) -> dict[str, Sequel]:
    """Put the segments of each track behind its init segment, and let ffmpeg look at the whole."""
    sequels = {}
    for rendition_id, answers in delivered.items():
        parts = [inits[rendition_id]] if rendition_id in inits else []
        file = folder / f"delivered-{rendition_id}.bin"
        file.write_bytes(b"".join(answer.body for answer in [*parts, *answers]))
        said, frames = await asyncio.gather(decode(file), count_frames(file))
        sequels[rendition_id] = Sequel(said, frames)
    return sequels

"""Everything ffmpeg sends is kept, on a slow disk, whether it keeps its connections or closes each one at once.

It encodes as fast as it can what is on air until a moment ago, so that its requests come in quick succession,
and in persistent mode several before the first is stored.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg
import pytest

from selection.model import SegmentKey
from storage.base import BodyKey, body_key
from tests.support.media import count_frames, decode
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import (
    AUDIO_FRAMES,
    DASH,
    HLS_FMP4,
    HLS_TS,
    SEGMENTS_TS,
    VIDEO_FRAMES,
    Feed,
    Format,
    Track,
    ffmpeg_command,
    number_now,
    pipeline,
)
from tests.support.reader import JournalWatch

SEGMENTS: Final = 8
DISK_S: Final = 0.02


@dataclass(frozen=True)
class Push:
    """One ffmpeg that pushes an event of its own."""

    event_id: str
    format: Format
    persistent: bool

    @property
    def options(self) -> tuple[str, ...]:
        return self.format.persistent if self.persistent else ()


PUSHES: Final = (
    Push("dash", DASH, persistent=False),
    Push("dash-persistent", DASH, persistent=True),
    Push("hls-fmp4", HLS_FMP4, persistent=False),
    Push("hls-fmp4-persistent", HLS_FMP4, persistent=True),
    Push("hls-ts", HLS_TS, persistent=False),
    Push("hls-ts-persistent", HLS_TS, persistent=True),
    Push("segments-ts", SEGMENTS_TS, persistent=False),
)


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """An origin with an event for each push, and a slow disk."""
    common = {"segment_duration": EVENT["segment_duration"], "pipelines": [{"id": "a"}]}
    events = [common | {"id": push.event_id} | push.format.event for push in PUSHES]
    async with running_origin(make_settings(tmp_path, events=events)) as running:
        bodies = running.origin.stores.bodies
        write_at_once = bodies.write

        async def write(key: BodyKey, body: bytes) -> None:
            await asyncio.sleep(DISK_S)
            await write_at_once(key, body)

        monkeypatch.setattr(bodies, "write", write)
        yield running


@pytest.mark.parametrize("program", ["ffmpeg", imageio_ffmpeg.get_ffmpeg_exe()], ids=["debian", "newest"])
async def test_everything_ffmpeg_sends_is_kept(running: Running, tmp_path: Path, program: str) -> None:
    watch = JournalWatch(running.origin.journal)
    numbers = range(number_now() - SEGMENTS - 1, number_now() - 1)
    await asyncio.gather(*(_push(push, numbers, running, tmp_path, program) for push in PUSHES))
    expected = {
        push.event_id: {
            SegmentKey(push.event_id, track.rendition_id, number)
            for track in push.format.tracks
            for number in [*([] if track.init is None else [None]), *numbers]
        }
        for push in PUSHES
    }

    def missing() -> dict[str, list[SegmentKey]]:
        absent = {event_id: keys - watch.copies(event_id, "a").keys() for event_id, keys in expected.items()}
        return {event_id: sorted(keys, key=str) for event_id, keys in absent.items() if keys}

    try:
        await watch.until(lambda: not missing())
    except TimeoutError:
        assert missing() == {}
    await asyncio.gather(
        *(_check(running, push, track, tmp_path, numbers) for push in PUSHES for track in push.format.tracks)
    )


async def _check(running: Running, push: Push, track: Track, folder: Path, numbers: range) -> None:
    """Decode all of a track as it lies on disk."""
    file = folder / f"{push.event_id}-{track.rendition_id}.bin"
    init = [] if track.init is None else [None]
    keys = [SegmentKey(push.event_id, track.rendition_id, number) for number in [*init, *numbers]]
    file.write_bytes(b"".join(_stored(running, key) for key in keys))
    said, counts = await asyncio.gather(decode(file), count_frames(file))
    assert said == "", push.event_id
    packets = [packets for packets, _ in counts]
    # Sound that shares its files with pictures begins with the codec's priming frame.
    assert packets in (
        [count * SEGMENTS for count in track.frames],
        [VIDEO_FRAMES * SEGMENTS, AUDIO_FRAMES * SEGMENTS + 1],
    )


async def _push(push: Push, numbers: range, running: Running, folder: Path, program: str) -> None:
    feed = Feed(numbers[0], segments=SEGMENTS, live=False)
    base = f"{running.publish}/{push.event_id}/a"
    command = ffmpeg_command(feed, push.format.output, base, *push.options)
    log = folder / f"{push.event_id}.log"
    async with pipeline(log) as packager:
        await packager.start([program, *command[1:]])
        assert await packager.wait() == [0], log.read_text()


def _stored(running: Running, key: SegmentKey) -> bytes:
    (candidate,) = running.origin.catalog.candidates(key)
    address = body_key(key, candidate.pipeline_id, candidate.digest)
    return (Path(running.origin.settings.storage.path) / "bodies" / address).read_bytes()

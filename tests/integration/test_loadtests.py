"""The load generator runs against a real origin, and tells a right answer from a wrong one."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from loadtests.media import FRAME_TICKS, HEIGHT, TIMESCALE, WIDTH, init_segment, media_segment
from selection.cmaf import parse_init, parse_segment
from tests.support.origins import SEGMENT_MS, Running, make_settings, running_origin

ROOT = Path(__file__).parents[2]
RUN_S = 8
SEGMENT_BYTES = 50_000


async def _publish_on_time(origin: Running, session: aiohttp.ClientSession) -> None:
    """PUT each segment of v720 the moment its media has ended, for as long as nobody cancels."""
    clock = origin.origin.clock
    number = clock.now_ms() // SEGMENT_MS - 1
    async with session.put(f"{origin.publish}/derby/a/v720/init.mp4", data=init_segment()) as answer:
        assert (answer.status, (await answer.json())["defects"]) == (201, [])
    while True:
        await asyncio.sleep(max((number + 1) * SEGMENT_MS - clock.now_ms(), 0) / 1000)
        body = media_segment(number, SEGMENT_MS, SEGMENT_BYTES)
        async with session.put(f"{origin.publish}/derby/a/v720/{number}.m4s", data=body) as answer:
            assert (answer.status, (await answer.json())["defects"]) == (201, [])
        number += 1


async def _locust(host: str, *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "--headless", "--locustfile", "loadtests/locustfile.py", "--host", host),
        *("--users", "5", "--spawn-rate", "5", "--run-time", f"{RUN_S}s", "--only-summary", "--event", "derby"),
        *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_caches_at_the_live_edge_get_every_segment(tmp_path: Path) -> None:
    async with running_origin(make_settings(tmp_path)) as origin, aiohttp.ClientSession() as session:
        publishing = asyncio.create_task(_publish_on_time(origin, session))
        right, wrong = await asyncio.gather(
            _locust(origin.deliver, "--rendition", "v720"),
            _locust(origin.deliver, "--rendition", "v721"),
        )
        assert not publishing.done(), publishing.exception()
        publishing.cancel()
    status, report = right
    assert status == 0, report
    answered = re.search(r"GET +live edge +(\d+) +0\(0\.00%\)", report)
    assert answered is not None, report
    assert int(answered[1]) >= 10
    assert "LATE" in report
    status, report = wrong
    assert status == 1, "a rendition that does not exist must fail the run"
    assert "status 404" in report


@pytest.mark.parametrize("number", [0, 1, 935_092_611])
def test_its_segments_lie_on_the_grid_and_have_the_size_asked_for(number: int) -> None:
    init = parse_init(init_segment())
    (known,) = init.tracks
    assert (known.codec, known.width, known.height, known.timescale) == ("avc1.64001f", WIDTH, HEIGHT, TIMESCALE)
    body = media_segment(number, SEGMENT_MS, SEGMENT_BYTES)
    segment = parse_segment(body, init)
    (track,) = segment.tracks
    assert len(body) == SEGMENT_BYTES
    assert track.decode_time * 1000 == number * SEGMENT_MS * TIMESCALE
    assert (track.samples_count, track.duration) == (48, 48 * FRAME_TICKS)
    assert track.starts_with_sync
    assert segment.unreferenced_bytes == 0
    assert media_segment(number, SEGMENT_MS, SEGMENT_BYTES) != body


def test_ffmpeg_finds_every_frame_in_them(tmp_path: Path) -> None:
    file = tmp_path / "whole.mp4"
    file.write_bytes(init_segment() + b"".join(media_segment(n, SEGMENT_MS, SEGMENT_BYTES) for n in range(5, 8)))
    entries = ("-show_entries", "stream=codec_name,width,height,nb_read_packets", "-of", "csv=p=0")
    # What it says of the noise where pictures should be is of no interest.
    probe = subprocess.run(
        ["ffprobe", "-v", "quiet", "-count_packets", *entries, str(file)], capture_output=True, text=True, check=True
    )
    assert probe.stdout.strip() == f"h264,{WIDTH},{HEIGHT},{3 * 48}"


def test_a_length_that_is_no_whole_number_of_frames_is_refused() -> None:
    for segment_ms in (0, 2_002):
        with pytest.raises(ValueError, match="no whole number of frames"):
            media_segment(1, segment_ms, SEGMENT_BYTES)


def test_no_segment_is_smaller_than_its_boxes_and_frames() -> None:
    body = media_segment(1, SEGMENT_MS, 1)
    assert parse_segment(body, None).tracks[0].samples_bytes == 48 * 6

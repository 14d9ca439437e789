"""`make load` passes a right server and fails a wrong one, says why, and leaves a report in any case."""

import asyncio
import csv
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from loadtests.media import FRAME_TICKS, HEIGHT, TIMESCALE, WIDTH, init_segment, media_segment
from selection.cmaf import parse_init, parse_segment
from tests.integration.tour import WAIT_S_MAX, Tour
from tests.integration.toy_live import Fault, ToyLive
from tests.support.origins import SEGMENT_MS

ROOT = Path(__file__).parents[2]
SEGMENT_BYTES = 50_000
REPORTS = ("load.html", "load_stats.csv", "load_failures.csv", "load_thresholds.csv", "summary.txt")
# Four seconds of a few clients, half-second segments. How late they are depends on what else runs here.
SHORT = (
    *("--shape", "event-start", "--seconds", "4", "--segment-ms", "480", "--history", "2", "--caches", "6"),
    *("--late-p50-ms-max", "9000", "--late-p99-ms-max", "9000", "--put-p99-ms-max", "9000", "--missed-ms", "1500"),
)


async def _load(folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests", *SHORT, "--report", str(folder), *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@asynccontextmanager
async def _serving(fault: Fault) -> AsyncIterator[tuple[ToyLive, str]]:
    """Run a toy; yields it and its base URL."""
    toy = ToyLive(fault)
    runner = web.AppRunner(toy.app(), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield toy, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _loaded(folder: Path, fault: Fault) -> tuple[int | None, str]:
    """Load a toy; returns exit status and output."""
    async with _serving(fault) as (_, url):
        process = await _load(folder, "--host", url, "--publish", url)
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def _thresholds(folder: Path) -> dict[str, dict[str, Any]]:
    with (folder / "load_thresholds.csv").open() as file:
        return {row["threshold"]: row for row in csv.DictReader(file)}


WHY = {
    Fault.NONE: "",
    Fault.WRONG_BODY: "wrong bodies",
    Fault.TWO_COPIES: "segments of which caches got different copies",
    Fault.MISSING: "negative answers at the live edge",
    Fault.SHED: "503s at the live edge",
    Fault.NO_ANSWER: "live segments missed",
    Fault.NO_PUT: "failed PUTs",
}


async def test_a_server_that_does_one_thing_wrong_fails_for_that_and_a_right_one_passes(tmp_path: Path) -> None:
    folders = {fault: tmp_path / fault.name for fault in WHY}
    runs = await asyncio.gather(*(_loaded(folder, fault) for fault, folder in folders.items()))
    for (fault, why), (status, output) in zip(WHY.items(), runs, strict=True):
        assert status == int(bool(why)), output
        crossed = [name for name, row in _thresholds(folders[fault]).items() if row["crossed"] == "yes"]
        assert why in crossed if why else crossed == [], output
        assert all(f"CROSSED {name}: " in output for name in crossed)
        assert all((folders[fault] / name).stat().st_size for name in REPORTS)


async def test_clients_alone_load_a_server_that_others_publish_to_and_who_is_interrupted_reports_too(
    tmp_path: Path,
) -> None:
    both, alone = tmp_path / "both", tmp_path / "alone"
    async with _serving(Fault.NONE) as (toy, url):
        publishing = await _load(both, "--host", url, "--publish", url, "--seconds", "600")
        await toy.delivered.wait()
        clients = await _load(alone, "--host", url, "--seconds", "2")
        told, _ = await clients.communicate()
        publishing.send_signal(signal.SIGTERM)
        output, _ = await publishing.communicate()
    for process, folder, text in ((clients, alone, told.decode()), (publishing, both, output.decode())):
        assert process.returncode == 0, text
        assert "All thresholds were kept." in text
        assert all((folder / name).stat().st_size for name in REPORTS)


@pytest.mark.timeout(WAIT_S_MAX + 30)
def test_two_minutes_of_every_shape_against_the_real_origin_find_nothing_wrong(tour: Tour) -> None:
    """It has run beside all other tests, so it says nothing of speed."""
    status, output = tour.wait()
    assert status == 0, output
    rows = _thresholds(tour.folder)
    assert all(row["crossed"] == "no" for row in rows.values())
    assert int(rows["live segments delivered"]["measured"]) > 500
    page = (tour.folder / "load.html").read_text()
    assert "All thresholds were kept." in page
    with (tour.folder / "load_stats.csv").open() as file:
        asked = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    kinds = ("unknown event", "unknown rendition", "unknown name", "too far ahead", "aged out")
    names = ("publish: segment", "publish: init", "live edge", "live edge, after media end", "rewind")
    assert all(asked[name] for name in (*names, *(f"junk: {kind}" for kind in kinds)))
    cut = re.search(r"(\d+)  PUTs cut by a dying packager", output)
    assert cut is not None
    assert int(cut[1]) == 3, "one for each rendition"


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

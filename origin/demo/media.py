"""What the demo puts on air, and when. Its own arithmetic: it shall catch the origin's being wrong.

Segment n covers [n * 1.92 s, (n + 1) * 1.92 s) since 1970-01-01T00:00:00Z. 1.92 s are 48 frames at 25/s and 90
AAC frames at 48 kHz, so that video and audio cut at the same instants for ever.
"""

import re
from dataclasses import dataclass
from typing import Final

EVENT_ID: Final = "demo"
PIPELINE_IDS: Final = ("a", "b")
REGIONS: Final = {"a": "east", "b": "west"}

SEGMENT_MS: Final = 1_920
FRAMES_PER_SECOND: Final = 25
FRAMES_PER_SEGMENT: Final = 48
# A segment should be there this long after its media has ended; the packagers here take about 0.25 s.
PUBLISH_DELAY_MS: Final = 1_000
# And this long after that it is given up. Short, so that a hole shows as one while somebody is looking.
RETRY_DEADLINE_MS: Final = 5_000

HLS_NAME: Final = "master.m3u8"
DASH_NAME: Final = "live.mpd"

_MEDIA_NAME = re.compile(r"r([0-9])-t([0-9]{1,19})\.m4s")


@dataclass(frozen=True, slots=True)
class Track:
    """One rendition as ffmpeg's DASH muxer makes it.

    Args:
        index: The number ffmpeg gives it, in the order of `-map`.
        timescale: Ticks per second that the muxer picks: 512 a frame for video, the sample rate for audio.
        offset_ticks: Where its segments begin beside the grid: AAC starts with one frame of priming.
        bandwidth: Bits per second, roughly.
    """

    index: int
    rendition_id: str
    kind: str
    timescale: int
    bandwidth: int
    codecs: str
    width: int | None = None
    height: int | None = None
    offset_ticks: int = 0

    @property
    def segment_ticks(self) -> int:
        """Length of a segment in ticks; exact."""
        return self.timescale * SEGMENT_MS // 1000

    def media_name(self, number: int) -> str:
        """Return the name that the packagers give segment `number`.

        >>> TRACKS[2].media_name(1)
        'r2-t91136.m4s'
        """
        return f"r{self.index}-t{number * self.segment_ticks + self.offset_ticks}.m4s"

    @property
    def media_template(self) -> str:
        """Names of its segments, for the origin's configuration."""
        return f"r{self.index}-t$Time$.m4s"

    @property
    def init_name(self) -> str:
        """Name of its init segment."""
        return f"init-{self.index}.mp4"


TRACKS: Final = (
    Track(0, "v360", "video", 12_800, 600_000, "avc1.42c01e", 640, 360),
    Track(1, "v180", "video", 12_800, 200_000, "avc1.42c00d", 320, 180),
    Track(2, "a64", "audio", 48_000, 64_000, "mp4a.40.2", offset_ticks=-1_024),
)
RENDITION_IDS: Final = tuple(track.rendition_id for track in TRACKS)


def start_ms(number: int) -> int:
    """Return when the media of segment `number` begins, ms since 1970."""
    return number * SEGMENT_MS


def end_ms(number: int) -> int:
    """Return when the media of segment `number` has ended."""
    return start_ms(number + 1)


def due_ms(number: int) -> int:
    """Return when segment `number` should have been published."""
    return end_ms(number) + PUBLISH_DELAY_MS


def next_number(now_ms: int) -> int:
    """Return the first segment that begins after `now_ms`.

    >>> next_number(1_919), next_number(1_920)
    (1, 2)
    """
    return now_ms // SEGMENT_MS + 1


def newest_ended(now_ms: int) -> int:
    """Return the newest segment whose media has ended at `now_ms`.

    >>> newest_ended(3_839), newest_ended(3_840)
    (0, 1)
    """
    return now_ms // SEGMENT_MS - 1


def segment_of_name(name: str) -> tuple[Track, int] | None:
    """Return track and segment number of a media name, or None for any other object.

    >>> track, number = segment_of_name("r2-t91136.m4s")
    >>> track.rendition_id, number
    ('a64', 1)
    >>> segment_of_name("init-0.mp4") is None
    True
    """
    match = _MEDIA_NAME.fullmatch(name)
    if match is None or int(match[1]) >= len(TRACKS):
        return None
    track = TRACKS[int(match[1])]
    return track, (int(match[2]) - track.offset_ticks) // track.segment_ticks

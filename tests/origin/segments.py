"""Bodies of a picture at 25 frames/s, as packagers of a test's event make them: on its grid, or off it as told."""

from typing import Final

from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    audio_entry,
    avcc,
    fragment,
    init_segment,
    styp,
    trak,
    trex,
    visual_entry,
)
from tests.support.ts import H264, VIDEO_PID, Muxer, pes

TIMESCALE: Final = 12_800
FRAME_TICKS: Final = 512
FRAME_MS: Final = 40
TS_FRAME_TICKS: Final = 3_600
# In 2 s, as segments of `make_event` last; those of a site have 48.
FRAMES_COUNT: Final = 50


def make_init(
    *, brand: str = "cmfc", width: int = 1280, track_id: int = 1, default_duration: int = 0, default_size: int = 0
) -> bytes:
    """Return the init segment of one AVC track.

    Args:
        brand: Another one changes the bytes, and nothing for a decoder.
        width: Another one needs another decoder.
        default_duration, default_size: Of samples that do not tell their own (`trex`).
    """
    track = trak(visual_entry("avc1", avcc(), width=width), track_id=track_id, timescale=TIMESCALE)
    defaults = trex(track_id, duration=default_duration, size=default_size)
    return init_segment(track, defaults=[defaults], brands=(brand, "iso6"))


def make_segment(
    number: int,
    *,
    frames_count: int = FRAMES_COUNT,
    lost_count: int = 0,
    late_count: int = 0,
    brand: str = "msdh",
    first_flags: int = SYNC,
    track_id: int = 1,
    tells_durations: bool = True,
    frame_bytes: int = 10,
) -> bytes:
    """Return a CMAF segment.

    Args:
        frames_count: In a whole one.
        lost_count: Frames that are missing at its end.
        late_count: Frames by which it begins after the grid.
        brand: Another one changes the bytes, and nothing else; `slat` makes it filler.
        tells_durations: Otherwise its init segment does.
    """
    duration = FRAME_TICKS if tells_durations else None
    flags = [first_flags, *[NOT_SYNC] * (frames_count - lost_count - 1)]
    samples = [Sample(duration, frame_bytes, each) for each in flags]
    begin = (number * frames_count + late_count) * FRAME_TICKS
    return styp(brand) + fragment(samples, begin, track_id=track_id, sequence=number)


def make_ts(number: int, *, lost_packets_count: int = 0) -> bytes:
    """Return a transport stream of a picture, of which packets are missing in the middle."""
    muxer = Muxer().add_tables([(VIDEO_PID, H264)])
    for index in range(FRAMES_COUNT):
        stamp = (number * FRAMES_COUNT + index) * TS_FRAME_TICKS
        muxer.add_pes(VIDEO_PID, pes(stamp), random_access=index == 0)
        if index == FRAMES_COUNT // 2:
            muxer.skip(VIDEO_PID, lost_packets_count)
    return muxer.body


INIT: Final = make_init()
LIKE_INIT: Final = make_init(brand="dash")
OTHER_INIT: Final = make_init(width=1920)
LIKE_OTHER_INIT: Final = make_init(width=1920, brand="dash")
SOUND_INIT: Final = init_segment(trak(audio_entry("Opus"), handler="soun", timescale=48_000))

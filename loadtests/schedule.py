"""When segments exist and when packagers send them: arithmetic of its own, on integers, without a clock.

Times are ms since 1970. Segment `start_number` begins at the epoch; its media ends one segment later.
"""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """The common grid of all pipelines.

    Args:
        publish_delay_ms: A segment is due this long after its media has ended.
        dvr_ms: A segment leaves the DVR window this long after it was due.
    """

    epoch_ms: int
    segment_ms: int
    start_number: int = 0
    publish_delay_ms: int = 1_000
    dvr_ms: int = 60_000

    def number_at(self, now_ms: float) -> int:
        """Return the number whose media is being made.

        >>> Grid(0, 2_000).number_at(1_999), Grid(0, 2_000).number_at(2_000)
        (0, 1)
        """
        return int((now_ms - self.epoch_ms) // self.segment_ms) + self.start_number

    def end_ms(self, number: int) -> int:
        """Return when the media of a segment has ended, which is when a cache may ask for it."""
        return self.epoch_ms + (number - self.start_number + 1) * self.segment_ms

    def first_kept(self, now_ms: int) -> int:
        """Return the oldest number that is in the DVR window now: older ones are gone.

        >>> Grid(0, 2_000, dvr_ms=10_000).first_kept(14_999), Grid(0, 2_000, dvr_ms=10_000).first_kept(15_000)
        (1, 2)
        """
        return self.number_at(now_ms - self.dvr_ms - self.publish_delay_ms)


def jitter_ms(pipeline: str, rendition: str, number: int, jitter_ms_max: int) -> int:
    """Return by how much a packager is late for a segment: 0 to `jitter_ms_max`, the same in every run."""
    return zlib.crc32(f"{pipeline}/{rendition}/{number}".encode()) % (jitter_ms_max + 1)


def size_of(rendition_index: int, segment_bytes: int) -> int:
    """Return the size of a rendition's segments: each rung of the ladder has half of the one before."""
    return max(segment_bytes >> rendition_index, 1)

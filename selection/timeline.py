"""The epoch-locked timeline: segment numbers, media time and wall clock, all in integers.

Every pipeline cuts segment n at the same media time without talking to the others: it covers
`[epoch + (n - start_number)*D, epoch + (n + 1 - start_number)*D)`. D is a rational number of seconds
(60060/30000 s is exact), so no float ever reaches a segment number. Wall clock is in ms since
1970-01-01T00:00:00Z.

Source: DASH-IF Live Media Ingest, "Requirements for Ingest Source Synchronization".
"""

from dataclasses import dataclass

MS_PER_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Maps segment numbers to time and back. D = duration_ticks / timescale seconds, constant.

    Args:
        epoch_ms: Wall clock at which segment `start_number` begins.
        duration_ticks: Segment duration in ticks of `timescale`, at least 1 ms.
        timescale: Ticks per second, at least 1.
        start_number: Number of the segment that begins at the epoch.
    """

    epoch_ms: int
    duration_ticks: int
    timescale: int
    start_number: int = 0

    def __post_init__(self) -> None:
        assert self.timescale > 0, "a timescale has at least one tick a second"
        assert self.duration_ticks * MS_PER_SECOND >= self.timescale, "a segment lasts at least 1 ms"

    def start_ms(self, number: int) -> int:
        """Return the first whole ms that belongs to segment `number` (rounds up).

        A segment lasts at least 1 ms, or some would have no ms of their own.

        >>> Timeline(epoch_ms=0, duration_ticks=60060, timescale=30000).start_ms(1)
        2002
        >>> Timeline(epoch_ms=0, duration_ticks=1, timescale=3).start_ms(1)
        334
        """
        ticks_ms = (number - self.start_number) * self.duration_ticks * MS_PER_SECOND
        return self.epoch_ms - (-ticks_ms // self.timescale)

    def end_ms(self, number: int) -> int:
        """Return the first whole ms after segment `number`: the start of the next one."""
        return self.start_ms(number + 1)

    def number_at_ms(self, now_ms: int) -> int:
        """Return the number of the segment whose media is being made at `now_ms` (rounds down).

        Exact inverse of `start_ms`: `number_at_ms(start_ms(n)) == n` and `number_at_ms(start_ms(n) - 1) == n - 1`.

        >>> Timeline(epoch_ms=0, duration_ticks=192, timescale=100, start_number=1).number_at_ms(1_919)
        1
        """
        elapsed = (now_ms - self.epoch_ms) * self.timescale
        return elapsed // (self.duration_ticks * MS_PER_SECOND) + self.start_number

    def time_ticks(self, number: int, media_timescale: int) -> int:
        """Return the nominal decode time of segment `number` in ticks of `media_timescale` (nearest, half up).

        Media time counts from the epoch, as in a template manifest with availabilityStartTime = epoch.

        >>> Timeline(epoch_ms=0, duration_ticks=192, timescale=100).time_ticks(2, media_timescale=48_000)
        184320
        """
        ticks = (number - self.start_number) * self.duration_ticks * media_timescale
        return (2 * ticks + self.timescale) // (2 * self.timescale)

    def number_at_ticks(self, time_ticks: int, media_timescale: int) -> int:
        """Return the number of the segment that starts nearest to `time_ticks` (half up).

        Nearest, because audio cannot cut between codec frames: with AAC a segment starts up to one frame
        (1024 samples) off the grid.
        Source: `round(time / (D * timescale)) + start_number`; measured on ffmpeg 5.1, whose DASH audio
        starts at K*92160 - 1024.

        >>> Timeline(epoch_ms=0, duration_ticks=192, timescale=100).number_at_ticks(92_160 - 1_024, 48_000)
        1
        """
        duration = self.duration_ticks * media_timescale
        return (2 * time_ticks * self.timescale + duration) // (2 * duration) + self.start_number

    @property
    def duration_ms(self) -> int:
        """Segment duration in ms, rounded to the nearest; for display and headers, never for arithmetic."""
        return (2 * self.duration_ticks * MS_PER_SECOND + self.timescale) // (2 * self.timescale)

"""Whether the wall clock can be trusted with deleting: what a clock says is old is gone for good.

A wall clock that is set wrong by hours makes everything look expired. So a step is noticed, by comparing the wall
clock with one that only ever runs forward, and nothing is deleted until somebody else agrees with the new time:

- packagers, when the media times of what they publish fit the wall clock, `CONFIRMATIONS` times in a row;
- or an operator, where packagers are always earlier or later than that.

A step that mends a wrong clock is confirmed in the same way, within seconds.

What this cannot see: a packager on the same machine has the same clock, right or wrong, and would confirm it. Where
all packagers run beside the origin, or set their clocks by it, a step is still noticed and logged, and deleting
still pauses for a few segments, but what ends the pause proves nothing.

Nor does it see a clock that drifts: less than `STEP_MS_MAX` from one observation to the next is what time daemons
do to a clock that is off, and no step.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

# Daemons step a clock that is off by more than a tenth of a second or so, and slew the rest; a virtual machine that
# was paused for some seconds looks the same. Both are harmless below the shortest retention anybody would set.
STEP_MS_MAX: Final = 5_000
# While the origin was not running nothing measured the time. A restart within a day is common, and a clock that is
# a day ahead would delete nearly every window there is.
FORWARD_AT_START_MS_MAX: Final = 86_400_000
# Less than half of a step, so that a packager that agreed with the clock before a step cannot agree with it after,
# unless that mended the clock: what agrees lies within twice this and the publish delay, by default a second.
CONFIRM_MS_MAX: Final = 2_000
# One may be a packager that happens to be as late as the clock is off; in a row they are not. They are some time
# apart, as what is due in the same second, in all renditions of all events, may have come through one bottleneck.
CONFIRMATIONS: Final = 3
CONFIRM_SPACING_MS: Final = 1_000


class Reading(NamedTuple):
    """Both clocks at one moment."""

    wall_ms: int
    monotonic_ms: int


class Doubt(NamedTuple):
    """Why the wall clock is not trusted.

    Args:
        reason: For the log and the API.
        step_ms: How far the clock went ahead of what it should show; negative for back.
        since_ms: What it showed when that was noticed.
    """

    reason: str
    step_ms: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class ClockGuard:
    """What is known of the wall clock. The functions below return the next one.

    Args:
        reading: The last look at both clocks.
        doubt: None while the wall clock is trusted: only then may anything be deleted.
        agreed_count, agreed_due_ms: How many segments have agreed with the clock since the doubt began, in a row, and
            when the last of them was due.
        confirmation: How the last doubt ended, for the log and the API; None if there was none.
    """

    reading: Reading
    doubt: Doubt | None = None
    agreed_count: int = 0
    agreed_due_ms: int | None = None
    confirmation: str | None = None

    @property
    def is_trusted(self) -> bool:
        return self.doubt is None


def start(wall_ms: int, monotonic_ms: int, last_recorded_ms: int | None) -> ClockGuard:
    """Return the guard of a process that starts.

    Args:
        last_recorded_ms: Wall clock of the newest thing on record; None if there is nothing that could be deleted.
    """
    guard = ClockGuard(Reading(wall_ms, monotonic_ms))
    if last_recorded_ms is None:
        return guard
    passed_ms = wall_ms - last_recorded_ms
    if -STEP_MS_MAX <= passed_ms <= FORWARD_AT_START_MS_MAX:
        return guard
    direction = "after" if passed_ms > 0 else "before"
    return _doubted(guard, f"the wall clock is {abs(passed_ms)} ms {direction} the newest record", passed_ms)


def observe(guard: ClockGuard, wall_ms: int, monotonic_ms: int) -> ClockGuard:
    """Look at both clocks; to be done every second or so, and before each publication.

    Args:
        monotonic_ms: A clock that no one sets, in ms since any moment.
    """
    advance_ms = wall_ms - guard.reading.wall_ms
    step_ms = advance_ms - (monotonic_ms - guard.reading.monotonic_ms)
    guard = replace(guard, reading=Reading(wall_ms, monotonic_ms))
    if abs(step_ms) <= STEP_MS_MAX:
        return guard
    direction = "forward" if step_ms > 0 else "back"
    return _doubted(guard, f"the wall clock went {direction} by {abs(step_ms)} ms", step_ms)


def observe_publication(guard: ClockGuard, due_ms: int, received_ms: int, publish_delay_ms: int) -> ClockGuard:
    """Take the media time of a segment as a witness.

    A copy may come from when its media has ended until it is due, give or take `CONFIRM_MS_MAX`. So a clock that is
    confirmed is wrong by twice that and the publish delay at most, if packagers' clocks are right.

    Segments that are due in the same second count once, as they tell one time. One that comes too early or too
    late makes the count begin anew: a packager that catches up proves nothing, and where packagers disagree,
    somebody has to look.

    Args:
        due_ms: When the segment was due by the event's timeline.
        received_ms: Wall clock of its last byte. What came before the doubt says nothing of the clock after it.
        publish_delay_ms: How long after the end of its media it was due.
    """
    if guard.doubt is None or received_ms < guard.doubt.since_ms:
        return guard
    if not -publish_delay_ms - CONFIRM_MS_MAX <= received_ms - due_ms <= CONFIRM_MS_MAX:
        return replace(guard, agreed_count=0, agreed_due_ms=None)
    if guard.agreed_due_ms is not None and due_ms < guard.agreed_due_ms + CONFIRM_SPACING_MS:
        return guard
    guard = replace(guard, agreed_count=guard.agreed_count + 1, agreed_due_ms=due_ms)
    if guard.agreed_count < CONFIRMATIONS:
        return guard
    return _confirmed(guard, f"{CONFIRMATIONS} segments in a row were published when they were due")


def confirm(guard: ClockGuard) -> ClockGuard:
    """End a doubt on an operator's word."""
    return guard if guard.doubt is None else _confirmed(guard, "an operator has confirmed the wall clock")


def _doubted(guard: ClockGuard, reason: str, step_ms: int) -> ClockGuard:
    return ClockGuard(guard.reading, Doubt(reason, step_ms, guard.reading.wall_ms))


def _confirmed(guard: ClockGuard, confirmation: str) -> ClockGuard:
    return ClockGuard(guard.reading, confirmation=confirmation)

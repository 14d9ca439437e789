"""What a filling disk means: less history first, then no old segments, then none at all. Never less of the window.

The disk is as full as the fuller of two: the origin's own budget, and the file system it lies on, where others
may write. Each level takes one thing away, and says so long before writes fail by themselves:

- shrink: retention counts as 0, so that what has left the DVR window goes at once;
- refuse-old: and copies of segments past their retry deadline are refused, as nobody waits for them;
- refuse-all: and so is everything else. Live stays delivered, from memory and from what is there.

A level begins above its threshold and ends `HYSTERESIS_PERCENT` below it. Without that gap a disk just at a threshold
would go to and fro with every segment that comes and every bucket that goes: packagers would be refused every
second time, and an alert would come and go. Levels end by themselves once there is space.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from selection.model import Event
from selection.window import gives_up_ms

# More than the next few segments add, and less than lies between two levels.
HYSTERESIS_PERCENT: Final = 2


class CapacityLevel(StrEnum):
    """How much is left, from plenty to nothing."""

    AMPLE = "ample"
    SHRINK = "shrink"
    REFUSE_OLD = "refuse-old"
    REFUSE_ALL = "refuse-all"


_ORDER: Final = tuple(CapacityLevel)


@dataclass(frozen=True, slots=True)
class CapacityPolicy:
    """Above how many percent of the disk each level begins."""

    shrink_percent: int = 90
    refuse_old_percent: int = 95
    refuse_percent: int = 98

    def __post_init__(self) -> None:
        ordered = self.shrink_percent < self.refuse_old_percent < self.refuse_percent
        assert ordered, "levels come one after the other"


@dataclass(frozen=True, slots=True)
class DiskUse:
    """How full the disk is.

    Args:
        used_bytes, budget_bytes: Of what the origin may store in all.
        free_bytes, total_bytes: Of the file system; free is what this process could still write. A total of 0 is
            one that does not tell.
    """

    used_bytes: int
    budget_bytes: int
    free_bytes: int
    total_bytes: int

    def is_above(self, percent: int) -> bool:
        """Tell whether the budget or the file system is filled to more than `percent`."""
        filled_bytes = self.total_bytes - self.free_bytes
        return (
            self.used_bytes * 100 > self.budget_bytes * percent  # exact: no division
            or filled_bytes * 100 > self.total_bytes * percent
        )


def level(use: DiskUse, policy: CapacityPolicy, former: CapacityLevel) -> CapacityLevel:
    """Return the level in force, given the one that was in force before.

    >>> nearly_full = DiskUse(used_bytes=89, budget_bytes=100, free_bytes=50, total_bytes=100)
    >>> [level(nearly_full, CapacityPolicy(), former).value for former in ("ample", "refuse-all")]
    ['ample', 'shrink']
    """
    thresholds = (policy.shrink_percent, policy.refuse_old_percent, policy.refuse_percent)
    reached = CapacityLevel.AMPLE
    for each, percent in zip(_ORDER[1:], thresholds, strict=True):
        is_in_force = _ORDER.index(former) >= _ORDER.index(each)
        if use.is_above(percent - HYSTERESIS_PERCENT if is_in_force else percent):
            reached = each
    return reached


def retention_in_force_ms(level_now: CapacityLevel, retention_ms: int) -> int:
    """Return how long to keep what has left the DVR window. The window itself is never shortened."""
    return retention_ms if level_now is CapacityLevel.AMPLE else 0


def is_refused(level_now: CapacityLevel, event: Event, number: int | None, now_ms: int) -> bool:
    """Tell whether a copy of segment `number` finds no space; None for an init segment or a manifest."""
    if level_now is CapacityLevel.REFUSE_ALL:
        return True
    if level_now is CapacityLevel.REFUSE_OLD:
        return number is not None and now_ms >= gives_up_ms(event, number)
    return False

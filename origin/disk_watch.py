"""Watches how full the disk is; `selection.capacity` has the rules."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from config.model import Storage
from origin.clock import Clock
from origin.logs import fields
from selection.capacity import CapacityLevel, CapacityPolicy, DiskUse, is_refused, level, retention_in_force_ms
from selection.model import Event

log = logging.getLogger(__name__)


class DiskWatch:
    """The capacity level of one node.

    Args:
        path: A folder on the file system to look at.
        storage: What is configured.
        used_bytes: Returns what the origin stores.
    """

    def __init__(self, path: Path, storage: Storage, used_bytes: Callable[[], int], clock: Clock) -> None:
        self._path = path
        self._budget_bytes = storage.ssd_bytes
        self._policy = CapacityPolicy(storage.shrink_percent, storage.refuse_old_percent, storage.refuse_percent)
        self._clock = clock
        self._used_bytes = used_bytes
        self.level = CapacityLevel.AMPLE

    def look(self) -> None:
        """Look how full it is; blocks for as long as the file system takes to say so."""
        use = DiskUse(self._used_bytes(), self._budget_bytes, *_free_and_total_bytes(self._path))
        former, self.level = self.level, level(use, self._policy, self.level)
        if self.level is not former:
            tell = log.info if self.level is CapacityLevel.AMPLE else log.warning
            tell(
                "disk level changed",
                extra=fields(
                    level=self.level,
                    former=former,
                    used_bytes=use.used_bytes,
                    budget_bytes=use.budget_bytes,
                    file_system_free_bytes=use.free_bytes,
                    file_system_bytes=use.total_bytes,
                ),
            )

    def has_space(self, event: Event, number: int | None) -> bool:
        """Tell whether a copy finds space; `number` is None for an init segment or a manifest."""
        return not is_refused(self.level, event, number, self._clock.now_ms())

    def retention_ms(self, event: Event) -> int:
        """Return how long to keep what has left the DVR window."""
        return retention_in_force_ms(self.level, event.retention_ms)


def _free_and_total_bytes(path: Path) -> tuple[int, int]:
    """Return what this process can still write, and all there is; zeros if the file system does not say."""
    try:
        status = os.statvfs(path)
    except OSError:
        return 0, 0  # a vanished disk is not a full one: writing to it fails by itself
    used_blocks = status.f_blocks - status.f_bfree
    # What is reserved for root counts neither as free nor as there.
    return status.f_bavail * status.f_frsize, (used_blocks + status.f_bavail) * status.f_frsize

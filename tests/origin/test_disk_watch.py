"""The disk watch: which level follows from the budget and the file system, and what is said and refused at each."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.model import Storage
from origin.disk_watch import DiskWatch
from selection.capacity import CapacityLevel
from tests.support.clock import FakeClock
from tests.support.events import make_event

AMPLE, SHRINK, REFUSE_OLD, REFUSE_ALL = CapacityLevel
BUDGET_BYTES = 100 * 1024**2
BLOCK_BYTES = 4_096
BLOCKS_COUNT = 1_000
EVENT = make_event()
GIVEN_UP_MS = 33_000  # of segment 10


class Watched:
    """A watch over a disk that tests fill, in percent of the budget and of the file system."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **storage: Any) -> None:
        self.clock = FakeClock(GIVEN_UP_MS)
        self.budget_percent = self.file_system_percent = 0
        self.reserved_blocks_count = 0
        monkeypatch.setattr(os, "statvfs", self._statvfs)
        settings = Storage(ssd=BUDGET_BYTES, **storage)
        self.watch = DiskWatch(folder, settings, lambda: BUDGET_BYTES * self.budget_percent // 100, self.clock)

    def look(self) -> CapacityLevel:
        self.watch.look()
        return self.watch.level

    def _statvfs(self, _: Path) -> os.statvfs_result:
        """Answer as a file system, of which root keeps some blocks for itself."""
        available_count = BLOCKS_COUNT - BLOCKS_COUNT * self.file_system_percent // 100
        all_count = BLOCKS_COUNT + self.reserved_blocks_count
        free_count = available_count + self.reserved_blocks_count
        return os.statvfs_result(
            (2 * BLOCK_BYTES, BLOCK_BYTES, all_count, free_count, available_count, 9, 9, 9, 0, 255)
        )


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, monkeypatch)


# (percent, level on the way up); each begins above its threshold.
RISING = [
    (90, AMPLE),
    (91, SHRINK),
    (95, SHRINK),
    (96, REFUSE_OLD),
    (98, REFUSE_OLD),
    (99, REFUSE_ALL),
    (100, REFUSE_ALL),
]
# Each ends two percent below it.
FALLING = [(97, REFUSE_ALL), (96, REFUSE_OLD), (94, REFUSE_OLD), (93, SHRINK), (89, SHRINK), (88, AMPLE), (0, AMPLE)]


@pytest.mark.parametrize("what", ["budget_percent", "file_system_percent"])
def test_levels_follow_the_fuller_of_budget_and_file_system(watched: Watched, what: str) -> None:
    for percent, level in RISING + FALLING:
        setattr(watched, what, percent)
        assert watched.look() is level, percent


def test_before_the_first_look_there_is_plenty(watched: Watched) -> None:
    watched.budget_percent = 100
    assert watched.watch.level is AMPLE


def test_what_is_reserved_for_root_is_no_space_at_all(watched: Watched) -> None:
    """ext4 keeps 5 percent: writes fail when only that is left, so that is what full means."""
    watched.reserved_blocks_count = 50
    watched.file_system_percent = 90
    assert watched.look() is AMPLE
    watched.file_system_percent = 99
    assert watched.look() is REFUSE_ALL


def test_thresholds_are_the_configured_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(tmp_path, monkeypatch, shrink_percent=20, refuse_old_percent=40, refuse_percent=60)
    for percent, level in ((20, AMPLE), (21, SHRINK), (41, REFUSE_OLD), (61, REFUSE_ALL)):
        watched.budget_percent = percent
        assert watched.look() is level


def test_a_file_system_that_does_not_answer_leaves_the_budget(tmp_path: Path) -> None:
    """A disk that has vanished is no full one: writing to it fails by itself."""
    used_bytes = [0]
    watch = DiskWatch(tmp_path / "vanished", Storage(ssd=BUDGET_BYTES), lambda: used_bytes[0], FakeClock())
    watch.look()
    assert watch.level is AMPLE
    used_bytes[0] = BUDGET_BYTES
    watch.look()
    assert watch.level is REFUSE_ALL


def test_a_real_file_system_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it says: no more is free than there is."""
    DiskWatch(tmp_path, Storage(ssd=BUDGET_BYTES), lambda: BUDGET_BYTES, FakeClock()).look()
    line = caplog.records[0].__dict__["fields"]
    assert 0 <= line["file_system_free_bytes"] < line["file_system_bytes"]


# (percent, whether there is space for: the segment that was given up, the next one, an init segment or manifest)
SPACE = [
    (90, (True, True, True)),
    (91, (True, True, True)),
    (96, (False, True, True)),
    (99, (False, False, False)),
]


@pytest.mark.parametrize(("percent", "has_space"), SPACE)
def test_old_copies_are_refused_first_and_then_all(
    watched: Watched, percent: int, has_space: tuple[bool, bool, bool]
) -> None:
    watched.budget_percent = percent
    watched.look()
    assert tuple(watched.watch.has_space(EVENT, number) for number in (10, 11, None)) == has_space


def test_a_copy_is_old_from_its_retry_deadline_on(watched: Watched) -> None:
    watched.budget_percent = 96
    watched.look()
    watched.clock.move_to(GIVEN_UP_MS - 1)
    assert watched.watch.has_space(EVENT, 10)
    watched.clock.move_to(GIVEN_UP_MS)
    assert not watched.watch.has_space(EVENT, 10)


@pytest.mark.parametrize(("percent", "retention_ms"), [(90, 30_000), (91, 0), (96, 0), (99, 0)])
def test_only_a_disk_with_plenty_keeps_what_has_left_the_window(
    watched: Watched, percent: int, retention_ms: int
) -> None:
    watched.budget_percent = percent
    watched.look()
    assert watched.watch.retention_ms(EVENT) == retention_ms


def test_a_level_is_told_when_it_changes_and_only_then(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="origin.disk_watch")
    for percent in (50, 91, 92, 99, 99, 50, 40):
        watched.budget_percent = percent
        watched.look()
    said = [
        (record.levelname, record.__dict__["fields"]["former"], record.__dict__["fields"]["level"])
        for record in caplog.records
        if record.getMessage() == "disk level changed"
    ]
    assert said == [
        ("WARNING", AMPLE, SHRINK),
        ("WARNING", SHRINK, REFUSE_ALL),
        ("INFO", REFUSE_ALL, AMPLE),
    ]


LINES: list[tuple[str, Callable[[Watched], None], dict[str, int]]] = [
    ("budget", lambda watched: setattr(watched, "budget_percent", 91), {"used_bytes": 91 * 1024**2}),
    (
        "file-system",
        lambda watched: setattr(watched, "file_system_percent", 91),
        {"file_system_free_bytes": 90 * BLOCK_BYTES},
    ),
]


@pytest.mark.parametrize(("fill", "differs"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_the_log_tells_which_of_the_two_is_full(
    watched: Watched, caplog: pytest.LogCaptureFixture, fill: Callable[[Watched], None], differs: dict[str, int]
) -> None:
    fill(watched)
    watched.look()
    (record,) = (record for record in caplog.records if record.name == "origin.disk_watch")
    assert (
        record.__dict__["fields"]
        == {
            "level": SHRINK,
            "former": AMPLE,
            "used_bytes": 0,
            "budget_bytes": BUDGET_BYTES,
            "file_system_free_bytes": BLOCKS_COUNT * BLOCK_BYTES,
            "file_system_bytes": BLOCKS_COUNT * BLOCK_BYTES,
        }
        | differs
    )

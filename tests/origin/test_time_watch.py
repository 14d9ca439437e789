"""The time watch: when the wall clock is doubted, who ends the doubt, and what is said of both."""

from pathlib import Path
from typing import Any

import pytest

from origin.time_watch import TimeWatch
from selection.clock_guard import FORWARD_AT_START_MS_MAX, STEP_MS_MAX
from selection.model import Choice, Moment, Rule
from storage.records import Chosen, Entry, Lost, Published, Record
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_event, make_key

NOW_MS = 10_000_000
HOUR_MS = 3_600_000
EVENT = make_event()


class Watched:
    """A watch, its clock, and what it says."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="origin.time_watch")
        self.clock = FakeClock(NOW_MS)
        self.watch = TimeWatch({EVENT.id: EVENT}, self.clock)
        self._caplog = caplog
        self._sequence = 0

    def is_trusted(self) -> bool:
        return self.watch.is_trusted

    def pass_ms(self, passed_ms: int) -> None:
        """Let time pass, evenly."""
        self.clock.move_to(self.clock.now_ms() + passed_ms)

    def step(self, by_ms: int = HOUR_MS) -> None:
        """Set the clock, and look."""
        self.clock.step(by_ms)
        self.watch.look()

    def record(self, record: Record, at_ms: int) -> None:
        self._sequence += 1
        self.watch.observe_entry(Entry(Moment(at_ms, self._sequence), record))

    def publish(self, late_ms: int = 0, *, event_id: str = "derby", is_init: bool = False) -> None:
        """Record the segment that was due `late_ms` ago, received now."""
        now_ms = self.clock.now_ms()
        number = None if is_init else (now_ms - late_ms - 1_000) // 2_000 - 1
        copy = candidate("a", now_ms, sequence=self._sequence + 1)
        self.record(Published(make_key(number, event_id=event_id), copy), now_ms)

    def publish_in_time(self, count: int) -> None:
        for _ in range(count):
            self.pass_ms(2_000)
            self.publish()

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(record.levelname, record.getMessage()) for record in self._caplog.records]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [record.__dict__["fields"] for record in self._caplog.records]


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Watched:
    return Watched(caplog)


DOUBTED = ("ERROR", "wall clock in doubt, nothing is deleted")
CONFIRMED = ("WARNING", "wall clock confirmed, deleting goes on")
REMEDY = "packagers confirm it by publishing on time, an operator by POST /api/v1/gc/confirm-clock"

# -- Steps

STEPS = [
    ("none", 0, True),
    ("as-daemons-do", STEP_MS_MAX, True),
    ("forward", STEP_MS_MAX + 1, False),
    ("back-as-daemons-do", -STEP_MS_MAX, True),
    ("back", -STEP_MS_MAX - 1, False),
    ("a-year", 365 * 24 * HOUR_MS, False),
]


@pytest.mark.parametrize(("by_ms", "is_trusted"), [case[1:] for case in STEPS], ids=[case[0] for case in STEPS])
def test_a_clock_that_steps_is_not_trusted(watched: Watched, by_ms: int, is_trusted: bool) -> None:
    watched.pass_ms(10 * HOUR_MS)
    watched.watch.look()
    watched.step(by_ms)
    assert watched.is_trusted() is is_trusted
    assert watched.said == ([] if is_trusted else [DOUBTED])


def test_time_that_passes_is_no_step_however_seldom_one_looks(watched: Watched) -> None:
    for passed_ms in (0, 1, 1_000, 100 * HOUR_MS):
        watched.pass_ms(passed_ms)
        watched.watch.look()
    assert watched.is_trusted()
    assert watched.said == []


def test_a_doubt_is_told_once_with_its_reason_and_what_ends_it(watched: Watched) -> None:
    watched.step()
    for _ in range(3):
        watched.pass_ms(1_000)
        watched.watch.look()
    assert watched.said == [DOUBTED]
    assert watched.lines == [
        {"reason": f"the wall clock went forward by {HOUR_MS} ms", "step_ms": HOUR_MS, "remedy": REMEDY}
    ]


def test_a_step_within_a_doubt_is_told_too(watched: Watched) -> None:
    watched.step()
    watched.step(-HOUR_MS)
    assert watched.said == [DOUBTED, DOUBTED]
    assert [line["step_ms"] for line in watched.lines] == [HOUR_MS, -HOUR_MS]
    assert not watched.is_trusted(), "who was wrong, then or now, is not known"


# -- Starts

# (id, ms since the newest record, or None without any, whether the clock is trusted)
STARTS: list[tuple[str, int | None, bool]] = [
    ("first", None, True),
    ("at-once", 0, True),
    ("after-a-day", FORWARD_AT_START_MS_MAX, True),
    ("later", FORWARD_AT_START_MS_MAX + 1, False),
    ("a-little-before-it", -STEP_MS_MAX, True),
    ("before-it", -STEP_MS_MAX - 1, False),
]


@pytest.mark.parametrize(("passed_ms", "is_trusted"), [case[1:] for case in STARTS], ids=[case[0] for case in STARTS])
def test_at_a_start_the_clock_is_held_against_the_newest_record(
    watched: Watched, passed_ms: int | None, is_trusted: bool
) -> None:
    watched.watch.compare_with_records(None if passed_ms is None else NOW_MS - passed_ms)
    assert watched.is_trusted() is is_trusted
    assert watched.said == ([] if is_trusted else [DOUBTED])
    if not is_trusted:
        assert watched.lines[0]["step_ms"] == passed_ms
        assert "the newest record" in watched.lines[0]["reason"]


def test_the_time_that_a_recovery_takes_is_no_step(watched: Watched) -> None:
    watched.pass_ms(600_000)
    watched.watch.compare_with_records(NOW_MS)
    watched.watch.look()
    assert watched.is_trusted()


def test_a_step_during_recovery_is_seen_by_the_records(watched: Watched) -> None:
    watched.clock.step(2 * FORWARD_AT_START_MS_MAX)
    watched.watch.compare_with_records(NOW_MS)
    assert not watched.is_trusted()


# -- Who ends a doubt


def test_three_segments_in_a_row_that_come_when_they_are_due_end_it(watched: Watched) -> None:
    watched.step()
    watched.publish_in_time(2)
    assert not watched.is_trusted()
    watched.publish_in_time(1)
    assert watched.is_trusted()
    assert watched.said == [DOUBTED, CONFIRMED]
    assert watched.lines[1] == {"by": "3 segments in a row were published when they were due"}
    assert watched.watch.guard.confirmation == watched.lines[1]["by"]


# A copy may come from when its media has ended, 1 s before it is due, until it is due; 2 s more or less agree.
@pytest.mark.parametrize(("late_ms", "agrees"), [(-3_001, False), (-3_000, True), (2_000, True), (2_001, False)])
def test_what_comes_between_the_end_of_its_media_and_when_it_is_due_agrees(
    watched: Watched, late_ms: int, agrees: bool
) -> None:
    watched.step()
    for number in range(7_000, 7_003):
        watched.clock.move_to((number + 1) * 2_000 + 1_000 + late_ms)
        copy = candidate("a", watched.clock.now_ms(), sequence=number)
        entry = Entry(copy.moment, Published(make_key(number), copy))
        watched.watch.observe_entry(entry)
    assert watched.is_trusted() is agrees


def test_packagers_whose_clocks_are_right_confirm_no_wrong_one(watched: Watched) -> None:
    """Seen by a clock that is an hour ahead, everything comes an hour late."""
    watched.step()
    for _ in range(20):
        watched.pass_ms(2_000)
        watched.publish(HOUR_MS)
    assert not watched.is_trusted()


def test_a_step_that_mends_the_clock_is_confirmed(watched: Watched) -> None:
    watched.step()
    for _ in range(5):
        watched.pass_ms(2_000)
        watched.publish(HOUR_MS)
    watched.step(-HOUR_MS)
    watched.publish_in_time(3)
    assert watched.is_trusted()


def test_one_that_comes_late_makes_the_count_begin_anew(watched: Watched) -> None:
    watched.step()
    watched.publish_in_time(2)
    watched.pass_ms(2_000)
    watched.publish(60_000)
    watched.publish_in_time(2)
    assert not watched.is_trusted()
    watched.publish_in_time(1)
    assert watched.is_trusted()


def test_a_segment_in_all_its_copies_is_one_witness(watched: Watched) -> None:
    watched.step()
    watched.pass_ms(2_000)
    for _ in range(10):
        watched.publish()
    assert not watched.is_trusted()


def test_a_step_that_nobody_has_looked_at_is_noticed_before_a_segment_counts(watched: Watched) -> None:
    """Else a segment of the time before would speak for the time after."""
    watched.step()
    watched.publish_in_time(2)
    watched.clock.step(HOUR_MS)
    watched.publish_in_time(1)
    assert not watched.is_trusted()
    assert watched.said == [DOUBTED, DOUBTED]


def test_what_tells_no_time_is_no_witness(watched: Watched) -> None:
    watched.step()
    copy = candidate("a", NOW_MS)
    for _ in range(5):
        watched.pass_ms(2_000)
        watched.publish(is_init=True)
        watched.publish(event_id="oaks")
        watched.record(Chosen.of(make_key(10), Choice(copy, Rule.FIRST_IN_ORDER, NOW_MS)), NOW_MS)
        watched.record(Lost(make_key(10), "a", 1), NOW_MS)
    assert not watched.is_trusted()


def test_an_operator_ends_a_doubt_at_once(watched: Watched) -> None:
    watched.step()
    watched.watch.confirm()
    assert watched.is_trusted()
    assert watched.said == [DOUBTED, CONFIRMED]
    assert watched.lines[1] == {"by": "an operator has confirmed the wall clock"}


def test_without_a_doubt_there_is_nothing_to_confirm(watched: Watched) -> None:
    watched.watch.confirm()
    watched.publish_in_time(5)
    assert watched.is_trusted()
    assert watched.watch.guard.confirmation is None
    assert watched.said == []


def test_a_doubt_that_ended_comes_back_with_the_next_step(watched: Watched) -> None:
    watched.step()
    watched.watch.confirm()
    watched.step()
    assert not watched.is_trusted()
    assert watched.said == [DOUBTED, CONFIRMED, DOUBTED]


def test_a_doubt_outlives_a_restart_and_its_end_does_too(tmp_path: Path) -> None:
    clock, note = FakeClock(10**12), tmp_path / "clock-in-doubt"

    def started() -> TimeWatch:
        watch = TimeWatch({EVENT.id: EVENT}, clock, note)
        watch.compare_with_records(clock.now_ms())
        return watch

    watch = started()
    told = [watch.is_trusted]
    clock.step(600_000)
    watch.look()
    again = started()  # what the newest record says fits the clock, as it was written by it
    told += [watch.is_trusted, again.is_trusted]
    again.confirm()
    assert [*told, started().is_trusted] == [True, False, False, True]
    assert not note.exists()

"""Watches whether the wall clock can be trusted with deleting; `selection.clock_guard` has the rules."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from origin.clock import Clock
from origin.logs import fields
from selection import clock_guard
from selection.clock_guard import ClockGuard, Doubt
from selection.model import Event
from selection.window import due_ms
from storage.records import Entry, Published

log = logging.getLogger(__name__)


class TimeWatch:
    """The clock guard of one node, fed by its clocks and by what packagers publish.

    Args:
        note: A file that is there for as long as the clock is in doubt: a restart must not end a doubt. None for who
            only looks.
    """

    def __init__(self, events: Mapping[str, Event], clock: Clock, note: Path | None = None) -> None:
        self._events = events
        self._clock = clock
        self._note = note
        self._guard = clock_guard.start(clock.now_ms(), clock.monotonic_ms(), None)

    def compare_with_records(self, last_recorded_ms: int | None) -> None:
        """Look at the clock at a start: `last_recorded_ms` is that of the newest record, None without any."""
        wall_ms = self._clock.now_ms()
        self._guard = clock_guard.start(wall_ms, self._clock.monotonic_ms(), last_recorded_ms)
        if self._guard.is_trusted and self._note is not None and self._note.exists():
            doubt = Doubt("the wall clock was in doubt before the restart", 0, wall_ms)
            self._guard = replace(self._guard, doubt=doubt)
        self._tell_doubt()

    @property
    def guard(self) -> ClockGuard:
        return self._guard

    @property
    def is_trusted(self) -> bool:
        """Whether anything may be deleted by this clock."""
        return self._guard.is_trusted

    def look(self) -> None:
        """Compare the clocks; to be called every second or so."""
        self._advance(clock_guard.observe(self._guard, self._clock.now_ms(), self._clock.monotonic_ms()))

    def confirm(self) -> None:
        """Trust the clock on an operator's word."""
        self._advance(clock_guard.confirm(self._guard))

    def observe_entry(self, entry: Entry) -> None:
        """Follow the journal: the media time of what packagers publish is a witness."""
        if self._guard.is_trusted or not isinstance(entry.record, Published):
            return
        key, candidate = entry.record.key, entry.record.candidate
        event = self._events.get(key.event_id)
        if event is None or key.number is None:
            return
        self.look()  # what came after a step must not be taken for what came before it
        due = due_ms(event, key.number)
        self._advance(clock_guard.observe_publication(self._guard, due, candidate.received_ms, event.publish_delay_ms))

    def _advance(self, guard: ClockGuard) -> None:
        former, self._guard = self._guard, guard
        if guard.doubt != former.doubt and guard.doubt is not None:
            self._tell_doubt()
        elif guard.is_trusted and not former.is_trusted:
            self._keep_note(is_doubted=False)
            log.warning("wall clock confirmed, deleting goes on", extra=fields(by=guard.confirmation))

    def _tell_doubt(self) -> None:
        doubt = self._guard.doubt
        if doubt is not None:
            self._keep_note(is_doubted=True)
            log.error(
                "wall clock in doubt, nothing is deleted",
                extra=fields(
                    reason=doubt.reason,
                    step_ms=doubt.step_ms,
                    remedy="packagers confirm it by publishing on time, an operator by POST /api/v1/gc/confirm-clock",
                ),
            )

    def _keep_note(self, *, is_doubted: bool) -> None:
        """Write or remove the note; a disk that cannot do so is told of, and the doubt holds for this run."""
        if self._note is None:
            return
        try:
            if is_doubted:
                self._note.touch()
            else:
                self._note.unlink(missing_ok=True)
        except OSError as exc:
            log.error("doubt of the wall clock not noted on disk", extra=fields(error=exc.strerror))

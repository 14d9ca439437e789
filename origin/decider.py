"""Runs the rules of `selection.decide` against catalog and clock, and records what they say.

A segment is considered when a copy of it was recorded, when the rules asked to be called again, and once
at start for what a crash left undecided. Everything here is synchronous: between asking the rules and
recording their answer nothing else can happen.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, assert_never

from origin.clock import Clock, Timer
from origin.logs import fields
from selection.decide import Choose, Situation, Wait, Withdraw, decide
from selection.model import Candidate, Event, SegmentKey
from selection.rank import MISMATCHED_INIT
from storage.base import Catalog, Stores
from storage.errors import StorageError
from storage.records import Chosen, Lost, Record, Withdrawn

log = logging.getLogger(__name__)

# A choice that could not be recorded is tried again: the disk may be full for a moment only.
RETRY_MS: Final = 500


def situation_of(event: Event, key: SegmentKey, catalog: Catalog) -> Situation:
    """Return what the rules are asked about: what is known of a segment now."""
    event_id, rendition_id, _ = key
    return Situation(
        event=event,
        key=key,
        candidates=catalog.candidates(key),
        neighbours=lambda number: catalog.candidates(SegmentKey(event_id, rendition_id, number)),
        masks=catalog.masks(event.id),
        current=catalog.choice(key),
        has_lost_choice=catalog.has_lost_choice(key),
    )


class Decider:
    """Makes the choices of one node.

    Args:
        events: By id.
        on_fault: Told when a choice could not be recorded.
    """

    def __init__(
        self,
        events: Mapping[str, Event],
        stores: Stores,
        clock: Clock,
        on_fault: Callable[[StorageError], None],
    ) -> None:
        self._events = events
        self._catalog = stores.catalog
        self._journal = stores.journal
        self._clock = clock
        self._on_fault = on_fault
        self._timers: dict[SegmentKey, Timer] = {}
        # The newest record, ahead of the wall clock, and when that was noticed by the monotonic one.
        self._pinned: tuple[int, int] | None = None

    def resume(self) -> None:
        """Consider everything that has copies and no choice: what the last run could not finish."""
        for key in self._catalog.undecided():
            self.consider(key)

    def consider(self, key: SegmentKey) -> None:
        """Ask the rules about one segment and record a choice, if they make one."""
        event = self._events.get(key.event_id)
        if event is None or key.rendition_id not in event.rendition_ids:
            return  # a journal of an older configuration
        self._cancel(key)
        while self._consider_once(event, key):
            pass

    def lose(self, key: SegmentKey, candidate: Candidate) -> None:
        """Record that the body of a copy is missing or damaged, and decide anew if it was the one chosen."""
        if candidate not in (*self._catalog.candidates(key), self._chosen(key)):
            return  # somebody else has noticed, or it was replaced meanwhile
        log.error("body lost", extra=fields(key=key, pipeline=candidate.pipeline_id, etag=candidate.digest))
        record = Lost(key, candidate.pipeline_id, candidate.sequence)
        if self._record(key, record, self._clock.now_ms()):
            self.consider(key)

    def _chosen(self, key: SegmentKey) -> Candidate | None:
        choice = self._catalog.choice(key)
        return None if choice is None else choice.candidate

    def _consider_once(self, event: Event, key: SegmentKey) -> bool:
        """Ask once; returns whether something was recorded, so that it is worth asking again.

        It comes to rest: each further choice is less flawed than the one before, and the only copy is the best.
        """
        now_ms = self._now_ms()
        situation = situation_of(event, key, self._catalog)
        match decide(situation, now_ms):
            case Choose(choice):
                is_recorded = self._record(key, Chosen.of(key, choice), now_ms)
                if any(defect.name == MISMATCHED_INIT for defect in choice.candidate.defects) and not key.is_init:
                    self.consider(key._replace(number=None))  # perhaps nobody makes segments for the old one any more
                return is_recorded and len(situation.candidates) > 1
            case Withdraw():
                return self._record(key, Withdrawn(key), now_ms)
            case Wait(until_ms):
                if until_ms is not None:
                    self._call_again(key, until_ms)
                return False
            case decision:
                assert_never(decision)

    def stop(self) -> None:
        """Cancel every timer; what is undecided is considered again at the next start."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _record(self, key: SegmentKey, record: Record, now_ms: int) -> bool:
        try:
            self._journal.append(record, self._journal.next_moment(now_ms))
            return True
        except StorageError as exc:
            log.error("choice not recorded, trying again", extra=fields(key=key, error=str(exc), retry_ms=RETRY_MS))
            self._on_fault(exc)
            self._call_again(key, now_ms + RETRY_MS)
            return False

    def _call_again(self, key: SegmentKey, at_ms: int) -> None:
        self._cancel(key)
        wait_ms = at_ms - self._now_ms()
        self._timers[key] = self._clock.call_at(self._clock.now_ms() + wait_ms, partial(self._on_timer, key))

    def _now_ms(self) -> int:
        """Return the wall clock; but where that is behind the newest record, the time that has passed since.

        A wall clock that went back must not make a copy wait for its own moment.
        """
        wall_ms = self._clock.now_ms()
        newest_ms = self._journal.next_moment(wall_ms).ms
        if newest_ms == wall_ms:
            self._pinned = None
            return wall_ms
        monotonic_ms = self._clock.monotonic_ms()
        if self._pinned is None or newest_ms > self._pinned[0]:
            self._pinned = (newest_ms, monotonic_ms)
        return self._pinned[0] + monotonic_ms - self._pinned[1]

    def _on_timer(self, key: SegmentKey) -> None:
        self._timers.pop(key, None)
        self.consider(key)

    def _cancel(self, key: SegmentKey) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

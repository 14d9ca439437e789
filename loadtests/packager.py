"""Packagers: each publishes one rendition of one pipeline, on the grid of the epoch."""

import socket
from typing import ClassVar
from urllib.parse import urlsplit

from locust import task

from loadtests.judge import Count, Quantity
from loadtests.ledger import Answer, Segment
from loadtests.load import now_ms, sleep_until
from loadtests.media import init_segment, media_segment
from loadtests.schedule import jitter_ms, size_of
from loadtests.users import LoadUser, status_problem


class Packager(LoadUser):
    """One of them. It sends what is there already, then each segment as soon as its media has ended."""

    made: ClassVar[int] = 0

    def on_start(self) -> None:
        """Take a place, publish the init segment and the history."""
        load = self.load
        place, Packager.made = Packager.made % load.packagers, Packager.made + 1
        self.pipeline = load.pipelines[place // len(load.renditions)]
        self.rendition_index = place % len(load.renditions)
        self.rendition = load.renditions[self.rendition_index]
        self.was_dead = False
        try:
            self._publish_init()
            newest = load.grid.number_at(now_ms())
            # What is about to leave the window might be refused.
            self.number = max(newest - load.options.history, load.grid.first_kept(int(now_ms())) + 2)
            load.first_number = max(load.first_number, self.number)
            # What ends while this goes on is history, too: its moment is over.
            while self.number < load.grid.number_at(now_ms()):
                segment, body = (self.rendition, self.number), self._body(self.number)
                self._publish(segment, body, "history", is_history=True)
                self.number += 1
        finally:
            load.preparing -= 1

    @task
    def publish_next(self) -> None:
        """Make the next segment, wait for its moment, send it; a dead one does nothing until it is alive again."""
        load, number = self.load, self.number
        self.number += 1
        body = self._body(number)
        delay_ms = jitter_ms(self.pipeline, self.rendition, number, load.options.jitter_ms)
        planned_ms = load.grid.end_ms(number) + delay_ms + load.late_ms.get(self.pipeline, 0)
        sleep_until(planned_ms)
        if load.is_dead(self.pipeline):
            if not self.was_dead:
                self._die_within(number, body)
            self.was_dead = True
            return
        if self.was_dead:
            # It was started anew, so it says again what its segments are made for.
            self._publish_init()
            self.was_dead = False
        behind_ms = now_ms() - planned_ms
        load.measure(Quantity.PACKAGER_LATE, behind_ms)
        self.report("packager, behind its schedule", behind_ms)
        self._publish((self.rendition, number), body, "segment")

    def _body(self, number: int) -> bytes:
        options = self.load.options
        size_bytes = size_of(self.rendition_index, options.segment_bytes)
        return media_segment(number - options.start_number, options.segment_ms, size_bytes)

    def _publish_init(self) -> None:
        if self.load.options.init:
            self._publish((self.rendition, None), init_segment(), "init")

    def _publish(self, segment: Segment, body: bytes, row: str, *, is_history: bool = False) -> None:
        self.load.ledger.sent(segment, self.pipeline, body)

        def judged(answer: Answer) -> str | None:
            if is_history and answer.status == 409:
                # An earlier run published this segment, and caches may have it.
                self.load.ledger.refused(segment, self.pipeline)
                return None
            problem = status_problem(answer, 200, 201)
            self.load.count(Count.PUTS if problem is None else Count.PUT_FAILURES)
            return problem

        begun_ms = now_ms()
        _, answered_ms = self.ask("PUT", self._url(segment), f"publish: {row}", judged, data=body)
        if not is_history:
            own_ms = self.load.lag.busy_ms(begun_ms, answered_ms)
            self.load.measure(Quantity.PUT, answered_ms - begun_ms - own_ms)

    def _url(self, segment: Segment) -> str:
        options = self.load.options
        return f"{options.publish}/{options.event}/{self.pipeline}/{self.name_of(segment)}"

    def _die_within(self, number: int, body: bytes) -> None:
        """Send half of a segment and hang up, as a process does that is killed: nobody may ever get it."""
        url = urlsplit(self._url((self.rendition, number)))
        head = f"PUT {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            with socket.create_connection((url.hostname, url.port or 80), timeout=self.connection_timeout) as wire:
                wire.sendall(head.encode() + body[: len(body) // 2])
        except OSError:
            self.load.count(Count.PUT_FAILURES)
        else:
            self.load.count(Count.PUTS_CUT)

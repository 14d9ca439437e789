"""Clients of the deliver side: caches at the live edge, caches that rewind, and clients that ask for junk.

Which of these one is tells the stage, so the same connection may be all of them in turn.
"""

import random
import time
from collections.abc import Callable, Mapping

from locust import task

from loadtests.judge import Count, Quantity
from loadtests.junk import junk, problem_of
from loadtests.ledger import Answer, Segment
from loadtests.load import now_ms, sleep_until
from loadtests.stages import Role
from loadtests.users import LoadUser, status_problem

# A rewinder keeps off both ends of the window: at one a segment may be going, at the other one is just coming.
_OFF_THE_ENDS = 3


class Client(LoadUser):
    """One connection."""

    def on_start(self) -> None:
        """Join the fleet."""
        self.place = self.load.join(self)
        self.luck = random.Random(self.place)
        self.rendition = self.load.renditions[self.place % len(self.load.renditions)]
        self.number: int | None = None
        self.next_ms = now_ms()

    def on_stop(self) -> None:
        """Leave it."""
        self.load.leave(self)

    @task
    def act(self) -> None:
        """Do once what the role wants."""
        role = self.load.role_of(self)
        if role is Role.CACHE:
            self._fill_next()
            return
        if self.number is not None:
            # It was a cache until now, and is behind nothing.
            self.number, self.next_ms = None, now_ms()
        if role is None:
            time.sleep(0.1)
            return
        # On a schedule that does not wait for answers; what it fell behind by is caught up with, up to a second.
        self.next_ms = max(self.next_ms + 1_000 / self.load.options.rate, now_ms() - 1_000)
        sleep_until(self.next_ms)
        if role is Role.REWINDER:
            self._rewind()
        else:
            self._ask_for_junk()

    def _fill_next(self) -> None:
        """Wait until a segment's media has ended, ask for it, check what comes."""
        load = self.load
        if self.number is None:
            self.number = load.grid.number_at(now_ms())
            self._fill_init()
        segment: Segment = (self.rendition, self.number)
        ended_ms = load.grid.end_ms(self.number)
        self.number += 1
        sleep_until(ended_ms)
        is_over = False
        try:
            answer, answered_ms = self.ask("GET", self.url_of(segment), "live edge", lambda a: self._live(segment, a))
            is_over = True
        finally:
            # Stopped while it waited: whoever has waited so long already was let down.
            if not is_over and now_ms() - ended_ms > load.options.missed_ms:
                load.count(Count.LIVE_MISSED)
        late_ms = answered_ms - ended_ms
        own_ms = load.lag.busy_ms(ended_ms, answered_ms)
        self.report("live edge, after media end", late_ms, status_problem(answer, 200))
        self.report("live edge, less the generator's own lag", late_ms - own_ms)
        load.measure(Quantity.LATE, late_ms)
        load.measure(Quantity.LATE_LESS_LAG, late_ms - own_ms)
        if answer.status == 200:
            self._ask_for_details(segment, answer)

    def _live(self, segment: Segment, answer: Answer) -> str | None:
        problem = status_problem(answer, 200)
        if problem is None:
            self.load.count(Count.LIVE)
            return self.body_problem(segment, answer)
        self.load.count(Count.LIVE_MISSED)
        if answer.status in (404, 410):
            self.load.count(Count.LIVE_NEGATIVE)
        elif answer.status == 503:
            self.load.count(Count.LIVE_SHED)
        return problem

    def _fill_init(self) -> None:
        segment: Segment = (self.rendition, None)

        def judged(answer: Answer) -> str | None:
            problem = status_problem(answer, 200)
            if problem is None:
                return self.body_problem(segment, answer)
            self.load.count(Count.LIVE_MISSED)
            return problem

        if self.load.options.init:
            self.ask("GET", self.url_of(segment), "init", judged)

    def _ask_for_details(self, segment: Segment, whole: Answer) -> None:
        """Now and then, ask again as caches do: is it still the same, how long is it, only a part of it."""
        url, etag = self.url_of(segment), whole.header("etag")
        half = len(whole.body) // 2
        kind = self.luck.randrange(12)
        if kind == 0:
            headers = {"If-None-Match": etag}
            self._detail("GET", url, "live edge: revalidated", lambda a: (a.status, a.body) == (304, b""), headers)
        elif kind == 1:
            length = str(len(whole.body))
            self._detail(
                "HEAD", url, "live edge: HEAD", lambda a: (a.status, a.header("content-length")) == (200, length)
            )
        elif kind == 2:
            headers = {"Range": f"bytes={half}-", "If-Range": etag}
            wanted = (206, whole.body[half:])
            self._detail("GET", url, "live edge: range", lambda a: (a.status, a.body) == wanted, headers)

    def _detail(
        self,
        method: str,
        url: str,
        row: str,
        is_right: Callable[[Answer], bool],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        def judged(answer: Answer) -> str | None:
            if is_right(answer) and answer.header("etag"):
                return None
            self.load.count(Count.WRONG_DETAILS)
            return f"wrong answer: {answer.error or f'status {answer.status}'}, {len(answer.body)} bytes"

        self.ask(method, url, row, judged, headers=headers or {})

    def _rewind(self) -> None:
        """Ask for any segment of the window; 503 with Retry-After is a right answer under load."""
        grid = self.load.grid
        oldest = max(self.load.first_number, grid.first_kept(int(now_ms())) + _OFF_THE_ENDS)
        newest = grid.number_at(now_ms()) - _OFF_THE_ENDS
        if oldest > newest:
            return
        segment: Segment = (self.luck.choice(self.load.renditions), self.luck.randint(oldest, newest))

        def judged(answer: Answer) -> str | None:
            if answer.status == 503 and answer.header("retry-after"):
                self.load.count(Count.REWINDS_SHED)
                return None
            problem = status_problem(answer, 200)
            if problem is None:
                self.load.count(Count.REWINDS)
                return self.body_problem(segment, answer)
            self.load.count(Count.REWIND_FAILURES)
            return problem

        _, answered_ms = self.ask("GET", self.url_of(segment), "rewind", judged)
        self.report("rewind, after its moment", answered_ms - self.next_ms)

    def _ask_for_junk(self) -> None:
        options = self.load.options
        media = options.media.format(rendition=self.rendition, number="{number}")
        asked = junk(options.event, media, self.load.grid, int(now_ms()), self.luck.randrange(1 << 30))

        def judged(answer: Answer) -> str | None:
            problem = problem_of(asked, answer, int(now_ms()))
            self.load.count(Count.JUNK if problem is None else Count.JUNK_FAILURES)
            return problem

        _, answered_ms = self.ask("GET", f"{options.host}{asked.path}", f"junk: {asked.kind}", judged)
        self.report("junk, after its moment", answered_ms - self.next_ms)

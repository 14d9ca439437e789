"""A disk that is only arithmetic: so many reads side by side, the others wait in a queue. Time is in ms."""

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

from selection.request_class import RequestClass
from selection.shedding import AdaptiveLimit, LoadLimits, refusal
from tests.support.load import Load


@dataclass
class SimulatedSsd:
    """Reads bodies for requests that shedding admits.

    Args:
        service_ms: What one read takes once it is at its turn; drawn from half to one and a half of it.
        side_by_side: How many are at their turn at once.
        limit: The adaptive limit, which learns from every read. `is_adaptive` False leaves it as it is.
    """

    service_ms: float
    side_by_side: int
    limit: AdaptiveLimit
    limits: LoadLimits
    is_adaptive: bool = True
    seed: int = 0
    now_ms: float = 0.0
    in_flight: int = 0
    refused_count: int = 0
    # What each read that ended took, by class.
    took_ms: dict[RequestClass, list[float]] = field(default_factory=dict)
    _queue: deque[tuple[RequestClass, float]] = field(default_factory=deque)
    # When reads at their turn end: (end, serial, class, begin).
    _reading: list[tuple[float, int, RequestClass, float]] = field(default_factory=list)
    _serial: int = 0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    @property
    def capacity_per_s(self) -> float:
        return self.side_by_side * 1000 / self.service_ms

    def run(self, until_ms: float, rewinds_per_s: float, live_every_ms: float = 200.0) -> None:
        """Let requests come in until then: rewinds at random moments, live ones at regular ones."""
        rewind_ms = self.now_ms + self._random.expovariate(rewinds_per_s / 1000)
        live_ms = self.now_ms + live_every_ms
        while min(rewind_ms, live_ms) < until_ms:
            if rewind_ms < live_ms:
                self._ask(RequestClass.DVR, rewind_ms)
                rewind_ms += self._random.expovariate(rewinds_per_s / 1000)
            else:
                self._ask(RequestClass.LIVE_EDGE, live_ms)
                live_ms += live_every_ms
        self._pass(until_ms)

    def forget(self) -> None:
        """Begin to count anew."""
        self.took_ms, self.refused_count = {}, 0

    def mean_ms(self, request_class: RequestClass) -> float:
        return sum(self.took_ms[request_class]) / len(self.took_ms[request_class])

    def _ask(self, request_class: RequestClass, now_ms: float) -> None:
        self._pass(now_ms)
        load = Load(self.in_flight, 0, 0)
        if refusal(request_class, load, self.limits, self.limit.reads_count, needs_read=True) is not None:
            self.refused_count += 1
            return
        self.in_flight += 1
        self._queue.append((request_class, now_ms))
        self._begin()

    def _begin(self) -> None:
        while self._queue and len(self._reading) < self.side_by_side:
            request_class, asked_ms = self._queue.popleft()
            end_ms = self.now_ms + self.service_ms * self._random.uniform(0.5, 1.5)
            self._serial += 1
            heapq.heappush(self._reading, (end_ms, self._serial, request_class, asked_ms))

    def _pass(self, now_ms: float) -> None:
        """Let time pass: reads end, and those that waited begin."""
        while self._reading and self._reading[0][0] <= now_ms:
            self.now_ms, _, request_class, asked_ms = heapq.heappop(self._reading)
            took_ms = self.now_ms - asked_ms
            self.took_ms.setdefault(request_class, []).append(took_ms)
            if self.is_adaptive:
                self.limit = self.limit.after(took_ms, self.in_flight)
            self.in_flight -= 1
            self._begin()
        self.now_ms = now_ms

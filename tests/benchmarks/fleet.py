"""Many clients in a process of their own, driven by epoll: asyncio would cost 0.2 ms a client, this costs 0.02 ms.

The fleet's own share can be told: a first byte counts from when epoll said that there is something to read, and how
long the fleet was deaf in between, busy with other clients, is noted for each batch that brought a first byte.
"""

import gc
import heapq
import multiprocessing
import os
import random
import select
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from tests.benchmarks.client import Address, Answer, Ask, Client

RETRY_NS: Final = 100_000_000
SCRATCH_BYTES: Final = 1024 * 1024
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 5.0
SEED: Final = 1
# Marks an ask whose successor is planned when it is sent; it is never repeated.
FLOWING: Final = -1


@dataclass(frozen=True)
class Plan:
    """What a fleet is.

    Args:
        keep_bytes: Largest body; bodies are kept and hashed. 0: their length is all that is looked at.
        core: The processor it runs on, or None for any.
        niceness: How far it stands back for other processes on that processor.
    """

    address: Address
    clients: int
    keep_bytes: int = 0
    core: int | None = None
    niceness: int = 0


class Harvest(NamedTuple):
    """What a fleet has got.

    Args:
        deaf_ns: For each batch with a first byte, how long the fleet then was busy.
        late_ns: For each scheduled request, how late the fleet came to it, whether or not its client was busy.
        pending: Asks that had no answer when the time was up.
    """

    answers: list[Answer]
    deaf_ns: list[int]
    late_ns: list[int]
    pending: int


class _Worker:
    """The loop within the process."""

    def __init__(self, control: Connection, plan: Plan) -> None:
        self._control = control
        self._poll = select.epoll()
        self._poll.register(control.fileno(), select.EPOLLIN)
        scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._clients = [Client(index, plan.address, plan.keep_bytes, scratch) for index in range(plan.clients)]
        self._by_file: dict[int, Client] = {}
        self._idle = dict.fromkeys(range(plan.clients))
        self._schedule: list[tuple[int, int, Ask]] = []
        self._scheduled_count = 0
        self._own: list[deque[Ask]] = [deque() for _ in self._clients]
        self._any: deque[Ask] = deque()
        self._ended: dict[int, Client] = {}
        self._answers: list[Answer] = []
        self._deaf_ns: list[int] = []
        self._late_ns: list[int] = []
        self._loop: tuple[list[str], int] = ([], 0)
        self._flow: Iterator[Ask] = iter(())
        self._collect_until_ns: int | None = None
        self._random = random.Random(SEED)
        self._stopped = False
        for client in self._clients:
            self._connect(client)

    def run(self) -> None:
        """Serve until told to stop."""
        control = self._control.fileno()
        while not self._stopped:
            ready = self._poll.poll(self._timeout_s())
            woke_ns = time.monotonic_ns()
            brought = False
            for file, _ in ready:
                if file == control:
                    self._obey()
                    continue
                client = self._by_file[file]
                was_waiting = not client.has_first_byte
                if client.read(woke_ns):
                    self._end(file, client)
                brought |= was_waiting and client.has_first_byte
            if brought:
                self._deaf_ns.append(time.monotonic_ns() - woke_ns)
            self._send_due()
            if not ready:
                self._finish_one()
            self._deliver_harvest()

    def _obey(self) -> None:
        verb, *arguments = self._control.recv()
        if verb == "ask":
            for ask in arguments[0]:
                self._plan(ask)
        elif verb == "loop":
            self._loop = (arguments[0], arguments[1])
            for index in list(self._idle):
                self._plan(Ask(self._random.choice(arguments[0]), index))
        elif verb == "flow":
            self._flow = self._flowing(*arguments)
            self._plan_next()
        elif verb == "collect":
            self._collect_until_ns = arguments[0]
        else:
            self._stopped = True

    def _plan(self, ask: Ask) -> None:
        self._scheduled_count += 1
        heapq.heappush(self._schedule, (ask.at_ns, self._scheduled_count, ask))

    def _flowing(self, paths: list[str], per_second: float, count: int) -> Iterator[Ask]:
        begin_ns = time.monotonic_ns()
        for index in range(count):
            yield Ask(self._random.choice(paths), None, begin_ns + int(index * 1e9 / per_second))

    def _plan_next(self) -> None:
        """Plan the next one of a flow; the schedule never holds more of it."""
        for ask in self._flow:
            self._plan(ask._replace(until_ns=FLOWING))
            return

    def _timeout_s(self) -> float:
        if self._ended:
            return 0
        moments = [self._schedule[0][0]] if self._schedule else []
        if self._collect_until_ns is not None:
            moments.append(self._collect_until_ns)
        return max(min(moments) - time.monotonic_ns(), 0) / 1e9 if moments else 60

    def _send_due(self) -> None:
        now_ns = time.monotonic_ns()
        while self._schedule and self._schedule[0][0] <= now_ns:
            ask = heapq.heappop(self._schedule)[2]
            if ask.at_ns:
                self._late_ns.append(now_ns - ask.at_ns)
            if ask.until_ns == FLOWING:
                self._plan_next()
            index = ask.client
            if index is None and self._idle:
                index = next(iter(self._idle))
            if index is None:
                self._any.append(ask)
            elif index in self._idle:
                self._start(self._clients[index], ask)
            else:
                self._own[index].append(ask)

    def _start(self, client: Client, ask: Ask) -> None:
        del self._idle[client.index]
        if client.number_of_file is None and not self._connect(client):
            client.ask = ask  # ends as an answer of status 0
            self._ended[client.index] = client
            return
        client.send(ask, time.monotonic_ns())

    def _connect(self, client: Client) -> bool:
        try:
            file = client.connect()
        except OSError:
            return False
        self._by_file[file] = client
        self._poll.register(file, select.EPOLLIN)
        return True

    def _end(self, file: int, client: Client) -> None:
        """Note that an answer, or the connection, has ended. What is kept is hashed when there is time."""
        if client.number_of_file is None:
            del self._by_file[file]
        if client.ask is not None:
            self._ended[client.index] = client
            if not client.keeps:
                self._finish_one()

    def _finish_one(self) -> None:
        if not self._ended:
            return
        index, client = self._ended.popitem()
        ask = client.ask
        assert ask is not None
        answer = client.finish()
        self._answers.append(answer)
        self._idle[index] = None
        now_ns = time.monotonic_ns()
        if answer.status != 200 and now_ns + RETRY_NS < ask.until_ns:
            self._plan(ask._replace(at_ns=now_ns + RETRY_NS, client=index))
        elif now_ns < self._loop[1]:
            self._start(client, Ask(self._random.choice(self._loop[0]), index))
            return
        waiting = self._own[index] or self._any
        if waiting:
            self._start(client, waiting.popleft())

    def _deliver_harvest(self) -> None:
        if self._collect_until_ns is None:
            return
        busy = len(self._clients) - len(self._idle)
        pending = busy + len(self._schedule) + len(self._any) + sum(map(len, self._own))
        if pending and time.monotonic_ns() < self._collect_until_ns:
            return
        self._control.send(Harvest(self._answers, self._deaf_ns, self._late_ns, pending))
        self._answers, self._deaf_ns, self._late_ns, self._collect_until_ns = [], [], [], None


def _run(control: Connection, plan: Plan) -> None:
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    os.nice(plan.niceness)
    gc.disable()  # nothing here refers to itself
    worker = _Worker(control, plan)
    control.send("ready")
    worker.run()


class Fleet:
    """Clients in another process, connected when this returns. Use it as a context manager."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, plan), daemon=True)
        self._process.start()
        other.close()
        self._receive(START_S_MAX)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.is_alive():
            self._control.send(("stop",))
        self._process.join(STOP_S_MAX)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._control.close()

    def ask(self, asks: list[Ask]) -> None:
        """Have requests sent, each when it is due."""
        self._control.send(("ask", asks))

    def loop(self, paths: list[str], seconds: float) -> None:
        """Have every client ask for one path after the other at random, each as soon as it has its answer."""
        self._control.send(("loop", paths, time.monotonic_ns() + int(seconds * 1e9)))

    def flow(self, paths: list[str], per_second: float, seconds: float) -> None:
        """Send requests for paths at random on a schedule, however long answers take; all wait for an idle client."""
        self._control.send(("flow", paths, per_second, int(per_second * seconds)))

    def collect(self, within_s: float) -> Harvest:
        """Wait until all that was asked for is answered, or the time is up; return what came since the last time."""
        self._control.send(("collect", time.monotonic_ns() + int(within_s * 1e9)))
        harvest = self._receive(within_s + START_S_MAX)
        assert isinstance(harvest, Harvest)
        return harvest

    def _receive(self, within_s: float) -> object:
        if not self._control.poll(within_s):
            raise RuntimeError("the fleet does not answer")
        try:
            return self._control.recv()
        except EOFError:
            raise RuntimeError("the fleet has ended") from None

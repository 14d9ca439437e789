"""Threads for short file work, to which handing work over costs less than with `concurrent.futures`.

A file of 64 KB is written in 40 us. To hand that to an executor and hear of its end takes 60 us: a future of the
thread's, one of the loop's, what joins them, and a wake-up of the loop for each. Here a job has the loop's future only,
and all that ends before the loop looks is told to it at once.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

Result = TypeVar("Result")


class _Job(NamedTuple):
    work: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"


class Hands:
    """Threads that take jobs in the order in which they come.

    Args:
        count: How many threads there are at most; the next one is started when all others have something to do.
        name: What the threads are called.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._undone_count = 0  # the loop's to change
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._told: asyncio.AbstractEventLoop | None = None  # which is about to look at what is done
        self._is_closed = False

    def do(self, work: Callable[[], Result]) -> "asyncio.Future[Result]":
        """Have some work done, also if the caller is cancelled meanwhile. To be called on the event loop.

        Raises:
            RuntimeError: Closed.
        """
        if self._is_closed:
            raise RuntimeError("no work is taken after the end")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._undone_count += 1
        if self._undone_count > len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Wait for all work that was taken."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        result: Any
        while (job := self._jobs.get()) is not None:
            fault = None
            try:
                result = job.work()
            except BaseException as exc:  # noqa: BLE001  # raised where it is waited for
                result, fault = None, exc
            self._done.append((job.future, result, fault))
            # In this order, and the other way round in `_tell`: else what is appended while that ends were forgotten.
            if self._told is not job.loop:
                self._told = job.loop
                with suppress(RuntimeError):  # closed: nobody waits any more
                    job.loop.call_soon_threadsafe(self._tell)
            del job, result, fault  # a body is not kept until the next one comes

    def _tell(self) -> None:
        """Tell the loop's futures what came of them."""
        self._told = None
        while self._done:
            future, result, fault = self._done.popleft()
            self._undone_count -= 1
            if future.cancelled():
                continue
            if fault is None:
                future.set_result(result)
            else:
                future.set_exception(fault)

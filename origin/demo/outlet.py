"""Writes in a thread of its own, so that a terminal or pipe that blocks never stops a segment."""

import asyncio
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Final

from origin.logs import fields

log = logging.getLogger(__name__)

# About twenty minutes of reports, should nobody read them.
JOBS_MAX: Final = 10_000
CLOSE_TIMEOUT_S: Final = 2

Job = Callable[[], None]


class Outlet:
    """Runs jobs that write, one after the other.

    Args:
        on_broken: Called once, in the event loop, when nobody reads any more; what is submitted after that is
            dropped.
    """

    def __init__(self, on_broken: Callable[[], None]) -> None:
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.Queue[Job | None] = queue.Queue(JOBS_MAX)
        self._lost_count = 0
        self._thread = threading.Thread(target=self._work, name="demo-output", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether all that was submitted has been started."""
        return self._jobs.empty()

    def submit(self, job: Job) -> None:
        """Run `job` when its turn comes; with too many before it, it is dropped."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._lost_count += 1

    def write(self, line: str) -> None:
        """Write a line to stdout."""
        self.submit(lambda: _write_line(line))

    async def close(self) -> None:
        """Let the jobs end, unless nobody reads them."""
        if self._lost_count:
            log.warning("demo output dropped", extra=fields(jobs=self._lost_count))
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            return
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)

    def _work(self) -> None:
        is_broken = False
        while (job := self._jobs.get()) is not None:
            if is_broken:
                continue
            try:
                job()
            except OSError:
                is_broken = True
                _mute_stdout()
                self._loop.call_soon_threadsafe(self._on_broken)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _mute_stdout() -> None:
    """Let the interpreter flush at its end what nobody will read."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)

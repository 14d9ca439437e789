"""An origin whose clock runs faster: hours of an event in minutes.

    python -m tests.faults.accelerated CONFIG BASE_MS BASE_MONOTONIC_NS SPEED

Only the wall clock and its timers are faster. What the origin times by the event loop, such as how often it looks
for what has aged out, is not: seen from the event it is slower by as much.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from config.load import load_settings
from config.model import Settings
from origin.app import Origin
from origin.clock import Timer
from origin.logs import LogWriter
from tests.integration.process import ROOT, ServerProcess


@dataclass(frozen=True)
class AcceleratedClock:
    """Implements `origin.clock.Clock`. Equal arguments make the same clock in every process of a machine.

    Args:
        base_ms: Its wall clock at `base_monotonic_ns` of the machine's monotonic one.
        speed: How much faster than time it runs.
    """

    base_ms: int
    base_monotonic_ns: int
    speed: int

    @classmethod
    def from_now(cls, speed: int) -> "AcceleratedClock":
        return cls(time.time_ns() // 1_000_000, time.monotonic_ns(), speed)

    def now_ms(self) -> int:
        return self.base_ms + (time.monotonic_ns() - self.base_monotonic_ns) * self.speed // 1_000_000

    def monotonic_ms(self) -> int:
        return self.now_ms() - self.base_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(self._real_s(at_ms), callback)

    async def until_ms(self, at_ms: int) -> None:
        """Return when this clock shows `at_ms`."""
        await asyncio.sleep(self._real_s(at_ms))

    def _real_s(self, at_ms: int) -> float:
        return max(at_ms - self.now_ms(), 0) / 1000 / self.speed


@asynccontextmanager
async def accelerated_server(config: Path, clock: AcceleratedClock) -> AsyncIterator[tuple[ServerProcess, int]]:
    """Run an origin with this clock in a process of its own until the block ends; yields it and its process id."""
    numbers = (str(number) for number in (clock.base_ms, clock.base_monotonic_ns, clock.speed))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.accelerated", str(config), *numbers),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    server = ServerProcess(process)
    try:
        await server.until_ready()
        yield server, process.pid
    finally:
        await server.kill()


async def _serve(settings: Settings, clock: AcceleratedClock) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    origin = Origin(settings, clock)
    await origin.start()
    await stop.wait()
    await origin.stop()


def main() -> None:
    config, *numbers = sys.argv[1:]
    settings = load_settings(Path(config), os.environ, ())
    writer = LogWriter(settings.log.level)
    writer.start()
    try:
        uvloop.run(_serve(settings, AcceleratedClock(*map(int, numbers))))
    finally:
        writer.stop()


if __name__ == "__main__":
    main()

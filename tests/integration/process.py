"""`live-origin serve` as an operator runs it: a process of its own, told by signals, watched by its log."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, Final

from tests.integration.wire import PATIENCE_S, Address

ROOT: Final = Path(__file__).resolve().parent.parent.parent


class ServerProcess:
    """A running server. `lines` is its log so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())
        self._more = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self, message: str, **wanted: object) -> list[dict[str, Any]]:
        """Return all lines of its log so far that say this."""
        lines = [json.loads(line) for line in self.lines if message in line]
        return [line for line in lines if line["message"] == message and wanted.items() <= line.items()]

    async def until(self, message: str, count: int = 1, **wanted: object) -> dict[str, Any]:
        """Wait until its log says this for the `count`th time; returns that line."""
        async with asyncio.timeout(PATIENCE_S):
            while len(lines := self.said(message, **wanted)) < count:
                self._more.clear()
                await self._more.wait()
        return lines[count - 1]

    async def until_ready(self) -> None:
        """Wait until it takes traffic, and learn where."""
        async with asyncio.timeout(PATIENCE_S):
            fields = await self._ready
        self.publish, self.deliver, self.admin = (str(fields[name]) for name in ("publish", "deliver", "admin"))

    @property
    def messages(self) -> list[str]:
        """The messages of its log, all of whose lines are JSON."""
        return [json.loads(line)["message"] for line in self.lines]

    def send(self, signal: Signals) -> None:
        self._process.send_signal(signal)

    async def wait(self) -> int:
        """Return its exit status, with all of its log read."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self._process.wait()

    async def kill(self) -> None:
        """End it like a crash does, if it still runs."""
        if self._process.returncode is None:
            self.send(SIGKILL)
        await self.wait()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self.lines.append(line.decode())
            self._more.set()
            if not self._ready.done() and '"ready"' in self.lines[-1]:
                self._ready.set_result(json.loads(line))
        if not self._ready.done():
            self._ready.set_exception(RuntimeError("it did not start:\n" + "".join(self.lines)))


@asynccontextmanager
async def server_process(config: Path) -> AsyncIterator[ServerProcess]:
    """Run a server until the block ends, at the latest."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "origin", "serve", "--config", str(config)),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    server = ServerProcess(process)
    try:
        await server.until_ready()
        yield server
    finally:
        await server.kill()


def address_of(url: str) -> Address:
    """Return host and port of a base URL.

    >>> address_of("http://127.0.0.1:8080")
    ('127.0.0.1', 8080)
    """
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)

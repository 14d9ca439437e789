"""Runs `tests.support.toy_origin`, reads its log, and asks its children who they are."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PATIENCE_S: Final = 30


@dataclass(frozen=True)
class Identity:
    """Who has answered."""

    name: str
    generation: int
    pid: int
    descriptors_count: int


class Toys:
    """A running supervisor. `lines` is its log and that of its children so far."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._changed = asyncio.Condition()
        self.folder = folder
        self.pid = process.pid
        self.ports: dict[str, int] = {}
        self.lines: list[dict[str, Any]] = []
        self.is_at_end = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._changed:
                self.lines.append(json.loads(line))
                self._changed.notify_all()
        async with self._changed:
            self.is_at_end = True
            self._changed.notify_all()

    async def until(self, message: str, count: int = 1, **wanted: object) -> dict[str, Any]:
        """Return the line of the log that says this for the `count`th time."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            while len(said := self.said(message, **wanted)) < count:
                if self.is_at_end:
                    raise AssertionError(f"it never said {message!r} {wanted}: {self.lines}")
                await self._changed.wait()
            return said[count - 1]

    def said(self, message: str, **wanted: object) -> list[dict[str, Any]]:
        """Return all lines so far that say this."""
        return [line for line in self.lines if line["message"] == message and wanted.items() <= line.items()]

    def tell(self, name: str, text: str = "") -> Path:
        """Leave a file in the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def gate(self, name: str) -> Path:
        """Put a gate in the way of a child."""
        path = self.folder / name
        os.mkfifo(path)
        return path

    async def open(self, gate: Path) -> None:
        """Let through who stands at a gate, and take it away."""
        descriptor = await asyncio.to_thread(os.open, gate, os.O_WRONLY)
        os.unlink(gate)
        os.close(descriptor)

    def send(self, number: Signals) -> None:
        self._process.send_signal(number)

    async def ask(self, name: str) -> Identity:
        """Return who answers a connection to the listener."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[name])
            answer = (await reader.readline()).decode().split()
            writer.close()
        return Identity(answer[0], *(int(each) for each in answer[1:]))

    def pid_of(self, name: str) -> int:
        """Return the process that serves a slot; all workers share a port, so its log is asked."""
        return int(self.said("process started", child=name)[-1]["pid"])

    async def wait(self) -> int:
        """Return its exit status, with all of its log read."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self._process.wait()

    async def kill(self) -> None:
        """End it, if it still runs."""
        if self._process.returncode is None:
            self.send(SIGKILL)
        await self.wait()


@asynccontextmanager
async def toys(
    folder: Path, environ: Mapping[str, str] | None = None, *, is_ready: bool = True, **options: int
) -> AsyncIterator[Toys]:
    """Run a supervisor until the block ends, at the latest."""
    told = {"stop_ms": 20_000, "ready_ms": 20_000, "first_ms": 1} | options
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.toy_origin", str(folder), json.dumps(told)),
        cwd=ROOT,
        env=os.environ | dict(environ or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Toys(process, folder)
    try:
        if is_ready:
            running.ports = (await running.until("serving"))["ports"]
        yield running
    finally:
        await running.kill()

"""A packager as a process: probe ffmpeg, start it, tell when it ends, and leave none behind."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from origin.demo.encoder import probe_arguments
from origin.demo.reports import Killed, PackagerEnded, Tell

STDERR_BYTES_KEPT: Final = 4_096
# ffmpeg sends its last pieces when it is asked to end: well under a second.
STOP_TIMEOUT_S: Final = 3
# One frame takes 0.2 s; a machine that needs longer than this cannot encode in real time.
PROBE_TIMEOUT_S: Final = 15


class CannotStart(Exception):
    """The demo cannot begin, or not go on; the text is a sentence that says why."""


class State(StrEnum):
    """The life of a packager."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


async def probe(ffmpeg: Path) -> bool:
    """Return whether this ffmpeg can draw text here; fonts may lack although the filter is there.

    Raises:
        CannotStart: It cannot even make a picture without text, or cannot be run.
    """
    drawn_status, _ = await _run(ffmpeg, probe_arguments(with_text=True))
    if drawn_status == 0:
        return True
    status, stderr = await _run(ffmpeg, probe_arguments(with_text=False))
    if status == 0:
        return False
    raise CannotStart(
        f"{ffmpeg} cannot encode (status {status}); it takes an ffmpeg 5 or newer with libx264 and aac, such as the"
        f" one of imageio-ffmpeg.{_said(stderr)}"
    )


async def _run(ffmpeg: Path, arguments: Sequence[str]) -> tuple[int, str]:
    process = await _spawn(ffmpeg, arguments)
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, stderr = await process.communicate()
    except TimeoutError as exc:
        raise CannotStart(f"{ffmpeg} took more than {PROBE_TIMEOUT_S} s to encode one frame.") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None, "it has ended"
    return process.returncode, _text(stderr)


async def _spawn(ffmpeg: Path, arguments: Sequence[str]) -> asyncio.subprocess.Process:
    # A session of its own: Ctrl-C reaches the demo, which ends its packagers in good order. No proxy: ffmpeg
    # would send even what goes to 127.0.0.1 through it.
    environment = {name: value for name, value in os.environ.items() if name.lower() != "http_proxy"}
    try:
        return await asyncio.create_subprocess_exec(
            ffmpeg,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
    except OSError as exc:
        raise CannotStart(f"{ffmpeg} cannot be run: {exc.strerror or exc}. Name an ffmpeg with --ffmpeg.") from exc


def _said(stderr: str) -> str:
    return f" It said:\n{stderr}" if stderr else " It said nothing."


def _text(stderr: bytes) -> str:
    return stderr.decode(errors="replace").strip()


class Packager:
    """One pipeline's ffmpeg.

    Args:
        tell: Told when it was killed, or ended by itself.
    """

    def __init__(self, pipeline_id: str, ffmpeg: Path, arguments: Sequence[str], tell: Tell) -> None:
        self.pipeline_id = pipeline_id
        self.state = State.NEW
        self._ffmpeg = ffmpeg
        self._arguments = arguments
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start it. Raises CannotStart if it cannot be run."""
        assert self.state is State.NEW, "a packager runs once"
        self._process = await _spawn(self._ffmpeg, self._arguments)
        self.state = State.RUNNING
        self._watch = asyncio.create_task(self._watch_process(self._process))

    def kill(self) -> None:
        """Take it off the air as a power cut would; one that has ended stays so."""
        if self._process is not None and self.state is State.RUNNING:
            self.state = State.STOPPING
            self._process.kill()
            self._tell(Killed(self.pipeline_id, self.pid))

    async def stop(self) -> None:
        """Ask it to end, kill it if it does not, and return when it has ended."""
        if self._process is None or self._watch is None:
            return
        if self.state is State.RUNNING:
            self.state = State.STOPPING
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.shield(self._watch)
        except TimeoutError:
            self._process.kill()
            await self._watch

    async def _watch_process(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None, "it was started with a pipe"
        tail = b""
        while chunk := await process.stderr.read(STDERR_BYTES_KEPT):
            tail = (tail + chunk)[-STDERR_BYTES_KEPT:]
        status = await process.wait()
        by_itself, self.state = self.state is State.RUNNING, State.ENDED
        if by_itself:
            self._tell(PackagerEnded(self.pipeline_id, process.pid, status, _text(tail)))


async def start_all(packagers: Iterable[Packager]) -> None:
    """Start packagers together. When one cannot, the others have started all the same, so that `stop` finds them.

    Raises:
        CannotStart: One of them cannot be run.
    """
    outcomes = await asyncio.gather(*(packager.start() for packager in packagers), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def stop_all(packagers: Iterable[Packager]) -> None:
    """Stop packagers together."""
    await asyncio.gather(*(packager.stop() for packager in packagers))

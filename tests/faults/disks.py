"""Disks of their own for one origin, which can be filled, taken away and made read-only while it runs.

Mounted in a mount namespace that belongs to a helper process: nothing of it is seen outside, and nothing is left when
that process ends, however it ends. It needs root, or the right to make user namespaces. Where there is neither, as in
some containers, the origin's process is forbidden to write files instead: the kernel then fails every write with
another error (`EFBIG`), so what it is answered differs, and nothing else.
"""

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from tests.integration.process import ROOT, ServerProcess

PIECE_BYTES: Final = 64 * 1024
BALLAST: Final = "ballast"
# What gets a file system of its own: the origin's folder, and that of the bodies in it.
PLACES: Final = ("data", "data/bodies")


class Disk(Protocol):
    """Where an origin keeps its data.

    `kind` names it, `full_status` is what an upload is answered when it is full.
    """

    kind: str
    full_status: int
    prefix: tuple[str, ...]

    async def fill(self, place: str, pid: int) -> None: ...

    async def make_room(self, place: str, pid: int) -> None: ...

    async def set_read_only(self, pid: int, *, is_read_only: bool) -> None: ...

    async def set_unusable(self, *, is_unusable: bool) -> None:
        """Make it so that an origin cannot start on it. None runs."""


class OwnFileSystems:
    """A tmpfs for each of `PLACES` below a folder, in a mount namespace of their own."""

    full_status = 507

    def __init__(self, folder: Path, holder: asyncio.subprocess.Process, *, is_root: bool) -> None:
        self.kind = "tmpfs, as root" if is_root else "tmpfs, in a user namespace"
        self._folder = folder
        self._seen = Path(f"/proc/{holder.pid}/root{folder}")
        namespaces = ("--mount",) if is_root else ("--user", "--preserve-credentials", "--mount")
        self.prefix = ("nsenter", f"--target={holder.pid}", *namespaces)

    async def fill(self, place: str, pid: int) -> None:
        """Write until there is no space for one more byte."""
        await asyncio.to_thread(self._fill, place)

    def _fill(self, place: str) -> None:
        with open(self._seen / place / BALLAST, "wb", buffering=0) as file:
            for piece_bytes in (PIECE_BYTES, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(piece_bytes))

    async def make_room(self, place: str, pid: int) -> None:
        (self._seen / place / BALLAST).unlink()

    async def set_read_only(self, pid: int, *, is_read_only: bool) -> None:
        """Remount the bodies. The journal's file system has a file open for writing, so the kernel would not."""
        await self._remount("data/bodies", is_read_only=is_read_only)

    async def set_unusable(self, *, is_unusable: bool) -> None:
        """Remount all of it."""
        for place in PLACES:
            await self._remount(place, is_read_only=is_unusable)

    async def _remount(self, place: str, *, is_read_only: bool) -> None:
        mode = "ro" if is_read_only else "rw"
        command = (*self.prefix, "mount", "--options", f"remount,{mode}", str(self._folder / place))
        mounting = await asyncio.create_subprocess_exec(*command)
        assert await mounting.wait() == 0


class ForbiddenFiles:
    """No disk at all, but a limit of the origin's process: its files may not become longer than they are."""

    kind = "a limit of the process, as nothing can be mounted here"
    full_status = 503
    prefix: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"

    async def fill(self, place: str, pid: int) -> None:
        await self.set_read_only(pid, is_read_only=True)

    async def make_room(self, place: str, pid: int) -> None:
        await self.set_read_only(pid, is_read_only=False)

    async def set_read_only(self, pid: int, *, is_read_only: bool) -> None:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if is_read_only else hard, hard))

    async def set_unusable(self, *, is_unusable: bool) -> None:
        """Put a file where the folder was."""
        away = self._data.with_name("away")
        if is_unusable:
            self._data.rename(away)
            self._data.touch()
        else:
            self._data.unlink()
            away.rename(self._data)


@asynccontextmanager
async def own_file_systems(folder: Path, size: str) -> AsyncIterator[OwnFileSystems | None]:
    """Mount a tmpfs of `size` for each place; None if nobody lets us."""
    mounts = [f"mkdir -p {folder / place} && mount -t tmpfs -o size={size} origin {folder / place}" for place in PLACES]
    script = " && ".join([*mounts, "echo mounted", "exec cat"])
    for is_root in (True, False) if shutil.which("unshare") and shutil.which("nsenter") else ():
        namespaces = ("--mount",) if is_root else ("--user", "--map-root-user", "--mount")
        holder = await asyncio.create_subprocess_exec(
            *("unshare", *namespaces, "--propagation", "private", "sh", "-c", script),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert holder.stdin is not None and holder.stdout is not None
        try:
            if await holder.stdout.readline():
                yield OwnFileSystems(folder, holder, is_root=is_root)
                return
        finally:
            holder.stdin.close()
            await holder.wait()
    yield None


@asynccontextmanager
async def some_disk(folder: Path, size: str) -> AsyncIterator[Disk]:
    """Return the best disk that can be had here."""
    async with own_file_systems(folder, size) as disk:
        yield disk or ForbiddenFiles(folder)


@asynccontextmanager
async def server_on(disk: Disk, config: Path) -> AsyncIterator[tuple[ServerProcess, int]]:
    """Run an origin that sees this disk; yields it and its process id."""
    process, server = await start_on(disk, config)
    try:
        await server.until_ready()
        yield server, process.pid
    finally:
        await server.kill()


async def start_on(disk: Disk, config: Path) -> tuple[asyncio.subprocess.Process, ServerProcess]:
    """Start an origin, ready or not."""
    process = await asyncio.create_subprocess_exec(
        *(*disk.prefix, sys.executable, "-m", "origin", "serve", "--config", str(config)),
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    return process, ServerProcess(process)

"""Disks that fail, by way of the kernel or in place of a call to it."""

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def fail_with(number: int) -> Callable[..., int]:
    """Return what stands in for a system call that fails with this errno."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel take no more than this of a file: a short write first, then none at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Let the kernel open nothing more; what is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Disk:
    """Notes in which order things are made durable; nothing really is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._really_rename = os.rename
        monkeypatch.setattr(os, "fsync", self._sync)
        monkeypatch.setattr(os, "fdatasync", self._sync)
        monkeypatch.setattr(os, "rename", self._rename)

    def _sync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.calls.append(f"sync {path.name if is_folder else 'file'}")

    def _rename(self, source: Path, target: Path) -> None:
        self.calls.append("rename")
        self._really_rename(source, target)


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, from there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

"""The file by which a running supervisor is found.

It is locked by its supervisor, and the kernel is asked who holds the lock: what is written in it is for people. So one
that a crash left behind names nobody, and a number that was given to another process meanwhile is never signalled.
POSIX locks are not inherited by children, and tell their holder; with flock(2) a child would hold on to them.
"""

import argparse
import fcntl
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Final

from config.load import load_settings

PID_FILE: Final = "supervisor.pid"
EXIT_FAILED: Final = 1
# struct flock of 64-bit Linux, fcntl_locking(2): type, whence, start, length, process.
_LOCK: Final = struct.Struct("hhqqi0q")


class AlreadyRunning(Exception):
    """Another supervisor has this folder."""


class PidFile:
    """Tells the world, for as long as the block lasts, that this process is the supervisor of a folder.

    Nothing else in this process may open the file: closing it anywhere would give up the lock (fcntl_locking(2)).

    Raises:
        AlreadyRunning: On entering.
        OSError: On entering: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.descriptor = -1

    def __enter__(self) -> "PidFile":
        self._folder.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(self._folder / PID_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as exc:
            os.close(self.descriptor)
            raise AlreadyRunning(f"another live-origin runs in {self._folder}") from exc
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        # The file stays: were it removed, one who has just opened it would lock a file that nobody finds.
        os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def find_supervisor(folder: Path) -> int | None:
    """Return the process id of the supervisor of a folder; None if none runs, or not where it can be seen from here."""
    try:
        descriptor = os.open(folder / PID_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))
    finally:
        os.close(descriptor)
    return int(pid) if kind != fcntl.F_UNLCK and pid > 0 else None


def signal_supervisor(folder: Path, number: signal.Signals) -> int | None:
    """Signal the supervisor of a folder; returns its process id, or None if none runs.

    Raises:
        PermissionError: It belongs to somebody else.
    """
    pid = find_supervisor(folder)
    if pid is None:
        return None
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # Between the two questions nobody else can have got its number: the process that is held open now has the lock.
        if find_supervisor(folder) != pid:
            return None
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return None
    finally:
        os.close(process)
    return pid


def add_control_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `live-origin restart` and `live-origin reload`."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration (YAML) of the origin")


def run_restart(parsed: argparse.Namespace) -> int:
    """Have a running origin replace its processes; returns the exit status."""
    return _tell(parsed, signal.SIGUSR2, "replaces its processes one by one")


def run_reload(parsed: argparse.Namespace) -> int:
    """Have a running origin read its configuration again; returns the exit status. Settings are checked here first."""
    return _tell(parsed, signal.SIGHUP, "reads its configuration and replaces its processes one by one")


def _tell(parsed: argparse.Namespace, number: signal.Signals, what: str) -> int:
    settings = load_settings(parsed.config, os.environ, parsed.set)
    folder = settings.storage.path
    try:
        pid = signal_supervisor(folder, number)
    except PermissionError as exc:
        sys.stderr.write(f"live-origin cannot be told: {exc.strerror} ({folder / PID_FILE})\n")
        return EXIT_FAILED
    if pid is None:
        sys.stderr.write(
            f"no live-origin with workers runs in {folder}; with `workers: 0` it is one process: stop and start it\n"
        )
        return EXIT_FAILED
    sys.stdout.write(f"live-origin (process {pid}) {what}; its log tells how it goes\n")
    return 0

"""A process of the origin: how it is forked from the supervisor, and what it gets.

The supervisor has imported everything and started nothing: no thread, no event loop. So a fork copies nothing that is
half done, and the memory of the imported code is shared by all processes.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from origin.logs import fields
from origin.signal_inbox import SignalInbox

log = logging.getLogger(__name__)

# A child that ends with this status (EX_CONFIG of sysexits.h) before the origin was ready once need not be tried again.
EXIT_REFUSED: Final = 78
EXIT_FAILED: Final = 1
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_TITLE_BYTES_MAX: Final = 15
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class ChildContext:
    """What a child knows of the house it was born in.

    Args:
        slot: Number of the worker, from 0; 0 for the publish process.
        folder: The control directory, the same for all processes.
        sockets: The listening sockets it serves, by name. They are open in the supervisor, too: to stop accepting,
            close them, do not shut them down.
    """

    name: str
    slot: int
    folder: Path
    sockets: Mapping[str, tuple[socket.socket, ...]]
    ready_descriptor: int

    def ready(self) -> None:
        """Tell the supervisor that this process takes traffic."""
        with suppress(BrokenPipeError):  # the supervisor is gone, and this process soon will be
            os.write(self.ready_descriptor, b"r")


@dataclass(frozen=True, slots=True)
class Child:
    """One process that shall run.

    Args:
        run: What it does. Returns its exit status, and on SIGTERM, which it must handle by itself, soon. It begins with
            the supervisor's logging, without threads, and with SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 ignored.
        socket_names: The listening sockets it gets.
        is_replaced_beside: Whether a new process may run beside the old one until that has drained. If not, the old one
            ends before the new one is started.
        drain_signal: What a process that has got ready is told when another one has taken its place. It may then take
            longer to end than on SIGTERM, which may still follow.
    """

    name: str
    run: Callable[[ChildContext], int]
    socket_names: tuple[str, ...] = ()
    slot: int = 0
    is_replaced_beside: bool = False
    drain_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True, eq=False)
class Process:
    """A child that runs, or ran.

    Args:
        pid: Valid for signals until the process has been reaped, which only the supervisor does.
        ready_descriptor: Where it tells that it is ready; None when there is nothing more to read.
        kill_at_ms: Monotonic; set when it was told to end.
    """

    child: Child
    pid: int
    ready_descriptor: int | None
    started_ms: int
    is_ready: bool = field(default=False, init=False)
    has_ended: bool = field(default=False, init=False)
    kill_at_ms: int | None = field(default=None, init=False)

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""
        return self.kill_at_ms is not None

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        os.kill(self.pid, number)

    def read_ready(self) -> bool:
        """Take in what it has told; returns whether it has become ready."""
        if self.ready_descriptor is None:
            return False
        try:
            self.is_ready = bool(os.read(self.ready_descriptor, 1))
        except BlockingIOError:
            return False
        self.close()
        return self.is_ready

    def close(self) -> None:
        """Stop listening to it."""
        if self.ready_descriptor is not None:
            os.close(self.ready_descriptor)
            self.ready_descriptor = None


class Forker:
    """Makes processes of children.

    Args:
        sockets: All listening sockets, by name.
        folder: The control directory.
        private_descriptors: Open files of the supervisor that no child may have.
    """

    def __init__(
        self,
        sockets: Mapping[str, tuple[socket.socket, ...]],
        folder: Path,
        inbox: SignalInbox,
        private_descriptors: Collection[int],
    ) -> None:
        self._sockets = sockets
        self._folder = folder
        self._inbox = inbox
        self._private = private_descriptors

    def fork(self, child: Child, siblings: Iterable[Process]) -> Process:
        """Start a process.

        Args:
            siblings: Processes whose pipes the new one must not keep open.

        Raises:
            OSError: No process, memory or descriptor is left.
        """
        read_descriptor, write_descriptor = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_descriptor, False)
        private = [
            *self._private,
            read_descriptor,
            *(each.ready_descriptor for each in siblings if each.ready_descriptor is not None),
        ]
        context = ChildContext(
            name=child.name,
            slot=child.slot,
            folder=self._folder,
            sockets={name: self._sockets[name] for name in child.socket_names},
            ready_descriptor=write_descriptor,
        )
        parent_pid = os.getpid()
        _flush()
        before = self._inbox.block()
        try:
            pid = os.fork()
            if pid == 0:
                self._become(child, context, private, lambda: self._inbox.unblock(before), parent_pid)
        except OSError:
            os.close(read_descriptor)
            raise
        finally:
            self._inbox.unblock(before)
            os.close(write_descriptor)
        return Process(child, pid, read_descriptor, now_ms())

    def _become(
        self,
        child: Child,
        context: ChildContext,
        private: Iterable[int],
        unblock: Callable[[], None],
        parent_pid: int,
    ) -> NoReturn:
        """Be the child, to its end. Nothing comes back: the supervisor's clean-up is not the child's."""
        status = EXIT_FAILED
        try:
            self._inbox.leave_to_child()
            _die_with(parent_pid)
            for descriptor in private:
                os.close(descriptor)
            for name, listeners in self._sockets.items():
                if name not in child.socket_names:
                    for listener in listeners:
                        listener.close()
            _set_title(child.name)
            unblock()
            status = child.run(context)
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else EXIT_FAILED if exc.code else 0
        except BaseException:  # whatever it was, this process ends here
            log.critical("process failed", exc_info=True, extra=fields(child=child.name))
        finally:
            try:
                _flush()
            finally:
                os._exit(status & 0xFF)


def now_ms() -> int:
    """Return the monotonic clock in ms: the wall clock may step."""
    return time.monotonic_ns() // 1_000_000


def ending(status: int) -> dict[str, object]:
    """Return what `waitpid` tells of an end, as fields of a log line.

    >>> ending(256), ending(9)
    ({'status': 1}, {'signal': 'SIGKILL'})
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return {"status": code}
    try:
        return {"signal": signal.Signals(-code).name}
    except ValueError:  # a real-time signal
        return {"signal": str(-code)}


def _die_with(parent_pid: int) -> None:
    """Have the kernel end this process when the supervisor ends: two publish processes must never meet.

    By SIGKILL, which a publish process survives without a loss, and with which its successor need not wait for anybody.
    """
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it ended before that
        os._exit(EXIT_FAILED)


def _set_title(name: str) -> None:
    """Show the name in `ps -o comm` and `top`. It is cut at 15 bytes, and does not matter otherwise."""
    _LIBC.prctl(_PR_SET_NAME, ctypes.c_char_p(f"lo-{name}".encode()[:_TITLE_BYTES_MAX]), 0, 0, 0)


def _flush() -> None:
    """Write what is buffered, so that no copy of it is written by two processes."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or none
            stream.flush()

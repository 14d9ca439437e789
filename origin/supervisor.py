"""The parent of all processes: forks them, restarts who dies, replaces them one by one, and stops them.

It has no event loop and no thread, so that it can fork at any time, and does nothing that could fail or wait: its one
system call is poll(2). The listening sockets are open here as long as it lives. While a process is down, connections
wait in their backlog and are served by its successor.

Signals: SIGTERM and SIGINT stop, a second SIGINT kills; SIGUSR2 replaces all processes; SIGHUP reads the configuration
again first. However many come at once, there is one replacement at a time and at most one after it.
"""

import gc
import logging
import os
import select
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2
from typing import Final

from origin.backoff import Waits
from origin.children import Child, Forker, now_ms
from origin.crew import Crew
from origin.logs import fields
from origin.notify import Notifier
from origin.pid_file import PidFile
from origin.rollout import FOR_EVER_MS, Rollout, replace_all
from origin.signal_inbox import SignalInbox

log = logging.getLogger(__name__)

_SIGNALS: Final = (SIGTERM, SIGINT, SIGCHLD, SIGHUP, SIGUSR2)
# An hour: poll(2) takes no more than 2^31 ms.
_POLL_MS_MAX: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a configuration is not taken over."""

    problems: tuple[str, ...]


Reload = Callable[[], Sequence[Child] | Refused]


def _cannot_reload() -> Refused:
    return Refused(("this origin cannot read its configuration again",))


def _ignore() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Options:
    """How the processes are kept.

    Args:
        folder: Control directory, with the pid file; made if it is missing.
        stop_ms: How long a process may take to end, with a margin over what it grants its own requests.
        ready_ms: How long a replacement may take to become ready.
        waits: Between restarts.
        reload: Called at SIGHUP; returns children with the same names in the same order, or why not.
        on_ready: Called once, when all processes are ready for the first time.
    """

    folder: Path
    stop_ms: int
    ready_ms: int = 60_000
    waits: Waits = field(default_factory=Waits)
    reload: Reload = _cannot_reload
    on_ready: Callable[[], None] = _ignore


class Supervisor:
    """Keeps children running.

    Args:
        children: Who shall run; started in this order, each without waiting for the one before.
        sockets: Listening sockets by name; stay open until `run` returns, which closes them.
        notifier: Who is told how it is.
    """

    def __init__(
        self,
        children: Sequence[Child],
        sockets: Mapping[str, tuple[socket.socket, ...]],
        options: Options,
        notifier: Notifier,
    ) -> None:
        self._children = tuple(children)
        self._sockets = sockets
        self._options = options
        self._notifier = notifier
        self._inbox = SignalInbox(_SIGNALS)
        self._crew: Crew  # made by `run`
        self._rollout: Rollout | None = None
        self._rollout_by_ms = FOR_EVER_MS
        self._is_restart_asked = self._is_reload_asked = False
        self._interrupts = 0
        self._watchdog_at_ms = now_ms()
        self._missing: list[str] | None = None
        self._was_told_ready = False

    def run(self) -> int:
        """Block until stopped; returns the exit status: 0, or 1 if a child refused to be started at all.

        Raises:
            AlreadyRunning: Another supervisor has the folder.
            RuntimeError: This process has threads.
        """
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise RuntimeError(f"a process with {threads} threads cannot be forked safely")
        with ExitStack() as opened:
            for listeners in self._sockets.values():
                for listener in listeners:
                    opened.enter_context(listener)
            pid_file = opened.enter_context(PidFile(self._options.folder))
            opened.enter_context(self._inbox)
            forker = Forker(self._sockets, self._options.folder, self._inbox, (pid_file.descriptor,))
            # What was imported is never garbage; looking at it would copy its pages in every child.
            gc.collect()
            gc.freeze()
            self._crew = Crew(self._children, forker.fork, self._options.waits, self._options.stop_ms, now_ms())
            return self._supervise()

    def _supervise(self) -> int:
        crew = self._crew
        while True:
            self._take_signals()
            self._reap()
            crew.note_ready()
            if crew.refused is not None and not crew.is_stopping:
                log.error("not started", extra=fields(child=crew.refused))
                self._stop()
            crew.tick(now_ms())
            self._replace()
            if crew.is_stopping and not crew.processes:
                log.info("all processes ended")
                return 0 if crew.refused is None else 1
            self._report()
            self._wait()

    def _wait(self) -> None:
        """Wait for a signal, for the word of a child, or for something that is due."""
        deadline_ms = min(*self._crew.deadlines(), self._rollout_by_ms, now_ms() + _POLL_MS_MAX)
        if self._notifier.watchdog_interval_ms is not None:
            deadline_ms = min(deadline_ms, self._watchdog_at_ms)
        poll = select.poll()
        poll.register(self._inbox.descriptor, select.POLLIN)
        for process in self._crew.processes:
            if process.ready_descriptor is not None:
                poll.register(process.ready_descriptor, select.POLLIN)
        poll.poll(max(deadline_ms - now_ms(), 0))

    # -- what has happened

    def _take_signals(self) -> None:
        counts = self._inbox.take()
        self._interrupts += counts[SIGINT]
        if self._interrupts >= 2:
            if counts[SIGINT]:
                log.warning("interrupted twice, processes killed")
                self._drop_rollout()
                self._crew.kill(now_ms())
        elif (counts[SIGTERM] or counts[SIGINT]) and not self._crew.is_stopping:
            log.info("stopping", extra=fields(signal="SIGTERM" if counts[SIGTERM] else "SIGINT"))
            self._stop()
        self._is_restart_asked |= bool(counts[SIGUSR2])
        self._is_reload_asked |= bool(counts[SIGHUP])

    def _stop(self) -> None:
        self._drop_rollout()
        self._notifier.stopping("stopping")
        self._crew.stop(now_ms())

    def _reap(self) -> None:
        """Take in all who have ended; one SIGCHLD may stand for many."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._crew.note_end(pid, status, now_ms())

    # -- replacing

    def _replace(self) -> None:
        """Go on with the replacement, or begin one that was asked for."""
        while not self._crew.is_stopping:
            if self._rollout is None:
                if not self._is_reload_asked and not self._is_restart_asked:
                    return
                self._rollout = self._begin_rollout()
                continue
            try:
                self._rollout_by_ms = next(self._rollout)
            except StopIteration as end:
                self._end_rollout(end.value)
            else:
                return

    def _begin_rollout(self) -> Rollout | None:
        children: Sequence[Child] = [slot.child for slot in self._crew.slots]
        if self._is_reload_asked:
            self._is_reload_asked = False
            self._notifier.reloading("reading the configuration")
            answer = self._read_again()
            if isinstance(answer, Refused):
                log.error("configuration not taken over", extra=fields(problems=answer.problems))
                self._notifier.ready(f"configuration not taken over: {'; '.join(answer.problems)}")
                return None
            children = answer
        # Whoever asked for new processes as well gets them with the configuration.
        self._is_restart_asked = False
        log.info("replacing processes")
        self._notifier.reloading("replacing processes")
        return replace_all(self._crew, children, self._options.ready_ms, now_ms)

    def _read_again(self) -> Sequence[Child] | Refused:
        try:
            answer = self._options.reload()
        except Exception as exc:
            log.exception("configuration cannot be read again")
            return Refused((repr(exc),))
        if isinstance(answer, Refused):
            return answer
        if _shape(answer) != _shape([slot.child for slot in self._crew.slots]):
            return Refused(("other processes or listeners than now need a stop and a start",))
        return answer

    def _end_rollout(self, failure: str | None) -> None:
        self._drop_rollout()
        if failure is None:
            log.info("all processes replaced")
        self._notifier.ready("all processes replaced" if failure is None else f"not replaced: {failure}")

    def _drop_rollout(self) -> None:
        self._rollout, self._rollout_by_ms = None, FOR_EVER_MS

    # -- who is told

    def _report(self) -> None:
        """Tell the service manager what has changed, and that this process is alive."""
        notifier, missing = self._notifier, self._crew.missing
        if notifier.watchdog_interval_ms is not None and now_ms() >= self._watchdog_at_ms:
            self._watchdog_at_ms = now_ms() + notifier.watchdog_interval_ms
            notifier.watchdog()
        if self._crew.is_stopping or missing == self._missing:
            return
        self._missing = missing
        if not missing and not self._was_told_ready:
            self._was_told_ready = True
            log.info("all processes ready")
            notifier.ready(_status(missing))
            self._options.on_ready()
        else:
            notifier.status(_status(missing))


def _shape(children: Sequence[Child]) -> list[tuple[str, tuple[str, ...], int, bool]]:
    """What a replacement must have in common with what it replaces."""
    return [(child.name, child.socket_names, child.slot, child.is_replaced_beside) for child in children]


def _status(missing: Sequence[str]) -> str:
    return f"waiting for {', '.join(missing)}" if missing else "all processes ready"

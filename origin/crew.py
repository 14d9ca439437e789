"""The processes that shall run and those that do: who is started again when, who is ended when.

Nothing here waits, or asks for the time. `origin.supervisor` tells what has happened and when.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM, Signals

from origin.backoff import Backoff, Waits
from origin.children import EXIT_REFUSED, Child, Process, ending
from origin.logs import fields

log = logging.getLogger(__name__)

Fork = Callable[[Child, Iterable[Process]], Process]


@dataclass(slots=True, eq=False)
class Slot:
    """A place in which one process shall run.

    Args:
        child: What is started here.
        fallback: What was started here before; started again when a process of `child` ends without having been ready.
        process: Who serves here; None between two.
        successor: Who shall take over as soon as it is ready.
        leaving: Who has been replaced and drains.
        start_at_ms: Monotonic; when the next process is started, if `process` is None.
    """

    child: Child
    backoff: Backoff
    start_at_ms: int
    fallback: Child | None = None
    process: Process | None = None
    successor: Process | None = None
    leaving: list[Process] = field(default_factory=list)

    @property
    def processes(self) -> list[Process]:
        """All that run here."""
        return [each for each in (self.process, self.successor, *self.leaving) if each is not None]


class Crew:
    """All processes of the origin.

    Args:
        children: Who shall run; started in this order.
        fork: Starts a process; may raise OSError.
        waits: Between restarts.
        stop_ms: How long a process may take to end after SIGTERM, then it is killed.
    """

    def __init__(self, children: Sequence[Child], fork: Fork, waits: Waits, stop_ms: int, now_ms: int) -> None:
        self._fork = fork
        self._waits = waits
        self._stop_ms = stop_ms
        self.slots = [Slot(child, Backoff(waits), now_ms) for child in children]
        self.is_stopping = False
        self.was_ready = False
        # Who ended at the first start with the word that another try is of no use.
        self.refused: str | None = None

    @property
    def processes(self) -> list[Process]:
        """All that run."""
        return [process for slot in self.slots for process in slot.processes]

    @property
    def is_ready(self) -> bool:
        """Whether everybody takes traffic."""
        return all(slot.process is not None and slot.process.is_ready for slot in self.slots)

    @property
    def missing(self) -> list[str]:
        """Names of those who do not take traffic."""
        return [slot.child.name for slot in self.slots if slot.process is None or not slot.process.is_ready]

    # -- as time goes by

    def tick(self, now_ms: int) -> None:
        """Start and kill whom it is time for."""
        for process in self.processes:
            if process.kill_at_ms is not None and process.kill_at_ms <= now_ms:
                log.error(
                    "process did not end in time, killed", extra=fields(child=process.child.name, pid=process.pid)
                )
                process.send(SIGKILL)
                process.kill_at_ms = now_ms + self._stop_ms
        if not self.is_stopping:
            for slot in self.slots:
                if slot.process is None and slot.start_at_ms <= now_ms:
                    slot.process = self._start(slot.child)
                    if slot.process is None:
                        slot.start_at_ms = now_ms + max(slot.backoff.wait_ms(lived_ms=0), self._waits.first_ms)

    def deadlines(self) -> Iterator[int]:
        """Yield the moments at which `tick` has something to do."""
        yield from (process.kill_at_ms for process in self.processes if process.kill_at_ms is not None)
        if not self.is_stopping:
            yield from (slot.start_at_ms for slot in self.slots if slot.process is None)

    def note_ready(self) -> None:
        """Take in who has become ready."""
        for slot in self.slots:
            for process in slot.processes:
                if process.is_ready or process.ready_descriptor is None:
                    continue
                if process.read_ready():
                    log.info("process ready", extra=fields(child=process.child.name, pid=process.pid))
                    if process is slot.process and process.child is slot.child:
                        slot.fallback = None
        self.was_ready = self.was_ready or self.is_ready

    def note_end(self, pid: int, status: int, now_ms: int) -> None:
        """Take in that a process has ended and was reaped.

        Args:
            status: As `waitpid` tells it.
        """
        for slot in self.slots:
            for process in slot.processes:
                if process.pid == pid:
                    self._note_end_of(slot, process, status, now_ms)
                    return
        log.debug("a process that is not ours has ended", extra=fields(pid=pid))  # process 1 gets orphans

    def _note_end_of(self, slot: Slot, process: Process, status: int, now_ms: int) -> None:
        process.read_ready()
        process.close()
        process.has_ended = True
        lived_ms = now_ms - process.started_ms
        about = ending(status) | {"child": process.child.name, "pid": process.pid, "lived_ms": lived_ms}
        if process.is_leaving:
            log.info("process ended", extra=fields(**about))
        if process is slot.process:
            slot.process = None
            wait_ms = 0 if process.is_leaving else slot.backoff.wait_ms(lived_ms)
            slot.start_at_ms = now_ms + wait_ms
            if slot.fallback is not None and process.child is slot.child and not process.is_ready:
                slot.child, slot.fallback = slot.fallback, None
            if slot.successor is not None:
                self._seat(slot, slot.successor)
        elif process is slot.successor:
            slot.successor = None
        else:
            slot.leaving.remove(process)
        if not process.is_leaving:
            self._note_death(slot, about, now_ms)

    def _note_death(self, slot: Slot, about: dict[str, object], now_ms: int) -> None:
        if not self.was_ready and about.get("status") == EXIT_REFUSED:
            self.refused = slot.child.name
        again = {"restart_in_ms": max(slot.start_at_ms - now_ms, 0)} if slot.process is None else {}
        log.error("process died", extra=fields(**about, **again))

    # -- starting and stopping

    def _start(self, child: Child) -> Process | None:
        try:
            process = self._fork(child, self.processes)
        except OSError as exc:
            log.error("process cannot be started", extra=fields(child=child.name, error=str(exc)))
            return None
        log.info("process started", extra=fields(child=child.name, pid=process.pid))
        return process

    def end(self, process: Process, now_ms: int, number: Signals = SIGTERM) -> None:
        """Tell a process to end; it is killed when it takes too long."""
        if not process.is_leaving:
            process.kill_at_ms = now_ms + self._stop_ms
            process.send(number)

    def stop(self, now_ms: int) -> None:
        """Tell all to end, and start nobody any more."""
        self.is_stopping = True
        for process in self.processes:
            if process.is_leaving and process.child.drain_signal is not SIGTERM:
                process.send(SIGTERM)  # it was to drain; there is no time for that any more
            self.end(process, now_ms)

    def kill(self, now_ms: int) -> None:
        """End all at once."""
        self.is_stopping = True
        for process in self.processes:
            process.kill_at_ms = now_ms + self._stop_ms
            process.send(SIGKILL)

    # -- replacing

    def start_successor(self, slot: Slot, child: Child) -> Process | None:
        """Start a process that shall take over; None if it cannot be started."""
        assert slot.successor is None, "one at a time"
        slot.successor = self._start(child)
        return slot.successor

    def give_up_successor(self, slot: Slot, now_ms: int) -> None:
        """End the successor; who serves goes on."""
        if slot.successor is not None:
            slot.leaving.append(slot.successor)
            self.end(slot.successor, now_ms)
            slot.successor = None

    def promote(self, slot: Slot, now_ms: int) -> None:
        """Let the successor take over; who served so far is told to end."""
        if slot.successor is not None:
            if slot.process is not None:
                slot.leaving.append(slot.process)
                # Who is not ready yet may not listen to any other signal.
                self.end(slot.process, now_ms, slot.process.child.drain_signal if slot.process.is_ready else SIGTERM)
            self._seat(slot, slot.successor)

    def replace_after(self, slot: Slot, child: Child, now_ms: int) -> None:
        """End who serves, and start a process of `child` when it has ended."""
        self._change(slot, child)
        slot.start_at_ms = now_ms
        if slot.process is not None:
            self.end(slot.process, now_ms)

    def _seat(self, slot: Slot, successor: Process) -> None:
        slot.process, slot.successor = successor, None
        self._change(slot, successor.child)

    @staticmethod
    def _change(slot: Slot, child: Child) -> None:
        if child is not slot.child:
            is_proven = slot.process is not None and slot.process.child is child and slot.process.is_ready
            slot.child, slot.fallback = child, None if is_proven else slot.child

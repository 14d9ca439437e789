"""A crew with processes that exist on paper only, and a clock that is set."""

from collections.abc import Iterable
from signal import SIGTERM, Signals

from origin.backoff import Waits
from origin.children import Child, ChildContext, Process
from origin.crew import Crew

WAITS = Waits(first_ms=100, max_ms=400, healthy_ms=30_000)
STOP_MS = 5_000


class PaperProcess(Process):
    """Keeps what it was sent."""

    def __init__(self, child: Child, pid: int, now_ms: int) -> None:
        super().__init__(child, pid, -1, now_ms)
        self.signals: list[Signals] = []
        self.is_telling = False

    def send(self, number: Signals) -> None:
        self.signals.append(number)

    def read_ready(self) -> bool:
        self.is_ready = self.is_telling
        return self.is_ready

    def close(self) -> None:
        self.ready_descriptor = None


class Stage:
    """A crew, its clock, and all processes it has started."""

    def __init__(self, *names: str, beside: bool = True, drain_signal: Signals = SIGTERM) -> None:
        self.now_ms = 1_000
        self.started: list[PaperProcess] = []
        self.has_no_memory = False
        self.children = [child(name, beside=beside, drain_signal=drain_signal) for name in names]
        self.crew = Crew(self.children, self.fork, WAITS, STOP_MS, self.now_ms)
        self.crew.tick(self.now_ms)

    def fork(self, child: Child, _: Iterable[Process]) -> Process:
        if self.has_no_memory:
            raise OSError(12, "Cannot allocate memory")
        self.started.append(PaperProcess(child, 100 + len(self.started), self.now_ms))
        return self.started[-1]

    def die(self, process: Process, status: int = 1 << 8) -> None:
        self.crew.note_end(process.pid, status, self.now_ms)

    def advance(self, ms: int) -> None:
        self.now_ms += ms
        self.crew.tick(self.now_ms)

    def make_ready(self, process: PaperProcess) -> None:
        process.is_telling = True
        self.crew.note_ready()


def child(name: str, *, beside: bool = True, drain_signal: Signals = SIGTERM) -> Child:
    def run(_: ChildContext) -> int:
        raise AssertionError("on paper only")

    return Child(name, run, is_replaced_beside=beside, drain_signal=drain_signal)

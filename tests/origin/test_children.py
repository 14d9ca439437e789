"""What a forked process has, and how it ends."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from config.model import Address
from origin.children import EXIT_FAILED, Child, ChildContext, Forker, Process, ending
from origin.listening import listen_sockets
from origin.signal_inbox import SignalInbox

Run = Callable[[ChildContext], int]


class Nest:
    """Forks from this test's process."""

    def __init__(self, folder: Path, inbox: SignalInbox) -> None:
        self.private, self._other = os.pipe2(os.O_CLOEXEC)
        self.sockets = {name: listen_sockets(Address("127.0.0.1", 0))[0] for name in ("publish", "deliver")}
        self.forker = Forker(self.sockets, folder, inbox, (self.private, self._other))
        self.processes: list[Process] = []

    def fork(self, run: Run, *socket_names: str) -> Process:
        self.processes.append(self.forker.fork(Child("publish", run, socket_names, slot=3), self.processes))
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            process.close()
        for (listener,) in self.sockets.values():
            listener.close()
        os.close(self.private)
        os.close(self._other)


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nest]:
    with SignalInbox((signal.SIGTERM, signal.SIGUSR2)) as inbox:
        nest = Nest(tmp_path, inbox)
        yield nest
        nest.close()


def stand_still(_: ChildContext) -> int:
    signal.pause()
    return 0


def end_of(process: Process) -> dict[str, object]:
    return ending(os.waitpid(process.pid, 0)[1])


def asked(nest: Nest, question: Callable[[ChildContext], object], *socket_names: str) -> str:
    """Return what a child answers."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)

    def run(context: ChildContext) -> int:
        os.write(write_end, str(question(context)).encode())
        return 0

    process = nest.fork(run, *socket_names)
    os.close(write_end)
    assert end_of(process) == {"status": 0}
    answer = os.read(read_end, 4096).decode()
    os.close(read_end)
    return answer


def test_its_return_value_is_its_exit_status(nest: Nest) -> None:
    assert end_of(nest.fork(lambda _: 7)) == {"status": 7}


def leave_with(reason: object) -> Run:
    def run(_: ChildContext) -> NoReturn:
        sys.exit(reason)  # type: ignore[arg-type]

    return run


@pytest.mark.parametrize(("reason", "status"), [(None, 0), (4, 4), ("a reason", EXIT_FAILED)])
def test_an_exit_is_taken_as_such(nest: Nest, reason: object, status: int) -> None:
    assert end_of(nest.fork(leave_with(reason))) == {"status": status}


def test_an_exception_ends_it_with_a_status(nest: Nest) -> None:
    assert end_of(nest.fork(lambda _: 1 // 0)) == {"status": EXIT_FAILED}


def test_the_parents_clean_up_is_not_done_twice(nest: Nest, tmp_path: Path) -> None:
    try:
        process = nest.fork(lambda _: 0)
    finally:
        (tmp_path / str(os.getpid())).touch()
    assert end_of(process) == {"status": 0}
    assert not (tmp_path / str(process.pid)).exists()


def test_it_gets_its_name_its_slot_its_sockets_and_the_folder(nest: Nest, tmp_path: Path) -> None:
    def question(context: ChildContext) -> object:
        return context.name, context.slot, context.folder, list(context.sockets), Path("/proc/self/comm").read_text()

    told = ("publish", 3, tmp_path, ["deliver"], "lo-publish\n")
    assert asked(nest, question, "deliver") == str(told)


def is_open(descriptor: int) -> bool:
    return Path(f"/proc/self/fd/{descriptor}").exists()


def test_it_has_none_of_the_descriptors_that_are_not_its_own(nest: Nest) -> None:
    sibling = nest.fork(stand_still)
    publish, deliver = (nest.sockets[name][0].fileno() for name in ("publish", "deliver"))

    def question(context: ChildContext) -> object:
        assert sibling.ready_descriptor is not None
        mine = (deliver, context.ready_descriptor)
        others = (nest.private, publish, sibling.ready_descriptor)
        return [is_open(each) for each in (*mine, *others)]

    assert asked(nest, question, "deliver") == str([True, True, False, False, False])
    sibling.send(signal.SIGTERM)
    assert end_of(sibling) == {"signal": "SIGTERM"}


def test_it_leaves_signals_for_the_supervisor_alone_and_ends_at_sigterm(nest: Nest) -> None:
    def question(_: ChildContext) -> object:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return [signal.getsignal(each).__repr__() for each in (signal.SIGINT, signal.SIGTERM)], len(blocked)

    assert asked(nest, question) == str(([repr(signal.SIG_IGN), repr(signal.SIG_DFL)], 0))


def test_a_signal_that_comes_right_after_the_fork_is_not_lost(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork

    def fork_and_be_told_to_end() -> int:
        pid = fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_be_told_to_end)
    assert end_of(nest.fork(lambda _: 0)) == {"signal": "SIGTERM"}


def test_it_tells_once_that_it_is_ready(nest: Nest) -> None:
    def run(context: ChildContext) -> int:
        context.ready()
        context.ready()
        return 0

    process = nest.fork(run)
    assert end_of(process) == {"status": 0}
    assert [process.read_ready(), process.is_ready, process.read_ready()] == [True, True, False]
    assert process.ready_descriptor is None


def test_one_that_is_silent_is_not_ready_and_one_that_ended_never_will_be(nest: Nest) -> None:
    process = nest.fork(stand_still)
    assert not process.read_ready()
    assert process.ready_descriptor is not None
    process.send(signal.SIGKILL)
    assert end_of(process) == {"signal": "SIGKILL"}
    assert not process.read_ready()
    assert process.ready_descriptor is None


def test_a_fork_that_fails_leaves_nothing_open(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr(os, "fork", fail)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(BlockingIOError):
        nest.fork(lambda _: 0)
    assert os.listdir("/proc/self/fd") == before
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_supervisor_that_is_gone_is_no_error_for_the_child(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    sockets: dict[str, tuple[socket.socket, ...]] = {}
    ChildContext("publish", 0, tmp_path, sockets, write_end).ready()
    os.close(write_end)


@pytest.mark.parametrize(
    ("status", "told"),
    [(0, {"status": 0}), (256, {"status": 1}), (15, {"signal": "SIGTERM"}), (40, {"signal": "40"})],
)
def test_an_end_is_told_by_status_or_signal(status: int, told: dict[str, object]) -> None:
    assert ending(status) == told

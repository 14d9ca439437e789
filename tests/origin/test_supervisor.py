"""What the supervisor needs to begin, and what it tells the service manager; its processes are toys."""

import asyncio
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM, SIGUSR2

import pytest

from config.model import Address
from origin.children import Child
from origin.listening import listen_sockets
from origin.notify import Notifier
from origin.supervisor import Options, Supervisor
from tests.support.toys import PATIENCE_S, toys


class Manager:
    """Reads what is sent to NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.settimeout(PATIENCE_S)
        self._channel.bind(self.path)

    async def until(self, wanted: str) -> list[str]:
        """Return what was said up to this message; monotonic clocks are shown as 0."""
        return await asyncio.to_thread(self._until, wanted)

    def _until(self, wanted: str) -> list[str]:
        heard: list[str] = []
        while not heard or heard[-1] != wanted:
            heard.append(re.sub(r"USEC=\d+", "USEC=0", self._channel.recv(4096).decode()))
        return heard

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


READY = "READY=1\nSTATUS=all processes ready"
REPLACING = "RELOADING=1\nMONOTONIC_USEC=0\nSTATUS=replacing processes"
REPLACED = "READY=1\nSTATUS=all processes replaced"


async def test_the_service_manager_is_told_of_each_change(tmp_path: Path, manager: Manager) -> None:
    gate = tmp_path / "publish.gate"
    os.mkfifo(gate)
    async with toys(tmp_path, {"NOTIFY_SOCKET": manager.path}, is_ready=False) as running:
        # Not ready as long as one of them is not.
        assert "READY" not in "".join(await manager.until("STATUS=waiting for publish"))
        await running.open(gate)
        assert await manager.until(READY) == [READY]
        started = await running.until("process started", child="publish")
        os.kill(started["pid"], SIGKILL)
        assert (await manager.until("STATUS=all processes ready"))[-2] == "STATUS=waiting for publish"
        running.send(SIGUSR2)
        said = await manager.until(REPLACED)
        assert said[0] == REPLACING
        assert [each for each in said[1:-1] if not each.startswith("STATUS=")] == []
        running.send(SIGTERM)
        assert await manager.until("STOPPING=1\nSTATUS=stopping")
        assert await running.wait() == 0


async def test_a_reload_that_is_refused_ends_with_ready_and_the_reason(tmp_path: Path, manager: Manager) -> None:
    async with toys(tmp_path, {"NOTIFY_SOCKET": manager.path}) as running:
        await manager.until(READY)
        running.tell("reload.problems", "limits.hold: too long\nevents: none")
        running.send(SIGHUP)
        refused = "READY=1\nSTATUS=configuration not taken over: limits.hold: too long; events: none"
        assert await manager.until(refused) == [
            "RELOADING=1\nMONOTONIC_USEC=0\nSTATUS=reading the configuration",
            refused,
        ]


async def test_a_replacement_that_fails_ends_with_ready_and_the_reason(tmp_path: Path, manager: Manager) -> None:
    async with toys(tmp_path, {"NOTIFY_SOCKET": manager.path}) as running:
        await manager.until(READY)
        running.tell("deliver-0.crash")
        running.send(SIGUSR2)
        failed = "READY=1\nSTATUS=not replaced: deliver-0 died before it was in place"
        assert await manager.until(failed) == [REPLACING, failed]


async def test_the_watchdog_is_told_all_the_time(tmp_path: Path, manager: Manager) -> None:
    async with toys(tmp_path, {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "20000"}):
        for _ in range(5):
            await manager.until("WATCHDOG=1")


# -- where it does not begin


def lone(folder: Path, sockets: dict[str, tuple[socket.socket, ...]] | None = None) -> Supervisor:
    children = [Child("publish", lambda _: 0)]
    return Supervisor(children, sockets or {}, Options(folder, stop_ms=0), Notifier({}))


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match=r"a process with \d threads cannot be forked safely"):
            lone(tmp_path).run()
    finally:
        end.set()
        thread.join()


def test_a_folder_that_cannot_be_made_is_an_error_and_the_listeners_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.listdir", lambda path: ["1"])  # other tests may have left threads: uvloop's never end
    file = tmp_path / "file"
    file.touch()
    listener = listen_sockets(Address("127.0.0.1", 0))[0]
    with pytest.raises(FileExistsError):
        lone(file, {"publish": listener}).run()
    assert listener[0].fileno() == -1

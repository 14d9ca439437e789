"""Clients that mean harm, in a process of their own: slow-loris heads, and readers who hardly read."""

import multiprocessing
import os
import random
import socket
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

from tests.benchmarks.client import Address

# Everyone acts once a second, in turns, so that the load is even.
TURNS_A_SECOND: Final = 20
SMALLEST_BUFFER_BYTES: Final = 4_096
CONNECT_S_MAX: Final = 1.0
START_S_MAX: Final = 60.0
SEED: Final = 1


@dataclass(frozen=True)
class Attack:
    """Who attacks what.

    Args:
        path: What slow readers ask for.
        slow_read_bytes: What each of them takes a second.
    """

    address: Address
    path: str
    loris: int
    slow_readers: int
    slow_read_bytes: int = 4_096
    core: int | None = None
    niceness: int = 0


class _Attacker:
    """One connection. Cut, it comes again."""

    kind = ""

    def __init__(self, attack: Attack, counts: Counter[str]) -> None:
        self._attack = attack
        self._counts = counts
        self._socket: socket.socket | None = None

    def act(self) -> None:
        """Do harm for one second."""
        try:
            if self._socket is None:
                self._connect()
                self._counts[f"{self.kind} connected"] += 1
            assert self._socket is not None
            self._act(self._socket)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            self._counts[f"{self.kind} cut"] += 1

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST_BUFFER_BYTES)
        self._socket.settimeout(CONNECT_S_MAX)
        self._socket.connect(self._attack.address)
        self._socket.setblocking(False)

    def _act(self, connection: socket.socket) -> None:
        raise NotImplementedError


class _Loris(_Attacker):
    """Sends a header of a request byte by byte, and never its end."""

    kind = "loris"

    def _connect(self) -> None:
        super()._connect()
        assert self._socket is not None
        self._socket.send(b"GET /x HTTP/1.1\r\nX: ")

    def _act(self, connection: socket.socket) -> None:
        connection.send(b"x")
        answer = connection.recv(SMALLEST_BUFFER_BYTES)
        if answer:
            self._counts[f"loris answered {answer[9:12].decode('ascii', 'replace')}"] += 1
        raise ConnectionResetError


class _SlowReader(_Attacker):
    """Asks for a large body, and takes a little of it."""

    kind = "slow reader"

    def _connect(self) -> None:
        super()._connect()
        assert self._socket is not None
        self._socket.send(f"GET {self._attack.path} HTTP/1.1\r\nHost: origin\r\n\r\n".encode())

    def _act(self, connection: socket.socket) -> None:
        if not connection.recv(self._attack.slow_read_bytes):
            raise ConnectionResetError


def _run(control: Connection, attack: Attack) -> None:
    if attack.core is not None:
        os.sched_setaffinity(0, {attack.core})
    os.nice(attack.niceness)
    counts: Counter[str] = Counter()
    attackers: list[_Attacker] = [_Loris(attack, counts) for _ in range(attack.loris)]
    attackers += [_SlowReader(attack, counts) for _ in range(attack.slow_readers)]
    random.Random(SEED).shuffle(attackers)
    for attacker in attackers:
        attacker.act()
    control.send("ready")
    turn = 0
    begin_s = time.monotonic()
    while not control.poll(max(begin_s + turn / TURNS_A_SECOND - time.monotonic(), 0)):
        for attacker in attackers[turn % TURNS_A_SECOND :: TURNS_A_SECOND]:
            attacker.act()
        turn += 1
    control.send(counts)
    for attacker in attackers:
        attacker.close()


class Attackers:
    """A process of attackers, all of whom have begun when this returns. Use it as a context manager."""

    def __init__(self, attack: Attack) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, other = context.Pipe()
        self._process = context.Process(target=_run, args=(other, attack), daemon=True)
        self._process.start()
        other.close()
        if not self._control.poll(START_S_MAX):
            raise RuntimeError("the attackers did not start")
        self._control.recv()

    def __enter__(self) -> "Attackers":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._control.close()

    def stop(self) -> Counter[str]:
        """Return what came of it: connections made, cut, answered with which status."""
        self._control.send("stop")
        if not self._control.poll(START_S_MAX):
            raise RuntimeError("the attackers did not stop")
        counts: Counter[str] = self._control.recv()
        return counts

"""What a held release costs where nobody thinks: a loop of `send` that stands in for an origin.

It holds every GET, takes a PUT and answers all of them with its body, one `send` after the other. So the figures of
this one are those of the kernel, of copying the bytes and of the fleet that measures; an origin's own share is what
comes on top.
"""

import multiprocessing
import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from tests.benchmarks.client import Address
from tests.benchmarks.served import PATIENCE_S, Served


class _Bare:
    """One thread, one epoll, three verbs."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._poll = select.epoll()
        self._poll.register(control.fileno(), select.EPOLLIN)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4_096)
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._held: list[socket.socket] = []
        self._upload = b""

    def run(self) -> None:
        """Serve until told to stop."""
        self._control.send(self._listener.getsockname())
        while True:
            for file, _ in self._poll.poll():
                if file == self._control.fileno():
                    return
                if file == self._listener.fileno():
                    self._accept()
                else:
                    self._serve(self._connections[file])

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(PATIENCE_S)
        self._connections[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLIN)

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        with suppress(ConnectionError):
            data = connection.recv(1 << 20)
        if not data:
            del self._connections[connection.fileno()]
            connection.close()
        elif self._upload or data.startswith(b"PUT"):
            self._receive(connection, data)
        elif data.startswith(b"GET /metrics"):
            text = f"origin_holds_in_progress {len(self._held)}\n".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
        else:
            self._held.append(connection)

    def _receive(self, connection: socket.socket, data: bytes) -> None:
        self._upload += data
        head, _, body = self._upload.partition(b"\r\n\r\n")
        if len(body) < int(head.rpartition(b" ")[2]):
            return
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        for held in self._held:
            held.sendall(answer)
        connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{"etag": ""}')
        self._held, self._upload = [], b""


def _run(control: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    _Bare(control).run()


@contextmanager
def bare(core: int | None) -> Iterator[Served]:
    """Run the loop in a process of its own, on the processor an origin would have."""
    context = multiprocessing.get_context("spawn")
    control, other = context.Pipe()
    process = context.Process(target=_run, args=(other, core), daemon=True)
    process.start()
    other.close()
    try:
        if not control.poll(PATIENCE_S):
            raise RuntimeError("the loop did not start")
        address: Address = control.recv()
        assert process.pid is not None
        yield Served(address, address, f"http://{address[0]}:{address[1]}", process.pid)
    finally:
        control.close()
        process.join(PATIENCE_S)
        process.kill()
        process.join()
        process.close()

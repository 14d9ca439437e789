"""Listening sockets that outlive the processes that serve them."""

import socket
from contextlib import ExitStack
from typing import Final

from config.model import Address

BACKLOG: Final = 1024


def listen_sockets(
    address: Address, count: int = 1, *, reuse_port: bool = False, backlog: int = BACKLOG
) -> list[tuple[socket.socket, ...]]:
    """Return `count` sets of listening sockets; a set has one socket for each address that a host name stands for.

    All of them have the same port, also if the address says 0. Connections are spread over the sets by the kernel,
    whether or not somebody accepts them at the moment.

    Args:
        count: How many sets; more than one needs `reuse_port`.
        reuse_port: Share the port by SO_REUSEPORT. Another program that listens there is an error all the same.
        backlog: Connections that may wait to be accepted, of each socket.

    Raises:
        OSError: It cannot listen there; nothing is left open.
    """
    assert count == 1 or reuse_port, "one port, one socket"
    port = address.port
    with ExitStack() as opened:
        try:
            places = _places(address)
            if reuse_port and port:
                # A program of the same user that shares the port, too, would silently get a part of the connections.
                for family, host in places:
                    _listening(family, (host, port), False, backlog).close()
            sets = []
            for _ in range(count):
                sockets = []
                for family, host in places:
                    listener = opened.enter_context(_listening(family, (host, port), reuse_port, backlog))
                    port = listener.getsockname()[1]
                    sockets.append(listener)
                sets.append(tuple(sockets))
        except OSError as exc:
            raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror}") from exc
        opened.pop_all()
    return sets


def _places(address: Address) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(place[0])) for family, _, _, _, place in found))


def _listening(family: int, place: tuple[str, int], reuse_port: bool, backlog: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio does
        listener.bind(place)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener

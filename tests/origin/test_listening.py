"""Sockets that several processes can serve."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from config.model import Address
from origin.listening import listen_sockets

Sets = list[tuple[socket.socket, ...]]


@contextmanager
def listening(address: Address, count: int = 1, *, reuse_port: bool = False) -> Iterator[Sets]:
    with ExitStack() as opened:
        sets = listen_sockets(address, count, reuse_port=reuse_port)
        for each in sets:
            for listener in each:
                opened.enter_context(listener)
        yield sets


def test_all_slots_share_a_free_port() -> None:
    with listening(Address("127.0.0.1", 0), 3, reuse_port=True) as sets:
        assert len(sets) == 3
        assert len({listener.getsockname() for each in sets for listener in each}) == 1


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_a_client_connects_before_anybody_accepts(host: str, family: socket.AddressFamily) -> None:
    with listening(Address(host, 0)) as [(listener,)]:
        assert (listener.family, listener.getblocking(), listener.get_inheritable()) == (family, False, False)
        port = listener.getsockname()[1]
        with socket.create_connection((host, port)) as client:
            client.sendall(b"a")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(1) == b"a"


def test_ipv4_and_ipv6_can_have_the_same_port() -> None:
    with listening(Address("::", 0)) as [(six,)], listening(Address("0.0.0.0", six.getsockname()[1])) as [(four,)]:
        assert six.getsockname()[1] == four.getsockname()[1]


@pytest.mark.parametrize("reuse_port", [False, True])
@pytest.mark.parametrize("reused_before", [False, True])
def test_a_port_that_somebody_has_is_refused_even_if_it_could_be_shared(reuse_port: bool, reused_before: bool) -> None:
    with listening(Address("127.0.0.1", 0), reuse_port=reused_before) as [(taken,)]:
        address = Address("127.0.0.1", taken.getsockname()[1])
        before = os.listdir("/proc/self/fd")
        with pytest.raises(OSError, match=rf"cannot listen on {address}: Address already in use"):
            listen_sockets(address, 2 if reuse_port else 1, reuse_port=reuse_port)
        assert os.listdir("/proc/self/fd") == before


def test_a_host_that_is_not_here_is_refused() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen_sockets(Address("192.0.2.1", 0))


def test_a_restarted_origin_gets_its_port_again_while_old_connections_linger() -> None:
    with listening(Address("127.0.0.1", 0)) as [(listener,)]:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first has TIME_WAIT
        client.close()
    with listening(Address("127.0.0.1", port), 2, reuse_port=True) as sets:
        assert sets[1][0].getsockname()[1] == port

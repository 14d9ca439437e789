"""A last answer reaches its client, and a client that does not leave is made to."""

import asyncio
from typing import cast
from unittest.mock import Mock, patch

import pytest

from origin import farewell
from origin.connections import ConnectionLimits
from origin.farewell import Farewells, LastAnswers
from tests.origin.connecting import PATIENCE_S, Client, listening

GOODBYE = b"goodbye"


class Host:
    """A server that says goodbye to everyone at once."""

    def __init__(self) -> None:
        self.farewells = Farewells()
        self.transports: list[asyncio.Transport] = []

    def make(self) -> asyncio.Protocol:
        host = self

        class Greeter(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                wire = cast(asyncio.Transport, transport)
                wire.write(GOODBYE)
                host.transports.append(wire)
                host.farewells.take(wire)

            def data_received(self, data: bytes) -> None:
                raise AssertionError("it hears nothing any more")

        return Greeter()

    async def __aenter__(self) -> "Host":
        self._server = await asyncio.get_running_loop().create_server(self.make, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.until_count(0)

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection(*self._server.sockets[0].getsockname()[:2]))

    async def until_count(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.farewells.count != count:  # noqa: ASYNC110  # what is waited for has no event of its own
                await asyncio.sleep(0)


async def test_a_client_that_is_still_sending_gets_its_answer() -> None:
    async with Host() as host, await host.connect() as client:
        client.writer.write(bytes(1024**2))
        assert await client.rest() == GOODBYE
        await client.writer.drain()
        assert host.farewells.count == 1, "until it leaves"
        client.writer.close()
        await host.until_count(0)


async def test_a_client_that_does_not_leave_is_cut() -> None:
    with patch.object(farewell, "LINGER_S", 0.05):
        async with Host() as host, await host.connect() as client:
            assert await client.rest() == GOODBYE
            await host.until_count(0)
            assert host.transports[0].is_closing()


async def test_no_more_than_so_many_are_waited_for() -> None:
    with patch.object(farewell, "FAREWELLS_MAX", 1):
        async with Host() as host, await host.connect() as first:
            assert await first.rest() == GOODBYE
            async with await host.connect() as second:
                assert await second.rest() == GOODBYE
            assert [transport.is_closing() for transport in host.transports] == [False, True]
            assert host.farewells.count == 1


async def test_at_the_end_nobody_is_waited_for() -> None:
    async with Host() as host, await host.connect() as first, await host.connect() as second:
        assert [await client.rest() for client in (first, second)] == [GOODBYE, GOODBYE]
        host.farewells.end()
        await host.until_count(0)


async def test_a_connection_that_ends_already_is_left_alone() -> None:
    farewells, transport = Farewells(), Mock(is_closing=Mock(return_value=True))
    farewells.take(transport)
    assert farewells.count == 0
    transport.write_eof.assert_not_called()


async def test_a_connection_that_was_reset_is_aborted() -> None:
    farewells = Farewells()
    transport = Mock(is_closing=Mock(return_value=False), write_eof=Mock(side_effect=OSError("not connected")))
    farewells.take(transport)
    transport.abort.assert_called_once_with()
    protocol = transport.set_protocol.call_args[0][0]
    protocol.connection_lost(None)
    assert farewells.count == 0


LIMITS = ConnectionLimits(
    connections_count=11, connections_per_address=12, head_ms=13, head_bytes=2048, keepalive_ms=15, send_rate_bytes=16
)
ANSWERS: list[tuple[str, int, int, str]] = [
    ("too_many", 503, 1, "limits.connections, 11,"),
    ("too_many_from_one", 503, 1, "limits.connections_per_address, 12,"),
    ("too_slow", 408, 1, "limits.head, 13 ms"),
    ("target_too_long", 414, 1, "limits.head_bytes, 2048 bytes"),
    ("too_large", 431, 1, "limits.head_bytes, 2048 bytes, or all of the head is longer than 8192 bytes"),
]


@pytest.mark.parametrize(("name", "status", "life_s", "detail"), ANSWERS, ids=[case[0] for case in ANSWERS])
def test_each_last_answer_names_its_limit(name: str, status: int, life_s: int, detail: str) -> None:
    reply = getattr(LastAnswers(LIMITS), name)
    assert reply.status == status
    assert reply.headers["Cache-Control"].startswith(f"public, max-age={life_s},")
    assert detail in reply.body.decode()
    assert ("Retry-After" in reply.headers) == (status == 503)


async def test_a_server_that_refuses_many_waits_for_few() -> None:
    with patch.object(farewell, "FAREWELLS_MAX", 3):
        async with listening(connections_count=1) as listener, await listener.connect() as first:
            clients = [await listener.connect() for _ in range(8)]
            assert [(await client.receive()).status for client in clients] == [503] * 8
            assert listener.server.farewells.count == 3
            assert listener.server.clients.count == 1
            for client in clients:
                async with client:
                    assert await client.rest() == b""
            assert first.reader.at_eof() is False

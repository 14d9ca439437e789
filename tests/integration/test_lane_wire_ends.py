"""Both lanes on one wire where something ends: clients that leave, bodies that are not there, an origin that stops."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.integration.lane_site import HELD, NEW, NEXT, encoded, fill, forget, segment_at, until_read
from tests.origin.raw_client import RawClient, body_of, connected, fields_of, request, status_of
from tests.origin.site import NUMBER, Site, make_body, open_site, until
from tests.support.bodies import NO_FAULTS, Faults

# -- Clients that leave

LEAVING: Final[list[tuple[str, Callable[[RawClient], object]]]] = [
    ("half-close", lambda client: client.writer.write_eof()),
    ("close", lambda client: client.writer.close()),
    ("reset", RawClient.reset),
]


@pytest.mark.parametrize("leave", [case[1] for case in LEAVING], ids=[case[0] for case in LEAVING])
@pytest.mark.parametrize(
    "data", [request(HELD), request(HELD) + request(NEW) * 2, encoded(HELD)], ids=["fast", "with-more-behind", "slow"]
)
async def test_a_client_that_leaves_while_it_is_held_is_counted_and_frees_its_place(
    site: Site, data: bytes, leave: Callable[[RawClient], object]
) -> None:
    async with connected(site.origin.deliver_address) as client:
        client.send(data)
        await until(lambda: site.origin.waiters.count == 1)
        leave(client)
        await until(lambda: site.origin.waiters.count == 0)
    assert await site.metric("origin_holds_in_progress") == 0
    await until_gone(site, 1)
    assert (await site.put(NEXT)).status == 201
    assert (await site.get(NEXT)).status == 200
    assert await site.metric("origin_deliver_requests_total", kind="none", outcome="client-gone") == 1


async def until_gone(site: Site, count: int) -> None:
    """Return once so many clients were counted that left before their answer."""
    while await site.metric("origin_deliver_requests_total", kind="none", outcome="client-gone") < count:
        pass


async def test_a_client_may_end_its_side_after_a_request_that_is_answered_at_once(site: Site) -> None:
    await fill(site)
    async with connected(site.origin.deliver_address) as client:
        client.send(request(NEW) + request("/healthz"))
        client.writer.write_eof()
        assert [status_of(await client.receive()) for _ in range(2)] == [200, 200]
        assert await client.rest() == b""


# -- Reads of the lower tier


async def test_a_body_that_is_not_in_memory_is_read_once_for_all(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await fill(site)
        forget(site)
        reads = site.origin._deliver.bodies
        with site.bodies.gate("read") as gate:
            async with (
                connected(site.origin.deliver_address) as one,
                connected(site.origin.deliver_address) as other,
                connected(site.origin.deliver_address) as third,
            ):
                for client in (one, other, third):
                    client.send(request(NEW))
                    await gate.reached()
                await until(lambda: reads.reads_count == 1)
                one.reset()
                third.send(request(NEW, "Range: bytes=0-3") + encoded(NEW))
                await until_gone(site, 1)
                gate.open()
                assert body_of(await other.receive()) == segment_at(NUMBER)
                assert [body_of(await third.receive()) for _ in range(3)] == [
                    segment_at(NUMBER),
                    segment_at(NUMBER)[:4],
                    segment_at(NUMBER),
                ]
                assert gate.stopped_count == 1


@pytest.mark.parametrize("data", [request(NEW), encoded(NEW)], ids=["fast", "slow"])
async def test_a_body_that_cannot_be_read_is_a_fault_and_the_connection_goes_on(tmp_path: Path, data: bytes) -> None:
    async with open_site(tmp_path) as site:
        await fill(site)
        forget(site)
        async with connected(site.origin.deliver_address) as client:
            site.bodies.misbehave(Faults(errors=1), seed=1)
            fault = await client.ask(data)
            assert (status_of(fault), b"problem:storage" in fault) == (503, True)
            site.bodies.misbehave(NO_FAULTS, seed=1)
            assert body_of(await client.ask(data)) == segment_at(NUMBER)


async def test_a_copy_that_was_lost_gives_way_to_the_next_best(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, "a")
        await site.put(NUMBER, "b")
        async with connected(site.origin.deliver_address) as client:
            assert fields_of(await client.ask(request(NEW)))["Live-Origin-Pipeline"] == "a"
            for path in (tmp_path / "data" / "bodies").rglob("*~a~*"):
                path.unlink()
            forget(site)
            answer = await client.ask(request(NEW))
            assert fields_of(answer)["Live-Origin-Pipeline"] == "b"
            assert body_of(answer) == make_body(NUMBER, "b")


# -- Stopping


@pytest.mark.parametrize("data", [request(HELD), encoded(HELD)], ids=["fast", "slow"])
async def test_held_requests_are_told_that_the_origin_stops(site: Site, data: bytes) -> None:
    async with connected(site.origin.deliver_address) as client:
        client.send(data)
        await until(lambda: site.origin.waiters.count == 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(site.origin.stop())
            answer = await client.receive()
            assert (status_of(answer), b"problem:stopping" in answer) == (503, True)
            assert await client.rest() == b""


async def test_a_body_on_its_way_is_sent_to_its_end_when_the_origin_stops(site: Site) -> None:
    body = bytes(range(256)) * 40_000
    await site.put(NUMBER, body=io.BytesIO(body))
    async with connected(site.origin.deliver_address, receive_bytes=4_096) as client:
        client.send(request(NEW))
        await client.reader.readuntil(b"\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(site.origin.stop())
            received = await client.rest()
            await stopping
        assert received == body


async def test_a_read_in_flight_is_answered_when_the_origin_stops(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await fill(site)
        forget(site)
        with site.bodies.gate("read") as gate:
            async with connected(site.origin.deliver_address) as client, asyncio.TaskGroup() as group:
                client.send(request(NEW))
                await gate.reached()
                group.create_task(site.origin.stop())
                await until(lambda: not site.origin.health.is_ready)
                await until_read()
                gate.open()
                answer = await client.receive()
                assert body_of(answer) == segment_at(NUMBER)
                assert await client.rest() == b""

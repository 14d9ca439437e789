"""How uploads past aiohttp end when something else does: the body, the connection, the disk, the listener."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from origin.turn import TurnProtocol
from origin.upload_lane import UploadLaneProtocol
from tests.origin.raw_client import RawClient, body_of, connected, fields_of, status_of
from tests.origin.site import until
from tests.origin.upload_lanes import LONG_MS, UploadLanes, head_of, open_uploads, path_of, upload
from tests.support.bodies import NO_FAULTS, Faults

BODY = b"the whole segment"
MIB = 1024 * 1024
SHORT_MS = 30


@pytest.fixture
async def lanes(tmp_path: Path) -> AsyncIterator[UploadLanes]:
    async with open_uploads(tmp_path) as lanes:
        yield lanes


def leave(client: RawClient) -> None:
    """End the connection as close() does."""
    client.writer.close()


for_each_end = pytest.mark.parametrize("end", [leave, RawClient.reset], ids=["close", "reset"])


async def until_missing(lanes: UploadLanes, missing_bytes: int) -> UploadLaneProtocol:
    """Return the connection once so many bytes of the body in its lane have not come."""

    def is_there() -> bool:
        (upload,) = [connection._upload for connection in lanes.server.connections] or [None]  # type: ignore[attr-defined]
        return upload is not None and upload.missing_bytes == missing_bytes

    await until(is_there)
    return lanes.connection


# -- The client ends it


async def test_what_stands_behind_the_last_request_is_not_read(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        client.send(upload(1, BODY, "Connection: close") + upload(2, b"never"))
        answer = await client.receive()
        assert (status_of(answer), fields_of(answer)["Connection"]) == (201, "close")
        assert await client.rest() == b""
    assert (lanes.slow, lanes.stored) == ([], [BODY])


@for_each_end
@pytest.mark.parametrize("size_bytes", [100, MIB, 3 * MIB])
async def test_a_body_that_was_cut_leaves_no_trace(
    lanes: UploadLanes, end: Callable[[RawClient], None], size_bytes: int
) -> None:
    async with connected(lanes.address) as client:
        client.send(head_of(path_of(1), size_bytes) + bytes(size_bytes - 1))
        await until_missing(lanes, 1)
        assert lanes.in_progress_count == 1
        end(client)
        await until(lambda: lanes.outcomes == ["truncated"])
    await lanes.until_over()
    assert lanes.stored == []


@for_each_end
@pytest.mark.parametrize("size_bytes", [100, MIB, 3 * MIB])
async def test_a_body_that_is_whole_is_kept_though_its_client_has_gone(
    lanes: UploadLanes, end: Callable[[RawClient], None], size_bytes: int
) -> None:
    async with connected(lanes.address) as client:
        with lanes.node.bodies.gate("write") as gate:
            client.send(upload(1, bytes(size_bytes)))
            await gate.reached()
            end(client)
            await until(lambda: not lanes.server.connections)
            assert lanes.in_progress_count == 1
    await lanes.until_over()
    assert (lanes.outcomes, lanes.stored, lanes.slow) == (["stored"], [bytes(size_bytes)], [])


@for_each_end
async def test_what_came_whole_behind_an_upload_is_kept_too(
    lanes: UploadLanes, end: Callable[[RawClient], None]
) -> None:
    async with connected(lanes.address) as client:
        with lanes.node.bodies.gate("write") as gate:
            client.send(upload(1, b"one") + upload(2, b"two") + upload(3, b"three") + upload(4, b"cut")[:-1])
            await gate.reached()
            connection = lanes.connection
            await until(lambda: connection.heads_count == 4)
            end(client)
            await until(lambda: connection.transport is None)
    await lanes.until_over()
    assert set(lanes.stored) == {b"one", b"two", b"three"}


# -- The time ends it


@pytest.mark.parametrize("size_bytes", [100, MIB])
async def test_a_body_that_pauses_for_too_long_is_refused(tmp_path: Path, size_bytes: int) -> None:
    async with open_uploads(tmp_path, body_idle_ms=SHORT_MS) as lanes, connected(lanes.address) as client:
        client.send(head_of(path_of(1), size_bytes) + bytes(size_bytes // 2))
        answer = await client.receive()
        assert (status_of(answer), fields_of(answer)["Connection"]) == (408, "close")
        assert await client.rest() == b""
        assert (lanes.outcomes, lanes.stored, lanes.slow) == (["body-stalled"], [], [])


async def test_a_body_that_goes_on_is_not_refused_however_long_it_takes(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        client.send(head_of(path_of(1), 3) + b"a")
        connection = await until_missing(lanes, 2)
        pending = connection._upload
        assert pending is not None and pending.timer is not None
        pending.timer.cancel()
        begun_s = pending.heard_s = pending.heard_s - 1
        client.send(b"b")
        await until_missing(lanes, 1)
        connection._check_body(pending)
        assert pending.timer is not None, "it looks again when the newest piece is as old as that"
        assert pending.timer.when() >= begun_s + 1 + LONG_MS / 1000
        assert status_of(await client.ask(b"c")) == 201
        assert pending.timer is None


async def test_a_connection_is_not_idle_while_an_upload_is_on_its_way(tmp_path: Path) -> None:
    async with open_uploads(tmp_path, keepalive_ms=SHORT_MS) as lanes, connected(lanes.address) as client:
        with lanes.node.bodies.gate("write") as gate:
            client.send(upload(1, BODY))
            await gate.reached()
            begun_s = asyncio.get_running_loop().time()
            asked: list[float] = []
            due = UploadLaneProtocol.keepalive_due

            def keepalive_due(self: UploadLaneProtocol) -> float:
                asked.append(begun_s)
                return due(self)

            with patch.object(UploadLaneProtocol, "keepalive_due", keepalive_due):
                await until(lambda: len(asked) == 2)
        assert status_of(await client.receive()) == 201
        assert await client.rest() == b"", "now it is"


# -- What goes wrong


async def test_a_fault_of_the_disk_is_told_and_the_connection_goes_on(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        lanes.node.bodies.misbehave(Faults(errors=1), 0)
        for size_bytes in (100, 3 * MIB):
            answer = await client.ask(upload(1, bytes(size_bytes)))
            assert (status_of(answer), fields_of(answer)["Retry-After"]) == (503, "1")
        lanes.node.bodies.misbehave(NO_FAULTS, 0)
        assert status_of(await client.ask(upload(1, BODY))) == 201
    assert (lanes.slow, lanes.stored) == ([], [BODY])


async def test_a_mistake_of_ours_is_answered_and_the_connection_goes_on(
    lanes: UploadLanes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(lanes.address) as client:
        with patch.object(lanes.node.intake, "publish", side_effect=RuntimeError("a secret")):
            answer = await client.ask(upload(1, BODY))
        assert status_of(answer) == 500
        assert b"a secret" not in body_of(answer)
        assert "request failed" in caplog.messages
        assert status_of(await client.ask(upload(1, BODY))) == 201
    assert lanes.outcomes == ["internal", "stored"]


async def test_a_mistake_in_what_decides_is_answered_by_aiohttps_way(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        with patch.object(lanes.publisher, "admit", side_effect=RuntimeError("a mistake")):
            assert status_of(await client.ask(upload(1, BODY))) == 500
        assert lanes.slow == [path_of(1)]
        assert status_of(await client.ask(upload(1, BODY))) == 201


# -- The listener ends


async def test_an_upload_in_progress_ends_before_a_publisher_that_stops(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client, asyncio.TaskGroup() as group:
        client.send(upload(1, BODY)[:-1])
        await until_missing(lanes, 1)
        finishing = group.create_task(lanes.publisher.finish())
        answer = await client.ask(BODY[-1:])
        assert (status_of(answer), fields_of(answer)["Connection"]) == (201, "close")
        assert await client.rest() == b""
        await finishing


@pytest.mark.parametrize("sent", [b"", upload(1, BODY)[:9], upload(1, BODY)[:-1], upload(1, bytes(MIB))[:-1]], ids=len)
async def test_a_listener_that_stops_cuts_what_does_not_come(lanes: UploadLanes, sent: bytes) -> None:
    async with connected(lanes.address) as client:
        client.send(sent)
        await until(lambda: len(lanes.server.connections) == 1)
        if len(sent) > 9:
            await until_missing(lanes, 1)
        await lanes.connection.shutdown(0.01)
        assert await client.rest() == b""
        await until(lambda: not lanes.server.connections)
    await lanes.until_over()
    assert lanes.stored == []
    assert lanes.outcomes == (["truncated"] if len(sent) > 9 else [])


async def test_a_listener_that_stops_lets_an_upload_be_stored(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client, asyncio.TaskGroup() as group:
        with lanes.node.bodies.gate("write") as gate:
            client.send(upload(1, BODY))
            await gate.reached()
            lanes.server.pre_shutdown()
            connection = lanes.connection
            stopping = group.create_task(lanes.server.shutdown(3_600))
            await until(lambda: connection._behind != [])
            assert not stopping.done()
        answer = await client.receive()
        assert (status_of(answer), fields_of(answer)["Connection"]) == (201, "close")
        assert await client.rest() == b""


async def test_an_upload_that_comes_whole_when_the_time_to_stop_is_over_is_counted_out(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        await client.ask(upload(0, b"first"))
        connection = lanes.connection
        connection.data_received(upload(1, BODY)[:-1])

        async def wait_no_more(self: object, _: float) -> None:
            connection.data_received(BODY[-1:])

        with patch.object(TurnProtocol, "shutdown", wait_no_more):
            await connection.shutdown(0)
    await lanes.until_over()


async def test_what_a_listener_that_stops_does_not_wait_for_is_counted_out(lanes: UploadLanes) -> None:
    async with connected(lanes.address) as client:
        with lanes.node.bodies.gate("write") as gate:
            client.send(upload(1, BODY))
            await gate.reached()
            await lanes.connection.shutdown(0.001)
            assert await client.rest() == b""
            await lanes.until_over()
    assert lanes.stored == []

"""Frames and descriptors over a socket pair, on the loops of asyncio and uvloop."""

import array
import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from origin.feed.channel import LOW_BYTES, Channel, close_all
from origin.feed.wire import FeedFault, FrameType, encode_frame
from tests.origin.feed.feeds import descriptors_count, until

BIG = bytes(300_000)  # more than the kernel keeps for a socket pair


@dataclass
class End:
    """One end, and what it was told."""

    connection: socket.socket
    buffer_bytes_max: int = 64 * 1024**2
    frames: list[tuple[FrameType, bytes, tuple[int, ...]]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    fault: Exception | None = None

    def __post_init__(self) -> None:
        self.channel = Channel(self.connection, self._take, self.reasons.append, self.buffer_bytes_max)

    def _take(self, kind: FrameType, payload: bytes, descriptors: tuple[int, ...]) -> None:
        self.frames.append((kind, payload, descriptors))
        if self.fault is not None:
            raise self.fault

    async def ended(self) -> str:
        await until(lambda: bool(self.reasons))
        return self.reasons[0]


def pair(buffer_bytes_max: int = 64 * 1024**2) -> tuple[End, End]:
    one, other = socket.socketpair()
    return End(one, buffer_bytes_max), End(other)


def half_pair(buffer_bytes_max: int = 64 * 1024**2) -> tuple[End, socket.socket]:
    """Return an end, and the plain socket of the other one."""
    one, other = socket.socketpair()
    return End(one, buffer_bytes_max), other


async def frames_come_in_order() -> None:
    one, other = pair()
    for number in range(1_000):
        one.channel.send(FrameType.PLACED, str(number).encode())
    other.channel.send(FrameType.STATUS, b"up")
    await until(lambda: len(other.frames) == 1_000 and len(one.frames) == 1)
    assert [int(payload) for _, payload, _ in other.frames] == list(range(1_000))
    assert one.channel.buffered_bytes == 0
    one.channel.close("over")
    assert await other.ended() == "the other end has gone"
    assert (other.channel.is_faulty, one.reasons) == (False, ["over"])


async def descriptors_come_with_their_frames() -> None:
    before = descriptors_count()
    one, other = pair()
    for number in range(300):
        own = os.memfd_create("test")
        os.write(own, str(number).encode())
        one.channel.send(FrameType.PLACED, BIG[: number * 997 % 5_000])
        one.channel.send(FrameType.ARENA, str(number).encode(), (own,))
        os.close(own)  # it was duplicated
    await until(lambda: len(other.frames) == 600)
    for kind, payload, descriptors in other.frames:
        assert len(descriptors) == (kind is FrameType.ARENA)
        for descriptor in descriptors:
            assert os.pread(descriptor, 10, 0) == payload
            assert not os.get_inheritable(descriptor)
        close_all(descriptors)
    one.channel.close("over")
    await other.ended()
    assert descriptors_count() == before


async def what_does_not_fit_is_written_when_there_is_room() -> None:
    one, other = half_pair()
    for _ in range(10):
        one.channel.send(FrameType.SNAPSHOT, BIG)
    draining = asyncio.create_task(one.channel.drain())
    await until(lambda: one.channel._is_blocked)
    assert not draining.done()
    reading = End(other)
    await draining
    assert one.channel.buffered_bytes <= LOW_BYTES
    await until(lambda: len(reading.frames) == 10)
    assert all(payload == BIG for _, payload, _ in reading.frames)
    one.channel.close("over")
    await reading.ended()


async def what_is_sent_now_comes_after_what_waits() -> None:
    one, other = pair()
    one.channel.send_now(encode_frame(FrameType.PLACED, b"0"))
    assert one.channel.buffered_bytes == 0
    one.channel.send(FrameType.PLACED, b"1")
    one.channel.send_now(encode_frame(FrameType.PLACED, b"2") + encode_frame(FrameType.PLACED, b"3"))
    await until(lambda: len(other.frames) == 4)
    assert [payload for _, payload, _ in other.frames] == [b"0", b"1", b"2", b"3"]
    one.channel.close("over")
    one.channel.send_now(encode_frame(FrameType.PLACED, b"nothing happens"))
    assert await other.ended() == "the other end has gone"
    assert (one.reasons, one.channel.buffered_bytes) == (["over"], 0)


async def what_does_not_fit_now_is_written_when_there_is_room() -> None:
    one, other = half_pair()
    for _ in range(10):
        one.channel.send_now(encode_frame(FrameType.SNAPSHOT, BIG))
    assert 9 * len(BIG) < one.channel.buffered_bytes < 10 * len(BIG)
    reading = End(other)
    await until(lambda: len(reading.frames) == 10)
    assert all(payload == BIG for _, payload, _ in reading.frames)
    one.channel.close("over")
    await reading.ended()


async def sending_now_to_who_has_gone_ends_the_connection() -> None:
    one, other = half_pair()
    one.channel._loop.remove_reader(one.connection.fileno())  # or it would be found out by reading
    other.close()
    one.channel.send_now(encode_frame(FrameType.PLACED, b"1"))
    assert await one.ended() == "cannot write: Broken pipe"


async def a_reader_that_is_too_slow_is_left() -> None:
    before = descriptors_count()
    one, other = half_pair(buffer_bytes_max=1_000_000)
    with os.fdopen(os.memfd_create("test")) as own:
        for _ in range(3):
            one.channel.send(FrameType.ARENA, BIG, (own.fileno(),))
        draining = asyncio.create_task(one.channel.drain())
        await until(lambda: one.channel._is_blocked)
        while not one.channel.is_closed:
            one.channel.send(FrameType.ARENA, BIG, (own.fileno(),))
        assert await one.ended() == "too slow"
        await draining
        one.channel.send(FrameType.PLACED, b"nothing happens")
        assert (one.channel.buffered_bytes, one.channel.is_faulty) == (0, False)
    other.close()
    assert descriptors_count() == before


async def descriptors_that_nobody_has_claimed_are_closed_at_the_end() -> None:
    before = descriptors_count()
    one, other = half_pair()
    frame = encode_frame(FrameType.ARENA, b"1", 1)
    with os.fdopen(os.memfd_create("test")) as own:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [own.fileno()]))]
        other.sendmsg([frame[:-1]], rights)
        await until(lambda: len(one.channel._received) == 1)
        other.close()
        await one.ended()
    assert one.frames == []
    assert descriptors_count() == before


async def faults_end_the_connection() -> None:
    before = descriptors_count()
    for data, reason in [
        (encode_frame(FrameType.ARENA, b"1", 1), "a frame without its descriptors"),
        (b"\xff" * 6, "a frame of 4294967295 bytes"),
        (b"\0" * 6, "a frame of type 0"),
    ]:
        one, other = half_pair()
        other.send(data)
        assert await one.ended() == reason
        assert one.channel.is_faulty
        other.close()
    for fault, reason in [(FeedFault("not so"), "not so"), (RuntimeError("mistake"), "a frame could not be taken in")]:
        one, other = half_pair()
        one.fault = fault
        other.send(encode_frame(FrameType.PLACED, b"1") * 2)
        assert await one.ended() == reason
        assert (len(one.frames), one.channel.is_faulty) == (1, True)
        other.close()
    assert descriptors_count() == before


async def more_descriptors_than_frames_claim_end_the_connection() -> None:
    before = descriptors_count()
    one, other = half_pair()
    with os.fdopen(os.memfd_create("test")) as own:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [own.fileno()] * 100))]
        other.sendmsg([b"x"], rights)  # more than fit into what is read at once
        assert await one.ended() == "descriptors were lost on the way"
    other.close()
    assert descriptors_count() == before


async def a_frame_that_ends_the_connection_is_the_last_one() -> None:
    one, other = half_pair()
    one.channel._on_frame = lambda kind, payload, descriptors: one.channel.close(payload.decode())
    other.send(encode_frame(FrameType.PLACED, b"first") + encode_frame(FrameType.PLACED, b"second"))
    assert await one.ended() == "first"
    one.channel.close("third")
    await asyncio.sleep(0)
    assert one.reasons == ["first"]
    other.close()


async def writing_to_who_has_gone_ends_the_connection() -> None:
    one, other = half_pair()
    one.channel._loop.remove_reader(one.connection.fileno())  # or it would be found out by reading
    other.close()
    one.channel.send(FrameType.PLACED, b"1")
    assert await one.ended() == "cannot write: Broken pipe"


async def reading_from_a_broken_socket_ends_the_connection() -> None:
    one, other = half_pair()
    other.send(b"x")
    await until(lambda: bool(one.channel._frames._buffer))
    one.channel.send(FrameType.PLACED, b"1")
    await asyncio.sleep(0)
    other.close()  # with something unread: the other end is told that it was lost
    assert await one.ended() == "cannot read: Connection reset by peer"


Scenario = Callable[[], Coroutine[Any, Any, None]]
SCENARIOS: list[Scenario] = [
    frames_come_in_order,
    descriptors_come_with_their_frames,
    what_does_not_fit_is_written_when_there_is_room,
    what_is_sent_now_comes_after_what_waits,
    what_does_not_fit_now_is_written_when_there_is_room,
    sending_now_to_who_has_gone_ends_the_connection,
    a_reader_that_is_too_slow_is_left,
    descriptors_that_nobody_has_claimed_are_closed_at_the_end,
    faults_end_the_connection,
    more_descriptors_than_frames_claim_end_the_connection,
    a_frame_that_ends_the_connection_is_the_last_one,
    writing_to_who_has_gone_ends_the_connection,
    reading_from_a_broken_socket_ends_the_connection,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_channel(scenario: Scenario, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(debug=True, loop_factory=loop) as runner:
        runner.run(scenario())


async def test_no_descriptor_left_ends_the_connection_and_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = half_pair()
    before = descriptors_count()
    duplicate, left = os.dup, iter([True, False])

    def dup(descriptor: int) -> int:
        if not next(left):
            raise OSError(24, "Too many open files")
        return duplicate(descriptor)

    with os.fdopen(os.memfd_create("test")) as own:
        monkeypatch.setattr("os.dup", dup)
        one.channel.send(FrameType.ARENA, b"1", (own.fileno(), own.fileno()))
        monkeypatch.undo()
        assert await one.ended() == "no descriptor left: Too many open files"
    assert descriptors_count() == before - 1
    other.close()

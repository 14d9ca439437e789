"""Reading bodies from files: checked on the way, in threads of their own."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.bodies import FileBodies
from storage.errors import BodyDamaged, BodyMissing, StorageError
from tests.storage.contract import key_of, make_body

BODY = make_body(1, 10_000)
KEY = key_of(BODY)


@pytest.fixture
def bodies(tmp_path: Path) -> Iterator[FileBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=False)
    files.open()
    yield files
    files.close()


class Stopped:
    """Stops every thread that calls `owner.name` until `go_on` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self.go_on = threading.Event()
        really = getattr(owner, name)

        def call(*arguments: object) -> object:
            assert self.go_on.wait(10)
            return really(*arguments)

        monkeypatch.setattr(owner, name, call)


async def test_reads_do_not_wait_for_writes(bodies: FileBodies, monkeypatch: pytest.MonkeyPatch) -> None:
    await bodies.write(KEY, BODY)
    stopped = Stopped(monkeypatch, os, "rename")
    writings = [asyncio.create_task(bodies.write(key_of(BODY, 11 + number), BODY)) for number in range(32)]
    await asyncio.sleep(0)
    assert await bodies.read(KEY) == BODY
    assert await bodies.read_intact(KEY) == BODY
    assert not any(writing.done() for writing in writings)
    stopped.go_on.set()
    await asyncio.gather(*writings)


async def test_writes_do_not_wait_for_reads(bodies: FileBodies, monkeypatch: pytest.MonkeyPatch) -> None:
    await bodies.write(KEY, BODY)
    stopped = Stopped(monkeypatch, Path, "read_bytes")
    readings = [asyncio.create_task(bodies.read_intact(KEY)) for _ in range(32)]
    await asyncio.sleep(0)
    await bodies.write(key_of(BODY, 11), BODY)
    await bodies.delete(key_of(BODY, 11))
    assert not any(reading.done() for reading in readings)
    stopped.go_on.set()
    assert await asyncio.gather(*readings) == [BODY] * 32


async def test_what_is_closed_reads_no_more(bodies: FileBodies) -> None:
    await bodies.write(KEY, BODY)
    bodies.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        await bodies.read(KEY)


async def test_a_body_that_is_intact_is_read(bodies: FileBodies) -> None:
    await bodies.write(KEY, BODY)
    assert await bodies.read_intact(KEY) == BODY


async def test_a_body_that_is_not_there_is_missing(bodies: FileBodies) -> None:
    with pytest.raises(BodyMissing):
        await bodies.read_intact(KEY)


@pytest.mark.parametrize("rotten", [b"", BODY[:-1], BODY[:-1] + b"!"], ids=["empty", "short", "other"])
async def test_a_body_that_is_not_intact_is_set_aside_and_then_it_is_missing(
    bodies: FileBodies, tmp_path: Path, rotten: bytes
) -> None:
    await bodies.write(KEY, rotten)
    assert await bodies.read(KEY) == rotten, "unchecked"
    with pytest.raises(BodyDamaged, match="body-read: the bytes are not those that were stored"):
        await bodies.read_intact(KEY)
    assert not (tmp_path / "bodies" / KEY).exists()
    with pytest.raises(BodyMissing):
        await bodies.read_intact(KEY)


async def test_a_read_that_went_wrong_by_itself_leaves_the_body_where_it_is(
    bodies: FileBodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bodies.write(KEY, BODY)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", lambda _: BODY[:10])
        with pytest.raises(StorageError, match="body-read: the bytes were not those that are stored") as caught:
            await bodies.read_intact(KEY)
    assert type(caught.value) is StorageError
    assert await bodies.read_intact(KEY) == BODY

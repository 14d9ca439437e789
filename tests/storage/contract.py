"""What every implementation of `storage.base.Bodies` keeps. Test classes inherit it and bring a `bodies` fixture."""

import asyncio

import pytest

from storage.base import Bodies, BodyKey, body_key, digest_of, manifest_key
from storage.errors import BodyMissing
from tests.support.events import make_key

SIZES = [1, 2, 1_000, 65_536, 1_048_577]


def key_of(body: bytes, number: int | None = 10, pipeline_id: str = "a") -> BodyKey:
    """Return where these bytes lie as the copy of one segment."""
    return body_key(make_key(number), pipeline_id, digest_of(body))


def make_body(seed: int, size_bytes: int = 1_000) -> bytes:
    """Return bytes that differ from those of every other seed.

    >>> make_body(1, 5)
    b'1-1-1'
    """
    pattern = f"{seed}-".encode()
    return (pattern * (size_bytes // len(pattern) + 1))[:size_bytes]


class BodiesContract:
    """A body is there whole or not at all; bytes behind a key never change."""

    @pytest.mark.parametrize("size_bytes", SIZES)
    async def test_what_was_written_is_read(self, bodies: Bodies, size_bytes: int) -> None:
        body = make_body(1, size_bytes)
        await bodies.write(key_of(body), body)
        assert await bodies.read(key_of(body)) == body
        assert await bodies.read(key_of(body)) == body

    async def test_a_body_that_was_never_written_is_missing(self, bodies: Bodies) -> None:
        with pytest.raises(BodyMissing):
            await bodies.read(key_of(b"never"))

    async def test_a_body_that_was_missing_is_found_once_it_is_written(self, bodies: Bodies) -> None:
        body = make_body(1)
        with pytest.raises(BodyMissing):
            await bodies.read(key_of(body))
        await bodies.write(key_of(body), body)
        assert await bodies.read(key_of(body)) == body

    async def test_a_deleted_body_is_missing(self, bodies: Bodies) -> None:
        body = make_body(1)
        await bodies.write(key_of(body), body)
        await bodies.delete(key_of(body))
        with pytest.raises(BodyMissing):
            await bodies.read(key_of(body))

    async def test_a_body_that_is_not_there_can_be_deleted(self, bodies: Bodies) -> None:
        await bodies.delete(key_of(b"never"))
        await bodies.delete(key_of(b"never"))

    async def test_a_deleted_body_can_be_written_again(self, bodies: Bodies) -> None:
        body = make_body(1)
        for _ in range(3):
            await bodies.write(key_of(body), body)
            assert await bodies.read(key_of(body)) == body
            await bodies.delete(key_of(body))

    async def test_the_same_body_can_be_written_twice(self, bodies: Bodies) -> None:
        body = make_body(1)
        await bodies.write(key_of(body), body)
        await bodies.write(key_of(body), body)
        assert await bodies.read(key_of(body)) == body

    async def test_concurrent_writes_of_one_key_leave_one_whole_body(self, bodies: Bodies) -> None:
        body = make_body(1, 100_000)
        await asyncio.gather(*(bodies.write(key_of(body), body) for _ in range(16)))
        assert await bodies.read(key_of(body)) == body

    async def test_a_reader_sees_the_whole_body_or_none(self, bodies: Bodies) -> None:
        body = make_body(1, 1_000_000)
        writing = asyncio.gather(*(bodies.write(key_of(body), body) for _ in range(4)))
        found = 0
        while not writing.done() or not found:
            try:
                assert await bodies.read(key_of(body)) == body
                found += 1
            except BodyMissing:
                assert not found
            await asyncio.sleep(0)
        await writing

    async def test_bodies_of_different_keys_do_not_meet(self, bodies: Bodies) -> None:
        texts = [make_body(seed) for seed in range(20)]
        keys = [key_of(text, number, pipeline) for number, text in enumerate(texts) for pipeline in "ab"]
        await asyncio.gather(*(bodies.write(key, texts[index // 2]) for index, key in enumerate(keys)))
        await asyncio.gather(*(bodies.delete(key) for key in keys[::2]))
        for index, key in list(enumerate(keys))[1::2]:
            assert await bodies.read(key) == texts[index // 2]

    async def test_segments_init_segments_and_manifests_lie_side_by_side(self, bodies: Bodies) -> None:
        texts = [make_body(seed) for seed in range(3)]
        digests = [digest_of(text) for text in texts]
        keys = [
            body_key(make_key(10), "a", digests[0]),
            body_key(make_key(None), "a", digests[1]),
            manifest_key("derby", "a/b/master.m3u8", "a", digests[2]),
        ]
        for key, text in zip(keys, texts, strict=True):
            await bodies.write(key, text)
        assert [await bodies.read(key) for key in keys] == texts

"""What every implementation of `storage.base.Bodies` keeps. Test classes inherit it and bring a `bodies` fixture."""

import asyncio
from collections.abc import Callable

import pytest

from storage.base import (
    SEGMENTS_PER_BUCKET,
    Bodies,
    Body,
    BodyKey,
    Incoming,
    Removed,
    body_key,
    digest_of,
    manifest_key,
)
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

    @pytest.mark.parametrize("size_bytes", SIZES)
    async def test_bytes_of_every_make_are_stored(self, bodies: Bodies, size_bytes: int) -> None:
        makes: list[Callable[[bytes], Body]] = [bytes, bytearray, lambda body: memoryview(body).toreadonly()]
        for seed, make in enumerate(makes):
            body = make_body(seed, size_bytes)
            await bodies.write(key_of(body), make(body))
            incoming = await bring_in(bodies, make(body))
            await bodies.adopt(incoming, key_of(body, 11), make(body))
            for key in key_of(body), key_of(body, 11):
                stored = await bodies.read(key)
                assert isinstance(stored, bytes)
                assert stored == body

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

    @pytest.mark.parametrize("pieces_count", [1, 2, 30])
    async def test_what_came_in_piece_by_piece_is_read(self, bodies: Bodies, pieces_count: int) -> None:
        piece = make_body(1, 100_000)
        body = piece * pieces_count
        incoming = bodies.incoming()
        for _ in range(pieces_count):
            await incoming.write(piece)
        await incoming.finish()
        assert await incoming.read() == body
        with pytest.raises(BodyMissing):
            await bodies.read(key_of(body))
        await bodies.adopt(incoming, key_of(body), body)
        await incoming.discard()
        assert await bodies.read(key_of(body)) == body

    async def test_a_body_that_is_there_can_come_in_again(self, bodies: Bodies) -> None:
        body = make_body(1)
        await bodies.write(key_of(body), body)
        await bodies.adopt(await bring_in(bodies, body), key_of(body), body)
        assert await bodies.read(key_of(body)) == body

    async def test_many_bodies_come_in_side_by_side(self, bodies: Bodies) -> None:
        texts = [make_body(seed, 50_000) for seed in range(20)]
        incomings = await asyncio.gather(*(bring_in(bodies, text) for text in texts))
        for index in range(0, 20, 2):
            await incomings[index].discard()
        await asyncio.gather(
            *(bodies.adopt(incomings[index], key_of(texts[index]), texts[index]) for index in range(1, 20, 2))
        )
        for index, text in enumerate(texts):
            if index % 2:
                assert await bodies.read(key_of(text)) == text
            else:
                with pytest.raises(BodyMissing):
                    await bodies.read(key_of(text))

    async def test_what_is_discarded_is_nowhere_however_often(self, bodies: Bodies) -> None:
        await bodies.incoming().discard()
        incoming = await bring_in(bodies, make_body(1))
        await incoming.discard()
        await incoming.discard()

    async def test_a_body_that_is_right_is_not_set_aside(self, bodies: Bodies) -> None:
        body = make_body(1)
        await bodies.write(key_of(body), body)
        assert not await bodies.set_aside(key_of(body))
        assert await bodies.read(key_of(body)) == body

    async def test_a_body_that_is_wrong_is_set_aside_and_can_be_written_anew(self, bodies: Bodies) -> None:
        body = make_body(1)
        await bodies.write(key_of(body), make_body(2))
        assert await bodies.set_aside(key_of(body))
        assert await bodies.set_aside(key_of(body)), "it is not there, which is not right either"
        await bodies.write(key_of(body), body)
        assert not await bodies.set_aside(key_of(body))
        assert await bodies.read(key_of(body)) == body


async def bring_in(bodies: Bodies, body: Body) -> Incoming:
    """Return a body that came in, whole and not adopted yet."""
    incoming = bodies.incoming()
    await incoming.write(body)
    await incoming.finish()
    return incoming


class BucketsContract:
    """Buckets go a few bodies at a time, and take nothing else with them. For stores that keep nothing back."""

    async def test_a_bucket_goes_a_few_bodies_at_a_time(self, bodies: Bodies) -> None:
        texts = {number: make_body(number) for number in range(SEGMENTS_PER_BUCKET)}
        for number, text in texts.items():
            await bodies.write(key_of(text, number), text)
        steps = [await bodies.remove_bucket("derby", 0, 10) for _ in range(4)]
        assert [step.files_count for step in steps] == [10, 10, 10, 2]
        assert [step.is_done for step in steps] == [False, False, False, True]
        assert sum(step.size_bytes for step in steps) == sum(map(len, texts.values()))
        for number, text in texts.items():
            with pytest.raises(BodyMissing):
                await bodies.read(key_of(text, number))

    async def test_a_bucket_that_is_gone_is_done(self, bodies: Bodies) -> None:
        nothing = Removed(files_count=0, size_bytes=0, is_done=True)
        assert await bodies.remove_bucket("derby", 0, 10) == nothing
        await bodies.write(key_of(b"one"), b"one")
        assert await bodies.remove_bucket("derby", 0, 10) == Removed(1, 3, is_done=True)
        assert await bodies.remove_bucket("derby", 0, 10) == nothing

    async def test_a_bucket_takes_nothing_else_with_it(self, bodies: Bodies) -> None:
        keys = [
            *(key_of(b"one", number) for number in (31, 32, 320, None)),
            manifest_key("derby", "live.mpd", "a", digest_of(b"one")),
            body_key(make_key(32, "v720", "oaks"), "a", digest_of(b"one")),
        ]
        for key in keys:
            await bodies.write(key, b"one")
        assert (await bodies.remove_bucket("derby", 1, 10)).files_count == 1
        for key in keys:
            if key != keys[1]:
                assert await bodies.read(key) == b"one"

    async def test_what_lasts_as_long_as_its_event_is_one_bucket(self, bodies: Bodies) -> None:
        keys = [key_of(b"one", None), manifest_key("derby", "live.mpd", "a", digest_of(b"one")), key_of(b"one")]
        for key in keys:
            await bodies.write(key, b"one")
        assert [await bodies.remove_bucket("derby", None, 1) for _ in range(2)] == [
            Removed(1, 3, is_done=False),
            Removed(1, 3, is_done=True),
        ]
        assert await bodies.read(keys[2]) == b"one"
        for key in keys[:2]:
            with pytest.raises(BodyMissing):
                await bodies.read(key)

    async def test_a_bucket_that_went_can_come_back(self, bodies: Bodies) -> None:
        for _ in range(3):
            await bodies.write(key_of(b"one"), b"one")
            assert await bodies.read(key_of(b"one")) == b"one"
            assert (await bodies.remove_bucket("derby", 0, 10)).is_done
            assert (await bodies.remove_bucket("derby", None, 10)).is_done

"""Bytes that rot on the disk reach nobody: another pipeline's copy takes over for good, or the segment is gone."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.support.origins import Running, make_settings, running_origin
from tests.support.packagers import number_now
from tests.support.reader import Delivered, Reader

LOST_METRIC: Final = "origin_bodies_lost_total"
LOST_RULE: Final = "lost"
COUNT: Final = 100
# Requests for each segment at once, as damage is found by whoever reads first, and told to all.
READERS: Final = 3


@dataclass
class Programme:
    """What two packagers made: all of it by a, the segments `of_both` by b, too."""

    numbers: list[int]
    of_both: set[int]


def make_programme() -> Programme:
    newest = number_now() - 20
    numbers = [newest - index for index in range(COUNT)]
    return Programme(numbers, set(numbers[::2]))


def body_of(number: int, pipeline: str) -> bytes:
    luck = random.Random(f"{number}{pipeline}")
    return luck.randbytes(luck.randrange(1, 20_000))


@asynccontextmanager
async def origin_in(folder: Path) -> AsyncIterator[tuple[Running, aiohttp.ClientSession, Reader]]:
    """Start an origin on what `folder` holds, with nothing in RAM."""
    # All of it counts as live: what is asked here is not what a disk has time for.
    settings = make_settings(folder, event={"inspection": {"checks": "none"}, "live_edge": "10m"})
    async with running_origin(settings) as running, aiohttp.ClientSession() as session:
        yield running, session, Reader(session, running.deliver)


async def publish(session: aiohttp.ClientSession, running: Running, number: int, pipeline: str) -> int:
    url = f"{running.publish}/derby/{pipeline}/v720/{number}.m4s"
    async with session.put(url, data=body_of(number, pipeline)) as response:
        return response.status


async def publish_all(folder: Path, programme: Programme) -> None:
    async with origin_in(folder) as (running, session, reader):
        for number in sorted(programme.numbers):
            assert await publish(session, running, number, "a") == 201
            if number in programme.of_both:
                assert await publish(session, running, number, "b") == 201
        for number in programme.numbers:
            answer = await get(reader, number)
            assert (answer.status, answer.headers["Live-Origin-Pipeline"]) == (200, "a")


async def get(reader: Reader, number: int) -> Delivered:
    return await reader.get(f"derby/v720/{number}.m4s", number)


async def get_all(reader: Reader, numbers: Iterable[int]) -> list[Delivered]:
    return await asyncio.gather(*(get(reader, number) for number in numbers for _ in range(READERS)))


def files_of(folder: Path, pipeline: str, number: int | None = None) -> list[Path]:
    """Return the files of a pipeline's copies."""
    name = "*" if number is None else str(number)
    return sorted((folder / "data" / "bodies").rglob(f"v720~{name}~{pipeline}~*"))


def flip_one_byte(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[random.Random(path.name).randrange(len(body))] ^= 0x40
    path.write_bytes(body)


async def lost_count(reader: Reader, running: Running) -> float:
    """Return how many bodies were found damaged or missing since the start."""
    text = (await reader.get_url(f"{running.admin}/metrics")).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == LOST_METRIC)


def assert_taken_over(answers: Iterable[Delivered], programme: Programme) -> None:
    """b's copy is delivered, under a choice of its own, where there is one; else the segment is gone."""
    for answer in answers:
        assert answer.number is not None
        if answer.number in programme.of_both:
            assert answer.status == 200
            assert answer.body == body_of(answer.number, "b")
            assert answer.headers["Live-Origin-Pipeline"] == "b"
            assert answer.headers["Live-Origin-Choice"].startswith(f"b;rule={LOST_RULE}")
        else:
            assert answer.status == 410
            assert "Live-Origin-Pipeline" not in answer.headers


async def test_one_flipped_byte_in_each_of_a_hundred_files_reaches_nobody(tmp_path: Path) -> None:
    programme = make_programme()
    await publish_all(tmp_path, programme)
    damaged = files_of(tmp_path, "a")
    assert len(damaged) == COUNT
    for path in damaged:
        flip_one_byte(path)
    async with origin_in(tmp_path) as (running, _, reader):
        assert await lost_count(reader, running) == 0
        assert_taken_over(await get_all(reader, programme.numbers), programme)
        assert_taken_over(await get_all(reader, programme.numbers), programme)
        assert await lost_count(reader, running) == COUNT
    assert files_of(tmp_path, "a") == []
    assert len(files_of(tmp_path, "b")) == len(programme.of_both)
    async with origin_in(tmp_path) as (running, _, reader):
        assert_taken_over(await get_all(reader, programme.numbers), programme)
        assert await lost_count(reader, running) == 0


async def test_what_was_lost_is_explained_and_kept_apart(tmp_path: Path) -> None:
    programme = make_programme()
    await publish_all(tmp_path, programme)
    number = programme.numbers[0]
    flip_one_byte(files_of(tmp_path, "a", number)[0])
    async with origin_in(tmp_path) as (running, _, reader):
        await get(reader, number)
        url = f"{running.admin}/api/v1/events/derby/segments/v720/{number}"
        explanation = json.loads(await reader.get_url(url))
    assert (explanation["choice"]["pipeline"], explanation["choice"]["rule"]) == ("b", LOST_RULE)
    rotten = [path for path in (tmp_path / "data").rglob(f"*v720~{number}~a~*") if path.is_file()]
    assert len(rotten) == 1, "an operator may want to look at it"
    assert files_of(tmp_path, "a", number) == []


async def test_a_segment_whose_every_copy_rotted_is_gone(tmp_path: Path) -> None:
    programme = make_programme()
    await publish_all(tmp_path, programme)
    number = programme.numbers[0]
    for path in [*files_of(tmp_path, "a", number), *files_of(tmp_path, "b", number)]:
        flip_one_byte(path)
    async with origin_in(tmp_path) as (running, _, reader):
        for answer in await get_all(reader, [number]):
            assert answer.status == 410
        assert await lost_count(reader, running) == 2


async def test_a_lost_copy_that_is_sent_again_is_delivered_again(tmp_path: Path) -> None:
    programme = make_programme()
    await publish_all(tmp_path, programme)
    number = programme.numbers[1]
    flip_one_byte(files_of(tmp_path, "a", number)[0])
    async with origin_in(tmp_path) as (running, session, reader):
        assert (await get(reader, number)).status == 410
        assert await publish(session, running, number, "a") in (200, 201)
        answer = await get(reader, number)
        assert (answer.status, answer.body) == (200, body_of(number, "a"))


async def test_what_did_not_rot_is_untouched(tmp_path: Path) -> None:
    programme = make_programme()
    await publish_all(tmp_path, programme)
    for number in programme.numbers[: COUNT // 2]:
        flip_one_byte(files_of(tmp_path, "a", number)[0])
    async with origin_in(tmp_path) as (_, _, reader):
        assert_taken_over(await get_all(reader, programme.numbers[: COUNT // 2]), programme)
        for answer in await get_all(reader, programme.numbers[COUNT // 2 :]):
            assert answer.number is not None
            assert (answer.status, answer.body) == (200, body_of(answer.number, "a"))
            assert answer.headers["Live-Origin-Choice"].startswith("a;rule=first-in-order")
    assert len(files_of(tmp_path, "a")) == COUNT // 2

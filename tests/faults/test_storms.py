"""Packagers and caches at work while the disk fails again and again: no lie is told, nothing is lost, nothing leaks."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from tests.origin.site import FOR_ONE_SECOND, NOW_MS, NUMBER, Answer, Site, make_body, open_site, until
from tests.support.bodies import NO_FAULTS, Faults

NUMBERS = range(NUMBER - 4, NUMBER + 1)
PIPELINES = ("a", "b")

STORMS = [
    ("slow", Faults(latency_turns=30)),
    ("errors", Faults(latency_turns=3, errors=0.4)),
    ("full", Faults(latency_turns=3, full=0.5)),
    ("short-reads", Faults(latency_turns=3, short=0.5)),
    ("everything", Faults(latency_turns=10, errors=0.2, full=0.2, short=0.2)),
]
every_storm = pytest.mark.parametrize("faults", [case[1] for case in STORMS], ids=[case[0] for case in STORMS])


async def publish_until_taken(site: Site, number: int, pipeline: str) -> list[int]:
    """Do what DASH-IF asks of a packager: send it again until it is taken. Returns the statuses."""
    statuses: list[int] = []
    while not statuses or statuses[-1] >= 500:
        answer = await site.put(number, pipeline)
        statuses.append(answer.status)
        if answer.status == 503:
            assert answer.headers["Retry-After"] == "1"
    return statuses


async def ask_again_and_again(site: Site, number: int, count: int) -> list[Answer]:
    return [await site.get(number) for _ in range(count)]


def assert_true(answer: Answer, number: int) -> None:
    """Whatever a cache is told is true: whole bytes under their own tag, or a refusal it may keep for a moment."""
    if answer.status == 200:
        pipeline = answer.headers["Live-Origin-Pipeline"]
        assert answer.body == make_body(number, pipeline)
        assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    else:
        assert (answer.status, answer.slug) == (503, "storage")
        assert answer.life_time == FOR_ONE_SECOND
        assert answer.headers["Retry-After"] == "1"


async def assert_nothing_left(site: Site) -> None:
    """No waiting request, no upload in progress, no half-written file, no read in flight."""
    assert site.origin.waiters.count == 0
    assert site.origin.waiters._waiting == {}
    assert await site.metric("origin_uploads_in_progress") == 0
    assert await site.metric("origin_holds_in_progress") == 0
    assert not [name for name in site.stored_files if name.endswith(".tmp")]


@every_storm
@pytest.mark.parametrize("seed", [1, 2])
async def test_what_was_taken_is_delivered_whole_whatever_the_disk_did_meanwhile(
    tmp_path: Path, faults: Faults, seed: int
) -> None:
    before = asyncio.all_tasks()
    async with open_site(tmp_path) as site:
        site.bodies.misbehave(faults, seed)
        publishing = [
            asyncio.create_task(publish_until_taken(site, number, pipeline))
            for number in NUMBERS
            for pipeline in PIPELINES
        ]
        statuses = await asyncio.gather(*publishing)
        assert {final[-1] for final in statuses} <= {200, 201}
        assert {status for final in statuses for status in final} <= {200, 201, 503, 507}
        site.forget_ram()
        asking = [asyncio.create_task(ask_again_and_again(site, number, 5)) for number in NUMBERS for _ in range(3)]
        for index, answers in enumerate(await asyncio.gather(*asking)):
            for answer in answers:
                assert_true(answer, NUMBERS[index // 3])
        site.bodies.faults = NO_FAULTS
        for number in NUMBERS:
            answer = await site.get(number)
            assert answer.status == 200
            assert_true(answer, number)
        await assert_nothing_left(site)
    await until(lambda: asyncio.all_tasks() == before)


@every_storm
async def test_what_was_taken_survives_a_restart_and_what_was_refused_left_nothing(
    tmp_path: Path, faults: Faults
) -> None:
    taken: set[tuple[int, str]] = set()
    async with open_site(tmp_path) as site:
        site.bodies.misbehave(faults, seed=3)
        for number in NUMBERS:
            for pipeline in PIPELINES:
                if (await site.put(number, pipeline)).status == 201:
                    taken.add((number, pipeline))
    async with open_site(tmp_path) as site:
        site.clock.move_to(NOW_MS + 100)  # nobody waits for another pipeline any more
        assert site.journal_text.count(" published ") == len(taken) == len(site.stored_files)
        for number in NUMBERS:
            answer = await site.get(number, method="HEAD")
            assert answer.status == (200 if {(number, "a"), (number, "b")} & taken else 404)
            if answer.status == 200:
                assert_true(await site.get(number), number)
        for number, pipeline in taken:
            assert (await site.put(number, pipeline)).document["outcome"] == "unchanged"


@every_storm
async def test_held_requests_are_answered_once_the_disk_lets_their_segment_in(tmp_path: Path, faults: Faults) -> None:
    async with open_site(tmp_path) as site:
        held = [await site.hold(NUMBER) for _ in range(10)]
        site.bodies.misbehave(faults, seed=4)
        await publish_until_taken(site, NUMBER, "a")
        for answer in await asyncio.gather(*held):
            assert_true(answer, NUMBER)
        await assert_nothing_left(site)
        assert site.clock.now_ms() == NOW_MS

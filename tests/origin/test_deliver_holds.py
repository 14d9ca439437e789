"""Held requests over HTTP: what ends a hold, and what the client is told then."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.origin.site import (
    FOR_A_MINUTE,
    FOR_A_SECOND,
    FOR_A_SEGMENT,
    FOR_ONE_SECOND,
    HELD_BEFORE_DUE_MS,
    NOW_MS,
    NUMBER,
    WITH_ENDS,
    Site,
    due_ms,
    open_site,
    until,
)

BODY = b"0123456789" * 100

HELD: list[tuple[str, str | int]] = [
    ("next", NUMBER + 1),
    ("just-due", NUMBER),
    ("overdue", NUMBER - 5),
    ("init", "v720/init.mp4"),
]


@pytest.mark.parametrize("name", [case[1] for case in HELD], ids=[case[0] for case in HELD])
async def test_a_held_request_is_answered_when_its_segment_is_published(site: Site, name: str | int) -> None:
    held = [await site.hold(name) for _ in range(3)]
    assert await site.metric("origin_holds_in_progress") == 3
    site.clock.move_to(NOW_MS + 250)
    await site.put(name, body=BODY)
    answers = await asyncio.gather(*held)
    assert [(answer.status, answer.body) for answer in answers] == [(200, BODY)] * 3
    assert len({json.dumps(answer.own_headers) for answer in answers}) == 1
    assert await site.metric("origin_holds_in_progress") == 0
    assert await site.metric("origin_hold_duration_seconds_count", woken="yes") == 3
    assert await site.metric("origin_hold_duration_seconds_sum", woken="yes") == 0.75


async def test_a_request_is_held_until_the_choice_and_not_until_the_first_copy(site: Site) -> None:
    for number in (NUMBER - 1, NUMBER):
        await site.put(number, "a")
        await site.put(number, "b")
    held = await site.hold(NUMBER + 1)
    await site.put(NUMBER + 1, "b", BODY)
    await asyncio.sleep(0)
    assert site.origin.waiters.count == 1
    site.clock.move_to(NOW_MS + 100)
    assert (await held).headers["Live-Origin-Pipeline"] == "b"


async def test_a_request_is_held_for_its_own_segment_only(site: Site) -> None:
    held = await site.hold(NUMBER)
    await site.put(NUMBER - 1)
    await site.put(f"a128/{NUMBER}.m4s")
    assert not held.done()
    await site.put(NUMBER, body=BODY)
    assert (await held).body == BODY


@pytest.mark.parametrize("name", [NUMBER + 1, NUMBER, "v720/init.mp4"])
async def test_head_is_not_held(site: Site, name: str | int) -> None:
    answer = await site.get(name, method="HEAD")
    assert (answer.status, answer.life_time) == (404, FOR_A_SECOND)
    assert site.origin.waiters.count == 0


BRIEF: dict[str, Any] = {  # holds end within a tenth of a second of real time
    "event": {"segment_duration": "100ms", "hold_ahead": "100ms", "selection": {"prefer_wait": "50ms"}},
    "limits": {"hold": "100ms"},
}
BRIEF_MS = 101_000  # segment 999 becomes due


@pytest.mark.parametrize("name", [999, "v720/init.mp4"], ids=["segment", "init"])
async def test_a_hold_that_runs_out_ends_in_a_404_for_a_second(tmp_path: Path, name: str | int) -> None:
    async with open_site(tmp_path, now_ms=BRIEF_MS, **BRIEF) as site:
        held = await site.hold(name)
        site.clock.move_to(BRIEF_MS + 100)
        answer = await held
        assert (answer.status, answer.slug, answer.life_time) == (404, "not-published-yet", FOR_A_SECOND)
        assert answer.headers.get("Live-Origin-Due") == (str(BRIEF_MS) if name == 999 else None)
        assert await site.metric("origin_hold_duration_seconds_count", woken="no") == 1
        assert site.origin.waiters.count == 0


async def test_a_hold_ends_with_the_retry_deadline(tmp_path: Path) -> None:
    gives_up_ms = NOW_MS + 10_000
    async with open_site(tmp_path, now_ms=gives_up_ms - 30) as site:
        held = await site.hold(NUMBER)
        site.clock.move_to(gives_up_ms)
        answer = await held
        assert (answer.status, answer.slug, answer.life_time) == (410, "never-published", FOR_A_SEGMENT)


FIRST_DUE_MS = due_ms(312)
LAST_GIVEN_UP_MS = due_ms(NUMBER) + 10_000
INITS: list[tuple[str, int, int, str, tuple[str, str]]] = [
    (
        "long-before-the-start",
        FIRST_DUE_MS - HELD_BEFORE_DUE_MS - 90_000_000,
        404,
        "too-early",
        FOR_A_SECOND,
    ),
    (
        "before-the-start",
        FIRST_DUE_MS - HELD_BEFORE_DUE_MS - 7_500,
        404,
        "too-early",
        FOR_A_SECOND,  # packagers may send it at any time
    ),
    ("last-segment-given-up", LAST_GIVEN_UP_MS, 410, "after-end", FOR_A_MINUTE),
]


@pytest.mark.parametrize(
    ("now_ms", "status", "slug", "expected"), [case[1:] for case in INITS], ids=[case[0] for case in INITS]
)
async def test_an_init_segment_is_not_waited_for_outside_the_event(
    tmp_path: Path, now_ms: int, status: int, slug: str, expected: tuple[str, str]
) -> None:
    async with open_site(tmp_path, event=WITH_ENDS, now_ms=now_ms) as site:
        answer = await site.get("v720/init.mp4")
        assert (answer.status, answer.slug, answer.life_time) == (status, slug, expected)
        site.assert_untouched()


@pytest.mark.parametrize(
    "now_ms", [FIRST_DUE_MS - HELD_BEFORE_DUE_MS, LAST_GIVEN_UP_MS - 1], ids=["first-ms", "last-ms"]
)
async def test_an_init_segment_is_waited_for_during_the_event(tmp_path: Path, now_ms: int) -> None:
    async with open_site(tmp_path, event=WITH_ENDS, now_ms=now_ms) as site:
        held = await site.hold("v720/init.mp4")
        await site.put("v720/init.mp4", body=BODY)
        assert (await held).body == BODY


async def test_no_more_requests_are_held_than_allowed(tmp_path: Path) -> None:
    async with open_site(tmp_path, limits={"holds": 2}) as site:
        held = [await site.hold(NUMBER) for _ in range(2)]
        answer = await site.get(NUMBER)
        assert (answer.status, answer.slug, answer.life_time) == (503, "overloaded", FOR_ONE_SECOND)
        assert answer.headers["Retry-After"] == "1"
        assert await site.metric("origin_shed_total", **{"class": "live-edge", "reason": "holds"}) == 1
        await site.put(NUMBER, body=BODY)
        assert [(await answered).status for answered in held] == [200, 200]
        again = await site.hold(NUMBER + 1)
        await site.put(NUMBER + 1, body=BODY)
        assert (await again).status == 200


async def test_a_client_that_leaves_frees_its_place(site: Site) -> None:
    held = [await site.hold(NUMBER) for _ in range(3)]
    held[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await held[1]
    await until(lambda: site.origin.waiters.count == 2)
    await site.put(NUMBER, body=BODY)
    assert [(await answered).status for answered in (held[0], held[2])] == [200, 200]
    assert await site.metric("origin_holds_in_progress") == 0


async def test_held_requests_are_answered_when_the_origin_stops(site: Site) -> None:
    held = await site.hold(NUMBER)
    await site.origin.waiters.close()
    answer = await held
    assert (answer.status, answer.slug, answer.life_time) == (503, "stopping", FOR_ONE_SECOND)
    assert answer.headers["Retry-After"] == "1"


async def test_who_is_woken_without_a_choice_waits_on(site: Site) -> None:
    """A choice that is withdrawn at once must not be answered with what is not there."""
    held = await site.hold(NUMBER)
    site.origin.waiters.wake(next(iter(site.origin.waiters._waiting)))
    await until(lambda: site.origin.waiters.count == 1 and bool(site.origin.waiters._waiting))
    assert not held.done()
    await site.put(NUMBER, body=BODY)
    assert (await held).body == BODY

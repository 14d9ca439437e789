"""Through a real cache: however many ask, the origin is asked once, and no answer outlives its truth."""

import asyncio
import logging
from pathlib import Path
from typing import Final
from unittest.mock import patch

from origin.admission import Admission
from selection.shedding import Reason
from tests.edge.daemons import DAEMONS, Daemon, nginx, varnish
from tests.edge.house import (
    LOCK_TIMEOUT_MS,
    SEGMENT_MS,
    House,
    end_ms,
    house,
    newest_number,
    origin_in,
    segment_body,
    until_ms,
    wall_ms,
)

log = logging.getLogger(__name__)

CLIENTS: Final = 200
SEGMENTS: Final = 5
# nginx asks again once where an answer came while the second was already on its way.
REQUESTS_MAX: Final[dict[Daemon, int]] = {nginx: 2, varnish: 1}
# Long enough before the end of the media that a refusal, which nginx keeps for up to two seconds, is gone by then.
HOLD_AHEAD: Final = {"publish_delay": "0ms", "hold_ahead": "2300ms"}
HOLD_AHEAD_MS: Final = 2_300


async def test_a_live_segment_is_asked_for_once_and_everybody_gets_it(tmp_path: Path, daemon: Daemon) -> None:
    async with house(daemon, origin_in(tmp_path / "a")) as site:
        first = newest_number() + 2
        for number in range(first, first + SEGMENTS):
            await until_ms(end_ms(number))
            before = await site.asked_count()
            asking = [asyncio.create_task(site.get(number)) for _ in range(CLIENTS)]
            await _until_held(site)
            await site.publish(number)
            published_ms = wall_ms()
            answers = await asyncio.gather(*asking)
            assert {answer.status for answer in answers} == {200}
            assert {answer.body for answer in answers} == {segment_body(number)}
            asked = await site.asked_count() - before
            assert 1 <= asked <= REQUESTS_MAX[daemon]
            worst_ms = max(answer.answered_ms for answer in answers) - published_ms
            log.info("asked %d, worst %d ms after publication", asked, worst_ms)
            assert worst_ms < LOCK_TIMEOUT_MS / 2, "somebody waited for a time-out"
            assert (await site.get(number)).is_hit


async def test_a_refusal_that_came_too_early_is_gone_from_nginx_when_the_segment_is_there(tmp_path: Path) -> None:
    async with house(nginx, origin_in(tmp_path / "a", event=HOLD_AHEAD)) as site:
        number, _ = await _refused_early(site)
        await until_ms(end_ms(number))
        await site.publish(number)
        assert (await site.get(number)).status == 200


async def test_varnish_keeps_a_refusal_for_as_many_ms_as_the_origin_says(tmp_path: Path) -> None:
    async with house(varnish, origin_in(tmp_path / "a", event=HOLD_AHEAD)) as site:
        number, opens_ms = await _refused_early(site)
        await until_ms(opens_ms + 1)
        held = asyncio.create_task(site.get(number))
        await _until_held(site)  # so it was not answered from the cache, long before `max-age=1` would be over
        await until_ms(end_ms(number))
        await site.publish(number)
        assert (await held).status == 200


async def test_an_overloaded_origin_is_asked_once_in_five_seconds(tmp_path: Path, daemon: Daemon) -> None:
    async with house(daemon, origin_in(tmp_path / "a")) as site:
        number = newest_number() - 8  # behind the live edge
        await site.publish(number)
        with patch.object(Admission, "refuse", return_value=Reason.LOOP_LAG):
            answers = await asyncio.gather(*(site.get(number) for _ in range(CLIENTS)))
            assert {answer.status for answer in answers} == {503}
            assert all("Retry-After" in answer.headers for answer in answers)
        await until_ms(answers[0].answered_ms + 2_100)  # longer than nginx keeps what may be kept for a second
        assert (await site.get(number)).status == 503
        assert await site.asked_count() == 1


async def test_a_head_request_and_a_range_are_answered_from_the_whole_segment(tmp_path: Path, daemon: Daemon) -> None:
    async with house(daemon, origin_in(tmp_path / "a")) as site:
        number = newest_number()
        await site.publish(number)
        path, body = f"/derby/v720/{number}.m4s", segment_body(number)
        head = await site.client.ask(site.edge, path, "HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(body)), b"")
        part = await site.client.ask(site.edge, path, Range="bytes=100-199")
        assert (part.status, part.body) == (206, body[100:200])
        assert (await site.client.ask(site.edge, f"{path}?session=7", Cookie="a=b")).body == body
        assert await site.asked_count() == 1


def test_both_edges_are_tested() -> None:
    assert set(REQUESTS_MAX) == set(DAEMONS.values())


async def _refused_early(site: House) -> tuple[int, int]:
    """Ask for a number twice, shortly before requests for it are held; returns it and the moment when they are."""
    number = (wall_ms() + HOLD_AHEAD_MS + SEGMENT_MS) // SEGMENT_MS
    opens_ms = end_ms(number) - HOLD_AHEAD_MS
    await until_ms(opens_ms - 400)
    early, again = await site.get(number), await site.get(number)
    assert [early.status, again.status] == [404, 404]
    assert again.answered_ms < opens_ms, "the machine was too slow for this test"
    assert early.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
    assert await site.asked_count() == 1
    return number, opens_ms


async def _until_held(site: House) -> None:
    """Return once the origin holds a request."""
    async with asyncio.timeout(10):
        while site.primary.origin.waiters.count == 0:  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0)

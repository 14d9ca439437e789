"""Two origins behind an edge: the second answers for what the first has not, refuses or cannot say."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Final

from tests.edge.daemons import DAEMONS, Daemon
from tests.edge.house import (
    LIMITS,
    PUBLISH_DELAY_MS,
    READ_TIMEOUT_MS,
    SEGMENT_MS,
    Client,
    Got,
    client,
    end_ms,
    house,
    newest_number,
    origin_in,
    segment_body,
    until_ms,
    wall_ms,
)
from tests.integration.process import ServerProcess, address_of, server_process
from tests.support.origins import EVENT

log = logging.getLogger(__name__)

# A request joins the origin's waiting list long before this, and the segment is published after it.
PUBLISHED_AFTER_MS: Final = 60
# Within this an edge has noticed that the primary is silent: nginx looks every two seconds, twice for 400 ms.
NOTICED_MS: Final = 3_500


@dataclass(frozen=True)
class Pair:
    """Two origins in processes of their own, behind each of the edges."""

    primary: ServerProcess
    backup: ServerProcess
    edges: dict[str, str]
    client: Client

    async def play(self, number: int, publish_to: Iterable[ServerProcess]) -> tuple[int, list[Got]]:
        """Ask all edges for a segment when its media has ended, publish it, and return when, and their answers."""
        await until_ms(end_ms(number))
        asking = [asyncio.create_task(self.client.segment(edge, number)) for edge in self.edges.values()]
        await until_ms(end_ms(number) + PUBLISHED_AFTER_MS)
        await self.client.publish(number, *(origin.publish for origin in publish_to))
        published_ms = wall_ms()
        answers = await asyncio.gather(*asking)
        for answer in answers:
            assert (answer.status, answer.body) == (200, segment_body(number))
        return published_ms, answers


async def test_nobody_notices_that_the_primary_is_killed_while_it_holds_their_requests(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        first = newest_number() + 2
        both, rest = (pair.primary, pair.backup), (pair.backup,)
        for number in range(first, first + 2):
            await _assert_prompt(pair, number, both)
        await until_ms(end_ms(first + 2))
        asking = [asyncio.create_task(pair.client.segment(edge, first + 2)) for edge in pair.edges.values()]
        await _until_held(pair.client, pair.primary, len(asking))
        pair.primary.send(SIGKILL)
        await pair.client.publish(first + 2, pair.backup.publish)
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200, 200]
        now = newest_number() + 1
        for number in range(now, now + 3):
            await _assert_prompt(pair, number, rest)


async def test_a_frozen_primary_delays_only_what_was_asked_of_it_before_it_was_noticed(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        first = newest_number() + 2
        await _assert_prompt(pair, first, (pair.primary, pair.backup))
        pair.primary.send(SIGSTOP)
        frozen_ms = wall_ms()
        count = (NOTICED_MS + 4 * SEGMENT_MS) // SEGMENT_MS
        plays = (pair.play(number, (pair.backup,)) for number in range(first + 1, first + 1 + count))
        early: list[int] = []
        late: list[int] = []
        for published_ms, answers in await asyncio.gather(*plays):
            into = early if published_ms - frozen_ms < NOTICED_MS else late
            into += [answer.answered_ms - max(answer.asked_ms, published_ms) for answer in answers]
        log.info("before it was noticed %s ms, after %s ms", sorted(early), sorted(late))
        assert max(early) < READ_TIMEOUT_MS + SEGMENT_MS + PUBLISH_DELAY_MS
        assert late and max(late) < SEGMENT_MS
        pair.primary.send(SIGCONT)


async def test_what_the_primary_lacks_comes_from_the_backup(tmp_path: Path, daemon: Daemon) -> None:
    short = {"hold_ahead": "500ms"}
    primary, backup = (origin_in(tmp_path / name, event=short, hold="500ms") for name in "ab")
    async with house(daemon, primary, backup) as site:
        assert site.backup is not None
        newest = newest_number() - 3  # due, and the primary waits for it
        given_up = newest - 40  # due longer ago than the retry deadline, so it is 410 at once
        for number in (newest, given_up):
            await site.client.publish(number, site.backup.publish)
            answer = await site.get(number)
            assert (answer.status, answer.body) == (200, segment_body(number))
            assert (await site.get(number)).body == answer.body
        await site.client.put(site.backup.publish, "v720/init.mp4", b"init")
        assert (await site.client.ask(site.edge, "/derby/v720/init.mp4")).body == b"init"
        assert await site.client.delivered_count(site.backup) == 3
        # And it goes on being asked last.
        await site.client.publish(newest - 1, site.primary.publish, site.backup.publish)
        assert (await site.get(newest - 1)).status == 200
        assert await site.client.delivered_count(site.backup) == 3


async def test_what_neither_origin_has_is_absent(tmp_path: Path, daemon: Daemon) -> None:
    async with house(daemon, origin_in(tmp_path / "a"), origin_in(tmp_path / "b")) as site:
        number = newest_number()
        answers = await asyncio.gather(
            site.get(number + 100), site.get(number - 40), site.client.ask(site.edge, "/derby/no-such-name")
        )
        assert [answer.status for answer in answers] == [404, 410, 404]
        for answer in answers:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.headers["Cache-Control"].endswith("stale-while-revalidate=0")


async def test_what_the_primary_refuses_comes_from_the_backup_and_the_primary_is_asked_next(
    tmp_path: Path, daemon: Daemon
) -> None:
    async with house(daemon, origin_in(tmp_path / "a", holds=0), origin_in(tmp_path / "b")) as site:
        assert site.backup is not None
        first = newest_number() + 2
        for count, number in enumerate(range(first, first + 2), start=1):
            await until_ms(end_ms(number))
            asking = [asyncio.create_task(site.get(number)) for _ in range(20)]
            await _until_held(site.client, site.backup.admin)
            await site.client.publish(number, site.primary.publish, site.backup.publish)
            assert {answer.status for answer in await asyncio.gather(*asking)} == {200}
            # Refused once by the primary, and what it has is still asked of it.
            assert await site.asked_count() == 2 * count - 1
            await site.client.publish(number - 5, site.primary.publish)
            assert (await site.get(number - 5)).status == 200
            assert await site.asked_count() == 2 * count
            assert await site.client.delivered_count(site.backup) == count


async def _assert_prompt(pair: Pair, number: int, publish_to: Iterable[ServerProcess]) -> None:
    published_ms, answers = await pair.play(number, publish_to)
    delays_ms = [answer.answered_ms - published_ms for answer in answers]
    log.info("answered %s ms after publication", delays_ms)
    assert max(delays_ms) < SEGMENT_MS


async def _until_held(user: Client, origin: ServerProcess | str, count: int = 1) -> None:
    """Return once an origin holds so many requests."""
    admin = origin if isinstance(origin, str) else origin.admin
    async with asyncio.timeout(10):
        while f"\norigin_holds_in_progress {count}.0\n" not in (await user.ask(admin, "/metrics")).body.decode():
            pass


@asynccontextmanager
async def _pair(folder: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        primary, backup = await asyncio.gather(
            *(stack.enter_async_context(server_process(_configuration(folder / name))) for name in ("a", "b"))
        )
        addresses = address_of(primary.deliver), address_of(backup.deliver)
        edges = {name: await stack.enter_async_context(daemon(*addresses)) for name, daemon in DAEMONS.items()}
        user = await stack.enter_async_context(client())
        for edge in edges.values():  # nginx learns how the primary is from its first request
            assert (await user.ask(edge, "/derby/no-such-name")).status == 404
        yield Pair(primary, backup, edges, user)


def _configuration(folder: Path) -> Path:
    """Write the configuration of an origin whose segments are short and may be anything."""
    folder.mkdir()
    event = EVENT | {
        "segment_duration": f"{SEGMENT_MS}ms",
        "publish_delay": f"{PUBLISH_DELAY_MS}ms",
        "inspection": {"checks": "none"},
    }
    document = {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data")},
        "workers": 0,  # to be stopped and killed by its pid
        "limits": LIMITS,
        "log": {"requests": False},
        "events": [event],
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(document))  # which is YAML, too
    return path

"""Publishing to a filling disk: old segments are refused first, then everything; what is delivered stays."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from origin import collector
from origin.admin import GC
from selection.capacity import CapacityLevel
from tests.origin.site import NOW_MS, NUMBER, Site, due_ms, name_of, open_site, until

BODY = b"the whole segment"
# The newest segment that is given up: due 10 s ago or earlier.
OLD = NUMBER - 6
NAMES: list[str | int] = [OLD, OLD + 1, NUMBER, "v720/init.mp4", "live.mpd"]


def fill(site: Site, percent: int) -> None:
    """Fill the budget of the disk, as far as the origin knows."""
    site.origin.catalog.used_bytes = site.origin.settings.storage.ssd_bytes * percent // 100
    site.origin._disk.look()


def test_the_names_stand_where_they_should() -> None:
    assert due_ms(OLD) + 10_000 <= NOW_MS < due_ms(OLD + 1) + 10_000


# (percent, level, statuses of `NAMES`)
LEVELS = [
    (90, "ample", [201, 201, 201, 201, 201]),
    (91, "shrink", [201, 201, 201, 201, 201]),
    (96, "refuse-old", [507, 201, 201, 201, 201]),
    (99, "refuse-all", [507, 507, 507, 507, 507]),
]
every_level = pytest.mark.parametrize(("percent", "level", "statuses"), LEVELS, ids=[level for _, level, _ in LEVELS])


@every_level
async def test_what_is_refused_grows_with_the_level(site: Site, percent: int, level: str, statuses: list[int]) -> None:
    fill(site, percent)
    answers = [await site.put(name, body=BODY) for name in NAMES]
    assert [answer.status for answer in answers] == statuses
    assert {answer.slug for answer in answers if answer.status == 507} <= {"disk-full"}
    assert len(site.stored_files) == statuses.count(201)
    assert await site.metric("origin_disk_level", level=level) == 1
    assert await site.metric("origin_publish_requests_total", outcome="disk-full") == statuses.count(507)
    assert (await site.ask("GET", f"{site.running.admin}{GC}")).document["disk_level"] == level


@every_level
async def test_who_asks_before_sending_is_refused_without_sending(
    site: Site, percent: int, level: str, statuses: list[int]
) -> None:
    """A full disk costs no bandwidth."""
    fill(site, percent)
    for name, status in zip(NAMES, statuses, strict=True):
        sent: list[bytes] = []

        async def body(sent: list[bytes] = sent) -> AsyncIterator[bytes]:
            sent.append(BODY)
            yield BODY

        url = f"{site.running.publish}/derby/a/{name_of(name)}"
        answer = await site.ask("PUT", url, data=body(), expect100=True, skip_auto_headers=["Content-Type"])
        assert (answer.status, sent) == (status, [BODY] if status == 201 else [])
        assert answer.headers.get("Connection") == (None if status == 201 else "close")


async def test_who_sends_at_once_is_refused_with_the_connection_kept(site: Site) -> None:
    """Closing it would make ffmpeg exit in persistent mode."""
    fill(site, 99)
    for _ in range(3):
        answer = await site.put(NUMBER, body=BODY * 10_000)
        assert (answer.status, answer.slug) == (507, "disk-full")
        assert "Connection" not in answer.headers
    assert site.stored_files == []
    assert not site.bodies.counts


async def test_what_is_refused_anyway_is_told_its_own_reason(site: Site) -> None:
    """More space would not help."""
    fill(site, 99)
    assert (await site.put(NUMBER + 10)).slug == "too-far-ahead"
    assert (await site.put("v999/1.m4s")).slug == "unknown-name"
    assert (await site.put(NUMBER, Live_Origin_Score="101")).slug == "bad-header"


async def test_while_everything_is_refused_what_is_there_is_delivered_and_held(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    held = await site.hold(NUMBER + 1)
    fill(site, 99)
    assert (await site.get(NUMBER)).body == BODY
    assert (await site.put(NUMBER + 1, body=BODY)).status == 507
    assert not held.done()
    fill(site, 0)
    assert (await site.put(NUMBER + 1, body=BODY)).status == 201
    assert (await held).body == BODY


async def test_deletes_of_packagers_are_answered_whatever_the_level(site: Site) -> None:
    fill(site, 99)
    assert (await site.put(NUMBER, method="DELETE")).status == 200


async def test_space_that_comes_is_noticed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the collector, which looks once a second."""
    monkeypatch.setattr(collector, "INTERVAL_S", 0.001)
    async with open_site(tmp_path) as site:
        fill(site, 99)
        assert (await site.put(NUMBER, body=BODY)).status == 507
        site.origin.catalog.used_bytes = 0
        await until(lambda: site.origin._disk.level is CapacityLevel.AMPLE)
        assert (await site.put(NUMBER, body=BODY)).status == 201

"""One fault at a time: what a packager and a cache are told while it lasts, and that it ends by itself."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from aiohttp import ClientPayloadError, ServerDisconnectedError

from storage.errors import StorageError, StorageFull
from tests.faults.test_storms import assert_nothing_left
from tests.origin.site import FOR_A_SECOND, FOR_ONE_SECOND, NOW_MS, NUMBER, Site, make_body, until
from tests.support.bodies import NO_FAULTS, Faults

BODY = b"the whole segment"
RETRY_DEADLINE_MS = 10_000
NAMES: list[str | int] = [NUMBER, "v720/init.mp4", "live.mpd"]
every_name = pytest.mark.parametrize("name", NAMES, ids=["segment", "init", "manifest"])

DISKS = [
    ("full", Faults(full=1), 507, "disk-full"),
    ("broken", Faults(errors=1), 503, "storage"),
]
JOURNALS: list[tuple[str, StorageError, int, str]] = [
    ("full", StorageFull("journal-append", "No space left on device"), 507, "disk-full"),
    ("broken", StorageError("journal-append", "Input/output error"), 503, "storage"),
]


@every_name
@pytest.mark.parametrize(("faults", "status", "slug"), [case[1:] for case in DISKS], ids=[case[0] for case in DISKS])
async def test_while_bodies_cannot_be_written_nothing_is_kept_and_then_it_goes_on(
    site: Site, faults: Faults, status: int, slug: str, name: str | int
) -> None:
    site.bodies.faults = faults
    for _ in range(3):
        answer = await site.put(name)
        assert (answer.status, answer.slug) == (status, slug)
    assert site.stored_files == []
    assert site.journal_text == ""
    site.bodies.faults = NO_FAULTS
    assert (await site.put(name)).status == 201
    assert (await site.get(name)).body == make_body(name)
    await assert_nothing_left(site)


@every_name
@pytest.mark.parametrize(
    ("fault", "status", "slug"), [case[1:] for case in JOURNALS], ids=[case[0] for case in JOURNALS]
)
async def test_while_records_cannot_be_written_nothing_is_kept_and_then_it_goes_on(
    site: Site, fault: StorageError, status: int, slug: str, name: str | int
) -> None:
    with patch.object(site.origin.journal, "_write", side_effect=fault):
        for _ in range(3):
            answer = await site.put(name)
            assert (answer.status, answer.slug) == (status, slug)
    assert site.stored_files == []
    assert await site.metric("origin_storage_errors_total", operation="journal-append") == 3
    assert (await site.get(name, method="HEAD")).status == 404
    assert (await site.put(name)).status == 201
    assert (await site.get(name)).body == make_body(name)
    await assert_nothing_left(site)


async def test_what_was_delivered_before_is_delivered_while_the_disk_is_full(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    site.bodies.faults = Faults(full=1)
    site.forget_ram()
    assert (await site.put(NUMBER - 1)).status == 507
    assert (await site.get(NUMBER)).body == BODY


async def test_a_segment_whose_choice_could_not_be_recorded_is_chosen_when_the_journal_works_again(site: Site) -> None:
    held = await site.hold(NUMBER)
    journal = site.origin.journal
    really_write, writes = journal._write, iter([True, False, False])

    def write(line: bytes) -> None:
        if not next(writes, False):
            raise StorageFull("journal-append", "No space left on device")
        really_write(line)

    with patch.object(journal, "_write", write):
        answer = await site.put(NUMBER, body=BODY)
        assert (answer.status, answer.document["chosen"]) == (201, False)
        site.clock.move_to(NOW_MS + 500)
        assert not held.done()
    site.clock.move_to(NOW_MS + 1_000)
    assert (await held).body == BODY
    assert site.clock.pending == []


READS = [("error", Faults(errors=1)), ("short", Faults(short=1))]


@every_name
@pytest.mark.parametrize("faults", [case[1] for case in READS], ids=[case[0] for case in READS])
async def test_while_bodies_cannot_be_read_caches_are_told_so_for_a_second_and_then_it_goes_on(
    site: Site, faults: Faults, name: str | int
) -> None:
    await site.put(name, body=BODY)
    site.forget_ram()
    site.bodies.faults = faults
    for count in (1, 2):
        answer = await site.get(name)
        assert (answer.status, answer.slug, answer.life_time) == (503, "storage", FOR_ONE_SECOND)
        assert answer.headers["Retry-After"] == "1"
        assert "ETag" not in answer.headers
        assert await site.metric("origin_storage_errors_total", operation="body-read") == count
    site.bodies.faults = NO_FAULTS
    assert (await site.get(name)).body == BODY
    await assert_nothing_left(site)


def remove_body(path: Path) -> None:
    path.unlink()


def rot_body(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"whole", b"whale"))


LOSSES = [("gone", remove_body), ("rotten", rot_body)]
every_loss = pytest.mark.parametrize("lose", [case[1] for case in LOSSES], ids=[case[0] for case in LOSSES])


def files_of(site: Site, pipeline_id: str) -> list[Path]:
    """Return the files of a pipeline's copies that are where they belong."""
    folder = Path(site.origin.settings.storage.path) / "bodies" / "derby"
    return [path for path in folder.rglob("*") if f"~{pipeline_id}~" in path.name]


@every_loss
async def test_where_the_only_copy_is_lost_the_segment_is_refused_as_if_nobody_had_published_it(
    site: Site, lose: Callable[[Path], None]
) -> None:
    """By arithmetic: while it is due somebody may still send it, and then it is given up."""
    await site.put(NUMBER, body=BODY)
    site.forget_ram()
    (path,) = files_of(site, "a")
    lose(path)
    for method in ("GET", "HEAD"):
        answer = await site.get(NUMBER, method=method)
        assert (answer.status, answer.life_time) == (404, FOR_A_SECOND)
    site.clock.move_to(NOW_MS + RETRY_DEADLINE_MS)
    answer = await site.get(NUMBER)
    assert (answer.status, answer.slug) == (410, "never-published")
    assert await site.metric("origin_bodies_lost_total", event="derby") == 1
    await assert_nothing_left(site)


@every_loss
async def test_where_there_is_another_copy_it_takes_over_within_the_same_request(
    site: Site, lose: Callable[[Path], None]
) -> None:
    for pipeline_id in ("a", "b"):
        await site.put(NUMBER, pipeline_id, BODY)
    assert (await site.get(NUMBER)).headers["Live-Origin-Pipeline"] == "a"
    site.forget_ram()
    (path,) = files_of(site, "a")
    lose(path)
    answer = await site.get(NUMBER)
    assert (answer.status, answer.body, answer.headers["Live-Origin-Pipeline"]) == (200, BODY, "b")
    assert files_of(site, "a") == []


async def test_a_delete_that_fails_costs_space_and_nothing_else(site: Site) -> None:
    await site.put("v720/init.mp4", body=b"one")
    with site.bodies.gate("delete") as gate:
        renewing = asyncio.create_task(site.put("v720/init.mp4", body=b"two"))
        await gate.reached()
        site.bodies.faults = Faults(errors=1)
    assert (await renewing).document["outcome"] == "renewed"
    site.bodies.faults = NO_FAULTS
    assert (await site.get("v720/init.mp4")).body == b"two"
    assert await site.metric("origin_storage_errors_total", operation="body-delete") == 1


# -- Clients that leave


async def leave_before_the_body(site: Site) -> None:
    async with site.http.get(f"{site.running.deliver}/derby/v720/{NUMBER}.m4s") as response:
        assert response.status == 200
        response.close()


async def leave_while_it_is_read(site: Site) -> None:
    with site.bodies.gate("read") as gate:
        asking = asyncio.create_task(site.get(NUMBER))
        await gate.reached()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: site.origin._ram.used_bytes > 0)


async def leave_while_held(site: Site) -> None:
    held = await site.hold(NUMBER + 1)
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    await until(lambda: site.origin.waiters.count == 0)


LEAVERS: list[tuple[str, Callable[[Site], object]]] = [
    ("before-the-body", leave_before_the_body),
    ("while-it-is-read", leave_while_it_is_read),
    ("while-held", leave_while_held),
]


@pytest.mark.parametrize("leave", [case[1] for case in LEAVERS], ids=[case[0] for case in LEAVERS])
async def test_a_client_that_leaves_takes_nothing_from_the_others(
    site: Site, leave: Callable[[Site], "asyncio.Future[None]"]
) -> None:
    body = make_body(NUMBER) * 1_000
    await site.put(NUMBER, body=body)
    for _ in range(5):
        site.forget_ram()
        with suppress(ClientPayloadError, ServerDisconnectedError):
            await leave(site)
    assert (await site.get(NUMBER)).body == body
    await assert_nothing_left(site)


# -- A clock that steps


async def test_a_clock_that_goes_back_takes_nothing_back(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    site.clock.move_to(NOW_MS - 3_600_000)
    assert (await site.get(NUMBER)).body == BODY
    assert (await site.put(NUMBER, body=b"other")).status == 409
    assert (await site.put(NUMBER + 1)).slug == "too-far-ahead"
    site.clock.move_to(NOW_MS + 1)
    assert (await site.put(NUMBER + 1)).status == 201
    assert site.origin.journal.next_moment(0).ms == NOW_MS + 1


async def test_a_clock_that_leaps_ahead_ends_what_it_says_and_nothing_hangs(site: Site) -> None:
    held = await site.hold(NUMBER)
    site.clock.move_to(NOW_MS + 3_600_000)
    site.origin.waiters.wake(next(iter(site.origin.waiters._waiting)))
    assert (await held).slug == "left-window"
    assert (await site.put(NUMBER)).slug == "outside-window"
    await assert_nothing_left(site)

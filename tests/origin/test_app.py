"""The composition root: in which order an origin starts and stops, and what survives in between."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import ClientConnectorError, ClientSession

from config.model import Settings
from origin.app import Origin, _Progress, url_of
from origin.health import Health, State
from storage.errors import StorageError
from storage.journal import FileJournal
from storage.journal_files import Progress
from tests.origin.apart import running_node
from tests.origin.site import NOW_MS, NUMBER, Site, make_body, name_of, open_site, until
from tests.support.clock import FakeClock
from tests.support.origins import make_settings, running_origin

BODY = b"the whole segment"


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == message]


def only_this_task() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


# -- Starting


async def test_an_origin_that_has_started_is_ready(site: Site) -> None:
    answer = await site.ask("GET", f"{site.running.admin}/readyz")
    assert (answer.status, answer.document) == (200, {"ready": True, "state": "ready"})
    assert (await site.ask("GET", f"{site.running.admin}/healthz")).status == 200
    assert await site.metric("origin_ready") == 1


async def test_the_configured_bounds_are_published(tmp_path: Path) -> None:
    limits = {"holds": 7, "uploads": 8, "segment_bytes": "9KiB"}
    async with open_site(tmp_path, limits=limits) as site:
        found = {name: await site.metric("origin_limit", name=name) for name in (*limits, "ram_bytes")}
        assert found == {"holds": 7, "uploads": 8, "segment_bytes": 9 * 1024, "ram_bytes": 64 * 1024**2}


async def test_ram_in_use_is_published(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    assert await site.metric("origin_ram_used_bytes") == len(BODY)


async def test_while_it_recovers_probes_are_answered_and_traffic_is_not_taken(tmp_path: Path) -> None:
    """Recovery may take a while; a probe without an answer would have the process killed over and over."""
    origin = Origin(make_settings(tmp_path), FakeClock(NOW_MS))
    recovering, go_on = threading.Event(), threading.Event()
    really_open = FileJournal.open

    def slow_open(journal: FileJournal, progress: Progress) -> Any:
        progress(1, 3)
        recovering.set()
        assert go_on.wait(10)
        return really_open(journal, progress)

    with patch.object(FileJournal, "open", slow_open):
        starting = asyncio.create_task(origin.start())
        assert await asyncio.to_thread(recovering.wait, 10)
        async with ClientSession() as http, http.get(f"{url_of(origin.admin_address)}/readyz") as response:
            assert response.status == 503
            assert await response.json() == {"ready": False, "state": "recovering", "progress": 0.333}
        assert not hasattr(origin, "publish_address") and not hasattr(origin, "deliver_address")
        go_on.set()
        await starting
    assert origin.health.is_ready
    await origin.stop()


async def test_what_was_published_is_delivered_after_a_restart(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for name in (NUMBER, "v720/init.mp4", "live.mpd"):
            await site.put(name, body=BODY)
        before = [await site.get(name) for name in (NUMBER, "v720/init.mp4", "live.mpd")]
    async with open_site(tmp_path, now_ms=NOW_MS + 5_000) as site:
        after = [await site.get(name) for name in (NUMBER, "v720/init.mp4", "live.mpd")]
        assert [(a.status, a.body, a.own_headers) for a in after] == [(b.status, b.body, b.own_headers) for b in before]
        assert (await site.put(NUMBER, body=BODY)).document["outcome"] == "unchanged"
        assert (await site.put(NUMBER, body=b"other")).status == 409
        assert await site.metric("origin_publish_bytes_total", event="derby", pipeline="a") == 0, (
            "a replay counts nothing"
        )


async def test_a_pipeline_that_died_before_a_restart_is_behind_after_it(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER - 5, "b")
    async with open_site(tmp_path) as site:
        assert await site.metric("origin_live_edge_lag_seconds", event="derby", pipeline="b") == 5 * 1.92


async def test_what_left_the_event_with_a_new_configuration_is_delivered_no_more(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for number in (NUMBER - 10, NUMBER):
            await site.put(number, body=BODY)
        await site.put("live.mpd", "b", BODY)
    ends = {"end": "1970-01-01T00:32:00Z", "pipelines": [{"id": "a", "region": "us-east-1"}]}
    async with open_site(tmp_path, event=ends) as site:
        assert (await site.get(NUMBER - 10)).body == BODY
        assert (await site.get(NUMBER)).slug == "after-end"
        assert (await site.get("live.mpd")).slug == "not-published-yet"


async def test_what_was_undecided_is_decided_after_a_restart(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for number in (NUMBER - 1, NUMBER):
            await site.put(number, "a")
            await site.put(number, "b")
        await site.put(NUMBER + 1, "b", BODY)
        assert site.origin.catalog.undecided()
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER + 1, method="HEAD")).status == 404
        site.clock.move_to(NOW_MS + 100)
        assert (await site.get(NUMBER + 1)).body == BODY


async def test_what_recovery_found_is_logged_and_damage_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="origin.app")
    async with open_site(tmp_path) as site:
        for number in (NUMBER, NUMBER - 1):
            await site.put(number, body=BODY)
    (file,) = (tmp_path / "data" / "journal").glob("*.log")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], b"damage\n", *lines[3:], b"torn"]))
    (tmp_path / "data" / "bodies" / ".incoming" / "0.tmp").write_bytes(b"half")
    caplog.clear()
    async with open_site(tmp_path) as site:
        (line,) = logged(caplog, "recovered")
        assert line.pop("seconds") >= 0
        journal = {"entries": 3, "damaged": 1, "missing": 1, "torn_bytes": 4, "files": 1}
        bodies = {"unfinished_bodies": 1, "unrecorded_bodies": 1, "lost_bodies": 0}
        assert line == journal | bodies
        assert await site.metric("origin_storage_errors_total", operation="journal-damage") == 1
        assert (await site.get(NUMBER)).body == BODY
        assert not [name for name in site.stored_files if name.endswith(".tmp")]


def test_a_long_recovery_is_told_of_about_once_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="origin.app")
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    health = Health()
    progress = _Progress(health)
    for read_bytes in range(1, 9):
        now_s[0] += 0.25
        progress(read_bytes, 16)
        assert health.progress == read_bytes / 16
    assert logged(caplog, "recovering") == [
        {"progress": 0.25, "read_bytes": 4},
        {"progress": 0.5, "read_bytes": 8},
    ]


async def test_the_addresses_in_use_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="origin.app")
    async with open_site(tmp_path) as site:
        (line,) = logged(caplog, "ready")
        assert line == {
            "publish": site.running.publish,
            "deliver": site.running.deliver,
            "admin": site.running.admin,
            "events": ["derby"],
        }


ADDRESSES = [
    (("127.0.0.1", 8080), "http://127.0.0.1:8080"),
    (("::1", 8080), "http://[::1]:8080"),
    (("::", 80), "http://[::]:80"),
]


@pytest.mark.parametrize(("address", "url"), ADDRESSES)
def test_an_address_is_written_as_a_url(address: tuple[str, int], url: str) -> None:
    assert url_of(address) == url


# -- Starting in vain


@pytest.mark.parametrize("listener", ["publish", "deliver", "admin"])
async def test_a_port_in_use_is_reported_and_everything_closed_again(tmp_path: Path, listener: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        addresses = dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0")
        addresses[listener] = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = make_settings(tmp_path, listen=addresses)
        origin = Origin(settings, FakeClock(NOW_MS))
        with pytest.raises(OSError, match="address already in use"):
            await origin.start()
    assert origin.health.state is State.STOPPING
    assert only_this_task()
    async with running_origin(settings, FakeClock(NOW_MS)) as running:  # folder and ports are free again
        assert running.origin.health.is_ready


async def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "bodies").write_bytes(b"a file")
    origin = Origin(make_settings(tmp_path), FakeClock(NOW_MS))
    with pytest.raises(StorageError, match="bodies-open: File exists"):
        await origin.start()
    assert only_this_task()


async def test_two_origins_in_one_process_do_not_meet(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with open_site(tmp_path / "one") as one, open_site(tmp_path / "two") as two:
        await one.put(NUMBER, body=BODY)
        assert (await one.get(NUMBER)).status == 200
        assert (await two.get(NUMBER, method="HEAD")).status == 404
        assert await two.metric("origin_publish_requests_total", outcome="stored") == 0


async def test_a_second_origin_on_the_same_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, body=BODY)
        half = tmp_path / "data" / "bodies" / ".incoming" / "0.tmp"
        half.write_bytes(b"half")
        second = Origin(make_settings(tmp_path), FakeClock(NOW_MS))
        with pytest.raises(StorageError, match="another origin uses this folder"):
            await second.start()
        assert half.exists()
        assert (await site.put(NUMBER - 1)).status == 201
        assert (await site.get(NUMBER)).body == BODY


# -- Stopping


async def test_an_upload_in_progress_is_stored_before_the_storage_is_closed(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        with site.bodies.gate("write") as gate:
            upload = asyncio.create_task(site.put(NUMBER, body=BODY))
            await gate.reached()
            stopping = asyncio.create_task(site.origin.stop())
            await until(lambda: site.origin.health.state is State.STOPPING)
            probe = await site.ask("GET", f"{site.running.admin}/readyz")
            assert (probe.status, probe.document["state"]) == (503, "stopping")
        assert (await upload).status == 201
        await stopping
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER)).body == BODY


async def test_a_body_that_comes_after_the_stop_began_is_stored_and_ends_its_connection(tmp_path: Path) -> None:
    """ffmpeg's DASH muxer has a PUT open all the time: a restart must not cost a segment."""
    async with open_site(tmp_path) as site:
        host, _, port = site.running.publish.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PUT /derby/a/v720/{NUMBER}.m4s HTTP/1.1\r\nHost: origin\r\nContent-Length: {len(BODY)}\r\n\r\n"
        writer.write(head.encode() + BODY[:3])
        await until(lambda: site.origin.metrics.uploads_in_progress._value.get() == 1)
        stopping = asyncio.create_task(site.origin.stop())
        await until(lambda: site.origin.health.state is State.STOPPING)
        for _ in range(10):
            await asyncio.sleep(0)
        writer.write(BODY[3:])
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        assert b"\r\nConnection: close\r\n" in answer
        writer.close()
        await stopping
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER)).body == BODY


async def test_a_journal_that_cannot_be_flushed_at_the_end_is_logged_and_everything_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    async with open_site(tmp_path) as site:
        await site.put(NUMBER, body=BODY)
        with patch("os.fsync", fail):
            await site.origin.stop()
        assert logged(caplog, "journal not flushed at the end") == [{"error": "journal-close: Input/output error"}]
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER)).body == BODY


async def test_held_requests_are_answered_and_nobody_new_is_let_in(site: Site) -> None:
    held = [await site.hold(name) for name in (NUMBER, NUMBER + 1, "v720/init.mp4")]
    await site.origin.stop()
    answers = await asyncio.gather(*held)
    assert [(answer.status, answer.slug) for answer in answers] == [(503, "stopping")] * 3
    for url in (site.running.publish, site.running.deliver, site.running.admin):
        with pytest.raises(ClientConnectorError):
            await site.ask("GET", f"{url}/")


async def test_a_request_that_does_not_end_is_cut_when_the_patience_is_over(tmp_path: Path) -> None:
    async with open_site(tmp_path, stop_timeout="0s") as site:
        with site.bodies.gate("write") as gate:
            upload = asyncio.create_task(site.put(NUMBER, body=BODY))
            await gate.reached()
            await site.origin.stop()
        with pytest.raises(OSError, match=r"."):
            await upload
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER, method="HEAD")).status == 404


async def test_an_origin_can_be_stopped_twice(site: Site) -> None:
    await site.origin.stop()
    await site.origin.stop()


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    threads = threading.active_count()
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, body=BODY)
        await site.put(NUMBER + 1, "b", BODY)
        await site.get(NUMBER)
        await site.hold(NUMBER + 1)
        await site.origin.stop()
        assert site.clock.pending == []
        assert site.origin.waiters.count == 0
    await until(only_this_task)
    assert threading.active_count() <= threads + 1, "but for the event loop's own threads"


# -- Order of what follows the journal


async def test_whoever_is_woken_finds_the_choice(site: Site) -> None:
    """Catalog before waiting list, or a held request would look again in vain."""
    found: list[bool] = []
    waiters, catalog = site.origin.waiters, site.origin.catalog
    really_wake = waiters.wake

    def wake(key: Any) -> int:
        found.append(catalog.choice(key) is not None)
        return really_wake(key)

    with patch.object(waiters, "wake", wake):
        held = await site.hold(NUMBER)
        await site.put(NUMBER, body=BODY)
        assert (await held).status == 200
    assert found == [True]


async def test_the_journal_can_be_read_with_less(site: Site) -> None:
    await site.put(NUMBER, body=BODY)
    lines = [line.split(" ") for line in site.journal_text.splitlines()]
    assert [line[3:7] for line in lines] == [[kind, "derby", "v720", str(NUMBER)] for kind in ("published", "chosen")]
    assert name_of(NUMBER) == f"v720/{NUMBER}.m4s"


def test_making_an_origin_touches_nothing(tmp_path: Path) -> None:
    settings: Settings = make_settings(tmp_path)
    Origin(settings)
    assert not (tmp_path / "data").exists()


# -- With deliver processes


async def test_a_publish_process_has_no_deliver_listener_and_tells_who_delivers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running_node(tmp_path, 1) as node:
        assert node.origin is not None and not hasattr(node.origin, "deliver_address")
        assert logged(caplog, "publishing") == [{"sequence": 0}]
        assert logged(caplog, "ready") == []
        await node.put(NUMBER)
        answer = await node.ask("GET", "deliver-0", f"/derby/{name_of(NUMBER)}", headers={"Range": "bytes=0-3"})
        assert answer.status == 206
        assert (await node.page())["origin_ram_used_bytes"] == len(make_body(NUMBER))
        assert 'origin_worker_up{worker="deliver-0"}' in await node.page()


async def test_a_publish_process_that_stops_leaves_the_feeds_socket_open(tmp_path: Path) -> None:
    async with running_node(tmp_path, 1) as node:
        await node.stop_publish()
        await node.start_publish()
        client = node.delivering["deliver-0"].client
        await until(lambda: client.is_following and client.snapshots_count == 2)

"""An origin of several processes as it is run: who has which sockets, what is told, what a new configuration may be."""

import asyncio
import json
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any, Final

import aiohttp
import pytest
import yaml

from config.load import load_settings
from origin.children import EXIT_REFUSED, ChildContext
from origin.supervised import ADMIN, FEED, PUBLISH, _publish, deliver_names, run_publish
from tests.integration.process import ServerProcess, server_process
from tests.origin.apart import open_node, until
from tests.origin.feed.feeds import listen
from tests.origin.site import make_body
from tests.support.origins import EVENT, PATIENT, make_settings
from tests.support.packagers import number_now

WORKERS: Final = 2
NAMES: Final = ["publish", "deliver-0", "deliver-1"]


def document(folder: Path) -> dict[str, Any]:
    return {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "64MiB", "ssd": "1GiB"},
        "workers": WORKERS,
        "stop_timeout": "2s",
        "limits": PATIENT,
        "events": [EVENT | {"inspection": {"checks": "none"}}],
    }


def write(folder: Path, **sections: Any) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document(folder) | sections))
    return path


@asynccontextmanager
async def serving(folder: Path, **sections: Any) -> AsyncIterator[ServerProcess]:
    async with server_process(write(folder, **sections)) as server:
        yield server


async def status_of(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    async with http.request(method, url, **options) as response:
        return response.status, await response.read()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Give the root logger back to whoever had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def test_deliver_processes_are_numbered(tmp_path: Path) -> None:
    assert deliver_names(make_settings(tmp_path, workers=3)) == ["deliver-0", "deliver-1", "deliver-2"]
    assert deliver_names(make_settings(tmp_path, workers=0)) == []


async def test_all_processes_run_before_it_says_that_it_is_ready(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    number = number_now() - 1
    async with serving(tmp_path) as server:
        assert sorted(line["child"] for line in server.said("process ready")) == sorted(NAMES)
        (ready,) = server.said("ready")
        assert (ready["events"], ready["workers"]) == (["derby"], WORKERS)
        body = make_body(number)
        assert (await status_of(http, "PUT", f"{server.publish}/derby/a/v720/{number}.m4s", data=body))[0] == 201
        # Each request is a connection of its own, so that both processes get some.
        for _ in range(16):
            assert await status_of(http, "GET", f"{server.deliver}/derby/v720/{number}.m4s") == (200, body)
        server.send(SIGTERM)
        assert await server.wait() == 0
        assert server.messages[-1] == "all processes ended"


async def test_nothing_is_left_of_the_feeds_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    async with serving(tmp_path) as server:
        (made,) = folder.iterdir()
        assert (made / "feed.sock").is_socket()
        assert made.stat().st_mode & 0o077 == 0
        server.send(SIGTERM)
        assert await server.wait() == 0
    assert list(folder.iterdir()) == []


async def test_a_second_origin_is_refused_the_folder(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        with pytest.raises(RuntimeError, match="live-origin cannot run: "):
            async with serving(tmp_path):
                raise AssertionError("it runs")
        assert server.said("process died") == []


async def test_a_journal_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal").write_bytes(b"a file")
    with pytest.raises(RuntimeError, match="storage refuses to start"):
        async with serving(tmp_path):
            raise AssertionError("it runs")


# -- A new configuration


async def test_an_added_event_is_taken_over(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    events = document(tmp_path)["events"]
    async with serving(tmp_path) as server:
        write(tmp_path, events=[*events, events[0] | {"id": "oaks"}])
        server.send(SIGHUP)
        told = await server.until("configuration read")
        assert told["changes"] == ["events[1]: event 'oaks' is added"]
        await server.until("all processes replaced")
        number = number_now() - 1
        url = f"/v720/{number}.m4s"
        assert (await status_of(http, "PUT", f"{server.publish}/oaks/a{url}", data=make_body(number)))[0] == 201
        assert (await status_of(http, "GET", f"{server.deliver}/oaks{url}"))[1] == make_body(number)


REFUSED: Final[list[tuple[str, dict[str, Any], str]]] = [
    ("what-cannot-change", {"workers": 1}, "workers: 2 cannot become 1 in a running origin"),
    ("what-is-wrong", {"stop_timeout": "soon"}, "stop_timeout"),
]


@pytest.mark.parametrize(("sections", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_a_configuration_that_cannot_be_taken_over_changes_nothing(
    tmp_path: Path, sections: dict[str, Any], text: str
) -> None:
    async with serving(tmp_path) as server:
        write(tmp_path, **sections)
        server.send(SIGHUP)
        told = await server.until("configuration not taken over")
        assert text in " ".join(told["problems"])
        # The one before is still what changes are compared with.
        write(tmp_path, stop_timeout="3s")
        server.send(SIGHUP)
        assert (await server.until("configuration read"))["changes"] == ["stop_timeout: 2s becomes 3s"]


# -- The publish process


async def test_the_publish_process_is_ready_when_it_takes_uploads_and_ends_with_sigterm(tmp_path: Path) -> None:
    read, write_end = os.pipe()
    async with open_node(tmp_path, 1) as node:
        own = {name: (node.sockets[name].dup(),) for name in (PUBLISH, ADMIN)} | {FEED: (node.sockets[FEED],)}
        running = asyncio.create_task(_publish(node.settings, ChildContext(PUBLISH, 0, tmp_path, own, write_end)))
        assert await asyncio.to_thread(os.read, read, 1) == b"r"
        assert (await node.put(number_now() - 1)).status == 201
        process = await node.start_deliver("deliver-0")
        await until(lambda: process.client.is_in_sync or process.client.is_following)
        answer = await node.ask("GET", ADMIN, "/healthz")
        assert json.loads(answer.body) == {"status": "ok", "state": "ready"}
        os.kill(os.getpid(), SIGTERM)
        async with asyncio.timeout(20):
            await running
    for descriptor in (read, write_end):
        os.close(descriptor)


def test_storage_that_cannot_be_used_is_refused_for_good(tmp_path: Path) -> None:
    """Trying again and again would not help: the supervisor is told so by the exit status."""
    settings = load_settings(write(tmp_path), {}, ())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal").write_bytes(b"a file")
    with closing(listen(tmp_path / "feed.sock")) as feed:
        sockets = {name: (socket.create_server(("127.0.0.1", 0)),) for name in (PUBLISH, ADMIN)} | {FEED: (feed,)}
        assert run_publish(settings, ChildContext(PUBLISH, 0, tmp_path, sockets, -1)) == EXIT_REFUSED
        sockets[PUBLISH][0].close()  # which it did not get to

"""The server as a process: what operators and orchestrators see, how it stops, and what a crash leaves."""

import asyncio
import itertools
import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from storage.buckets import INCOMING_FOLDER
from tests.integration.process import ServerProcess, address_of, server_process
from tests.integration.wire import (
    PATIENCE_S,
    TEXT_RENDITION,
    Address,
    Answer,
    Close,
    Connection,
    ask,
    head,
    path_of,
    upload,
)
from tests.support.origins import EVENT, PATIENT, journal_text
from tests.support.packagers import number_now
from tests.support.reader import Reader

HELD: Final = 50
IDLE: Final = 3
STOP_TIMEOUT_S: Final = 2
# From the end of the wait to the end of the process; half a second of it is the server's.
STOP_MARGIN_S: Final = 2
CRASHES: Final = 3
PACKAGERS: Final = 4
UPLOADS_BEFORE_CRASH: Final = 60
BODY: Final = bytes(range(256)) * 400


# All in one process, and two deliver processes beside the one that publishes.
WORKERS: Final = (0, 2)
at_any_number_of_workers: Final = pytest.mark.parametrize("workers", WORKERS)
# What the log ends with.
LAST_WORDS: Final = {0: "stopped", 2: "all processes ended"}


def write_config(folder: Path, workers: int) -> Path:
    """Write a configuration with one rendition of text, on free ports."""
    config = folder / "config.yaml"
    document = {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "64MiB", "ssd": "1GiB"},
        "workers": workers,
        "stop_timeout": f"{STOP_TIMEOUT_S}s",
        "limits": PATIENT,
        "events": [EVENT | {"renditions": [TEXT_RENDITION], "live_edge": "10m", "recent": "10m"}],
    }
    config.write_text(yaml.safe_dump(document))
    return config


def stored_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "data" / "bodies").rglob("*") if path.is_file()]


def delivered_path(number: int) -> str:
    return f"derby/cc/{number}.vtt"


@at_any_number_of_workers
async def test_probes_and_metrics_are_answered_and_metrics_can_be_parsed(tmp_path: Path, workers: int) -> None:
    async with server_process(write_config(tmp_path, workers)) as server, aiohttp.ClientSession() as session:
        reader = Reader(session, server.admin)
        readiness = await reader.get("readyz")
        async with asyncio.timeout(PATIENCE_S):
            while workers and json.loads(readiness.body)["behind"]:  # not heard of yet
                readiness = await reader.get("readyz")
        assert (readiness.status, json.loads(readiness.body)["ready"]) == (200, True)
        health, metrics = [await reader.get(name) for name in ("healthz", "metrics")]
        assert (health.status, json.loads(health.body)["status"]) == (200, "ok")
        assert metrics.status == 200
        families = {family.name: family for family in text_string_to_metric_families(metrics.body.decode())}
        assert families["origin_ready"].samples[0].value == 1
        assert all(name.startswith("origin_") for name in families)
        assert all(family.documentation for family in families.values())


async def until_metric(reader: Reader, admin: str, wanted: str) -> None:
    """Return once the metrics have this line."""
    async with asyncio.timeout(PATIENCE_S):
        while wanted not in (await reader.get_url(f"{admin}/metrics")).decode().splitlines():
            pass


@at_any_number_of_workers
async def test_a_stop_answers_who_is_held_and_keeps_the_upload_in_progress(tmp_path: Path, workers: int) -> None:
    config, number = write_config(tmp_path, workers), number_now()
    request = upload(path_of(number - 1), BODY)
    connector = aiohttp.TCPConnector(limit=0)
    async with server_process(config) as server, aiohttp.ClientSession(connector=connector) as session:
        reader = Reader(session, server.deliver)
        idle = [Connection(address_of(url)) for url in (server.publish, server.deliver) for _ in range(IDLE)]
        for connection in idle[IDLE:]:
            connection.send(head("GET", f"/{delivered_path(number - 100)}"))
            assert (await asyncio.to_thread(connection.receive)).status == 410
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(reader.get(delivered_path(number))) for _ in range(HELD)]
            with Connection(address_of(server.publish)) as packager:
                packager.send(request[: len(request) // 2])
                await until_metric(reader, server.admin, f"origin_holds_in_progress {HELD}.0")
                await until_metric(reader, server.admin, "origin_uploads_in_progress 1.0")
                stopping_s = time.monotonic()
                server.send(SIGTERM)
                # Who was held has been answered: the stop has begun.
                assert [(await each).status for each in held] == [503] * HELD
                packager.send(request[len(request) // 2 :])
                stored = await asyncio.to_thread(packager.receive)
        assert (stored.status, stored.headers["Connection"]) == (201, "close")
        assert await server.wait() == 0
        assert time.monotonic() - stopping_s < STOP_TIMEOUT_S
        assert all(connection.at_end() for connection in idle)
        for connection in idle:
            connection.close(Close.FIN)
        assert server.messages[-1] == LAST_WORDS[workers]
    async with server_process(config) as server:
        answer = await asyncio.to_thread(ask, address_of(server.deliver), head("GET", f"/{delivered_path(number - 1)}"))
        assert (answer.status, answer.body, answer.headers["ETag"]) == (200, BODY, stored.json["etag"])


@at_any_number_of_workers
async def test_a_stop_does_not_wait_for_ever_for_an_upload_that_stands_still(tmp_path: Path, workers: int) -> None:
    config, number = write_config(tmp_path, workers), number_now()
    request = upload(path_of(number), BODY)
    async with server_process(config) as server, aiohttp.ClientSession() as session:
        with Connection(address_of(server.publish)) as packager:
            packager.send(request[:-1])
            await until_metric(Reader(session, server.deliver), server.admin, "origin_uploads_in_progress 1.0")
            stopping_s = time.monotonic()
            server.send(SIGTERM)
            assert await server.wait() == 0
            assert STOP_TIMEOUT_S <= time.monotonic() - stopping_s < STOP_TIMEOUT_S + STOP_MARGIN_S
        assert server.messages[-1] == LAST_WORDS[workers]
    assert stored_files(tmp_path) == []
    assert journal_text(tmp_path / "data") == ""


# -- crashes


@dataclass(frozen=True)
class Promise:
    """What a packager was told of an upload: that it is kept, and which pipeline's copy was chosen, if any was."""

    number: int
    pipeline_id: str
    etag: str
    chosen: str | None

    @classmethod
    def of(cls, answer: Answer) -> "Promise":
        told = answer.json
        choice = told["choice"]
        return cls(told["number"], told["pipeline"], told["etag"], None if choice is None else choice["pipeline"])


class Packagers:
    """Connections that publish without a pause, until the server is gone."""

    def __init__(self) -> None:
        newest = number_now()
        self._plan = itertools.product(range(newest, newest - 900, -1), "ab")
        self._enough = threading.Event()
        self._goal = 0
        self.promises: list[Promise] = []

    async def publish(self, server: ServerProcess) -> None:
        """Kill the server in the midst of it."""
        self._goal = len(self.promises) + UPLOADS_BEFORE_CRASH
        self._enough.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(PACKAGERS):
                group.create_task(asyncio.to_thread(self._publish, address_of(server.publish)))
            assert await asyncio.to_thread(self._enough.wait, PATIENCE_S)
            server.send(SIGKILL)
            assert await server.wait() == -SIGKILL

    def _publish(self, address: Address) -> None:
        with suppress(ConnectionError), Connection(address) as connection:
            while True:
                number, pipeline_id = next(self._plan)
                connection.send(upload(path_of(number, pipeline_id), body_of(number, pipeline_id)))
                answer = connection.receive()
                assert answer.status == 201
                self.promises.append(Promise.of(answer))
                if len(self.promises) >= self._goal:
                    self._enough.set()


def body_of(number: int, pipeline_id: str) -> bytes:
    """Return a body that no other copy has, of up to 300 kB."""
    source = random.Random(f"{number}{pipeline_id}")
    return source.randbytes(source.randrange(1, 300_000))


@at_any_number_of_workers
async def test_what_was_acknowledged_survives_every_crash(tmp_path: Path, workers: int) -> None:
    config, packagers = write_config(tmp_path, workers), Packagers()
    served: dict[int, tuple[str, str]] = {}
    for crash in range(CRASHES + 1):
        async with server_process(config) as server:
            assert not [path for path in stored_files(tmp_path) if path.suffix == ".tmp"]
            before = served
            served = await read_all(server, packagers.promises)
            assert before.items() <= served.items()
            check(packagers.promises, served)
            if crash < CRASHES:
                await packagers.publish(server)
        leave_half_a_body(tmp_path)
    assert len(served) >= CRASHES * UPLOADS_BEFORE_CRASH // 2


async def read_all(server: ServerProcess, promises: list[Promise]) -> dict[int, tuple[str, str]]:
    """Return (pipeline, ETag) of each segment that was promised, as it is delivered."""
    numbers = sorted({promise.number for promise in promises})
    async with aiohttp.ClientSession() as session:
        reader = Reader(session, server.deliver)
        answers = await asyncio.gather(*(reader.get(delivered_path(number), number) for number in numbers))
    served = {}
    for number, answer in zip(numbers, answers, strict=True):
        assert answer.status == 200
        pipeline_id = answer.headers["Live-Origin-Pipeline"]
        assert answer.body == body_of(number, pipeline_id)
        served[number] = pipeline_id, answer.headers["ETag"]
    return served


def check(promises: list[Promise], served: dict[int, tuple[str, str]]) -> None:
    """Compare what was promised with what is delivered."""
    for promise in promises:
        pipeline_id, etag = served[promise.number]
        if promise.chosen is not None:
            assert pipeline_id == promise.chosen
        if pipeline_id == promise.pipeline_id:
            assert etag == promise.etag


def leave_half_a_body(folder: Path) -> None:
    """What a crash leaves when it comes between the bytes of a body; each round leaves one more."""
    incoming = folder / "data" / "bodies" / INCOMING_FOLDER
    (incoming / f"{len(stored_files(folder))}.tmp").write_bytes(BODY)

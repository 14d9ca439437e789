"""A running origin gets new processes and another configuration while packagers publish and readers wait."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGHUP, SIGTERM, SIGUSR2, Signals
from typing import Any, Final

import yaml

from tests.faults.kills import DELIVER, PUBLISH, configuration, offspring, pid_of
from tests.faults.live_load import (
    SEGMENT_MS,
    Answer,
    LiveLoad,
    Segment,
    Tally,
    Wires,
    body_of,
    event_document,
    judge_explanations,
    number_now,
)
from tests.integration.process import ROOT, ServerProcess, server_process
from tests.integration.wire import PATIENCE_S

# Readers ask nearly a segment ahead, so that there is somebody held at every moment.
EARLY_MS: Final = 440
REPLACEMENTS: Final = 4
ADDED: Final = "regatta"

# An origin, its clients, a request that is held, and what it is for.
Held = tuple[ServerProcess, LiveLoad, "asyncio.Task[Answer]", Segment]


class Site:
    """The configuration of an origin, and what its clients saw."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.document = configuration(folder / "data")
        self.tally = Tally()
        self.write()

    def write(self) -> None:
        self.config.write_text(yaml.safe_dump(self.document))

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[tuple[ServerProcess, LiveLoad]]:
        """Run the origin under live load until the block ends; then nothing may have been lost."""
        tally = self.tally
        async with server_process(self.config) as server:
            load = LiveLoad(server, tally, early_ms=EARLY_MS)
            async with load.running():
                await load.goes.wait()
                yield server, load
                await until_delivered(load)
            tally.judge_choices()
            await judge_explanations(server, tally)
            assert "Z" not in offspring(server.pid).values()
            server.send(SIGTERM)
            assert await server.wait() == 0
            assert not server.said("process died")
        assert tally.problems == []
        assert tally.counts["live delivered"] == tally.counts["live wanted"] > 0
        assert tally.counts["PUT answered"] == tally.counts["PUT wanted"] > 0
        assert tally.counts["rewinds delivered"] == tally.counts["rewinds wanted"] > 0


async def until_delivered(load: LiveLoad) -> None:
    """Wait until one more live segment has been delivered."""
    load.goes.clear()
    async with asyncio.timeout(PATIENCE_S):
        await load.goes.wait()


async def tell(command: str, config: Path) -> str:
    """Run a command of the origin; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "origin", command, "--config", str(config)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        told, _ = await process.communicate()
    assert process.returncode == 0
    return told.decode()


async def test_a_restart_loses_no_request(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.under_load() as (server, _):
        old = {name: pid_of(server, name) for name in (PUBLISH, *DELIVER)}
        assert str(server.pid) in await tell("restart", site.config)
        await server.until("all processes replaced")
        new = {name: pid_of(server, name) for name in old}
        assert set(old.values()).isdisjoint(new.values())
        assert offspring(server.pid).keys() == set(new.values())


async def test_restarts_at_any_moment_of_a_segment_lose_no_request(tmp_path: Path) -> None:
    async with Site(tmp_path).under_load() as (server, load):
        for count in range(REPLACEMENTS):
            await until_delivered(load)
            await asyncio.sleep(count / REPLACEMENTS * SEGMENT_MS / 1000)
            server.send(SIGUSR2)
            await server.until("all processes replaced", count + 1)
        assert len(server.said("process started")) == (REPLACEMENTS + 1) * (1 + len(DELIVER))


# -- who is held while processes are replaced


@asynccontextmanager
async def one_held(folder: Path, **settings: object) -> AsyncIterator[Held]:
    """Let one request be held by the only deliver process; the block begins when that has been told to end.

    It is for the segment whose media ends next, which nobody publishes. The last one tells which it is.
    """
    site, segment = Site(folder), ("v1", number_now())
    site.document |= {"workers": 1} | settings
    site.write()
    async with server_process(site.config) as server:
        wires, load = Wires(server.deliver), LiveLoad(server, site.tally)
        held = asyncio.create_task(load.get(wires, segment))
        await until_metric(server, b"origin_holds_in_progress", b" 1.0")
        server.send(SIGUSR2)
        await server.until("process ready", 2, child=DELIVER[0])
        await server.until("draining")
        assert not held.done()
        yield server, load, held, segment
        wires.close()
        load.close()


async def until_metric(server: ServerProcess, name: bytes, end: bytes) -> None:
    """Return once a line of the metrics begins and ends like this."""
    wires = Wires(server.admin)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = await wires.ask(b"GET /metrics HTTP/1.1\r\nHost: origin\r\n\r\n")
            if any(line.startswith(name) and line.endswith(end) for line in page.body.splitlines()):
                break
    wires.close()


async def test_who_is_held_is_answered_with_the_segment_though_its_process_is_replaced(tmp_path: Path) -> None:
    async with one_held(tmp_path) as (server, load, held, segment):
        assert (await load.put(*segment, "a")).status == 201
        answer = await held
        assert (answer.status, answer.body) == (200, body_of(segment, "a"))
        assert answer.headers["connection"] == "close"
        await server.until("all processes replaced")
        assert load.tally.counts["GET tried again"] == 0


async def test_who_is_held_in_vain_is_told_before_its_process_must_end(tmp_path: Path) -> None:
    async with one_held(tmp_path, stop_timeout="1s") as (server, load, held, _):
        assert (await held).status == 503
        await server.until("all processes replaced")
        assert load.tally.counts["GET tried again"] == 0


async def test_a_stop_in_the_middle_of_a_replacement_answers_who_is_held_at_once(tmp_path: Path) -> None:
    async with one_held(tmp_path, stop_timeout="10m") as (server, load, held, _):
        server.send(SIGTERM)
        assert (await held).status == 503
        assert await server.wait() == 0
        assert load.tally.counts["GET tried again"] == 0


# -- another configuration


async def test_an_event_that_is_added_takes_uploads_and_is_delivered(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.under_load() as (server, _):
        added = LiveLoad(server, Tally(), ADDED)
        assert await status_of_put(added) == 404
        site.document["events"].append(event_document(ADDED))
        site.write()
        await tell("reload", site.config)
        await server.until("all processes replaced")
        assert any(ADDED in change for change in server.said("configuration read")[0]["changes"])
        async with added.running():
            async with asyncio.timeout(PATIENCE_S):
                await added.goes.wait()
        assert added.tally.problems == []
        assert added.tally.counts["live delivered"] == added.tally.counts["live wanted"] > 0


async def status_of_put(load: LiveLoad) -> int:
    return (await load.put("v1", number_now(), "a", is_new=True)).status


async def refused(site: Site, change: Callable[[dict[str, Any]], None], signal: Signals = SIGHUP) -> list[str]:
    """Ask for a change that is refused; returns why, once the origin has gone on for a segment."""
    async with site.under_load() as (server, load):
        change(site.document)
        site.write()
        server.send(signal)
        line = await server.until("configuration not taken over")
        await until_delivered(load)
        assert line["level"] == "error"
        assert not server.said("replacing processes")
        assert len(server.said("process started")) == 1 + len(DELIVER)
    problems: list[str] = line["problems"]
    return problems


async def test_a_change_that_would_make_caches_wrong_is_refused_and_all_goes_on(tmp_path: Path) -> None:
    (problem,) = await refused(Site(tmp_path), lambda document: document["events"][0].update(segment_duration="960ms"))
    assert problem.startswith("events[0].segment_duration: ")
    assert "give the event a new id" in problem


async def test_a_configuration_with_a_mistake_is_refused_and_all_goes_on(tmp_path: Path) -> None:
    problems = await refused(Site(tmp_path), lambda document: document["events"][0].update(segment_length="1s"))
    assert any("segment_length" in problem for problem in problems)

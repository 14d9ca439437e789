"""The admin side of deleting: what it tells of clock and disk, and how an operator confirms a clock."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from origin.admin import CONFIRM_CLOCK, GC, Admin, Insight
from origin.health import Health
from origin.target import Programmes
from tests.origin.site import NOW_MS, Site
from tests.origin.vault import BODY, SSD_BYTES, Vault, expired_ms, open_vault
from tests.support.events import make_event

EVENTS = (make_event(), make_event("oaks", retention_ms=7_000))
HOUR_MS = 3_600_000


class Desk:
    """The admin side of a vault."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        insight = Insight(Programmes(EVENTS), vault.catalog, vault.clock, vault.time, vault.disk)
        self.admin = Admin(bytes, Health(), insight)

    def ask(self, method: str, path: str) -> dict[str, Any]:
        reply = self.admin.answer(method, path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        document: dict[str, Any] = json.loads(bytes(reply.body))
        return document


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_vault(tmp_path, *EVENTS) as vault:
        yield Desk(vault)


async def test_in_peace_it_tells_that_what_has_aged_out_goes(desk: Desk) -> None:
    await desk.vault.store(0)
    desk.vault.disk.look()
    assert desk.ask("GET", GC) == {
        "deleting": True,
        "clock_doubt": None,
        "clock_confirmation": None,
        "disk_level": "ample",
        "used_bytes": len(BODY),
        "retention_ms": {"derby": 30_000, "oaks": 7_000},
    }


# (percent of the disk, level, retention in force)
LEVELS = [
    (91, "shrink", {"derby": 0, "oaks": 0}),
    (96, "refuse-old", {"derby": 0, "oaks": 0}),
    (99, "refuse-all", {"derby": 0, "oaks": 0}),
]


@pytest.mark.parametrize(("percent", "level", "retention_ms"), LEVELS)
def test_a_filling_disk_shows_with_the_retention_that_is_in_force(
    desk: Desk, percent: int, level: str, retention_ms: dict[str, int]
) -> None:
    desk.vault.others_bytes = SSD_BYTES * percent // 100
    desk.vault.disk.look()
    document = desk.ask("GET", GC)
    assert (document["disk_level"], document["retention_ms"], document["deleting"]) == (level, retention_ms, True)


async def test_a_clock_in_doubt_shows_with_its_reason_until_an_operator_confirms_it(desk: Desk) -> None:
    await desk.vault.fill()
    desk.vault.clock.step(HOUR_MS)
    await desk.vault.collector.collect()
    document = desk.ask("GET", GC)
    assert document["deleting"] is False
    assert document["clock_doubt"] == {
        "reason": f"the wall clock went forward by {HOUR_MS} ms",
        "step_ms": HOUR_MS,
        "since_ms": HOUR_MS,
    }
    assert desk.ask("GET", GC) == document, "to ask changes nothing"

    confirmed = desk.ask("POST", CONFIRM_CLOCK)
    assert confirmed == desk.ask("GET", GC)
    assert (confirmed["deleting"], confirmed["clock_doubt"]) == (True, None)
    assert confirmed["clock_confirmation"] == "an operator has confirmed the wall clock"
    assert expired_ms(1) < HOUR_MS
    assert await desk.vault.collector.collect() == 2


def test_a_clock_that_nobody_doubts_may_be_confirmed_in_vain(desk: Desk) -> None:
    assert desk.ask("POST", CONFIRM_CLOCK) == desk.ask("GET", GC)
    assert desk.ask("GET", GC)["clock_confirmation"] is None


METHODS = [
    (GC, ("GET", "HEAD"), ("POST", "PUT", "DELETE")),
    (CONFIRM_CLOCK, ("POST",), ("GET", "HEAD", "PUT", "DELETE")),
]


@pytest.mark.parametrize(("path", "allowed", "refused"), METHODS)
def test_looking_and_confirming_are_methods_apart(
    desk: Desk, path: str, allowed: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    """A crawler or a prefetching browser must not confirm a clock."""
    desk.vault.clock.step(HOUR_MS)
    desk.vault.time.look()
    for method in refused:
        reply = desk.admin.answer(method, path)
        assert (reply.status, reply.headers["Allow"]) == (405, ", ".join(allowed))
    assert not desk.vault.time.is_trusted
    for method in allowed:
        assert desk.admin.answer(method, path).status == 200


@pytest.mark.parametrize("path", [f"{GC}/", "/api/v1/gc/confirm", f"{CONFIRM_CLOCK}/", "/api/v1/GC"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_nothing(desk: Desk, path: str, method: str) -> None:
    assert desk.admin.answer(method, path).status == 404


async def test_over_http_a_clock_is_doubted_confirmed_and_measured(site: Site) -> None:
    site.clock.step(HOUR_MS)
    site.origin._time.look()
    assert await site.metric("origin_clock_trusted") == 0
    answer = await site.ask("GET", f"{site.running.admin}{GC}")
    assert (answer.status, answer.document["clock_doubt"]["since_ms"]) == (200, NOW_MS + HOUR_MS)
    answer = await site.ask("POST", f"{site.running.admin}{CONFIRM_CLOCK}")
    assert (answer.status, answer.document["deleting"]) == (200, True)
    assert await site.metric("origin_clock_trusted") == 1

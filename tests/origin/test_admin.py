"""The admin side: metrics and probes, when segments are explained, and what else is asked of it."""

import json
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from config.model import Storage
from origin.admin import Admin, Insight
from origin.disk_watch import DiskWatch
from origin.health import Health, State
from origin.reply import Problem
from origin.target import Programmes
from origin.time_watch import TimeWatch
from storage.catalog import MemoryCatalog
from tests.support.clock import FakeClock
from tests.support.events import make_event

NOW_MS = 23_000
SEGMENT = "/api/v1/events/derby/segments/v720/10"


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def admin(health: Health, tmp_path: Path) -> Admin:
    registry = CollectorRegistry()
    Counter("origin_deliver_bytes", "Bytes.", registry=registry).inc(7)
    programmes, catalog, clock = Programmes((make_event(),)), MemoryCatalog(), FakeClock(NOW_MS)
    time = TimeWatch(programmes.events, clock)
    disk = DiskWatch(tmp_path, Storage(), lambda: catalog.used_bytes, clock)
    return Admin(partial(generate_latest, registry), health, Insight(programmes, catalog, clock, time, disk))


PROBES = [
    (State.STARTING, 503),
    (State.RECOVERING, 503),
    (State.READY, 200),
    (State.STOPPING, 503),
]


@pytest.mark.parametrize(("state", "status"), PROBES)
def test_readyz_says_whether_traffic_may_come_and_if_not_why(
    admin: Admin, health: Health, state: State, status: int
) -> None:
    health.state = state
    health.progress = 0.33333
    reply = admin.answer("GET", "/readyz")
    assert reply.status == status
    progress = {"progress": 0.333} if state is State.RECOVERING else {}
    assert json.loads(bytes(reply.body)) == {"ready": status == 200, "state": state.value} | progress


@pytest.mark.parametrize("state", State)
def test_healthz_is_answered_in_every_state(admin: Admin, health: Health, state: State) -> None:
    health.state = state
    reply = admin.answer("GET", "/healthz")
    assert reply.status == 200
    assert json.loads(bytes(reply.body)) == {"status": "ok", "state": state.value}


def test_metrics_are_given_in_prometheus_text_format(admin: Admin) -> None:
    reply = admin.answer("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(bytes(reply.body).decode())}
    assert [sample.value for sample in families["origin_deliver_bytes"].samples] == [7]


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", SEGMENT])
def test_pages_can_only_be_read(admin: Admin, path: str) -> None:
    reply = admin.answer("POST", path)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert admin.answer("HEAD", path).status != 405


NOWHERE = [
    "/",
    "",
    "/metrics/",
    "/METRICS",
    "/derby/v720/7.m4s",
    "/api/v1/events/derby",
    "/api/v1/events/derby/segments/v720",
    f"{SEGMENT}/",
    f"/{SEGMENT}",
    SEGMENT.replace("v1", "v2"),
]


@pytest.mark.parametrize("path", NOWHERE)
def test_what_is_not_there_is_answered_with_what_is(admin: Admin, path: str) -> None:
    reply = admin.answer("GET", path)
    assert reply.status == 404
    assert json.loads(bytes(reply.body))["detail"].endswith(
        "there is /metrics, /healthz, /readyz, /api/v1/gc, /api/v1/gc/confirm-clock,"
        " /api/v1/events/{event}/segments/{rendition}/{number}."
    )


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.STARTING, 503), (State.RECOVERING, 503), (State.READY, 200), (State.STOPPING, 200)],
)
@pytest.mark.parametrize("number", ["10", "init"])
def test_segments_are_explained_from_a_whole_catalog_only(
    admin: Admin, health: Health, state: State, status: int, number: str
) -> None:
    health.state = state
    reply = admin.answer("GET", SEGMENT.replace("10", number))
    assert (reply.status, reply.outcome) == (status, "explained" if status == 200 else "not-ready")
    assert reply.headers.get("Retry-After") == ("1" if status == 503 else None)


UNKNOWN = [
    ("event", "ascot/segments/v720/10", "unknown-event", "there is derby"),
    ("event-version", "derby@7/segments/v720/10", "unknown-event", "there is derby"),
    ("rendition", "derby/segments/v999/10", "unknown-rendition", "it has v720"),
    ("no-number", "derby/segments/v720/", None, "or init"),
    ("name", "derby/segments/v720/10.m4s", None, "or init"),
    ("negative", "derby/segments/v720/-1", None, "or init"),
    ("signed", "derby/segments/v720/+1", None, "or init"),
    ("other-digits", "derby/segments/v720/٣", None, "or init"),
    ("superscript", "derby/segments/v720/²", None, "or init"),
    ("too-many-digits", f"derby/segments/v720/{'1' * 20}", None, "or init"),
    ("capitals", "derby/segments/v720/INIT", None, "or init"),
]


@pytest.mark.parametrize("state", [State.READY, State.RECOVERING])
@pytest.mark.parametrize(("path", "slug", "detail"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN])
def test_what_no_event_has_is_not_explained(
    admin: Admin, health: Health, state: State, path: str, slug: str | None, detail: str
) -> None:
    health.state = state
    reply = admin.answer("GET", f"/api/v1/events/{path}")
    assert (reply.status, reply.outcome) == (404, slug or Problem.UNKNOWN_NAME.slug)
    assert detail in json.loads(bytes(reply.body))["detail"]


# -- With deliver processes

FOLLOWS = {"in_sync": True}
BEHIND = {"in_sync": False}
TEAMS = [
    ("all-follow", State.READY, [FOLLOWS, FOLLOWS], 200, []),
    ("one-follows", State.READY, [BEHIND, FOLLOWS], 200, ["w0"]),
    ("none-follows", State.READY, [BEHIND, BEHIND], 503, ["w0", "w1"]),
    ("stopping", State.STOPPING, [FOLLOWS, FOLLOWS], 503, []),
]


@pytest.mark.parametrize(("state", "team", "status", "behind"), [case[1:] for case in TEAMS], ids=[c[0] for c in TEAMS])
def test_with_deliver_processes_one_at_least_must_follow(
    admin: Admin, health: Health, state: State, team: list[dict[str, bool]], status: int, behind: list[str]
) -> None:
    health.state = state
    workers = [{"worker": f"w{slot}"} | each for slot, each in enumerate(team)]
    reply = Admin(bytes, health, admin._insight, lambda: workers).answer("GET", "/readyz")
    assert reply.status == status
    assert json.loads(bytes(reply.body)) == {
        "ready": status == 200,
        "state": state.value,
        "workers": workers,
        "behind": behind,
    }

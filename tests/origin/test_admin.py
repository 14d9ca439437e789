"""The admin side: metrics and probes, and what else is asked of it."""

import json

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from origin.admin import Admin
from origin.health import Health, State


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def admin(health: Health) -> Admin:
    registry = CollectorRegistry()
    Counter("origin_deliver_bytes", "Bytes.", registry=registry).inc(7)
    return Admin(registry, health)


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
    reply = admin.answer("GET", "/readyz")
    assert reply.status == status
    assert json.loads(reply.body) == {"ready": status == 200, "state": state.value}


@pytest.mark.parametrize("state", State)
def test_healthz_is_answered_in_every_state(admin: Admin, health: Health, state: State) -> None:
    health.state = state
    reply = admin.answer("GET", "/healthz")
    assert reply.status == 200
    assert json.loads(reply.body) == {"status": "ok", "state": state.value}


def test_metrics_are_given_in_prometheus_text_format(admin: Admin) -> None:
    reply = admin.answer("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    assert [sample.value for sample in families["origin_deliver_bytes"].samples] == [7]


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_pages_can_only_be_read(admin: Admin, path: str) -> None:
    reply = admin.answer("POST", path)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert admin.answer("HEAD", path).status != 405


@pytest.mark.parametrize("path", ["/", "", "/metrics/", "/METRICS", "/derby/v720/7.m4s"])
def test_what_is_not_there_is_answered_with_what_is(admin: Admin, path: str) -> None:
    reply = admin.answer("GET", path)
    assert reply.status == 404
    assert json.loads(reply.body)["detail"].endswith("there is /metrics, /healthz, /readyz.")

"""File descriptors: as many as are wanted where that is allowed, and said where it is not."""

import logging
import resource
from typing import Any

import pytest

from origin.descriptors import LISTENERS, RESERVED, connections_limit

UNLIMITED = resource.RLIM_INFINITY
NEEDED = 1_000 * LISTENERS + RESERVED

# Soft and hard limit, what 1,000 connections come to, and the soft limit afterwards.
CASES = [
    ("enough", (NEEDED, NEEDED), 1_000, NEEDED),
    ("more than enough", (UNLIMITED, UNLIMITED), 1_000, UNLIMITED),
    ("raised", (1_024, UNLIMITED), 1_000, NEEDED),
    ("raised as far as allowed", (1_024, NEEDED - 200), 900, NEEDED - 200),
    ("few: half of them", (1_024, 1_024), 256, 1_024),
    ("hardly any", (100, 100), 25, 100),
    ("none", (1, 1), 1, 1),
]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """The limits of a process that tests own."""
    state = {"limits": (0, 0)}

    def setrlimit(kind: int, limits: tuple[int, int]) -> None:
        assert kind == resource.RLIMIT_NOFILE
        state["limits"] = limits

    monkeypatch.setattr(resource, "getrlimit", lambda kind: state["limits"])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    return state


@pytest.mark.parametrize(
    ("before", "connections", "soft"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_connections_are_what_the_system_leaves_for_them(
    limits: dict[str, Any], before: tuple[int, int], connections: int, soft: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    limits["limits"] = before
    assert connections_limit(1_000) == connections
    assert limits["limits"] == (soft, before[1])
    assert bool(caplog.records) == (connections < 1_000)


def test_a_system_that_forbids_raising_the_limit_leaves_what_there_is(
    limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(kind: int, wanted: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    limits["limits"] = (1_024, UNLIMITED)
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert connections_limit(1_000) == 256

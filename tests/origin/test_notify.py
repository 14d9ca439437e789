"""What a service manager hears, over a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from origin.notify import STATUS_CHARACTERS_MAX, Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd opens it, and the value of NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@live-origin-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
        channel.bind(name.replace("@", "\0", 1))
        yield channel, name


def test_every_message_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    channel, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.status("waiting for publish")
    notifier.ready("all processes ready")
    notifier.watchdog()
    notifier.stopping("stopping")
    assert [channel.recv(4096).decode() for _ in range(4)] == [
        "STATUS=waiting for publish",
        "READY=1\nSTATUS=all processes ready",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=stopping",
    ]


def test_a_reload_carries_the_monotonic_clock(manager: tuple[socket.socket, str]) -> None:
    channel, name = manager
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
    Notifier({"NOTIFY_SOCKET": name}).reloading("replacing processes")
    first, clock, status = channel.recv(4096).decode().split("\n")
    assert (first, status) == ("RELOADING=1", "STATUS=replacing processes")
    assert before_us <= int(clock.removeprefix("MONOTONIC_USEC="))
    assert int(clock.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000


def test_a_status_is_one_short_line(manager: tuple[socket.socket, str]) -> None:
    channel, name = manager
    Notifier({"NOTIFY_SOCKET": name}).status("two\nlines " + "x" * 1_000)
    text = channel.recv(4096).decode()
    assert text.startswith("STATUS=two lines xxx")
    assert len(text) == len("STATUS=") + STATUS_CHARACTERS_MAX


def test_a_manager_that_reads_nothing_is_not_waited_for(manager: tuple[socket.socket, str]) -> None:
    channel, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(10_000):
        notifier.watchdog()
    assert channel.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_a_manager_nothing_is_sent(environ: dict[str, str]) -> None:
    notifier = Notifier(environ | {"WATCHDOG_USEC": "1000000"})
    notifier.ready("ready")
    assert notifier.watchdog_interval_ms is None


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("ready")


@pytest.mark.parametrize(
    ("environ", "interval_ms"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "1"}, 1),
    ],
)
def test_the_watchdog_is_told_twice_within_its_time(environ: dict[str, str], interval_ms: int | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify"} | environ).watchdog_interval_ms == interval_ms

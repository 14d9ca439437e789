"""Tells a service manager how this process is: the protocol of sd_notify(3), systemd 256, a datagram a message."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

STATUS_CHARACTERS_MAX: Final = 200


class Notifier:
    """Who started this process, if it wants to be told.

    Args:
        environ: Where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID stand; without the first nothing is sent.

    A manager that does not listen is no error: nothing here raises, nothing waits.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # `@` stands for the byte 0 with which an abstract address begins. `vsock:` is for virtual machines.
        self._address = ("\0" + path[1:] if path.startswith("@") else path) if path[:1] in {"@", "/"} else None
        self.watchdog_interval_ms = _watchdog_interval_ms(environ) if self._address else None

    def ready(self, status: str) -> None:
        """All processes are ready, for the first time or after `reloading`."""
        self._send("READY=1", _status(status))

    def reloading(self, status: str) -> None:
        """Processes are being replaced; ends with `ready`, whatever came of it."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_us}", _status(status))

    def stopping(self, status: str) -> None:
        """The processes have been told to stop."""
        self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> None:
        """Say in one line what `systemctl status` shows."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """This process is alive; to be said every `watchdog_interval_ms`."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
                channel.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:STATUS_CHARACTERS_MAX]


def _watchdog_interval_ms(environ: Mapping[str, str]) -> int | None:
    """Half of the time after which the manager would end this process (sd_watchdog_enabled(3)), None if it would not.

    >>> _watchdog_interval_ms({"WATCHDOG_USEC": "30000000"})
    15000
    >>> _watchdog_interval_ms({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    True
    """
    limit_us = environ.get("WATCHDOG_USEC", "")
    if not limit_us.isdecimal() or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return max(int(limit_us) // 2_000, 1)

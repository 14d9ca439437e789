"""An origin of several processes: what each of them is, and the sockets they share."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import uvloop

from config.load import ConfigError
from config.model import Settings
from origin.app import Apart, Origin, url_of
from origin.children import EXIT_REFUSED, Child, ChildContext
from origin.deliver_process import DRAIN, run_deliver
from origin.direct_log import log_directly
from origin.listening import listen_sockets
from origin.logs import LogWriter, fields
from origin.notify import Notifier
from origin.reload import changes
from origin.supervisor import Options, Refused, Supervisor
from storage.errors import StorageError

log = logging.getLogger(__name__)

PUBLISH: Final = "publish"
ADMIN: Final = "admin"
FEED: Final = "feed"
# Over what a process grants its own requests: closing files, writing the last lines.
STOP_MARGIN_MS: Final = 5_000


def run_supervised(settings: Settings, load: Callable[[], Settings]) -> int:
    """Run publish and deliver processes until SIGTERM; returns the exit status.

    Args:
        load: Reads the configuration again.

    Raises:
        OSError: An address is in use. AlreadyRunning: Another origin has the folder.
    """
    log_directly(settings.log.level)
    settings.storage.path.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="live-origin-"))  # private to this user
    try:
        return _Processes(settings, load, folder / "feed.sock").run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Processes:
    def __init__(self, settings: Settings, load: Callable[[], Settings], feed_path: Path) -> None:
        self._settings = settings
        self._load = load
        self._feed_path = str(feed_path)
        self._sockets = _listen(settings, self._feed_path)

    def run(self) -> int:
        options = Options(
            folder=self._settings.storage.path,
            stop_ms=self._settings.stop_timeout_ms + STOP_MARGIN_MS,
            reload=self._reload,
            on_ready=self._tell_ready,
        )
        children = self._children(self._settings)
        return Supervisor(children, self._sockets, options, Notifier(os.environ)).run()

    def _children(self, settings: Settings) -> Sequence[Child]:
        publish = Child(PUBLISH, partial(run_publish, settings), (PUBLISH, ADMIN, FEED))
        deliver = [
            Child(
                name,
                partial(run_deliver, settings, self._feed_path),
                (name,),
                slot,
                is_replaced_beside=True,
                drain_signal=DRAIN,
            )
            for slot, name in enumerate(deliver_names(settings))
        ]
        return [publish, *deliver]

    def _reload(self) -> Sequence[Child] | Refused:
        try:
            settings = self._load()
        except ConfigError as exc:
            return Refused(tuple(str(exc).splitlines()))
        found = changes(self._settings, settings, time.time_ns() // 1_000_000)
        if found.refused:
            return Refused(found.refused)
        log.info("configuration read", extra=fields(changes=found.applied))
        self._settings = settings
        return self._children(settings)

    def _tell_ready(self) -> None:
        addresses = {
            "publish": self._sockets[PUBLISH][0],
            "deliver": self._sockets[deliver_names(self._settings)[0]][0],
            "admin": self._sockets[ADMIN][0],
        }
        urls = {name: url_of(listener.getsockname()[:2]) for name, listener in addresses.items()}
        events = sorted(event.id for event in self._settings.events)
        log.info("ready", extra=fields(**urls, events=events, workers=self._settings.workers))


def deliver_names(settings: Settings) -> list[str]:
    """Return the names of the deliver processes."""
    return [f"deliver-{slot}" for slot in range(settings.workers)]


def _listen(settings: Settings, feed_path: str) -> dict[str, tuple[socket.socket, ...]]:
    """Return all listening sockets by name.

    Raises:
        OSError: An address is in use. Nothing is left open.
    """
    with ExitStack() as opened:
        sockets: dict[str, tuple[socket.socket, ...]] = {}

        def keep(name: str, listeners: tuple[socket.socket, ...]) -> None:
            sockets[name] = listeners
            for listener in listeners:
                opened.enter_context(listener)

        deliver = listen_sockets(settings.listen.deliver, settings.workers, reuse_port=True)
        for name, listeners in zip(deliver_names(settings), deliver, strict=True):
            keep(name, listeners)
        keep(PUBLISH, listen_sockets(settings.listen.publish)[0])
        keep(ADMIN, listen_sockets(settings.listen.admin)[0])
        keep(FEED, (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),))
        sockets[FEED][0].bind(feed_path)
        sockets[FEED][0].listen()
        opened.pop_all()
        return sockets


def run_publish(settings: Settings, context: ChildContext) -> int:
    """Be the publish process until SIGTERM; returns the exit status."""
    writer = LogWriter(settings.log.level)
    writer.start()
    try:
        uvloop.run(_publish(settings, context))
    except StorageError as exc:
        log.error("storage refuses to start", extra=fields(error=str(exc)))
        return EXIT_REFUSED
    finally:
        writer.stop()
    return 0


async def _publish(settings: Settings, context: ChildContext) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    apart = Apart(
        publish=context.sockets[PUBLISH],
        admin=context.sockets[ADMIN],
        feed=context.sockets[FEED][0],
        names=tuple(deliver_names(settings)),
    )
    origin = Origin(settings, apart=apart)
    await origin.start()
    context.ready()
    await stop.wait()
    await origin.stop()

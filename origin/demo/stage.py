"""The demo as a whole: what it is made of, in which order it starts, and that nothing of it is left."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from config.load import ConfigError, load_settings
from config.model import Settings
from origin.app import Origin
from origin.demo import media
from origin.demo.configuration import FILE_NAME, LISTEN_OVERRIDES, configuration_text, is_ours
from origin.demo.encoder import packager_arguments
from origin.demo.journal import JournalReports
from origin.demo.lines import Show
from origin.demo.options import DemoOptions
from origin.demo.packager import CannotStart, Packager, probe, start_all, stop_all
from origin.demo.reader import Reader
from origin.demo.relay import Relay
from origin.demo.reports import PackagerEnded, Report, Started, Stopping, Summary
from origin.demo.stop import Stop
from origin.demo.tally import Tally
from origin.logs import LogWriter
from storage.errors import StorageError

LOG_NAME: Final = "origin.log"
_SIGNALS: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo keeps its things. `log` is None where the log goes to stderr."""

    folder: Path
    config: Path
    log: Path | None


class Stage:
    """One run of the demo.

    Args:
        stop: Ends it; also told when it cannot go on.
        show: Told of everything that happens.
    """

    def __init__(self, options: DemoOptions, stop: Stop, show: Show) -> None:
        self._options = options
        self._stop = stop
        self._show = show
        self._tally = Tally()

    async def run(self) -> Summary:
        """Start everything, run until the stop, stop everything; returns how it went, which is shown, too."""
        for number, name in _SIGNALS.items():
            asyncio.get_running_loop().add_signal_handler(number, self._stop.ask, name)
        try:
            async with AsyncExitStack() as stack:
                await self._perform(stack)
        except (CannotStart, ConfigError) as exc:
            self._stop.fail(str(exc))
        except (StorageError, OSError) as exc:
            self._stop.fail(f"The demo cannot run: {exc}.")
        summary = self._tally.summary(self._stop.failure)
        self._tell(summary)
        return summary

    def _tell(self, report: Report) -> None:
        self._tally.note(report)
        self._show.note(report)
        if isinstance(report, PackagerEnded) and not self._tally.counts().published[report.pipeline]:
            self._stop.fail(
                f"Packager {report.pipeline} could not start: ffmpeg ended with status {report.status}"
                " before its first segment."
            )

    async def _perform(self, stack: AsyncExitStack) -> None:
        place, settings = self._set_up(stack)
        ffmpeg = _find_ffmpeg(self._options.ffmpeg)
        text_drawn = await probe(ffmpeg)
        origin = Origin(settings)
        await origin.start()
        stack.push_async_callback(origin.stop)
        origin.journal.follow(JournalReports(origin.catalog, self._tell))
        push_urls = await self._start_relays(stack, _url(origin.publish_address))
        reader = Reader(_url(origin.deliver_address), self._tell)
        stack.push_async_callback(reader.close)
        first_number = media.next_number(_now_ms())
        if await self._stop.comes_before(media.start_ms(first_number)):
            return
        packagers = {
            pipeline_id: Packager(
                pipeline_id,
                ffmpeg,
                packager_arguments(pipeline_id, first_number, push_url, with_text=text_drawn),
                self._tell,
            )
            for pipeline_id, push_url in push_urls.items()
        }
        stack.push_async_callback(stop_all, packagers.values())
        await start_all(packagers.values())
        self._tell(
            Started(
                publish=_url(origin.publish_address),
                deliver=_url(origin.deliver_address),
                admin=_url(origin.admin_address),
                config=str(place.config),
                folder=str(place.folder),
                log=None if place.log is None else str(place.log),
                ffmpeg=str(ffmpeg),
                text_drawn=text_drawn,
                first_number=first_number,
                segment_ms=media.SEGMENT_MS,
                renditions=media.RENDITION_IDS,
                pids={pipeline_id: packager.pid for pipeline_id, packager in packagers.items()},
                faults=self._options.fault_texts,
            )
        )
        await self._play(packagers, reader, first_number)

    async def _play(self, packagers: dict[str, Packager], reader: Reader, first_number: int) -> None:
        begin_ms = media.start_ms(first_number)
        if self._options.run_ms is not None:
            self._stop.appoint(begin_ms + self._options.run_ms, "time is over")
        async with asyncio.TaskGroup() as group:
            for pipeline_id, kill_ms in self._options.kills_ms.items():
                group.create_task(self._kill_at(packagers[pipeline_id], begin_ms + kill_ms))
            last_number = await reader.read_until(self._stop, first_number)
            self._tell(Stopping(self._stop.reason, last_number))
        await self._unless_hurried(reader)

    async def _kill_at(self, packager: Packager, at_ms: int) -> None:
        if not await self._stop.comes_before(at_ms):
            packager.kill()

    async def _unless_hurried(self, reader: Reader) -> None:
        """Wait for the last segments, but not after a second signal or a failure."""
        waits = [asyncio.create_task(reader.drain()), asyncio.create_task(self._stop.hurry.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _set_up(self, stack: AsyncExitStack) -> tuple[Place, Settings]:
        """Make folder and configuration, and let the log begin."""
        folder = stack.enter_context(_demo_folder(self._options.folder))
        config = _write_configuration(folder)
        settings = load_settings(config, {}, LISTEN_OVERRIDES)
        if self._options.as_json:
            log, writer = None, LogWriter("warning")
        else:
            log = folder / LOG_NAME
            stream = stack.enter_context(log.open("a", encoding="utf-8"))
            writer = LogWriter(settings.log.level, stream)
        writer.start()
        stack.callback(writer.stop)
        return Place(folder, config, log), settings

    async def _start_relays(self, stack: AsyncExitStack, publish_url: str) -> dict[str, str]:
        """Return where each packager pushes to: the origin, or a relay that spoils what it passes on."""
        push_urls = {}
        for pipeline_id in media.PIPELINE_IDS:
            url = publish_url
            fault = self._options.faults.get(pipeline_id)
            if fault is not None:
                relay = Relay(pipeline_id, publish_url, fault, self._tell)
                stack.push_async_callback(relay.stop)
                url = await relay.start()
            push_urls[pipeline_id] = f"{url}/{media.EVENT_ID}/{pipeline_id}/"
        return push_urls


@contextmanager
def _demo_folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder to use, which ends with the demo unless it was given."""
    if given is None:
        with tempfile.TemporaryDirectory(prefix="live-origin-demo-") as name:
            yield Path(name)
        return
    try:
        given.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise CannotStart(f"--folder {given} cannot be made: {exc.strerror}.") from exc
    yield given.resolve()


def _write_configuration(folder: Path) -> Path:
    """Write the configuration, unless there is one that was edited; returns where it is."""
    path = folder / FILE_NAME
    if path.exists() and not is_ours(path.read_text(encoding="utf-8"), folder):
        raise CannotStart(
            f"{path} was edited, or written by another version; move it away, name another --folder, or use it with:"
            f" live-origin serve --config {path}"
        )
    path.write_text(configuration_text(folder, _now_ms()), encoding="utf-8")
    return path


def _find_ffmpeg(given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise CannotStart(f"imageio-ffmpeg has no ffmpeg for this machine ({exc}). Name one with --ffmpeg.") from exc


def _url(address: tuple[str, int]) -> str:
    host, port = address
    return f"http://{host}:{port}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""A packager's life, with a small program in the place of ffmpeg."""

import asyncio
import sys
from pathlib import Path

import pytest

from origin.demo import packager as packager_module
from origin.demo.packager import CannotStart, Packager, State, probe, start_all, stop_all
from origin.demo.reports import Killed, PackagerEnded, Report

PYTHON = Path(sys.executable)
WAIT = "import signal; print('ready', file=sys.stderr, flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


class Told:
    """Keeps reports, and lets a test wait for one."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._arrived = asyncio.Event()

    def __call__(self, report: Report) -> None:
        self.reports.append(report)
        self._arrived.set()

    async def arrived(self) -> Report:
        await self._arrived.wait()
        return self.reports[-1]


def _packager(program: str, told: Told) -> Packager:
    return Packager("a", PYTHON, ["-c", f"import sys; {program}"], told)


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_one_that_is_stopped_ends_and_is_not_told_of() -> None:
    told = Told()
    packager = _packager(WAIT, told)
    await packager.start()
    assert packager.pid > 0
    await packager.stop()
    await packager.stop()
    assert packager.state is State.ENDED
    assert told.reports == []


async def test_one_that_ignores_the_request_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packager_module, "STOP_TIMEOUT_S", 0.3)
    packager = _packager(STUBBORN, Told())
    await packager.start()
    await packager.stop()
    assert packager.state is State.ENDED


async def test_one_that_is_killed_is_told_of_once_and_did_not_end_by_itself() -> None:
    told = Told()
    packager = _packager(WAIT, told)
    await packager.start()
    packager.kill()
    packager.kill()
    await packager.stop()
    assert told.reports == [Killed("a", packager.pid)]


async def test_one_that_ends_by_itself_is_told_of_with_the_end_of_what_it_said() -> None:
    told = Told()
    packager = _packager("sys.stderr.write('x' * 10_000 + ' the last words'); sys.exit(3)", told)
    await packager.start()
    report = await told.arrived()
    assert isinstance(report, PackagerEnded)
    assert (report.pipeline, report.pid, report.status) == ("a", packager.pid, 3)
    assert report.stderr.endswith("x the last words")
    assert len(report.stderr) == packager_module.STDERR_BYTES_KEPT
    packager.kill()
    await packager.stop()
    assert told.reports == [report]


async def test_one_that_never_started_can_be_stopped() -> None:
    packager = Packager("a", Path("/nowhere/ffmpeg"), [], Told())
    with pytest.raises(CannotStart, match=r"^/nowhere/ffmpeg cannot be run: No such file.*--ffmpeg\.$"):
        await packager.start()
    packager.kill()
    await packager.stop()
    assert packager.pid == 0


async def test_when_one_cannot_be_run_the_others_are_found_and_stopped() -> None:
    good, bad = _packager(WAIT, Told()), Packager("b", Path("/nowhere/ffmpeg"), [], Told())
    with pytest.raises(CannotStart):
        await start_all([bad, good])
    assert good.pid > 0
    await stop_all([bad, good])
    assert good.state is State.ENDED


async def test_it_pushes_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    told = Told()
    await _packager("import os; sys.exit('http_proxy' in os.environ)", told).start()
    report = await told.arrived()
    assert isinstance(report, PackagerEnded)
    assert report.status == 0


async def test_the_probe_tells_whether_text_can_be_drawn(tmp_path: Path) -> None:
    assert await probe(_script(tmp_path / "good", "exit 0"))
    without_font = 'case "$*" in *drawtext*) exit 254;; esac'
    assert not await probe(_script(tmp_path / "without-font", without_font))


async def test_the_probe_tells_why_an_ffmpeg_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"cannot encode \(status 8\).*It said:\nUnknown encoder 'libx264'"):
        await probe(_script(tmp_path / "poor", "echo \"Unknown encoder 'libx264'\" >&2; exit 8"))
    with pytest.raises(CannotStart, match="It said nothing"):
        await probe(_script(tmp_path / "silent", "exit 1"))


async def test_the_probe_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packager_module, "PROBE_TIMEOUT_S", 0.05)
    with pytest.raises(CannotStart, match="took more than"):
        await probe(_script(tmp_path / "slow", "exec sleep 60"))

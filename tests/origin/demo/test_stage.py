"""The demo when it cannot begin, or not go on: a sentence, and nothing left. What goes well is an integration test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from origin.demo.configuration import FILE_NAME
from origin.demo.options import DemoOptions
from origin.demo.reports import PackagerEnded, Report, Started, Summary
from origin.demo.stage import Stage
from origin.demo.stop import Stop

PROBED_WELL = 'case "$*" in *"-f null -"*) exit 0;; esac'


class Kept:
    """A show that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None: ...

    def note(self, report: Report) -> None:
        self.reports.append(report)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary folders are made; none may be left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def _ffmpeg(folder: Path, text: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def _run(
    ffmpeg: Path | None, folder: Path | None = None, stop: Stop | None = None
) -> tuple[Summary, list[Report]]:
    options = DemoOptions(run_ms=10_000, kills_ms={}, faults={}, as_json=False, folder=folder, ffmpeg=ffmpeg)
    show = Kept()
    summary = await Stage(options, stop or Stop(), show).run()
    assert show.reports[-1] == summary
    return summary, show.reports


async def test_an_ffmpeg_that_is_not_there(tmp_path: Path) -> None:
    summary, reports = await _run(tmp_path / "nowhere")
    assert summary.text.endswith("nowhere cannot be run: No such file or directory. Name an ffmpeg with --ffmpeg.")
    assert summary.exit_status == 1
    assert len(reports) == 1


async def test_an_ffmpeg_that_cannot_encode(tmp_path: Path) -> None:
    summary, _ = await _run(_ffmpeg(tmp_path, "echo 'no libx264' >&2; exit 8"))
    assert "cannot encode (status 8)" in summary.text
    assert summary.text.endswith("no libx264")
    assert summary.exit_status == 1


async def test_a_packager_that_ends_before_its_first_segment(tmp_path: Path) -> None:
    summary, reports = await _run(_ffmpeg(tmp_path, f"{PROBED_WELL}\necho 'broken pipe' >&2; exit 3"))
    assert summary.text in {
        f"Packager {each} could not start: ffmpeg ended with status 3 before its first segment." for each in "ab"
    }
    assert summary.exit_status == 1
    assert any(isinstance(report, Started) for report in reports)
    assert {report.stderr for report in reports if isinstance(report, PackagerEnded)} == {"broken pipe"}


async def test_a_stop_before_anything_is_on_air_is_no_failure(tmp_path: Path) -> None:
    stop = Stop()
    stop.ask("Ctrl-C")
    summary, reports = await _run(_ffmpeg(tmp_path, "exit 0"), stop=stop)
    assert (summary.due, summary.exit_status) == (0, 0)
    assert len(reports) == 1


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    summary, _ = await _run(None, folder=tmp_path / "file" / "folder")
    assert summary.text == f"--folder {tmp_path}/file/folder cannot be made: Not a directory."


async def test_a_configuration_that_was_edited_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("events: []\n")
    summary, _ = await _run(None, folder=tmp_path)
    assert summary.text.startswith(f"{path} was edited")
    assert f"live-origin serve --config {path}" in summary.text
    assert path.read_text() == "events: []\n"


async def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    summary, _ = await _run(_ffmpeg(tmp_path, "exit 0"), folder=tmp_path)
    assert summary.text.startswith("The demo cannot run: ")
    assert summary.exit_status == 1

"""Flushing a folder flushes that folder, and nothing stays open."""

import os
from pathlib import Path

import pytest

from storage.folders import sync_folder


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def test_the_folder_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    sync_folder(tmp_path)
    assert flushed == [str(tmp_path)]


def test_a_flush_that_fails_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError("broken")

    monkeypatch.setattr(os, "fsync", fail)
    before = open_descriptors()
    with pytest.raises(OSError, match="broken"):
        sync_folder(tmp_path)
    assert open_descriptors() == before


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")

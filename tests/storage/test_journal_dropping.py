"""Old files are dropped once what is said again of them is on the device, and not before."""

import asyncio
import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from selection.model import Mask
from storage.journal import FileJournal
from storage.records import Collected, Entry, Masked
from tests.storage.disks import fail_with
from tests.storage.journals import append_all, files_in, node, publish_bucket

MASK = Mask("m1", "a", 7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


async def dropped(journal: FileJournal) -> None:
    """Wait until an attempt to drop files has ended."""
    if journal._drop is not None:
        await journal._drop


@pytest.mark.parametrize("is_in_loop", [False, True])
async def test_without_fsync_what_stands_is_flushed_all_the_same_before_anything_is_dropped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_in_loop: bool
) -> None:
    """A power cut may cost the last records, but not also what was flushed long ago."""
    calls: list[tuple[str, bool]] = []
    really_fsync, really_unlink, loop_thread = os.fsync, Path.unlink, threading.get_ident()

    def fsync(descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if is_file:
            assert b" standing " in files_in(folder)[-1].read_bytes()
        calls.append(("file" if is_file else "folder", threading.get_ident() == loop_thread))
        really_fsync(descriptor)

    def unlink(path: Path, **options: bool) -> None:
        calls.append(("unlink", True))
        really_unlink(path, **options)

    with node(folder) as (journal, _):
        append_all(journal, [Masked("derby", MASK)])
        publish_bucket(journal, 0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            patch.setattr(Path, "unlink", unlink)
            if is_in_loop:
                append_all(journal, [Collected("derby", 0)])
                assert len(files_in(folder)) == 2, "the loop is not blocked"
                await dropped(journal)
                assert len(files_in(folder)) == 1
                assert calls == [("file", False), ("folder", False), ("unlink", True)]
            else:
                await asyncio.to_thread(append_all, journal, [Collected("derby", 0)])
                assert [name for name, _ in calls] == ["file", "folder", "unlink"]
    with node(folder) as (_, catalog):
        assert list(catalog.masks("derby")) == [MASK]


@pytest.mark.parametrize("is_in_loop", [False, True])
async def test_what_stands_and_could_not_be_flushed_is_said_again_the_next_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_in_loop: bool
) -> None:
    async def collect(journal: FileJournal, bucket: int) -> None:
        if is_in_loop:
            append_all(journal, [Collected("derby", bucket)])
            await dropped(journal)
        else:
            await asyncio.to_thread(append_all, journal, [Collected("derby", bucket)])

    with node(folder) as (journal, _):
        told: list[Entry] = []
        journal.follow(told.append)
        append_all(journal, [Masked("derby", MASK)])
        publish_bucket(journal, 0)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fail_with(errno.EIO))
            await collect(journal, 0)
        assert len(files_in(folder)) == 2
        await collect(journal, 1)
        assert len(files_in(folder)) == 1
        assert [entry.kind for entry in told][-4:] == ["collected", "standing", "collected", "standing"]


async def test_a_journal_that_is_closed_drops_nothing_any_more(folder: Path) -> None:
    with node(folder) as (journal, _):
        publish_bucket(journal, 0)
        append_all(journal, [Collected("derby", 0)])
        journal.close()
        await dropped(journal)
        assert len(files_in(folder)) == 2
    with node(folder) as (journal, _):
        await dropped(journal)
        assert len(files_in(folder)) == 1


async def test_with_fsync_nothing_is_dropped_before_what_stands_is_flushed(folder: Path) -> None:
    with node(folder, fsync=True) as (journal, _):
        append_all(journal, [Masked("derby", MASK)])
        publish_bucket(journal, 0)
        append_all(journal, [Collected("derby", 0)])
        assert len(files_in(folder)) == 2
        await journal.sync()
        assert len(files_in(folder)) == 1
    with node(folder) as (_, catalog):
        assert list(catalog.masks("derby")) == [MASK]

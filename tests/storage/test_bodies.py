"""Bodies in files: whole or not at all, whatever the disk does."""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import storage.bodies
from storage.bodies import FileBodies
from storage.buckets import INCOMING_FOLDER
from storage.errors import BodyMissing, StorageError, StorageFull
from tests.storage.contract import BodiesContract, BucketsContract, bring_in, key_of, make_body
from tests.storage.disks import Disk, fail_with, files_below, files_of_at_most, no_more_descriptors

BODY = make_body(1, 10_000)
KEY = key_of(BODY)
LARGE = make_body(2, 2_500_000)


@pytest.fixture(params=[False, True], ids=["disk", "fsync"])
def bodies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=request.param)
    files.open()
    yield files
    files.close()


@pytest.fixture
def synced(tmp_path: Path) -> Iterator[FileBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=True)
    files.open()
    yield files
    files.close()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class SlowRename:
    """Stops the thread that is about to give a file its final name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self._reached = threading.Event()
        self._really_rename = os.rename
        monkeypatch.setattr(os, "rename", self._rename)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 10)

    def _rename(self, source: Path, target: Path) -> None:
        self._reached.set()
        assert self.go_on.wait(10)
        self._really_rename(source, target)


class TestFileBodies(BodiesContract, BucketsContract):
    """Files keep the contract, in both modes."""


async def test_a_body_survives_the_process_that_wrote_it(bodies: FileBodies, tmp_path: Path) -> None:
    await bodies.write(KEY, BODY)
    after = FileBodies(tmp_path / "bodies", fsync=False)
    assert after.open() == 0
    assert await after.read(KEY) == BODY
    after.close()


async def test_a_body_lies_where_its_key_says(bodies: FileBodies, tmp_path: Path) -> None:
    await bodies.write(KEY, BODY)
    assert files_below(tmp_path / "bodies") == [KEY]
    assert (tmp_path / "bodies" / KEY).read_bytes() == BODY


def test_what_a_crash_left_half_written_is_removed_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "bodies" / "derby" / "0"
    folder.mkdir(parents=True)
    (folder / "v720~1~a~11").write_bytes(b"whole")
    incoming = tmp_path / "bodies" / INCOMING_FOLDER
    incoming.mkdir()
    (incoming / "0.tmp").write_bytes(b"half")
    (incoming / "17.tmp").write_bytes(b"")
    files = FileBodies(tmp_path / "bodies", fsync=False)
    assert files.open() == 2
    assert files_below(tmp_path / "bodies") == ["derby/0/v720~1~a~11"]
    assert files.open() == 0
    files.close()


def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = FileBodies(tmp_path / "file" / "bodies", fsync=False)
    with pytest.raises(StorageError, match="bodies-open: Not a directory"):
        files.open()
    files.close()


FAULTS = [
    ("no-space", errno.ENOSPC, StorageFull),
    ("no-quota", errno.EDQUOT, StorageFull),
    ("broken-disk", errno.EIO, StorageError),
    ("read-only", errno.EROFS, StorageError),
]
WHOLE_AND_IN_PIECES = pytest.mark.parametrize("body", [BODY, LARGE], ids=["whole", "in-pieces"])


@WHOLE_AND_IN_PIECES
@pytest.mark.parametrize(("number", "fault"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
@pytest.mark.parametrize("call", ["mkdir", "rename"])
async def test_a_write_that_fails_leaves_nothing(
    bodies: FileBodies,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    fault: type[StorageError],
    body: bytes,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail_with(number))
        with pytest.raises(StorageError) as caught:
            await bodies.write(key_of(body), body)
    assert type(caught.value) is fault
    assert caught.value.operation == "body-write"
    assert str(tmp_path) not in str(caught.value)
    assert files_below(tmp_path) == []
    await bodies.write(key_of(body), body)
    assert await bodies.read(key_of(body)) == body


@WHOLE_AND_IN_PIECES
@pytest.mark.parametrize("left_bytes", [0, 1, 9_999])
async def test_a_disk_that_gives_out_within_a_body_leaves_nothing(
    bodies: FileBodies, tmp_path: Path, body: bytes, left_bytes: int
) -> None:
    with files_of_at_most(left_bytes), pytest.raises(StorageError, match="body-write: File too large"):
        await bodies.write(key_of(body), body)
    assert files_below(tmp_path) == []
    with pytest.raises(BodyMissing):
        await bodies.read(key_of(body))


@WHOLE_AND_IN_PIECES
@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
async def test_a_disk_that_fails_to_flush_leaves_nothing(
    synced: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, body: bytes
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail_with(errno.EIO))
        with pytest.raises(StorageError, match="body-write: Input/output error"):
            await synced.write(key_of(body), body)
    assert files_below(tmp_path) == []
    await synced.write(key_of(body), body)
    assert await synced.read(key_of(body)) == body


@WHOLE_AND_IN_PIECES
async def test_a_body_has_no_name_before_it_is_whole(
    bodies: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    rename = SlowRename(monkeypatch)
    writing = asyncio.create_task(bodies.write(key_of(body), body))
    await rename.reached()
    with pytest.raises(BodyMissing):
        await bodies.read(key_of(body))
    rename.go_on.set()
    await writing
    assert files_below(tmp_path / "bodies") == [key_of(body)]


@WHOLE_AND_IN_PIECES
async def test_a_writer_that_is_cancelled_at_its_end_leaves_a_whole_body(
    bodies: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    rename = SlowRename(monkeypatch)
    writing = asyncio.create_task(bodies.write(key_of(body), body))
    await rename.reached()
    writing.cancel()
    rename.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.to_thread(bodies.close)
    assert files_below(tmp_path / "bodies") == [key_of(body)]
    assert (tmp_path / "bodies" / key_of(body)).read_bytes() == body


async def test_what_a_cancelled_writer_has_begun_is_removed(
    bodies: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.bodies, "_PIECE_BYTES", 10)
    writing = asyncio.create_task(bodies.write(KEY, BODY))
    while not any((tmp_path / name).stat().st_size for name in files_below(tmp_path)):
        await asyncio.to_thread(int)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files_below(tmp_path) == []


async def test_a_slow_disk_does_not_stop_the_event_loop(bodies: FileBodies, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = SlowRename(monkeypatch)
    writing = asyncio.create_task(bodies.write(KEY, BODY))
    await rename.reached()
    await asyncio.to_thread(int)  # whatever else uses the default threads goes on, too
    assert not writing.done()
    rename.go_on.set()
    await writing


async def test_large_bodies_let_small_ones_pass(bodies: FileBodies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.bodies, "_PIECE_BYTES", 500)
    small = make_body(2, 500)
    large = [asyncio.create_task(bodies.write(key_of(BODY, number), BODY)) for number in range(16)]
    await asyncio.sleep(0)
    await bodies.write(key_of(small), small)
    assert not any(writing.done() for writing in large)
    await asyncio.gather(*large)


async def test_a_body_that_cannot_be_read_is_a_fault_and_not_missing(bodies: FileBodies, tmp_path: Path) -> None:
    (tmp_path / "bodies" / KEY).mkdir(parents=True)
    with pytest.raises(StorageError, match="body-read: Is a directory") as caught:
        await bodies.read(KEY)
    assert not isinstance(caught.value, BodyMissing)


async def test_a_body_that_cannot_be_deleted_is_a_fault(bodies: FileBodies, tmp_path: Path) -> None:
    (tmp_path / "bodies" / KEY).mkdir(parents=True)
    with pytest.raises(StorageError, match="body-delete: Is a directory"):
        await bodies.delete(KEY)


@WHOLE_AND_IN_PIECES
@pytest.mark.parametrize("vanished", ["derby", "derby/0"])
async def test_a_folder_that_vanishes_is_made_anew(
    bodies: FileBodies, tmp_path: Path, vanished: str, body: bytes
) -> None:
    await bodies.write(KEY, BODY)
    shutil.rmtree(tmp_path / "bodies" / vanished)
    await bodies.write(key_of(body, 11), body)
    assert await bodies.read(key_of(body, 11)) == body


async def test_a_body_whose_folder_vanished_is_missing(bodies: FileBodies, tmp_path: Path) -> None:
    await bodies.write(KEY, BODY)
    shutil.rmtree(tmp_path / "bodies" / "derby")
    with pytest.raises(BodyMissing):
        await bodies.read(KEY)
    await bodies.delete(KEY)


@WHOLE_AND_IN_PIECES
@pytest.mark.parametrize("place", ["derby", "derby/0"])
async def test_a_file_in_place_of_a_folder_is_a_fault_for_as_long_as_it_is_there(
    bodies: FileBodies, tmp_path: Path, place: str, body: bytes
) -> None:
    path = tmp_path / "bodies" / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(StorageError, match=r"body-write: (Not a directory|File exists)"):
        await bodies.write(key_of(body), body)
    assert files_below(tmp_path / "bodies") == [place]
    path.unlink()
    await bodies.write(key_of(body), body)
    assert await bodies.read(key_of(body)) == body


@WHOLE_AND_IN_PIECES
async def test_without_descriptors_every_call_is_a_fault_and_then_it_goes_on(
    bodies: FileBodies, tmp_path: Path, body: bytes
) -> None:
    await bodies.write(KEY, BODY)
    with no_more_descriptors():
        for _ in range(3):
            with pytest.raises(StorageError, match="body-write: Too many open files") as caught:
                await bodies.write(key_of(body, 11), body)
            assert type(caught.value) is StorageError
        with pytest.raises(StorageError, match="body-read: Too many open files"):
            await bodies.read(KEY)
        with pytest.raises(StorageError, match="bodies-list: Too many open files"):
            list(bodies.list_bodies())
        with pytest.raises(StorageError, match="bucket-remove: Too many open files"):
            await bodies.remove_bucket("derby", 0, 10)
    assert files_below(tmp_path / "bodies") == [KEY]
    await bodies.write(key_of(body, 11), body)
    assert await bodies.read(key_of(body, 11)) == body
    assert await bodies.read(KEY) == BODY


async def test_a_disk_without_descriptors_for_its_folders_leaves_nothing(
    synced: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "open", fail_with(errno.EMFILE))
        with pytest.raises(StorageError, match="body-write: Too many open files"):
            await synced.write(KEY, BODY)
    assert files_below(tmp_path) == []
    await synced.write(KEY, BODY)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.EACCES])
async def test_a_disk_that_cannot_be_written_is_read_and_nothing_is_removed(
    bodies: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    await bodies.write(KEY, BODY)
    with monkeypatch.context() as broken:
        for call in ("rename", "mkdir", "unlink", "rmdir"):
            broken.setattr(os, call, fail_with(number))
        for work in (bodies.write(key_of(LARGE), LARGE), bodies.delete(KEY), bodies.remove_bucket("derby", 0, 1)):
            with pytest.raises(StorageError, match=os.strerror(number)):
                await work
        assert bodies.remove_now([KEY]) == 0
        assert bodies.keep_apart_now([KEY]) == 0
        assert not await bodies.set_aside(KEY)
        assert await bodies.read(KEY) == BODY
        half_written = [name for name in files_below(tmp_path / "bodies") if name != KEY]
        assert all(name.startswith(INCOMING_FOLDER) for name in half_written)
    await asyncio.to_thread(bodies.open)
    assert files_below(tmp_path / "bodies") == [KEY]
    await bodies.write(key_of(LARGE), LARGE)


async def test_with_fsync_bytes_are_flushed_before_they_get_their_name_and_the_name_after(
    synced: FileBodies, disk: Disk
) -> None:
    await synced.write(KEY, BODY)
    disk.calls.clear()
    other = make_body(2)
    await synced.write(key_of(other), other)
    assert disk.calls == ["sync file", "rename", "sync 0"]


async def test_with_fsync_a_large_body_is_flushed_before_it_joins_others(synced: FileBodies, disk: Disk) -> None:
    await synced.write(KEY, BODY)
    disk.calls.clear()
    incoming = await bring_in(synced, LARGE)
    assert disk.calls == ["sync file"]
    await synced.adopt(incoming, key_of(LARGE), LARGE)
    assert disk.calls == ["sync file", "rename", "sync 0"]


async def test_with_fsync_every_new_folder_is_flushed_into_its_parent(
    synced: FileBodies, disk: Disk, tmp_path: Path
) -> None:
    disk.calls.clear()
    await synced.write(KEY, BODY)
    assert disk.calls[-4:] == ["sync 0", "sync derby", "sync bodies", f"sync {tmp_path.name}"]
    await synced.remove_bucket("derby", 0, 10)
    disk.calls.clear()
    await synced.write(KEY, BODY)
    assert disk.calls[-4:] == ["sync 0", "sync derby", "sync bodies", f"sync {tmp_path.name}"]


def test_with_fsync_the_folder_of_all_bodies_is_flushed_into_its_parent(disk: Disk, tmp_path: Path) -> None:
    files = FileBodies(tmp_path / "bodies", fsync=True)
    files.open()
    files.close()
    assert disk.calls == [f"sync {tmp_path.name}", "sync bodies"]


@WHOLE_AND_IN_PIECES
async def test_without_fsync_nothing_waits_for_the_device(disk: Disk, tmp_path: Path, body: bytes) -> None:
    files = FileBodies(tmp_path / "bodies", fsync=False)
    files.open()
    await files.write(key_of(body), body)
    assert files.commits_count == 0
    files.close()
    assert set(disk.calls) == {"rename"}

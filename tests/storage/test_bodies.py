"""Bodies in files: whole or not at all, whatever the disk does."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import storage.bodies
from storage.bodies import FileBodies
from storage.errors import BodyMissing, StorageError, StorageFull
from tests.storage.contract import BodiesContract, key_of, make_body
from tests.storage.disks import fail_with, files_of_at_most

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


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class TestFileBodies(BodiesContract):
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
    (folder / "v720~1~a~00.0.tmp").write_bytes(b"half")
    (folder.parent / "manifest").mkdir()
    (folder.parent / "manifest" / "00~a~00.17.tmp").write_bytes(b"")
    (folder / "v720~1~a~11").write_bytes(b"whole")
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


async def test_a_disk_that_fails_to_flush_leaves_nothing(
    synced: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_with(errno.EIO))
        with pytest.raises(StorageError, match="body-write: Input/output error"):
            await synced.write(KEY, BODY)
    assert files_below(tmp_path) == []


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


async def test_what_a_cancelled_writer_has_begun_is_gone_after_the_next_start(
    bodies: FileBodies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.bodies, "_PIECE_BYTES", 10)
    writing = asyncio.create_task(bodies.write(KEY, BODY))
    while not any((tmp_path / name).stat().st_size for name in files_below(tmp_path)):
        await asyncio.to_thread(int)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await asyncio.to_thread(bodies.close)
    assert KEY not in files_below(tmp_path / "bodies")
    after = FileBodies(tmp_path / "bodies", fsync=False)
    after.open()
    assert files_below(tmp_path) == []
    after.close()


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


class Disk:
    """Notes in which order things are made durable."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._really_rename = os.rename
        monkeypatch.setattr(os, "fsync", self._fsync)
        monkeypatch.setattr(os, "rename", self._rename)

    def _fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.calls.append(f"sync {path.name if is_folder else 'file'}")

    def _rename(self, source: Path, target: Path) -> None:
        self.calls.append("rename")
        self._really_rename(source, target)


async def test_with_fsync_bytes_are_flushed_before_they_get_their_name_and_the_name_after(
    synced: FileBodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    await synced.write(KEY, BODY)
    disk = Disk(monkeypatch)
    other = make_body(2)
    await synced.write(key_of(other), other)
    assert disk.calls == ["sync file", "rename", "sync 0"]


async def test_with_fsync_every_new_folder_is_flushed_into_its_parent(
    synced: FileBodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    await synced.write(KEY, BODY)
    assert sorted(disk.calls[:2]) == ["sync bodies", "sync derby"]
    assert disk.calls[2:] == ["sync file", "rename", "sync 0"]


def test_with_fsync_the_folder_of_all_bodies_is_flushed_into_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    files = FileBodies(tmp_path / "bodies", fsync=True)
    files.open()
    files.close()
    assert disk.calls == [f"sync {tmp_path.name}"]


async def test_without_fsync_nothing_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    files = FileBodies(tmp_path / "bodies", fsync=False)
    files.open()
    await files.write(KEY, BODY)
    files.close()
    assert disk.calls == ["rename"]

"""A disk that is not there, or a journal that is not whole: nothing counts as missing, nothing is stored elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.bodies import FileBodies
from storage.errors import BodyMissing, StorageError
from tests.storage.contract import key_of, make_body

BODY = make_body(1, 10_000)
KEY = key_of(BODY)
LARGE = make_body(2, 2_500_000)
WHOLE_AND_IN_PIECES = pytest.mark.parametrize("body", [BODY, LARGE], ids=["whole", "in-pieces"])


@pytest.fixture(params=[False, True], ids=["disk", "fsync"])
def bodies(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileBodies]:
    files = FileBodies(tmp_path / "bodies", fsync=request.param)
    files.open()
    yield files
    files.close()


@WHOLE_AND_IN_PIECES
async def test_where_the_whole_disk_vanished_nothing_counts_as_missing_and_nothing_stands_in_for_it(
    bodies: FileBodies, tmp_path: Path, body: bytes
) -> None:
    await bodies.write(KEY, BODY)
    (tmp_path / "bodies").rename(tmp_path / "away")
    with pytest.raises(StorageError, match="mount its disk again") as caught:
        await bodies.read(KEY)
    assert not isinstance(caught.value, BodyMissing)
    with pytest.raises(StorageError):
        await bodies.write(key_of(body, 11), body)
    assert not (tmp_path / "bodies").exists()
    (tmp_path / "away").rename(tmp_path / "bodies")
    await bodies.write(key_of(body, 11), body)
    assert await bodies.read(KEY) == BODY


@WHOLE_AND_IN_PIECES
async def test_a_disk_that_is_not_mounted_any_more_is_not_stood_in_for(
    bodies: FileBodies, tmp_path: Path, body: bytes
) -> None:
    """The place where it is mounted is still there, and empty."""
    await bodies.write(KEY, BODY)
    (tmp_path / "bodies").rename(tmp_path / "unmounted")
    (tmp_path / "bodies").mkdir()
    with pytest.raises(StorageError):
        await bodies.write(key_of(body, 11), body)
    with pytest.raises(StorageError, match="mount its disk again") as caught:
        await bodies.read(KEY)
    assert not isinstance(caught.value, BodyMissing)
    with pytest.raises(StorageError, match="the journal speaks of 1000 bytes"):
        FileBodies(tmp_path / "bodies", fsync=False).open(expected_bytes=1_000)
    assert list((tmp_path / "bodies").iterdir()) == []


async def test_bodies_that_no_record_speaks_of_can_be_kept_apart(bodies: FileBodies, tmp_path: Path) -> None:
    await bodies.write(KEY, BODY)
    assert bodies.keep_apart_now([KEY]) == 1
    assert list(bodies.list_bodies()) in ([], [("derby/0", [])])
    (apart,) = (tmp_path / "bodies" / ".unrecorded").iterdir()
    assert apart.read_bytes() == BODY
    bodies.open()
    assert apart.exists(), "a start does not remove it"

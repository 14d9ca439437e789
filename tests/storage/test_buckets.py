"""Folders of bodies: listed, emptied and kept in order without a look at what is in the files."""

import os
from pathlib import Path

import pytest

from storage import buckets
from storage.base import BodyKey, body_key, bucket_folders, digest_of, manifest_key
from storage.buckets import DAMAGED_FOLDER, INCOMING_FOLDER
from tests.storage.contract import key_of, make_body
from tests.storage.disks import files_below
from tests.support.events import make_key

BODY = make_body(1)
KEY = key_of(BODY)


def put(root: Path, key: BodyKey, body: bytes = BODY) -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_every_folder_is_listed_with_its_files_and_the_stores_own_are_not(tmp_path: Path) -> None:
    keys = [
        *(key_of(BODY, number) for number in (1, 2, 40, None)),
        manifest_key("derby", "live.mpd", "a", digest_of(BODY)),
        body_key(make_key(1, "v720", "oaks"), "a", digest_of(BODY)),
    ]
    for key in keys:
        put(tmp_path, key)
    for folder in (INCOMING_FOLDER, DAMAGED_FOLDER):
        put(tmp_path, BodyKey(f"{folder}/0.tmp"))
        put(tmp_path, BodyKey(f"{folder}/folder/0.tmp"))
    (tmp_path / "oaks" / "7").mkdir()
    (tmp_path / "file").write_bytes(b"")
    listed = dict(buckets.list_bodies(tmp_path))
    assert listed.pop("oaks/7") == []
    assert sorted(f"{folder}/{name}" for folder, names in listed.items() for name in names) == sorted(keys)


def test_files_are_not_looked_at_when_they_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        put(tmp_path, key_of(BODY, number))
    monkeypatch.setattr(os, "stat", None)
    monkeypatch.setattr(os, "lstat", None)
    assert sum(len(names) for _, names in buckets.list_bodies(tmp_path)) == 100


def test_files_are_removed_and_those_that_are_gone_are_no_fault(tmp_path: Path) -> None:
    put(tmp_path, KEY)
    assert buckets.remove_files(tmp_path, [key_of(BODY, 1), KEY, KEY]) == 1
    assert files_below(tmp_path) == []


def test_an_events_last_bucket_takes_its_folder_with_it(tmp_path: Path) -> None:
    put(tmp_path, key_of(BODY, 1))
    put(tmp_path, key_of(BODY, None))
    for bucket in (None, 0):
        folders = [tmp_path / folder for folder in bucket_folders("derby", bucket)]
        assert (tmp_path / "derby").exists()
        assert buckets.remove_bucket(folders, 10).is_done
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_comes_into_a_bucket_that_goes_leaves_it_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, KEY)
    really_rmdir = os.rmdir
    with monkeypatch.context() as late:

        def rmdir(path: Path) -> None:
            put(tmp_path, KEY)
            really_rmdir(path)

        late.setattr(os, "rmdir", rmdir)
        assert not buckets.remove_bucket([(tmp_path / KEY).parent], 10).is_done
    assert files_below(tmp_path) == [KEY]
    assert buckets.remove_bucket([(tmp_path / KEY).parent], 10).is_done


def test_a_damaged_body_is_kept_for_analysis_under_a_flat_name(tmp_path: Path) -> None:
    put(tmp_path, KEY, b"rotten")
    assert buckets.set_aside(tmp_path, KEY)
    assert files_below(tmp_path) == [f"{DAMAGED_FOLDER}/{KEY.replace('/', '~')}"]
    assert (tmp_path / DAMAGED_FOLDER / KEY.replace("/", "~")).read_bytes() == b"rotten"


def test_only_the_newest_damaged_bodies_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "DAMAGED_FILES_MAX", 3)
    keys = [key_of(BODY, number) for number in range(7, 0, -1)]
    for key in keys:
        path = put(tmp_path, key, b"rotten")
        changed_ns = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == changed_ns:  # clocks of file systems tick in ms
            path.chmod(0o600)
        assert buckets.set_aside(tmp_path, key)
    kept = [f"{DAMAGED_FOLDER}/{key.replace('/', '~')}" for key in keys[-3:]]
    assert files_below(tmp_path) == sorted(kept)


def test_a_damaged_body_whose_flat_name_is_too_long_is_kept_under_its_end(tmp_path: Path) -> None:
    key = body_key(make_key(10, "v" * 180, "e" * 100), "a", digest_of(BODY))
    put(tmp_path, key, b"rotten")
    assert buckets.set_aside(tmp_path, key)
    (name,) = os.listdir(tmp_path / DAMAGED_FOLDER)
    assert name.endswith(f"~a~{digest_of(BODY)}")


def test_a_damaged_body_that_cannot_be_moved_stays_and_is_told(tmp_path: Path) -> None:
    put(tmp_path, KEY, b"rotten")
    (tmp_path / DAMAGED_FOLDER).write_bytes(b"in place of the folder")
    assert buckets.set_aside(tmp_path, KEY)
    assert (tmp_path / KEY).read_bytes() == b"rotten"


def test_a_body_that_was_sent_again_while_it_was_looked_at_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, KEY, b"rotten")
    really_rename, healed = os.rename, tmp_path / "healed"
    healed.write_bytes(BODY)

    def rename(source: Path, target: Path) -> None:
        if healed.exists():
            really_rename(healed, tmp_path / KEY)
        really_rename(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert not buckets.set_aside(tmp_path, KEY)
    assert (tmp_path / KEY).read_bytes() == BODY

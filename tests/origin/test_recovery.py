"""After a restart records and bodies agree: what nobody was promised is gone, what was promised and is gone is said."""

import shutil
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import pytest

from origin.recovery import Sweep, sweep
from selection.model import Candidate
from storage.base import BodyKey, Stores, body_key, digest_of, manifest_key
from storage.bodies import FileBodies
from storage.catalog import MemoryCatalog
from storage.errors import StorageError, StorageFull
from storage.records import Lost, Published
from tests.origin.site import NOW_MS, NUMBER, open_site
from tests.origin.vault import BODY, Vault, open_vault
from tests.support.events import candidate, make_key

DAY_MS = 86_400_000
OTHER = b"another body"
DIGEST = digest_of(BODY)


def recover(vault: Vault) -> Sweep:
    """Do what a start does on the files as they are now."""
    vault.files.open()
    return sweep(vault.files, vault.stores, vault.clock, is_complete=True)


def lose(vault: Vault, key: BodyKey | str) -> None:
    (vault.folder / key).unlink()


def path_of(number: int | None, pipeline_id: str = "a", body: bytes = BODY) -> BodyKey:
    return body_key(make_key(number), pipeline_id, digest_of(body))


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault with two buckets, init segment and manifest, all there."""
    with open_vault(tmp_path) as vault:
        yield vault


async def store_all(vault: Vault) -> None:
    await vault.fill()
    await vault.store_manifest()
    vault.entries.clear()


async def test_where_all_is_there_nothing_happens(vault: Vault) -> None:
    await store_all(vault)
    before = vault.paths
    assert recover(vault) == Sweep(0, 0)
    assert (vault.paths, vault.records) == (before, [])


def test_where_there_has_never_been_anything_nothing_happens(vault: Vault) -> None:
    assert recover(vault) == Sweep(0, 0)


# -- Files without a record

UNRECORDED = [
    ("copy", path_of(3, "b")),
    ("other-bytes-of-a-recorded-copy", path_of(0, "a", OTHER)),
    ("bucket-of-its-own", path_of(1_000)),
    ("init-segment", path_of(None, "b")),
    ("manifest", manifest_key("derby", "live.m3u8", "a", DIGEST)),
    ("other-rendition", body_key(make_key(0, "v360"), "a", DIGEST)),
    ("other-event", body_key(make_key(0, event_id="oaks"), "a", DIGEST)),
]


@pytest.mark.parametrize("path", [case[1] for case in UNRECORDED], ids=[case[0] for case in UNRECORDED])
async def test_a_file_without_a_record_is_removed(vault: Vault, path: str) -> None:
    """Its packager was never told that it is kept, so it sends it again."""
    await store_all(vault)
    before = vault.paths
    (vault.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (vault.folder / path).write_bytes(BODY)
    assert recover(vault) == Sweep(unrecorded_count=1, lost_count=0)
    assert (vault.paths, vault.records) == (before, [])


async def test_what_was_collected_before_its_files_went_goes_now(vault: Vault) -> None:
    """A crash between the record and the files."""
    await store_all(vault)
    vault.clock.move_to(10**9)
    before = {path: (vault.folder / path).read_bytes() for path in vault.paths if path.startswith("derby/0/")}
    await vault.collector.collect()
    for path, body in before.items():
        (vault.folder / path).parent.mkdir(exist_ok=True)
        (vault.folder / path).write_bytes(body)
    assert recover(vault).unrecorded_count == 2
    assert vault.folders == ["derby/init", "derby/manifest"]


async def test_folders_of_the_stores_own_are_not_swept(vault: Vault) -> None:
    await store_all(vault)
    aside = vault.folder / ".damaged" / "derby~0~v720~0~a~kept"
    aside.parent.mkdir()
    aside.write_bytes(b"for analysis")
    assert recover(vault) == Sweep(0, 0)
    assert aside.exists()


# -- Records without a file

MISSING: list[tuple[str, int | None, str]] = [
    ("copy", 0, "a"),
    ("copy-of-the-second-pipeline", 31, "b"),
    ("the-only-one-of-its-bucket", 32, "a"),
    ("init-segment", None, "a"),
]


@pytest.mark.parametrize(("number", "pipeline_id"), [case[1:] for case in MISSING], ids=[case[0] for case in MISSING])
async def test_a_record_without_a_file_is_recorded_as_lost(vault: Vault, number: int | None, pipeline_id: str) -> None:
    await store_all(vault)
    (copy,) = vault.catalog.candidates(make_key(number))
    lose(vault, path_of(number, pipeline_id))
    assert recover(vault) == Sweep(unrecorded_count=0, lost_count=1)
    assert vault.records == [Lost(make_key(number), pipeline_id, copy.sequence)]
    assert list(vault.catalog.candidates(make_key(number))) == []
    assert recover(vault) == Sweep(0, 0), "it is lost once"


async def test_where_a_whole_folder_is_gone_all_in_it_is_lost(vault: Vault) -> None:
    await store_all(vault)
    shutil.rmtree(vault.folder / "derby" / "0")
    assert recover(vault).lost_count == 2
    assert {record.key.number for record in vault.records if isinstance(record, Lost)} == {0, 31}


async def test_a_chosen_copy_that_was_replaced_since_is_missed_too(vault: Vault) -> None:
    """Readers still get it until there is another choice."""
    former = await vault.store(0, "a", OTHER)
    vault.choose(former, 0)
    newer = await vault.store(0, "a", BODY)
    vault.entries.clear()
    lose(vault, path_of(0, "a", OTHER))
    assert recover(vault).lost_count == 1
    assert vault.records == [Lost(make_key(0), "a", former.sequence)]
    assert list(vault.catalog.candidates(make_key(0))) == [newer]
    assert vault.catalog.has_lost_choice(make_key(0))


async def test_a_body_that_two_records_speak_of_is_lost_to_both(vault: Vault) -> None:
    """An init segment that was sent, changed, and sent again as it had been."""
    former = await vault.store(None)
    vault.choose(former, None)
    newer = await vault.store(None)
    vault.entries.clear()
    lose(vault, path_of(None))
    assert recover(vault).lost_count == 2
    lost = {(record.pipeline_id, record.sequence) for record in vault.records if isinstance(record, Lost)}
    assert lost == {("a", former.sequence), ("a", newer.sequence)}
    assert vault.catalog.choice(make_key(None)) is None


async def test_a_manifest_that_is_missing_is_left_alone(vault: Vault) -> None:
    """The next one comes within seconds."""
    await store_all(vault)
    shutil.rmtree(vault.folder / "derby" / "manifest")
    assert recover(vault) == Sweep(0, 0)
    assert vault.records == []
    assert len(vault.catalog.manifests("derby", "live.mpd")) == 1


async def test_what_left_the_configuration_is_kept_and_missed_like_all_else(vault: Vault) -> None:
    for number in (0, 1, None):
        await vault.store(number, event_id="oaks")
    vault.entries.clear()
    lose(vault, body_key(make_key(1, event_id="oaks"), "a", DIGEST))
    assert recover(vault) == Sweep(unrecorded_count=0, lost_count=1)
    assert vault.folders == ["oaks/0", "oaks/init"]


async def test_a_loss_is_known_after_the_next_restart_too(tmp_path: Path) -> None:
    with open_vault(tmp_path) as vault:
        await vault.store(0)
        lose(vault, path_of(0))
        recover(vault)
    with open_vault(tmp_path) as vault:
        assert recover(vault) == Sweep(0, 0)
        assert list(vault.catalog.candidates(make_key(0))) == []


async def test_where_records_are_missing_bodies_without_one_are_kept_apart(vault: Vault) -> None:
    """Their packagers may have been told that they are kept."""
    await store_all(vault)
    path = path_of(3, "b")
    (vault.folder / path).write_bytes(BODY)
    assert sweep(vault.files, vault.stores, vault.clock, is_complete=False) == Sweep(unrecorded_count=1, lost_count=0)
    assert not (vault.folder / path).exists()
    assert (vault.folder / ".unrecorded" / path.replace("/", "~")).read_bytes() == BODY


async def test_a_full_disk_does_not_keep_the_origin_from_starting(vault: Vault) -> None:
    await store_all(vault)
    lose(vault, path_of(0))
    vault.journal.append_fault = StorageFull("journal-append", "No space left on device")
    assert recover(vault) == Sweep(unrecorded_count=0, lost_count=1)
    vault.journal.append_fault = None
    assert recover(vault) == Sweep(unrecorded_count=0, lost_count=1)


# -- Disks that are not there


async def test_a_disk_that_is_not_mounted_is_a_fault_and_no_loss_however_often_it_is_tried(tmp_path: Path) -> None:
    with open_vault(tmp_path) as vault:
        await store_all(vault)
        used_bytes = vault.catalog.used_bytes
    (tmp_path / "bodies").rename(tmp_path / "unmounted")
    for _ in range(3):
        with pytest.raises(StorageError, match=f"speaks of {used_bytes} bytes"):
            FileBodies(tmp_path / "bodies", fsync=False).open(used_bytes)
    shutil.rmtree(tmp_path / "bodies")
    (tmp_path / "unmounted").rename(tmp_path / "bodies")
    with open_vault(tmp_path) as vault:
        assert recover(vault) == Sweep(0, 0)
        assert vault.catalog.used_bytes == used_bytes


async def test_a_disk_on_which_everything_aged_out_is_no_new_one(tmp_path: Path) -> None:
    with open_vault(tmp_path) as vault:
        await vault.store(0)
        vault.clock.move_to(10**9)
        await vault.collector.collect()
    with open_vault(tmp_path) as vault:
        assert recover(vault) == Sweep(0, 0)


async def test_what_is_not_ours_is_left_alone(vault: Vault) -> None:
    await store_all(vault)
    (vault.folder / "derby" / "0" / "folder").mkdir()
    (vault.folder / "lost+found" / "0").mkdir(parents=True)
    (vault.folder / "derby" / "0" / "notes.txt").write_text("ours is not")
    assert recover(vault) == Sweep(0, 0)
    assert (vault.folder / "derby" / "0" / "notes.txt").exists()


# -- Much


class CountingCatalog(MemoryCatalog):
    """Counts how often it is asked what lies in a bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_count = 0

    def expected_bodies(self, event_id: str, bucket: int | None) -> Set[BodyKey]:
        self.asked_count += 1
        return super().expected_bodies(event_id, bucket)


def test_each_of_many_folders_is_asked_for_once(tmp_path: Path) -> None:
    """A day of a long event has thousands: asking for all of them, for each of them, would take for ever."""
    folders_count = 500
    with open_vault(tmp_path) as vault:
        catalog = CountingCatalog()
        vault.journal.follow(catalog.apply)
        for bucket in range(folders_count):
            key, moment = make_key(bucket * 32), vault.journal.next_moment(0)
            copy: Candidate = candidate("a", moment.ms, sequence=moment.sequence, digest=DIGEST)
            vault.journal.append(Published(key, copy), moment)
            path = vault.folder / body_key(key, "a", DIGEST)
            path.parent.mkdir(parents=True)
            path.touch()
        files = FileBodies(vault.folder, fsync=False)
        stores = Stores(files, vault.journal, catalog)
        assert sweep(files, stores, vault.clock, is_complete=True) == Sweep(0, 0)
        files.close()
        assert catalog.asked_count <= folders_count + 2, "and once each for init segments and manifests"


# -- A whole origin


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "recovered"]
    line: dict[str, Any] = lines[-1]
    return line


async def test_what_is_lost_at_a_restart_is_taken_over_by_the_other_pipeline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="origin.app")
    names: list[str | int] = [NUMBER, "v720/init.mp4"]
    async with open_site(tmp_path) as site:
        for name in names:
            for pipeline_id, body in (("a", BODY), ("b", OTHER)):
                assert (await site.put(name, pipeline_id, body)).status == 201
            assert (await site.get(name)).body == BODY
    for path in (tmp_path / "data" / "bodies").rglob("*~a~*"):
        path.unlink()
    async with open_site(tmp_path) as site:
        line = logged(caplog)
        assert (line["lost_bodies"], line["unrecorded_bodies"]) == (2, 0)
        for name in names:
            answer = await site.get(name)
            assert (answer.status, answer.body) == (200, OTHER)
            assert answer.headers["Live-Origin-Choice"].startswith("b;rule=lost")


async def test_what_is_lost_at_a_restart_and_sent_again_is_delivered_again(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, "a", BODY)
    (path,) = (tmp_path / "data" / "bodies").rglob("*~a~*")
    path.unlink()
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER, method="HEAD")).status == 404
        assert (await site.put(NUMBER, "a", OTHER)).status == 201
        assert (await site.get(NUMBER)).body == OTHER


@pytest.mark.parametrize("is_lost", [False, True], ids=["all-there", "one-lost"])
async def test_losses_that_are_recorded_at_a_start_do_not_hide_that_the_clock_is_wrong(
    tmp_path: Path, *, is_lost: bool
) -> None:
    """They are recorded at the very time that is in question."""
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, "a", BODY)
    if is_lost:
        (path,) = (tmp_path / "data" / "bodies").rglob("*~a~*")
        path.unlink()
    async with open_site(tmp_path, now_ms=NOW_MS + DAY_MS + 1) as site:
        assert await site.metric("origin_clock_trusted") == 0


async def test_an_origin_whose_disk_is_not_mounted_does_not_start_and_loses_nothing(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        await site.put(NUMBER, "a", BODY)
    bodies = tmp_path / "data" / "bodies"
    bodies.rename(tmp_path / "unmounted")
    for _ in range(2):
        with pytest.raises(StorageError, match="mount its disk"):
            async with open_site(tmp_path):
                pass
    bodies.rmdir()
    (tmp_path / "unmounted").rename(bodies)
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER)).body == BODY


async def test_an_origin_whose_journal_is_damaged_keeps_the_bodies_that_it_may_have_promised(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        for number in (NUMBER, NUMBER + 1):
            await site.put(number, "a", BODY)
    (journal,) = (tmp_path / "data" / "journal").glob("*.log")
    journal.write_bytes(b"damage\n" + b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))
    async with open_site(tmp_path) as site:
        assert (await site.get(NUMBER + 1)).body == BODY
        assert (await site.get(NUMBER, method="HEAD")).status == 404
    (kept,) = (tmp_path / "data" / "bodies" / ".unrecorded").iterdir()
    assert kept.read_bytes() == BODY

"""The collector: what it deletes, when, and in which order. Where something fails: `test_collector_faults`."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from origin import collector
from origin.collector import due_buckets
from selection.model import Mask
from storage.errors import StorageError, StorageFull
from storage.journal import ROLL_MS
from storage.records import Collected, Masked
from tests.origin.site import until
from tests.origin.vault import (
    BODY,
    DVR_WINDOW_MS,
    RETENTION_MS,
    SSD_BYTES,
    Vault,
    expired_ms,
    open_vault,
)
from tests.support.events import make_event, make_key

EVENT = make_event(pipelines=("a", "b"))
# Numbers 0 to 9; the last is due at 21 s and given up at 31 s.
ENDED = make_event(start_ms=0, end_ms=20_000)
ENDED_MS = 31_000 + DVR_WINDOW_MS + RETENTION_MS
FULL = StorageFull("journal-append", "No space left on device")
OF_BUCKET_1 = 32


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault with nothing in it yet, when the first segment begins."""
    with open_vault(tmp_path, EVENT) as vault:
        yield vault


def journal_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "journal").glob("*.log"))


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == message]


# -- What goes, and when

# (id, ms now, how full the budget is beside what is stored in percent, the buckets that go)
DUE: list[tuple[str, int, int, list[int]]] = [
    ("last-ms-of-the-retention", expired_ms(0) - 1, 0, []),
    ("retention-over", expired_ms(0), 0, [0]),
    ("next-bucket-last-ms", expired_ms(1) - 1, 0, [0]),
    ("all-segments", expired_ms(1), 0, [0, 1]),
    ("years-later", 10**12, 0, [0, 1]),
    ("shrink-last-ms-of-the-window", expired_ms(0) - RETENTION_MS - 1, 91, []),
    ("shrink-window-over", expired_ms(0) - RETENTION_MS, 91, [0]),
    ("not-full-enough", expired_ms(0) - RETENTION_MS, 89, []),
    ("refusing-old-ones", expired_ms(0) - RETENTION_MS, 96, [0]),
    ("refusing-all-keeps-the-window-too", expired_ms(0) - RETENTION_MS - 1, 100, []),
]


@pytest.mark.parametrize(("now_ms", "percent", "gone"), [case[1:] for case in DUE], ids=[case[0] for case in DUE])
async def test_a_bucket_goes_when_it_has_left_window_and_retention(
    vault: Vault, now_ms: int, percent: int, gone: list[int]
) -> None:
    await vault.fill()
    vault.others_bytes = SSD_BYTES * percent // 100
    vault.clock.move_to(now_ms)
    assert await vault.collector.collect() == len(gone)
    assert vault.collected == [Collected("derby", bucket) for bucket in gone]
    assert vault.folders == [f"derby/{place}" for place in (0, 1, "init") if place not in gone]
    assert sorted(vault.catalog.buckets("derby")) == [bucket for bucket in (0, 1) if bucket not in gone]
    removed_count = vault.bodies.counts["remove_bucket"]
    assert await vault.collector.collect() == 0, "what is gone does not go again"
    assert vault.bodies.counts["remove_bucket"] == removed_count


async def test_what_goes_leaves_memory_files_and_sums(vault: Vault) -> None:
    await vault.fill()
    assert (len(vault.in_memory), vault.catalog.used_bytes) == (4, 4 * len(BODY))
    vault.clock.move_to(expired_ms(0))
    await vault.collector.collect()
    assert vault.in_memory == vault.paths == ["derby/1/v720~32~a~" + vault.paths[0][-32:], *vault.paths[1:]]
    assert (len(vault.paths), vault.catalog.used_bytes) == (2, 2 * len(BODY))
    assert vault.ram.used_bytes == 2 * len(BODY)


async def test_files_in_a_bucket_that_nobody_recorded_go_with_it(vault: Vault) -> None:
    await vault.fill()
    (vault.folder / "derby" / "0" / "v720~5~a~stray").write_bytes(b"stray")
    vault.clock.move_to(expired_ms(0))
    await vault.collector.collect()
    assert vault.folders == ["derby/1", "derby/init"]


async def test_what_has_gone_is_counted_and_logged(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="origin.collector")
    await vault.fill()
    vault.clock.move_to(expired_ms(1))
    await vault.collector.collect()
    assert logged(caplog, "collected") == [
        {"event": "derby", "bucket": 0, "files": 2, "bytes": 2 * len(BODY)},
        {"event": "derby", "bucket": 1, "files": 1, "bytes": len(BODY)},
    ]
    counted = [
        vault.metrics.registry.get_sample_value(f"origin_collected_{name}_total", {"event": "derby"})
        for name in ("buckets", "bytes")
    ]
    assert counted == [2, 3 * len(BODY)]


async def test_the_journal_lets_go_of_what_only_spoke_of_what_is_gone(tmp_path: Path) -> None:
    """Or it would grow for ever. What stands is said again."""
    with open_vault(tmp_path, EVENT) as vault:
        await vault.fill()
        vault.clock.move_to(ROLL_MS)
        await vault.store(OF_BUCKET_1 + 1)  # the last record of its file
        await vault.store(10_000)
        assert journal_files(tmp_path) == ["0000000000000001.log", "0000000000000006.log"]
        vault.clock.move_to(expired_ms(1))
        await vault.collector.collect()
        await until(lambda: journal_files(tmp_path) == ["0000000000000006.log"])
        used_bytes = vault.catalog.used_bytes
    with open_vault(tmp_path, EVENT) as vault:
        assert vault.catalog.used_bytes == used_bytes == 2 * len(BODY)
        assert [copy.pipeline_id for copy in vault.catalog.candidates(make_key(None))] == ["a"]


# -- Whole events


async def test_an_event_that_is_over_goes_as_a_whole(tmp_path: Path) -> None:
    with open_vault(tmp_path, ENDED) as vault:
        for number in (0, 9, None):
            await vault.store(number)
        await vault.store_manifest()
        vault.record(Masked("derby", Mask("m", "a", 0)))
        vault.entries.clear()
        vault.clock.move_to(ENDED_MS - 1)
        assert await vault.collector.collect() == 0
        vault.clock.move_to(ENDED_MS)
        assert await vault.collector.collect() == 2
        assert vault.collected == [Collected("derby", 0), Collected("derby", None)]
        assert (vault.paths, vault.in_memory, vault.catalog.used_bytes) == ([], [], 0)
        assert not (vault.folder / "derby").exists()
        assert (list(vault.catalog.event_ids()), list(vault.catalog.masks("derby"))) == ([], [])
        assert await vault.collector.collect() == 0


async def test_of_an_event_without_segments_goes_what_there_is(tmp_path: Path) -> None:
    with open_vault(tmp_path, ENDED) as vault:
        await vault.store_manifest()
        vault.clock.move_to(ENDED_MS)
        assert await vault.collector.collect() == 1
        assert (vault.paths, list(vault.catalog.event_ids())) == ([], [])


async def test_an_event_without_an_end_keeps_its_init_segments_for_ever(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(10**12)
    await vault.collector.collect()
    assert vault.folders == ["derby/init"]


async def test_what_left_the_configuration_is_left_alone(vault: Vault) -> None:
    """An operator may bring it back; how long it is to be kept is not known meanwhile."""
    await vault.store(0, event_id="oaks")
    await vault.store(None, event_id="oaks")
    vault.clock.move_to(10**12)
    assert await vault.collector.collect() == 0
    assert vault.folders == ["oaks/0", "oaks/init"]


async def test_an_event_of_which_nothing_is_known_is_not_collected(tmp_path: Path) -> None:
    with open_vault(tmp_path, ENDED) as vault:
        vault.clock.move_to(10**12)
        assert await vault.collector.collect() == 0
        assert vault.records == []


async def test_each_events_clock_is_its_own(tmp_path: Path) -> None:
    later = make_event("oaks", dvr_window_ms=DVR_WINDOW_MS + 1)
    with open_vault(tmp_path, EVENT, later) as vault:
        for event_id in ("derby", "oaks"):
            for number in (OF_BUCKET_1, 0):
                await vault.store(number, event_id=event_id)
        events = {event.id: event for event in (EVENT, later)}
        assert list(due_buckets(events, vault.catalog, vault.disk, expired_ms(1))) == [
            ("derby", 0),
            ("derby", 1),
            ("oaks", 0),
        ]


# -- In which order


async def test_the_record_comes_before_the_files_go(vault: Vault) -> None:
    """A crash in between leaves files without a record, and never a record without its files."""
    await vault.fill()
    seen: list[list[str]] = []
    vault.journal.follow(lambda _: seen.append(vault.paths))
    before = vault.paths
    vault.clock.move_to(expired_ms(0))
    await vault.collector.collect()
    assert seen == [before]


async def test_on_a_full_disk_the_files_make_the_space_for_the_record(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(expired_ms(0))
    vault.journal.append_fault = FULL
    seen: list[list[str]] = []
    vault.journal.follow(lambda _: seen.append(vault.folders))
    with vault.bodies.gate("remove_bucket") as gate:
        collecting = asyncio.create_task(vault.collector.collect())
        await gate.reached()
        assert (vault.records, len(vault.paths)) == ([], 4)
        vault.journal.append_fault = None  # as soon as files go
    assert await collecting == 1
    assert vault.collected == [Collected("derby", 0)]
    assert seen == [["derby/1", "derby/init"]]


async def test_where_not_even_that_makes_space_it_is_tried_again(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(expired_ms(0))
    vault.journal.append_fault = FULL
    with pytest.raises(StorageFull):
        await vault.collector.collect()
    assert vault.folders == ["derby/1", "derby/init"]
    vault.journal.append_fault = None
    assert await vault.collector.collect() == 1
    assert vault.collected == [Collected("derby", 0)]


async def test_a_record_that_fails_for_another_reason_deletes_nothing(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(expired_ms(0))
    vault.journal.append_fault = StorageError("journal-append", "Input/output error")
    with pytest.raises(StorageError):
        await vault.collector.collect()
    assert (len(vault.paths), len(vault.in_memory)) == (4, 4)


async def test_many_files_go_in_small_steps_between_which_others_have_their_turn(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="origin.collector")
    monkeypatch.setattr(collector, "STEP_FILES", 2)
    for number in range(5):
        await vault.store(number)
    vault.clock.move_to(expired_ms(0))
    pauses: list[float] = []
    left: set[int] = set()
    really_sleep = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        pauses.append(delay_s)
        left.add(len(vault.paths))
        await really_sleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await vault.collector.collect() == 1
    assert (left, pauses) == ({3, 1}, [collector.STEP_PAUSE_S] * 2)
    assert vault.paths == []
    assert logged(caplog, "collected") == [{"event": "derby", "bucket": 0, "files": 5, "bytes": 5 * len(BODY)}]

"""The collector where something fails: disks that remove nothing, clocks in doubt, mistakes of ours."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from origin import collector
from selection.capacity import CapacityLevel
from storage.errors import StorageError
from storage.records import Collected
from tests.origin.site import until
from tests.origin.vault import SSD_BYTES, Vault, expired_ms, open_vault
from tests.support.bodies import NO_FAULTS, Faults


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    """A vault with nothing in it yet, when the first segment begins."""
    with open_vault(tmp_path) as vault:
        yield vault


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == message]


# -- Disks that fail


def stand_in_for_bucket_0(vault: Vault) -> Path:
    """Put a file where the folder of a bucket was: what no call can remove as a folder."""
    folder = vault.folder / "derby" / "0"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_bytes(b"")
    return folder


async def test_what_could_not_be_removed_goes_later_though_no_record_speaks_of_it(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(expired_ms(0))
    vault.bodies.faults = Faults(errors=1)
    with pytest.raises(StorageError, match="bucket-remove"):
        await vault.collector.collect()
    assert vault.collected == [Collected("derby", 0)]
    assert vault.folders == ["derby/0", "derby/1", "derby/init"]
    vault.bodies.faults = NO_FAULTS
    await vault.collector.collect()
    assert vault.collected == [Collected("derby", 0)], "it is recorded once"
    assert vault.folders == ["derby/1", "derby/init"]


async def test_a_bucket_that_cannot_be_removed_keeps_no_other_from_going(vault: Vault) -> None:
    await vault.fill()
    in_the_way = stand_in_for_bucket_0(vault)
    vault.clock.move_to(expired_ms(1))
    for _ in range(3):
        with pytest.raises(StorageError, match="bucket-remove"):
            await vault.collector.collect()
    assert vault.collected == [Collected("derby", 0), Collected("derby", 1)]
    assert vault.folders == ["derby", "derby/init"]
    in_the_way.unlink()
    await vault.collector.collect()
    assert vault.folders == ["derby/init"]
    removed_count = vault.bodies.counts["remove_bucket"]
    await vault.collector.collect()
    assert vault.bodies.counts["remove_bucket"] == removed_count, "it is done"


# -- Clocks in doubt


async def test_while_the_clock_is_in_doubt_nothing_is_deleted(vault: Vault) -> None:
    await vault.fill()
    vault.clock.step(10**9)
    for _ in range(3):
        assert await vault.collector.collect() == 0
    assert (vault.records, len(vault.paths), len(vault.in_memory)) == ([], 4, 4)
    vault.time.confirm()
    assert await vault.collector.collect() == 2


async def test_a_step_is_noticed_also_where_nothing_is_due(vault: Vault) -> None:
    """Before the clock is set back and forth again, and somebody else relies on it."""
    vault.clock.step(10**9)
    await vault.collector.collect()
    assert not vault.time.is_trusted


async def test_a_step_between_two_buckets_is_noticed_before_the_second_goes(vault: Vault) -> None:
    await vault.fill()
    vault.clock.move_to(expired_ms(1))
    with vault.bodies.gate("remove_bucket") as gate:
        collecting = asyncio.create_task(vault.collector.collect())
        await gate.reached()
        vault.clock.step(3_600_000)
    assert await collecting == 1
    assert vault.collected == [Collected("derby", 0)]
    assert vault.folders == ["derby/1", "derby/init"]


async def test_on_a_full_disk_a_clock_in_doubt_still_deletes_nothing(vault: Vault) -> None:
    await vault.fill()
    vault.others_bytes = SSD_BYTES
    vault.clock.step(10**9)
    assert await vault.collector.collect() == 0
    assert vault.disk.level is CapacityLevel.REFUSE_ALL
    assert len(vault.paths) == 4


# -- As it runs


@pytest.fixture
async def running(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The vault with a collector that looks whenever the event loop has turned."""
    monkeypatch.setattr(collector, "INTERVAL_S", 0)
    task = asyncio.create_task(vault.collector.run())
    yield vault
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def gone(vault: Vault, bucket: int) -> None:
    """Wait until a bucket has been recorded as gone, and has its folder no more."""
    folder = vault.folder / "derby" / str(bucket)
    await until(lambda: Collected("derby", bucket) in vault.records and not folder.exists())


async def test_what_falls_due_while_it_runs_goes(running: Vault) -> None:
    await running.fill()
    for bucket in (0, 1):
        running.clock.move_to(expired_ms(bucket))
        await gone(running, bucket)
    assert running.folders == ["derby/init"]


async def test_a_disk_that_fails_is_counted_and_the_collector_goes_on(
    running: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    await running.fill()
    running.bodies.faults = Faults(errors=1)
    running.clock.move_to(expired_ms(0))
    labels = {"operation": "bucket-remove"}
    await until(lambda: running.metrics.registry.get_sample_value("origin_storage_errors_total", labels) is not None)
    assert logged(caplog, "not collected, trying again")[0] == {"error": "bucket-remove: Input/output error"}
    running.bodies.faults = NO_FAULTS
    await gone(running, 0)


async def test_a_mistake_of_ours_does_not_end_it(running: Vault, caplog: pytest.LogCaptureFixture) -> None:
    del running.others_bytes
    await running.fill()
    running.clock.move_to(expired_ms(0))
    await until(lambda: any(record.exc_info is not None for record in caplog.records))
    running.others_bytes = 0
    await gone(running, 0)

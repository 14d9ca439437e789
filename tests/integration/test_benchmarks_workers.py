"""The benches of deliver processes run, in short, against real origins; and their judges can tell right from wrong."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks import processes
from tests.benchmarks.served import EVENT, Config, Served, WrongAnswerError, served
from tests.benchmarks.storm import Tally, storm
from tests.benchmarks.workers import fill, hits_cells, running

ROOT: Final = Path(__file__).parents[2]
SHORT: Final = ["--seconds", "0.4", "--sizes", "100000", "--connections", "8", "--mib", "4"]
SIZE_BYTES: Final = 10_000


def rows_of(bench: str, *arguments: str) -> list[dict[str, str]]:
    """Run a bench to its good end; returns the rows of its tables."""
    command = [sys.executable, "-m", f"tests.benchmarks.{bench}", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    _, names, _, *rows = [line.strip("| ") for line in ended.stdout.splitlines()]
    return [dict(zip(names.split(" | "), row.split(" | "), strict=True)) for row in rows]


def test_hits_are_measured_with_the_cost_of_each_side() -> None:
    rows = rows_of("workers", "--figures", "hits", "--workers", "2", *SHORT)
    assert [row["workers"] for row in rows] == ["2"]
    assert all(int(row["answers/s"]) > 0 and float(row["server CPU s/GB"]) > 0 for row in rows)


def test_uploads_are_measured_alone_and_beside_storms() -> None:
    rows = rows_of("workers", "--figures", "puts", "--workers", "1", *SHORT)
    assert [row["storm"] == "none" for row in rows] == [True, True, False, False, False, False]
    assert all(int(row["uploads"]) > 0 and float(row["p99 ms"]) > 0 for row in rows)


def test_memory_is_measured_when_every_deliver_process_has_sent_every_body() -> None:
    (row,) = rows_of("workers", "--figures", "memory", "--workers", "2", *SHORT)
    assert float(row["each worker has sent MiB"]) >= int(float(row["bodies MiB"]))
    assert row["PSS by process MiB"].count("deliver-") == 2


def test_the_processes_of_an_origin_are_known_by_name(tmp_path: Path) -> None:
    with served(Config(tmp_path, workers=2), core=None) as origin:
        found = origin.processes()
        assert set(found) == {"origin", "publish", "deliver-0", "deliver-1"}
        assert all(processes.pss_bytes(process_id) > 0 for process_id in found.values())
        core = min(os.sched_getaffinity(0))
        processes.pin_roles(found, None, core)
        assert os.sched_getaffinity(found["deliver-1"]) == {core}
        assert os.sched_getaffinity(found["publish"]) == set(range(os.cpu_count() or 1))
        assert origin.cpu_s() > 0


def test_a_storm_counts_whole_answers_and_fails_for_others() -> None:
    with running(0, [SIZE_BYTES]) as origin:
        window = fill(origin, SIZE_BYTES, 1)
        with storm(origin.deliver, window.paths, 4, 1) as readers:
            tally = readers.end()
        assert tally.body_bytes >= (tally.requests - 4) * SIZE_BYTES
        fails_for(origin, f"/{EVENT}/nothing/1.m4s")


def fails_for(origin: Served, path: str) -> None:
    with storm(origin.deliver, [path], 4, 1) as readers, pytest.raises(WrongAnswerError):
        readers.end()


def test_processor_time_that_delivers_nothing_is_told_apart() -> None:
    tally = Tally(requests=100, body_bytes=2_000_000_000, seconds=4, cpu_s=1)
    row = hits_cells(1, 1_000, tally, {"origin": 0.5, "publish": 0.25, "deliver-0": 1.25})
    assert (row["of it not delivering"], row["server CPU s/GB"], row["wrk CPU s/GB"]) == (0.75, 1.0, 0.5)
    assert hits_cells(0, 1_000, tally, {"origin": 2.0})["of it not delivering"] == 0

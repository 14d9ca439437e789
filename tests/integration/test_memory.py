"""What connections, held requests and candidates take in memory stays within bounds; and the bench can tell."""

import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks.memory_each import HELD, IDLE, MIB, Sizes, Slope, problems_of, row_of
from tests.benchmarks.socket_buffers import buffers_bytes

ROOT: Final = Path(__file__).parents[2]
# Few, yet each adds pages enough to be told from what is there once.
SHORT: Final = ["--connections", "100,700", "--slow", "8,28", "--candidates", "2400,14400"]
ROWS_COUNT: Final = 8


def test_connections_held_requests_and_candidates_stay_within_their_bounds() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.memory_each", *SHORT]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    _, names, _, *lines = [line.strip("| ") for line in ended.stdout.splitlines()]
    rows = [dict(zip(names.split(" | "), line.split(" | "), strict=True)) for line in lines]
    assert len(rows) == ROWS_COUNT
    # Less than a tenth of the bound would mean that nothing was measured.
    assert all(int(row["bound"]) / 10 < int(row["bytes each"]) <= int(row["bound"]) for row in rows), ended.stdout


def test_a_slope_is_what_each_of_those_between_two_counts_has_added() -> None:
    slope = Slope(10, 110, Sizes(1_000_000, 50), Sizes(1_250_000, 1_050))
    assert (slope.each_bytes, slope.kernel_each_bytes) == (2_500, 10)
    assert Slope(10, 110, Sizes(1_000_000), Sizes(1_250_000)).kernel_each_bytes is None


@pytest.mark.parametrize(("more_bytes", "problems_count"), [(0, 0), (1, 1)])
def test_a_bound_is_broken_by_one_byte_more(more_bytes: int, problems_count: int) -> None:
    def taken_each(size_bytes: int) -> Slope:
        return Slope(0, 100, Sizes(0), Sizes(size_bytes * 100))

    rows = [row_of(IDLE, taken_each(IDLE.bytes_max)), row_of(HELD, taken_each(HELD.bytes_max + more_bytes))]
    assert len(problems_of(rows)) == problems_count


def test_buffers_are_those_of_the_sockets_of_one_server() -> None:
    with ExitStack() as opened:
        busy, quiet = (opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        for server in (busy, quiet):
            opened.enter_context(socket.create_connection(server.getsockname()))
        accepted = [opened.enter_context(server.accept()[0]) for server in (busy, quiet)]
        accepted[0].setblocking(False)
        with suppress(BlockingIOError):
            while True:
                accepted[0].send(bytes(MIB))
        waiting_bytes, none_bytes = (buffers_bytes(server.getsockname()[1]) for server in (busy, quiet))
    if waiting_bytes is None:
        assert none_bytes is None  # a kernel that does not tell, as of some sandboxes
    else:
        assert (waiting_bytes > 0, none_bytes) == (True, 0)

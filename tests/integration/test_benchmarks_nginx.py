"""The comparisons with nginx run, in short, against real servers; what benches measure gets its place in the report."""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks import __main__ as benches
from tests.benchmarks import puts_against_nginx
from tests.benchmarks.__main__ import BENCHES, REPORT, Bench
from tests.benchmarks.processes import Usage
from tests.benchmarks.record import NoBlockError, block, marks, replaced
from tests.benchmarks.served import WrongAnswerError
from tests.benchmarks.turns import Duel, Turn, take_turns
from tests.benchmarks.uploader import Answer, Batch, Segments, upload, uploader
from tests.integration.test_benchmarks import stub

ROOT: Final = Path(__file__).parents[2]

BRIEF: Final = ("--rounds", "1", "--seconds", "1")
SHORT: Final = {
    "RAM": ("against_nginx", "--sizes", "65536", "--ssd-sizes", "", *BRIEF),
    "SSD": ("against_nginx", "--sizes", "", "--ssd-sizes", "65536", "--connections", "8", *BRIEF),
    "PUT": ("puts_against_nginx", "--sizes", "65536", "--rounds", "1", "--mib", "4"),
}


@pytest.mark.parametrize("what", SHORT)
def test_a_short_comparison_ends_well_and_has_both_servers(what: str) -> None:
    bench, *arguments = SHORT[what]
    command = [sys.executable, "-m", f"tests.benchmarks.{bench}", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    title, names, _, row = [line.strip("| ") for line in ended.stdout.splitlines()]
    assert "nginx/1." in title
    cells = dict(zip(names.split(" | "), row.split(" | "), strict=True))
    assert cells["bytes"] == "65,536"
    rates = [cell.split(" ")[0] for name, cell in cells.items() if name.endswith(("requests/s", "PUTs/s"))]
    assert len(rates) == 2
    assert all(int(rate.replace(",", "")) > 0 for rate in rates)


# -- Turns


def turn(count: int, cpu_s: float = 1.0) -> Turn:
    return Turn(count, amount=count, seconds=1.0, server_cpu_s=cpu_s, client_cpu_s=0.5, others_s=0.25)


def test_each_round_has_both_and_who_is_first_changes() -> None:
    asked = []

    def side(name: str) -> Turn:
        asked.append(name)
        return turn(len(asked))

    outcome = take_turns(3, lambda: side("ours"), lambda: side("theirs"))
    assert asked == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert [our.count for our in outcome.ours] == [1, 4, 5]
    assert [their.count for their in outcome.theirs] == [2, 3, 6]


def test_the_ratio_is_that_of_the_medians_and_rounds_are_compared_each_with_its_own() -> None:
    outcome = Duel([turn(100), turn(300, 3.0), turn(200)], [turn(100), turn(200), turn(50)])
    cells = outcome.cells("requests", "CPU s/GB")
    assert cells["origin requests/s"] == "200 (100 to 300)"
    assert cells["**ratio**"] == "**2.00** (1.00 to 4.00)"
    assert cells["**CPU s/GB ratio**"] == "**1.00** (0.25 to 2.00)"
    assert cells["busy: origin, its client"] == "100 %, 50 %: server"
    assert cells["others"] == "0.25, 0.25"


def test_what_others_use_is_no_less_than_nothing() -> None:
    assert Usage([]).others_s(client_s=1e9) == 0


# -- Uploads


OK: Final = b'HTTP/1.1 201 Created\r\nContent-Length: 14\r\n\r\n{"etag": "x"}\n'


def test_uploads_share_a_connection_and_answers_keep_their_order() -> None:
    segments = Segments(2_000)
    heads = [b"PUT /%d HTTP/1.1\r\nContent-Length: 2000\r\n\r\n" % number + segments.head(number) for number in (1, 2)]
    second = OK.replace(b"201 Created", b"200 OK")
    with stub([OK, second]) as address:
        done = upload(Batch(address, heads, segments.rest, connections=1))
    assert done.answers == [OK, second]
    assert [Answer.parse(answer).status for answer in done.answers] == [201, 200]
    assert done.seconds > 0


@pytest.mark.parametrize("answer", [b"", OK[:-1]], ids=["none", "close"])
def test_an_upload_whose_connection_ends_is_told_of(answer: bytes) -> None:
    segments = Segments(2_000)
    close = answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with stub([close]) as address, uploader(None) as uploads, pytest.raises(WrongAnswerError):
        uploads.upload(Batch(address, [b"PUT / HTTP/1.1\r\n\r\n"], segments.rest, connections=1))


def test_segments_to_be_uploaded_are_all_different() -> None:
    names = puts_against_nginx.segment_names()
    first = [next(names) for _ in range(100)]
    assert len(set(first)) == 100
    assert len({number for _, number in first}) == 5


# -- The report


def test_the_report_has_a_block_for_every_bench() -> None:
    text = REPORT.read_text(encoding="utf-8")
    for bench in BENCHES:
        assert [text.count(mark) for mark in marks(bench.name)] == [1, 1], bench.name


def test_a_block_tells_where_when_and_how_it_was_measured() -> None:
    content = block("what\n| n |\n|---|\n| 1 |\n", "python -m x", "2 cores", date(2026, 11, 23))
    assert content == "2 cores, 2026-11-23: `python -m x`\n\nwhat\n\n| n |\n|---|\n| 1 |"


@pytest.mark.parametrize("text", ["", "<!-- bench x: begin -->", "<!-- bench x: end --><!-- bench x: begin -->"])
def test_a_report_without_the_block_is_told_what_to_add(text: str) -> None:
    with pytest.raises(NoBlockError, match="<!-- bench x: begin -->\n<!-- bench x: end -->"):
        replaced(text, "x", "new")


def test_a_bench_that_fails_leaves_its_block_and_the_others_go_on(tmp_path: Path) -> None:
    report = tmp_path / "REPORT.md"
    lines = [line for name in ("a", "b") for line in (marks(name)[0], "old", marks(name)[1], f"remark on {name}")]
    report.write_text("\n".join(lines))
    printed = {"a": None, "b": "| new |\n", "c": "| nowhere |\n"}
    told = [Bench(name, ("bench",), "") for name in printed]
    problems = benches.measure(told, report, lambda bench: printed[bench.name])
    assert [problem.split(" ")[0] for problem in problems] == ["a", "c"]
    text = report.read_text()
    before, _, after = text.partition("remark on a")
    assert "old" in before
    assert "| new |" in after
    assert "old" not in after
    assert after.endswith("remark on b")


def test_a_bench_is_shown_and_kept_while_it_runs(capfd: pytest.CaptureFixture[str]) -> None:
    printed = benches.run(Bench("inspection", ("inspection", "--help"), ""))
    assert printed is not None
    assert "usage:" in printed
    assert printed in capfd.readouterr().out
    assert benches.run(Bench("none", ("no_such_bench",), "")) is None


def test_what_there_is_is_listed_and_other_names_are_refused() -> None:
    def told(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tests.benchmarks", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    listed = told("--list", "--only", "puts,nginx")
    assert [line.split(" ")[0] for line in listed.stdout.splitlines()] == ["nginx", "puts"]
    refused = told("--only", "nginx,apache")
    assert refused.returncode == 1
    assert "apache" in refused.stderr

"""The benches of the live edge run, in short, against a real origin; and their judges can tell right from wrong."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.benchmarks import held_release, live, overload, storm_404
from tests.benchmarks.client import Address, Answer, Ask
from tests.benchmarks.figures import report
from tests.benchmarks.fleet import Fleet, Harvest, Plan
from tests.benchmarks.packager import Put
from tests.benchmarks.served import WrongAnswerError

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 20.0

# A fraction of a second is one live segment.
SHORT: Final = {
    "held_release": ["--waiters", "3", "--rounds", "2", "--workers", "1"],
    "live_edge": ["--readers", "5", "--segments", "1"],
    "storm_404": ["--seconds", "0.4", "--quiet-seconds", "0.4", "--rate", "200"],
    "overload": [
        "--seconds",
        "0.4",
        "--saturating-seconds",
        "0.2",
        "--segments",
        "20",
        "--bytes",
        "100000",
        "--factors",
        "2",
    ],
    "request_cost": ["--count", "100", "--rounds", "1"],
    "hostile": ["--seconds", "0.4", "--loris", "20", "--slow-readers", "5"],
}


@pytest.mark.parametrize("bench", SHORT)
def test_a_short_bench_ends_well_and_prints_its_figures(bench: str) -> None:
    command = [sys.executable, "-m", f"tests.benchmarks.{bench}", *SHORT[bench]]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    _, names, rule, *rows = ended.stdout.splitlines()
    assert rule.count("|") == names.count("|")
    assert rows
    for row in rows:
        cells = dict(zip(names.split(" | "), row.split(" | "), strict=True))
        assert cells.get("missed", "0") == "0"
        assert any(
            float(value) > 0 for name, value in cells.items() if ("p50 ms" in name or name == "us") and value != "-"
        ), row


def test_a_bench_with_a_problem_prints_its_table_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        report("what", [{"n": 1}], ["the bytes were other ones"])
    assert "the bytes were other ones" in str(ended.value.code)
    assert "| 1 |" in capsys.readouterr().out


# -- The judges

BODY: Final = bytes(live.SEGMENT_BYTES)
PATH: Final = "/bench/v0/7.m4s"
PUT: Final = Put(sent_ns=1_000_000, took_ms=1.0, digest=sha256(BODY).digest(), etag='"x"')
RIGHT: Final = Answer(
    path=PATH,
    client=0,
    status=200,
    due_ns=0,
    sent_ns=0,
    first_ns=3_000_000,
    last_ns=4_000_000,
    body_bytes=len(BODY),
    digest=PUT.digest,
    etag='"x"',
    cache_control="public, max-age=86400",
)
REFUSED: Final = RIGHT._replace(status=503, body_bytes=100, digest=b"", etag="", cache_control="public, max-age=5")
NOT_FOUND: Final = RIGHT._replace(status=404, body_bytes=100, digest=b"", etag="", cache_control="public, max-age=1")
OTHER_BYTES: Final = RIGHT._replace(digest=sha256(b"").digest(), etag='"y"')
CUT: Final = RIGHT._replace(status=0, body_bytes=10, digest=b"", last_ns=0)


def judged(answers: list[Answer], readers: int = 1, own_late_ns: int = 0) -> live.LiveFigures:
    return live.judge(Harvest(answers, [], [own_late_ns], 0), {PATH: PUT}, readers)


def test_live_deliveries_are_counted_with_their_lateness() -> None:
    figures = judged([NOT_FOUND, RIGHT, RIGHT._replace(client=1)], readers=2)
    assert (figures.delivered, figures.missed, figures.negative, figures.requests) == (2, 0, {"404": 1}, 3)
    assert figures.late_ms == [2.0, 2.0]
    assert figures.problems("x") == []


@pytest.mark.parametrize(
    ("answers", "problems"),
    [
        ([], ["missed"]),
        ([NOT_FOUND], ["missed"]),
        ([REFUSED], ["missed"]),
        ([RIGHT._replace(last_ns=PUT.sent_ns + (live.PATIENCE_MS + 1) * 1_000_000)], ["missed"]),
        ([OTHER_BYTES], ["missed", "other ones"]),
        ([CUT], ["missed", "status 0"]),
        ([RIGHT._replace(status=410), RIGHT], ["status 410"]),
    ],
)
def test_a_live_segment_that_is_missed_or_wrong_is_a_problem(answers: list[Answer], problems: list[str]) -> None:
    found = judged(answers).problems("x")
    assert len(found) == len(problems)
    assert all(part in problem for part, problem in zip(problems, found, strict=True))


def test_what_the_clients_themselves_were_late_by_is_no_miss() -> None:
    late = RIGHT._replace(last_ns=PUT.sent_ns + (live.PATIENCE_MS + 50) * 1_000_000)
    assert judged([late], own_late_ns=49_000_000).missed == 1
    assert judged([late], own_late_ns=50_000_000).missed == 0


def test_what_comes_of_an_earlier_run_counts_no_more() -> None:
    assert judged([RIGHT._replace(path="/bench/v0/6.m4s"), RIGHT]).requests == 1


@pytest.mark.parametrize("answer", [NOT_FOUND, OTHER_BYTES, CUT, RIGHT._replace(body_bytes=1)])
def test_a_held_request_must_get_the_bytes_that_were_published(answer: Answer) -> None:
    held_release.check(RIGHT, PUT, len(BODY))
    with pytest.raises(WrongAnswerError):
        held_release.check(answer, PUT, len(BODY))


def test_an_impossible_request_must_be_refused_and_not_reach_storage() -> None:
    figures = judged([RIGHT])
    assert storm_404.judge([NOT_FOUND, NOT_FOUND._replace(status=410)], figures, reads=1) == []
    assert len(storm_404.judge([RIGHT, REFUSED, CUT], figures, reads=1)) == 3
    assert len(storm_404.judge([NOT_FOUND], figures, reads=2)) == 1


def test_a_rewind_gets_its_bytes_or_a_refusal_that_caches_keep() -> None:
    window = overload.Window({PATH: PUT}, len(BODY))
    assert overload.wrong_rewinds([RIGHT, REFUSED], window) == []
    lasting = REFUSED._replace(cache_control="public, max-age=50")
    wrong = [NOT_FOUND, OTHER_BYTES, CUT, REFUSED._replace(cache_control=""), lasting]
    assert len(overload.wrong_rewinds(wrong, window)) == len(wrong)


def test_the_ratio_to_quiet_times_is_that_of_the_99th_percentiles() -> None:
    quiet = judged([RIGHT])
    assert replace(quiet, late_ms=[4.0]).ratio_to(quiet) == 2.0


# -- The clients


@contextmanager
def stub(answers: list[bytes]) -> Iterator[Address]:
    """Answer one request after the other, on one connection at a time; an empty answer closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)

        def serve() -> None:
            left = list(answers)
            while left:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(PATIENCE_S)
                    while left and connection.recv(65_536):
                        answer = left.pop(0)
                        connection.sendall(answer)
                        if not answer or b"close" in answer:
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            thread.join(PATIENCE_S)
        assert not thread.is_alive()


def answered(answers: list[bytes], asks: list[Ask], keep_bytes: int = 1_000) -> list[Answer]:
    """Return what one client makes of these answers."""
    with stub(answers) as address, Fleet(Plan(address, clients=1, keep_bytes=keep_bytes)) as fleet:
        fleet.ask(asks)
        harvest = fleet.collect(PATIENCE_S)
    assert harvest.pending == 0
    return harvest.answers


OK: Final = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nCache-Control: max-age=1\r\nContent-Length: 3\r\n\r\nabc'
GONE: Final = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("keep_bytes", [0, 1_000])
def test_a_client_reads_answers_on_one_connection(keep_bytes: int) -> None:
    first, second = answered([OK, OK], [Ask("/a"), Ask("/b")], keep_bytes)
    assert (first.path, second.path) == ("/a", "/b")
    for answer in (first, second):
        assert (answer.status, answer.body_bytes, answer.etag, answer.cache_control) == (200, 3, '"x"', "max-age=1")
        assert answer.digest == (sha256(b"abc").digest() if keep_bytes else b"")
        assert 0 < answer.sent_ns <= answer.first_ns <= answer.last_ns


def test_a_client_connects_again_after_a_close() -> None:
    assert [answer.status for answer in answered([GONE, OK], [Ask("/a"), Ask("/b")])] == [404, 200]


def test_a_connection_that_breaks_is_an_answer_of_status_0() -> None:
    half = OK[:-1].replace(b"Cache-Control: max-age=1", b"Connection: close")
    assert [answer.status for answer in answered([b"", half, OK], [Ask("/a"), Ask("/b"), Ask("/c")])] == [0, 0, 200]


def test_a_refused_request_is_sent_again_until_its_time_is_up() -> None:
    until_ns = time.monotonic_ns() + int(PATIENCE_S * 1e9)
    assert [answer.status for answer in answered([GONE, GONE, OK], [Ask("/a", 0, 1, until_ns)])] == [404, 404, 200]
    assert [answer.status for answer in answered([GONE], [Ask("/a")])] == [404]


def test_a_flow_sends_as_many_as_are_due_however_long_answers_take() -> None:
    with stub([OK] * 20) as address, Fleet(Plan(address, clients=1)) as fleet:
        fleet.flow(["/a"], per_second=200, seconds=0.1)
        answers, _, late_ns, _ = fleet.collect(PATIENCE_S)
    assert len(answers) == len(late_ns) == 20
    due = [answer.due_ns for answer in answers]
    assert {after - before for before, after in pairwise(due)} == {5_000_000}

"""JSON logs: one object a line, never in the way, and honest about what was dropped."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

import origin.logs
from origin.logs import JsonFormatter, LineBudget, Lines, LogWriter, fields, tell

log = logging.getLogger("tests.origin.logs")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Give the root logger back to whoever had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


@contextmanager
def writing(stream: io.StringIO, level: str = "info") -> Iterator[LogWriter]:
    writer = LogWriter(level, stream)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def record(message: str = "request", **values: object) -> logging.LogRecord:
    made = logging.LogRecord("origin.routes", logging.INFO, "", 0, message, None, None)
    made.__dict__.update(fields(**values))
    return made


def test_a_line_tells_when_how_grave_who_and_what() -> None:
    made = record(status=200, path="/derby/v720/7.m4s")
    made.created = 1_700_000_000.1239
    assert json.loads(JsonFormatter().format(made)) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "origin.routes",
        "message": "request",
        "status": 200,
        "path": "/derby/v720/7.m4s",
    }


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.0, "2023-11-14T22:13:20.000Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
        (1_700_000_000.999_999_9, "2023-11-14T22:13:21.000Z"),
        (1_700_000_001.25, "2023-11-14T22:13:21.250Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
    ],
)
def test_time_is_written_to_the_millisecond(created: float, expected: str) -> None:
    formatter, made = JsonFormatter(), record()
    made.created = 1_700_000_000.25
    formatter.format(made)  # what came before makes no difference
    made.created = created
    assert json.loads(formatter.format(made))["time"] == expected


def test_what_is_told_of_requests_reads_like_any_line() -> None:
    stream = io.StringIO()
    with writing(stream):
        log.info("request", extra=fields(status=200, path="/derby/v720/7.m4s"))
        tell(log, "request", {"status": 200, "path": "/derby/v720/7.m4s"})
    one, two = lines(stream)
    assert list(one) == list(two)
    assert one | {"time": None} == two | {"time": None}
    assert abs(datetime.fromisoformat(two["time"]) - datetime.fromisoformat(one["time"])) < timedelta(seconds=10)


def test_what_is_told_of_requests_is_left_out_above_its_level() -> None:
    stream = io.StringIO()
    with writing(stream, "warning"):
        tell(log, "request", {"status": 200})
    assert stream.getvalue() == ""


def test_what_is_told_of_requests_can_be_shown_by_handlers_of_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=log.name)
    tell(log, "request", {"status": 200})
    assert "request" in caplog.text
    assert [made.__dict__["fields"] for made in caplog.records] == [{"status": 200}]


ODD = ["a\nb", "\x1b[31m", '"', "\u2028", "\udcff", "ü"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_what_a_client_sends_stays_within_its_line(text: str) -> None:
    line = JsonFormatter().format(record(path=text))
    assert "\n" not in line
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["path"] == text


def test_values_that_json_does_not_know_are_written_as_text() -> None:
    assert json.loads(JsonFormatter().format(record(error=ValueError("odd"))))["error"] == "odd"


def test_an_exception_is_part_of_its_line() -> None:
    stream = io.StringIO()
    with writing(stream):
        try:
            raise ValueError("odd")
        except ValueError:
            log.exception("request failed")
    (line,) = lines(stream)
    assert line["message"] == "request failed"
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: odd")


def test_lines_are_written_in_order_and_all_of_them_before_the_writer_stops() -> None:
    stream = io.StringIO()
    with writing(stream):
        for number in range(100):
            log.info("request", extra=fields(number=number))
    assert [line["number"] for line in lines(stream)] == list(range(100))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(level: str, expected: list[str]) -> None:
    stream = io.StringIO()
    with writing(stream, level):
        log.debug("a")
        log.info("b")
        log.warning("c")
        log.error("d")
    assert [line["level"] for line in lines(stream)] == expected


def test_after_the_writer_stopped_nothing_is_written() -> None:
    stream = io.StringIO()
    with writing(stream):
        pass
    log.info("too late")
    assert stream.getvalue() == ""


def drain(kept: Lines) -> list[tuple[str, dict[str, Any]]]:
    return [(made.getMessage(), getattr(made, "fields", {})) for records in kept.taken() for made in records]


def test_when_as_many_lines_wait_as_may_others_are_dropped_and_the_next_one_says_how_many() -> None:
    kept = Lines(2)
    for number in range(5):
        kept.handle(record(number=number))
    assert kept.dropped_count == 3
    assert drain(kept) == [("request", {"number": 0}), ("request", {"number": 1})]
    kept.handle(record(number=5))
    assert drain(kept) == [("request", {"number": 5}), ("log lines dropped", {"count": 3})]
    assert kept.dropped_count == 0
    kept.handle(record(number=6))
    assert drain(kept) == [("request", {"number": 6})]


def test_a_count_of_dropped_lines_that_does_not_fit_either_is_not_forgotten() -> None:
    """Where there is one free place, the line takes it, and nothing is left for the count."""
    kept = Lines(1)
    for number in range(101):
        kept.handle(record(number=number))
    assert drain(kept) == [("request", {"number": 0})]
    kept.handle(record(number=101))
    assert kept.dropped_count == 100
    kept.handle(record(number=102))
    assert kept.dropped_count == 101


class CountingStream(io.StringIO):
    """Counts how often it is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_count = 0
        self.reached = threading.Event()

    def write(self, text: str) -> int:
        self.writes_count += 1
        self.reached.set()
        return super().write(text)


def test_lines_that_come_together_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin.logs, "WRITE_AFTER_S", 60.0)
    monkeypatch.setattr(origin.logs, "WRITE_LINES_MAX", 40)
    stream = CountingStream()
    with writing(stream):
        for number in range(100):
            log.info("request", extra=fields(number=number))
    assert [line["number"] for line in lines(stream)] == list(range(100))
    assert stream.writes_count == 3


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_what_is_urgent_is_written_at_once_with_all_that_came_before(
    monkeypatch: pytest.MonkeyPatch, level: int
) -> None:
    monkeypatch.setattr(origin.logs, "WRITE_AFTER_S", 60.0)
    stream = CountingStream()
    with writing(stream):
        log.info("request")
        log.log(level, "disk failed")
        assert stream.reached.wait(10)
        log.log(level, "disk failed again")
    assert [line["message"] for line in lines(stream)] == ["request", "disk failed", "disk failed again"]


def test_a_line_alone_is_written_without_another_one() -> None:
    stream = CountingStream()
    with writing(stream):
        log.info("first")
        assert stream.reached.wait(10)
        stream.reached.clear()
        log.info("second")
        assert stream.reached.wait(10)
    assert [line["message"] for line in lines(stream)] == ["first", "second"]


def test_a_stream_that_fails_ends_no_writer(capsys: pytest.CaptureFixture[str]) -> None:
    class FailingStream(CountingStream):
        def write(self, text: str) -> int:
            super().write(text)
            if self.writes_count == 1:
                raise OSError("broken pipe")
            return len(text)

    stream = FailingStream()
    with writing(stream):
        log.info("first")
        assert stream.reached.wait(10)
        stream.reached.clear()
        log.info("second")
        assert stream.reached.wait(10)
    assert stream.writes_count == 2
    assert "broken pipe" in capsys.readouterr().err


class StuckStream(io.StringIO):
    """A terminal that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.go_on.wait(10)
        return super().write(text)


def test_a_terminal_that_is_stuck_holds_nobody_up_and_the_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin.logs, "QUEUE_LINES_MAX", 3)
    stream = StuckStream()
    with writing(stream):
        log.info("request", extra=fields(number=0))
        assert stream.reached.wait(10)
        for number in range(1, 10):
            log.info("request", extra=fields(number=number))
        stream.go_on.set()
        while stream.getvalue().count("\n") != 4:  # the writer's thread empties the queue
            pass
        log.info("request", extra=fields(number=10))
    written = lines(stream)
    assert [line["number"] for line in written if line["message"] == "request"] == [0, 1, 2, 3, 10]
    assert [line["count"] for line in written if line["message"] == "log lines dropped"] == [6]
    assert [line["level"] for line in written if line["message"] == "log lines dropped"] == ["warning"]


def test_a_writer_whose_queue_is_full_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin.logs, "QUEUE_LINES_MAX", 1)
    stream = StuckStream()
    with writing(stream):
        log.info("first")
        assert stream.reached.wait(10)
        log.info("second")
        threading.Timer(0.01, stream.go_on.set).start()
    assert [line["message"] for line in lines(stream)] == ["first", "second"]


# -- So many lines a second


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The monotonic clock, as the only member of a list."""
    now = [100.0]
    monkeypatch.setattr("origin.logs.time.monotonic", lambda: now[0])
    yield now
    monkeypatch.undo()


def told_counts(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.__dict__["fields"]["count"] for record in caplog.records if record.name == "origin.logs"]


def test_lines_beyond_the_budget_of_a_second_are_told_once_in_the_next(
    now_s: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    budget = LineBudget(3)
    assert [budget.is_spent() for _ in range(8)] == [False, False, False, True, True, True, True, True]
    assert told_counts(caplog) == []
    now_s[0] = 101.0
    assert [budget.is_spent() for _ in range(4)] == [False, False, False, True]
    assert told_counts(caplog) == [5]
    now_s[0] = 107.5
    assert budget.is_spent() is False
    assert told_counts(caplog) == [5, 1]


def test_a_budget_that_is_not_used_up_is_not_told_of(now_s: list[float], caplog: pytest.LogCaptureFixture) -> None:
    budget = LineBudget(3)
    for second in range(3):
        now_s[0] = 100.0 + second
        assert [budget.is_spent() for _ in range(3)] == [False] * 3
    assert told_counts(caplog) == []


def test_without_a_budget_there_are_no_lines(now_s: list[float], caplog: pytest.LogCaptureFixture) -> None:
    budget = LineBudget(0)
    for second in range(3):
        now_s[0] = 100.0 + second
        assert budget.is_spent() is True
    assert told_counts(caplog) == []


def test_an_end_that_comes_while_lines_are_looked_for_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, asked = io.StringIO(), threading.Event()
    writer = LogWriter("info", stream)
    ending = threading.Thread(target=writer.stop, daemon=True)
    taken, hurry = Lines.taken, Lines.hurry

    def hurry_and_say(kept: Lines) -> None:
        hurry(kept)
        asked.set()

    def end_meanwhile(kept: Lines) -> Iterator[list[logging.LogRecord]]:
        if not asked.is_set():
            ending.start()
            assert asked.wait(20)
        return taken(kept)

    monkeypatch.setattr(Lines, "hurry", hurry_and_say)
    monkeypatch.setattr(Lines, "taken", end_meanwhile)
    writer.start()
    log.warning("last")
    assert asked.wait(20)
    ending.join(20)
    assert not ending.is_alive()
    assert [line["message"] for line in lines(stream)] == ["last"]

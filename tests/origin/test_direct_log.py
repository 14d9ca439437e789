"""Log lines without a thread."""

import json
import logging
import os
from collections.abc import Iterator

import pytest

from origin.direct_log import LINE_BYTES_MAX, DirectHandler, log_directly
from origin.logs import fields


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_CLOEXEC)
    yield ends
    for end in ends:
        os.close(end)


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("test")  # noqa: LOG001  # of one test alone
    logger.addHandler(handler)
    return logger


def test_a_line_is_written_when_it_is_logged(pipe: tuple[int, int]) -> None:
    logger_of(DirectHandler(pipe[1])).warning("process died", extra=fields(pid=7))
    line = json.loads(os.read(pipe[0], 4096))
    assert (line["level"], line["message"], line["pid"]) == ("warning", "process died", 7)


def test_a_pipe_that_nobody_reads_does_not_stop_the_process(pipe: tuple[int, int]) -> None:
    handler = DirectHandler(pipe[1])
    logger = logger_of(handler)
    while not handler.dropped_count:
        logger.warning("x" * 1_000)
    os.read(pipe[0], 65_536)
    logger.warning("again")
    assert handler.dropped_count == 1
    assert b"again" in os.read(pipe[0], 65_536)


def test_a_traceback_too_long_for_one_write_is_cut_to_the_exception(pipe: tuple[int, int]) -> None:
    def sink(depth: int) -> None:
        if depth == 0:
            raise ValueError("why" * 2_000)
        sink(depth - 1)

    try:
        sink(5)
    except ValueError:
        logger_of(DirectHandler(pipe[1])).exception("process failed", extra=fields(child="publish"))
    text = os.read(pipe[0], 65_536)
    line = json.loads(text)
    assert len(text) <= LINE_BYTES_MAX
    assert line["exception"].startswith("ValueError('whywhy")
    assert line["child"] == "publish"


def test_a_stream_that_is_closed_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    handler = DirectHandler(write_end)
    logger_of(handler).warning("to nobody")
    os.close(write_end)
    assert handler.dropped_count == 1


def test_all_logs_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    try:
        log_directly("warning")
        logging.getLogger("origin.crew").info("unheard")
        logging.getLogger("origin.crew").warning("heard")
    finally:
        root.handlers, level = before
        root.setLevel(level)
    assert json.loads(capfd.readouterr().err)["message"] == "heard"

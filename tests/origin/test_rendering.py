"""The head of an answer as bytes: status line, fields, length, the end of the connection."""

import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from unittest.mock import patch

import pytest

from origin import kept_head
from origin.kept_head import KeptHead, render_fields
from origin.rendering import http_head
from origin.reply import Problem, Reply


def lines_of(reply: Reply, *, is_version_10: bool = False, must_close: bool = False) -> list[str]:
    """Return the lines of a head but `Date`; it ends with an empty line."""
    head = http_head(reply, is_version_10=is_version_10, must_close=must_close).decode("ascii")
    assert head.endswith("\r\n\r\n")
    return [line for line in head.removesuffix("\r\n\r\n").split("\r\n") if not line.startswith("Date: ")]


def test_a_head_holds_the_fields_in_their_order_and_what_http_adds() -> None:
    assert lines_of(Reply(200, "served", {"ETag": '"1"', "Age": "0"}, b"abc")) == [
        "HTTP/1.1 200 OK",
        'ETag: "1"',
        "Age: 0",
        "Content-Length: 3",
        "Server: Live-Origin",
    ]


LENGTHS = [
    ("of-the-body", Reply(404, "absent", {}, b"abc"), ["Content-Length: 3"]),
    ("no-body", Reply(404, "absent"), ["Content-Length: 0"]),
    ("told-before", Reply(200, "served", {"Content-Length": "9"}), ["Content-Length: 9"]),
    ("not-modified", Reply(304, "not-modified"), []),
    ("no-content", Reply(204, "empty"), []),
    ("kept", Reply(200, "served", {}, b"abc", head=KeptHead(200, {"Content-Length": "7"})), ["Content-Length: 7"]),
]


@pytest.mark.parametrize(("reply", "expected"), [case[1:] for case in LENGTHS], ids=[case[0] for case in LENGTHS])
def test_the_length_is_told_once_where_there_is_one(reply: Reply, expected: list[str]) -> None:
    assert [line for line in lines_of(reply) if line.startswith("Content-Length")] == expected


ENDS = [
    ("1.1", False, False, []),
    ("1.1-last", False, True, ["Connection: close"]),
    ("1.0", True, True, []),
    ("1.0-staying", True, False, ["Connection: keep-alive"]),
]


@pytest.mark.parametrize(
    ("is_version_10", "must_close", "expected"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS]
)
def test_the_end_of_the_connection_is_told_where_it_is_not_the_rule(
    is_version_10: bool, must_close: bool, expected: list[str]
) -> None:
    headers = {"Content-Length": "0"}
    for kept in (None, KeptHead(200, headers)):
        reply = Reply(200, "served", headers, head=kept)
        lines = lines_of(reply, is_version_10=is_version_10, must_close=must_close)
        status_line = f"HTTP/1.{0 if is_version_10 else 1} 200 OK"
        assert lines == [status_line, "Content-Length: 0", "Server: Live-Origin", *expected]


@pytest.mark.parametrize("kind", list(Problem), ids=lambda kind: kind.slug)
def test_every_refusal_has_a_status_line(kind: Problem) -> None:
    assert lines_of(Reply(kind.status, kind.slug))[0] == f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}"


@pytest.mark.parametrize("kept", [None, KeptHead(200, {"Content-Length": "0"})], ids=["made", "kept"])
def test_the_date_is_that_of_the_second(kept: KeptHead | None) -> None:
    def date_at(now_s: float) -> str:
        with patch.object(time, "time", return_value=now_s):
            head = http_head(Reply(200, "served", head=kept), is_version_10=False, must_close=False).decode()
        return next(line for line in head.split("\r\n") if line.startswith("Date: "))

    assert date_at(1_922.9) == "Date: Thu, 01 Jan 1970 00:32:02 GMT"
    assert date_at(1_923.0) == "Date: Thu, 01 Jan 1970 00:32:03 GMT"
    assert date_at(1_800.0) == "Date: Thu, 01 Jan 1970 00:30:00 GMT"  # a clock that was set back
    with patch.object(kept_head, "http_date", side_effect=AssertionError("made once a second")):
        assert date_at(1_800.5) == "Date: Thu, 01 Jan 1970 00:30:00 GMT"
    assert parsedate_to_datetime(date_at(time.time()).removeprefix("Date: ")).year >= 2024


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nX: 1", "a\rX: 1", "\r\n\r\n<body>", "a\n", "\r"], ids=repr)
def test_a_value_cannot_begin_another_line(value: str) -> None:
    for headers in ({"One": value}, {"One": "1", "Two": value}, {f"One{value}": "1"}):
        with pytest.raises(ValueError, match="line break"):
            render_fields(headers)
        with pytest.raises(ValueError, match="line break"):
            http_head(Reply(200, "served", headers), is_version_10=False, must_close=False)
        with pytest.raises(ValueError, match="line break"):
            KeptHead(200, headers)


def test_fields_are_rendered_as_they_are() -> None:
    assert render_fields({}) == b""
    assert render_fields({"One": "1", "Two": 'a="b", c'}) == b'One: 1\r\nTwo: a="b", c\r\n'


def test_a_head_that_is_kept_is_made_once_a_second() -> None:
    kept = KeptHead(404, {"Content-Length": "0"})
    with patch.object(time, "time", return_value=1_922.0):
        assert kept.now() == (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nDate: Thu, 01 Jan 1970 00:32:02 GMT\r\n"
            b"Server: Live-Origin\r\n\r\n"
        )
        assert kept.now() is kept.now()

"""Heads seen before: what is found is what aiohttp would parse, and what leads to it was parsed whole."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import example, given
from hypothesis import strategies as st

from origin import heads
from origin.heads import Asked, KnownHeads
from origin.lane import plain_request
from origin.steps import DeliverRequest

HOST = b"Host: origin\r\n\r\n"
TARGET = "/derby/v720/7.m4s"
HEAD = b"GET /derby/v720/7.m4s HTTP/1.1\r\n" + HOST
REQUEST = DeliverRequest("GET", TARGET, TARGET, {})


@contextmanager
def parsing() -> Iterator[HttpRequestParser]:
    """A parser of aiohttp's, at the beginning of a connection."""
    loop = asyncio.new_event_loop()
    try:
        yield HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    finally:
        loop.close()


def messages_of(parser: HttpRequestParser, data: bytes) -> list[tuple[RawRequestMessage, Any]]:
    """Return what comes of bytes; nothing where they are no HTTP."""
    try:
        return list(parser.feed_data(data)[0])
    except HttpProcessingError:
        return []


def learn(known: KnownHeads, data: bytes, before: bytes = b"") -> bool:
    """Let a connection learn from bytes that came after others, as the fast lane does."""
    with parsing() as parser:
        messages_of(parser, before)
        learned = False
        for message, payload in messages_of(parser, data):
            request = plain_request(message, payload)
            asked = None if request is None else Asked(request, message.should_close)
            learned = learned or (asked is not None and known.learn(data, message, asked))
        return learned


@pytest.fixture
def known() -> KnownHeads:
    """One that knows the fields of `HEAD`."""
    known = KnownHeads()
    assert learn(known, HEAD)
    return known


def test_the_same_head_is_found(known: KnownHeads) -> None:
    assert known.find(HEAD) == Asked(REQUEST, must_close=False)


def test_fields_are_known_for_every_target_and_for_head(known: KnownHeads) -> None:
    found = known.find(b"HEAD /oaks@2/a/8.m4s HTTP/1.1\r\n" + HOST)
    assert found == Asked(DeliverRequest("HEAD", "/oaks@2/a/8.m4s", "/oaks@2/a/8.m4s", {}), must_close=False)


def test_conditions_and_the_end_of_the_connection_are_part_of_what_is_known() -> None:
    known = KnownHeads()
    fields = b'If-None-Match: "x"\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\nConnection: close\r\nHost: origin\r\n\r\n'
    assert learn(known, b"GET /a HTTP/1.1\r\n" + fields)
    conditions = {"If-None-Match": '"x"', "Range": "bytes=0-1, bytes=2-3"}
    assert known.find(b"GET /b HTTP/1.1\r\n" + fields) == Asked(DeliverRequest("GET", "/b", "/b", conditions), True)
    assert known.find(b"GET /b HTTP/1.1\r\n" + HOST) is None


NOT_FOUND = {
    "other-fields": b"GET /a HTTP/1.1\r\nHost: else\r\n\r\n",
    "other-method": b"PUT /a HTTP/1.1\r\n" + HOST,
    "lower-case": b"get /a HTTP/1.1\r\n" + HOST,
    "version-1.0": b"GET /a HTTP/1.0\r\n" + HOST,
    "query": b"GET /a?b HTTP/1.1\r\n" + HOST,
    "escape": b"GET /%61 HTTP/1.1\r\n" + HOST,
    "absolute": b"GET http://origin/a HTTP/1.1\r\n" + HOST,
    "two-spaces": b"GET  /a HTTP/1.1\r\n" + HOST,
    "line-feed-in-front": b"\nGET /a HTTP/1.1\r\n" + HOST,
    "long-line": b"GET /" + b"a" * heads.LINE_BYTES_MAX + b" HTTP/1.1\r\n" + HOST,
    "two-heads": HEAD + HEAD,
    "half-a-head": HEAD[:-2],
    "more-behind": HEAD + b"G",
    "nothing": b"",
}


@pytest.mark.parametrize("data", NOT_FOUND.values(), ids=NOT_FOUND)
def test_what_is_not_exactly_one_plain_known_head_is_left_to_the_parser(known: KnownHeads, data: bytes) -> None:
    assert known.find(data) is None


NOT_LEARNED = {
    "behind-half-a-first-line": (b"GET /derby/v720/7.m4s HTT", HEAD),
    "behind-half-a-field": (b"GET /derby/v720/7.m4s HTTP/1.1\r\nX: ", HEAD),
    "behind-a-body-that-took-its-beginning": (b"POST /a HTTP/1.1\r\nContent-Length: 47\r\n\r\n", HEAD + HEAD),
    "more-behind": (b"", HEAD + b"GET /"),
    # As many lines as fields, but not the same ones: all connections would take the second request for a field.
    "with-a-post-behind-and-fields-before": (
        b"GET /a HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nX: ",
        b"GET /a HTTP/1.1\r\nHost: o\r\n\r\nPOST /x HTTP/1.1\r\nHost: o\r\nContent-Length: 37\r\n\r\n",
    ),
    "with-a-get-behind-and-fields-before": (
        b"GET /a HTTP/1.1\r\nA: 1\r\nB: 2\r\nX: ",
        b"GET /a HTTP/1.1\r\nHost: o\r\n\r\nGET /b HTTP/1.1\r\nHost: o\r\n\r\n",
    ),
    "with-empty-lines-behind-and-a-condition-before": (
        b"GET /a HTTP/1.1\r\nRange: bytes=0-3\r\nX: ",
        b"GET /a HTTP/1.1\r\nHost: p\r\n\r\n\r\n\r\n",
    ),
    "with-an-empty-line-behind-half-a-condition": (
        b"GET /a HTTP/1.1\r\nRange: ",
        b"GET /a HTTP/1.1\r\nHost: o\r\n\r\n\r\n",
    ),
    "two-heads": (b"", HEAD + HEAD),
    "version-1.0": (b"", b"GET /a HTTP/1.0\r\n" + HOST),
    "query": (b"", b"GET /a?b HTTP/1.1\r\n" + HOST),
    "folded-field": (b"", b"GET /a HTTP/1.1\r\nX: a\r\n b\r\n" + HOST),
    "with-a-body": (b"", b"GET /a HTTP/1.1\r\nContent-Length: 1\r\nHost: origin\r\n\r\n"),
}


@pytest.mark.parametrize(("before", "data"), NOT_LEARNED.values(), ids=NOT_LEARNED)
def test_what_was_not_one_whole_head_teaches_nothing(before: bytes, data: bytes) -> None:
    assert not learn(KnownHeads(), data, before)


def test_empty_lines_before_a_head_are_none_of_it(known: KnownHeads) -> None:
    assert learn(KnownHeads(), HEAD, before=b"\r\n\r\n")


PIECES = st.sampled_from(
    [
        HEAD,
        HEAD[:20],
        HEAD[20:],
        HOST,
        *(b"\r\n", b"\n", b"GET /a HTTP/1.1\r\n", b"X: y\r\n", b" z\r\n", b"X", b": "),
        *(
            b"POST /a HTTP/1.1\r\n",
            b"Content-Length: 20\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"0\r\n\r\n",
            b"5\r\n",
        ),
    ]
)


@given(before=st.lists(PIECES, max_size=5).map(b"".join), data=st.lists(PIECES, max_size=6).map(b"".join))
@example(before=b"GET /a HTTP/1.1\r\nX: y", data=HEAD)
def test_whatever_came_before_what_is_learned_stands_alone(before: bytes, data: bytes) -> None:
    """And the parser is where a request begins: it understands the next one."""
    known = KnownHeads()
    if not learn(known, data, before):
        return
    with parsing() as alone, parsing() as behind:
        ((message, _),) = messages_of(alone, data)
        found = known.find(data)
        assert found is not None
        assert (found.request.method, found.request.raw_path) == (message.method, message.path)
        messages_of(behind, before)
        messages_of(behind, data)
        ((following, _),) = messages_of(behind, b"HEAD /next HTTP/1.1\r\n" + HOST)
        assert (following.method, following.path) == ("HEAD", "/next")


def test_long_fields_are_read_each_time_but_tell_where_a_request_begins() -> None:
    known = KnownHeads()
    data = b"GET /a HTTP/1.1\r\nX: " + b"x" * heads.FIELDS_BYTES_MAX + b"\r\n" + HOST
    assert learn(known, data)
    assert known.find(data) is None


def test_no_more_are_kept_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEADS_COUNT_MAX", 3)
    known = KnownHeads()
    for number in range(10):
        data = b"GET /%d HTTP/1.1\r\nX: %d\r\n" % (number, number) + HOST
        assert learn(known, data)
        assert known.find(data) is not None
        assert len(known._fields) <= 3 and len(known._asked) <= 3

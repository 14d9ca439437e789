"""A chosen body as HTTP shows it: whole, in part, not at all."""

from collections.abc import Mapping

import pytest

from origin.conditional import Representation
from origin.reply import Reply
from origin.representation import Prepared, Sending, evaluate
from selection.request_class import RequestClass
from storage.base import BodyKey

BODY = b"0123456789"
ETAG = '"abc"'
FACTS = {"pipeline": "a"}
FIELDS = {"ETag": ETAG, "Cache-Control": "public"}


def make_prepared(size_bytes: int = len(BODY)) -> Prepared:
    return Prepared(BodyKey("key"), FIELDS, Representation(ETAG, 1_000, size_bytes), RequestClass.LIVE_EDGE, FACTS)


def answer(headers: Mapping[str, str], *, is_head: bool = False, body: bytes = BODY) -> Reply:
    prepared = make_prepared(len(body))
    evaluated = evaluate(headers, prepared, is_head=is_head)
    return evaluated.reply(prepared, body) if isinstance(evaluated, Sending) else evaluated


def test_the_fields_of_the_whole_are_rendered_once() -> None:
    prepared = make_prepared()
    assert prepared.whole.fields == b'ETag: "abc"\r\nCache-Control: public\r\nContent-Length: 10\r\n'
    assert prepared.whole.status == 200
    reply = prepared.sending.reply(prepared, BODY)
    assert reply == Reply(200, "served", FIELDS, BODY, FACTS, head=prepared.whole)


def test_a_field_with_a_line_break_is_not_prepared() -> None:
    with pytest.raises(ValueError, match="line break"):
        Prepared(BodyKey("key"), {"X": "1\r\nY: 2"}, Representation(ETAG, 0, 1), RequestClass.DVR, {})


PARTS = [
    ("first", "bytes=0-3", b"0123", "bytes 0-3/10"),
    ("middle", "bytes=4-4", b"4", "bytes 4-4/10"),
    ("to-the-end", "bytes=7-", b"789", "bytes 7-9/10"),
    ("beyond-the-end", "bytes=7-99", b"789", "bytes 7-9/10"),
    ("last", "bytes=-2", b"89", "bytes 8-9/10"),
    ("all", "bytes=0-9", BODY, "bytes 0-9/10"),
]


@pytest.mark.parametrize(("asked", "part", "told"), [case[1:] for case in PARTS], ids=[case[0] for case in PARTS])
def test_a_part_is_those_bytes_and_where_they_stand(asked: str, part: bytes, told: str) -> None:
    reply = answer({"Range": asked})
    assert reply == Reply(206, "served-part", {**FIELDS, "Content-Range": told}, part, FACTS)


def test_a_part_is_not_sent_with_the_fields_of_the_whole() -> None:
    assert answer({"Range": "bytes=0-1"}).head is None


def test_who_has_it_is_told_so() -> None:
    for is_head in (False, True):
        assert answer({"If-None-Match": ETAG}, is_head=is_head) == Reply(304, "not-modified", FIELDS, facts=FACTS)


def test_a_condition_that_fails_is_a_refusal_for_a_moment() -> None:
    reply = answer({"If-Match": '"other"'})
    assert (reply.status, reply.outcome, reply.headers["Live-Origin-TTL"]) == (412, "precondition", "250ms")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused_with_the_size(asked: str) -> None:
    reply = answer({"Range": asked})
    assert (reply.status, reply.outcome) == (416, "range")
    assert (reply.headers["Content-Range"], reply.headers["Accept-Ranges"]) == ("bytes */10", "bytes")


def test_a_head_is_told_the_length_and_needs_no_body() -> None:
    for headers in ({}, {"Range": "bytes=0-1"}, {"If-None-Match": '"other"'}):
        reply = answer(headers, is_head=True)
        assert reply == Reply(200, "served", {**FIELDS, "Content-Length": "10"}, facts=FACTS)


def test_an_empty_body_is_whole() -> None:
    assert answer({}, body=b"").body == b""
    assert b"Content-Length: 0\r\n" in make_prepared(0).whole.fields
    assert answer({"Range": "bytes=0-"}, body=b"").status == 416

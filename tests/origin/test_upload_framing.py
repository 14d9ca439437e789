"""Whether bytes are the head that was parsed, and what a head tells of its body."""

from typing import Any

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from origin.heads import is_head_of
from origin.upload_framing import length_bytes_of, plain_upload

HEAD = b"PUT /a HTTP/1.1\r\nHost: origin\r\nContent-Length: 3\r\n\r\n"


def message(*fields: tuple[str, str], method: str = "PUT", path: str = "/a", **others: Any) -> RawRequestMessage:
    """Return a parsed head; with these fields, or those of `HEAD`."""
    headers = CIMultiDictProxy(CIMultiDict(fields or (("Host", "origin"), ("Content-Length", "3"))))
    raw = tuple((name.encode(), value.encode()) for name, value in headers.items())
    rest: dict[str, Any] = {"should_close": False, "compression": None, "upgrade": False, "chunked": False} | others
    version = rest.pop("version", HttpVersion11)
    return RawRequestMessage(method, path, version, headers, raw, url=URL(path), **rest)


def test_a_head_is_known_by_its_first_line_and_the_number_of_its_fields() -> None:
    assert is_head_of(HEAD, message())


@pytest.mark.parametrize(
    "data",
    [
        HEAD.replace(b"PUT", b"POST"),
        HEAD.replace(b"/a", b"/b"),
        HEAD.replace(b"1.1", b"1.0"),
        b"\r\n" + HEAD,
        HEAD.replace(b"Host: origin\r\n", b""),
        HEAD.replace(b"Host", b"X: y\r\nHost"),
        HEAD.replace(b"origin\r\n", b"origin\n"),
        HEAD.replace(b"origin\r\nContent-Length: 3", b"origin\r\n Content-Length: 3"),
        HEAD.replace(b"origin\r\nContent-Length: 3", b"origin\r\n\tContent-Length: 3"),
        HEAD + HEAD,
        HEAD + b"\r\n",
    ],
    ids=["method", "path", "version", "line", "less", "more", "lf", "folded", "folded-tab", "two", "line-behind"],
)
def test_bytes_that_are_less_or_more_than_the_head_are_not_it(data: bytes) -> None:
    assert not is_head_of(data, message())


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_of_known_length_is_plain(method: str) -> None:
    upload = plain_upload(message(method=method, path="/derby/a/v720/7.m4s"))
    assert upload is not None
    assert upload[:2] + upload[3:] == (method, "/derby/a/v720/7.m4s", 3)


@pytest.mark.parametrize(
    "head",
    [
        message(method="DELETE"),
        message(version=HttpVersion10),
        message(chunked=True),
        message(upgrade=True),
        message(("Content-Length", "3"), ("Expect", "100-continue")),
        message(("Content-Length", "3"), ("Content-Encoding", "identity")),
        message(("Content-Length", "3"), ("Transfer-Encoding", "identity")),
        message(("Content-Length", "0")),
        message(("Host", "origin")),
        message(path="/a?b"),
        message(path="/%61"),
        message(path="http://origin/a"),
        message(path="*"),
    ],
    ids=lambda head: repr(head)[:200],
)
def test_anything_else_is_not(head: RawRequestMessage) -> None:
    assert plain_upload(head) is None


@pytest.mark.parametrize(
    ("values", "length_bytes"),
    [(["5"], 5), (["005"], 5), (["0"], 0), ([], None), (["5", "5"], None), (["+5"], None), (["5, 5"], None)]
    + [([text], None) for text in ("", "-5", "0x5", "\u0665", "\u00b2", "5_0", " 5")],
)
def test_a_length_counts_if_it_is_one_of_digits(values: list[str], length_bytes: int | None) -> None:
    fields = [("Host", "origin"), *(("Content-Length", value) for value in values)]
    assert length_bytes_of(message(*fields)) == length_bytes

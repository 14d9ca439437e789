"""The head of an answer as bytes, for whoever writes to a connection without aiohttp's response objects."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from origin.headers import http_date
from origin.reply import Reply

SERVER: Final = "Live-Origin"

_STATUS_LINES: Final = {
    (version, status.value): f"HTTP/1.{version} {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
    for version in (0, 1)
}
_SERVER_FIELD: Final = f"Server: {SERVER}\r\n"


class _DateField:
    """The `Date` field and the line that names us, made once a second."""

    def __init__(self) -> None:
        self._at_s = -1
        self._field = b""

    def now(self) -> bytes:
        at_s = int(time.time())
        if at_s != self._at_s:
            self._at_s = at_s
            self._field = f"Date: {http_date(at_s)}\r\n{_SERVER_FIELD}".encode()
        return self._field


_date = _DateField()


def render_fields(headers: Mapping[str, str]) -> bytes:
    """Return header fields as they stand in an answer.

    Raises:
        ValueError: A value would begin another line.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header field holds a line break")
    return text.encode()


def http_head(reply: Reply, *, is_version_10: bool, must_close: bool) -> bytes:
    """Return an answer up to and including the empty line: status, fields, length (RFC 9112, 4, 6.3 and 9.3).

    Args:
        is_version_10: The request was HTTP/1.0, where connections end unless both sides say otherwise.
        must_close: The connection ends after this answer.
    """
    fields = reply.fields
    if fields is None:
        headers = reply.headers
        if "Content-Length" not in headers and reply.status not in (204, 304):
            headers = {**headers, "Content-Length": str(len(reply.body))}
        fields = render_fields(headers)
    if must_close:
        end = b"\r\n" if is_version_10 else b"Connection: close\r\n\r\n"
    else:
        end = b"Connection: keep-alive\r\n\r\n" if is_version_10 else b"\r\n"
    return _STATUS_LINES[0 if is_version_10 else 1, reply.status] + fields + _date.now() + end

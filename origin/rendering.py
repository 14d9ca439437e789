"""The head of an answer as bytes, for whoever writes to a connection without aiohttp's response objects."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from origin.headers import http_date
from origin.reply import Reply

SERVER: Final = "Live-Origin"

# By minor version, then by status.
_STATUS_LINES: Final = tuple(
    {status.value: f"HTTP/1.{version} {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
    for version in (0, 1)
)
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


class KeptHead:
    """The head of an answer that is given again and again: made anew once a second, for its `Date`.

    Args:
        headers: With the length of the body.
    Raises:
        ValueError: A value would begin another line.
    """

    __slots__ = ("_at_s", "_text", "fields", "status")

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.fields = render_fields(headers)
        self._at_s = -1
        self._text = b""

    def now(self) -> bytes:
        """Return it for a connection of HTTP/1.1 that goes on."""
        at_s = int(time.time())
        if at_s != self._at_s:
            self._at_s, self._text = at_s, _joined(1, self.status, self.fields, b"\r\n")
        return self._text


def http_head(reply: Reply, *, is_version_10: bool, must_close: bool) -> bytes:
    """Return an answer up to and including the empty line: status, fields, length (RFC 9112, 4, 6.3 and 9.3).

    Args:
        is_version_10: The request was HTTP/1.0, where connections end unless both sides say otherwise.
        must_close: The connection ends after this answer.
    """
    kept = reply.head
    if kept is None:
        headers = reply.headers
        if "Content-Length" not in headers and reply.status not in (204, 304):
            headers = {**headers, "Content-Length": str(len(reply.body))}
        fields = render_fields(headers)
    elif is_version_10 or must_close:
        fields = kept.fields
    else:
        return kept.now()
    if must_close:
        end = b"\r\n" if is_version_10 else b"Connection: close\r\n\r\n"
    else:
        end = b"Connection: keep-alive\r\n\r\n" if is_version_10 else b"\r\n"
    return _joined(0 if is_version_10 else 1, reply.status, fields, end)


def _joined(minor_version: int, status: int, fields: bytes, end: bytes) -> bytes:
    # Added up one by one they would be copied three times, which takes twice as long (measured).
    return b"".join((_STATUS_LINES[minor_version][status], fields, _date.now(), end))

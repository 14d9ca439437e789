"""Heads of answers as bytes: their parts, and those that are kept for who asks next."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from origin.headers import http_date

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
            self._at_s, self._text = at_s, joined(1, self.status, self.fields, b"\r\n")
        return self._text


def joined(minor_version: int, status: int, fields: bytes, end: bytes) -> bytes:
    """Return a head.

    Args:
        minor_version: Of HTTP/1.
        fields: Beside `Date` and `Server`.
        end: What is behind them, the empty line included.
    """
    # Added up one by one they would be copied three times, which takes twice as long (measured).
    return b"".join((_STATUS_LINES[minor_version][status], fields, _date.now(), end))

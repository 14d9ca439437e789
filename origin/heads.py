"""Heads of requests that were seen before: what they mean is known without parsing them again.

A cache sends the same fields with every request on a connection, and all caches ask for the same names. So a head
is looked up as two strings of bytes: its first line, whose grammar here is narrower than HTTP's, and all that follows
it. What follows is only ever known from a head that aiohttp has parsed, with all its limits; what is not known goes
to aiohttp. That takes a tenth of the time of parsing (measured: 1 us for 11).

Request line: RFC 9112, 3. Fields: RFC 9112, 5.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aiohttp.http import RawRequestMessage

from origin.steps import DeliverRequest

# What a path may consist of to mean the same decoded and as it was received.
PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9/@._~$=,+:-]*")
_LINE: Final = re.compile(rb"(GET|HEAD) (%b) HTTP/1\.1" % PLAIN_PATH.pattern.encode())
# Who asks chooses both. Beyond these lengths they are parsed each time.
LINE_BYTES_MAX: Final = 256
FIELDS_BYTES_MAX: Final = 2_048
# How many of each are kept; with the lengths above 30 MB at most (measured, conditions included).
HEADS_COUNT_MAX: Final = 4_096
_END: Final = b"\r\n\r\n"


class Asked(NamedTuple):
    """A request, whether its client wants the connection to end with the answer, and whether it is of HTTP/1.0."""

    request: DeliverRequest
    must_close: bool = False
    is_version_10: bool = False


class _Fields(NamedTuple):
    """What the fields of a head come to, where they come to anything.

    Args:
        conditions: Those that `conditional.FIELDS` names.
    """

    conditions: Mapping[str, str] = MappingProxyType({})
    must_close: bool = False


_PLAIN: Final = _Fields()


def is_head_of(data: bytes, message: RawRequestMessage) -> bool:
    """Tell whether these bytes are the head of HTTP/1.1 that was parsed, all of it and nothing else.

    They are if an empty line ends them and is the only one, if their first line is the one that was parsed, and if the
    lines between are as many as its fields: a head that began in bytes before these has one field more at least, of
    which the first line of these is a part.
    """
    if not data.startswith(f"{message.method} {message.path} HTTP/1.1\r\n".encode()):
        return False
    if data.find(_END) != len(data) - len(_END):
        return False
    lines_count = data.count(b"\n")
    if lines_count != data.count(b"\r\n") or lines_count - 2 != len(message.raw_headers):
        return False
    return b"\n " not in data and b"\n\t" not in data  # a folded field; aiohttp refuses it (RFC 9112, 5.2)


class KnownHeads:
    """The heads that connections of one listener have sent lately."""

    def __init__(self) -> None:
        # Both by their bytes, the fields from the end of the first line on.
        self._fields: dict[bytes, _Fields] = {}
        self._asked: dict[bytes, Asked] = {}

    def find(self, data: bytes) -> Asked | None:
        """Return the request that these bytes are, if they are one whole head whose fields are known.

        The connection must be where a request begins.
        """
        line, _, rest = data.partition(b"\r\n")
        fields = self._fields.get(rest)
        if fields is None:
            return None
        asked = self._asked.get(line) or self._read(line)
        if asked is None or fields is _PLAIN:
            return asked
        request = asked.request
        conditioned = DeliverRequest(request.method, request.path, request.raw_path, fields.conditions)
        return Asked(conditioned, fields.must_close)

    def learn(self, data: bytes, message: RawRequestMessage, asked: Asked) -> bool:
        """Keep the fields of a head; returns whether these bytes were that head, all of it and nothing else.

        Then the connection is where a request begins. What is kept is known to all connections, so whoever could
        teach something else here could smuggle requests.

        Args:
            data: What was parsed last.
            message: What came of it.
            asked: What `origin.lane` made of that.
        """
        line, _, rest = data.partition(b"\r\n")
        if _LINE.fullmatch(line) is None or not is_head_of(data, message):
            return False
        if len(rest) <= FIELDS_BYTES_MAX:
            if len(self._fields) >= HEADS_COUNT_MAX:
                self._fields.clear()
            is_plain = not asked.request.headers and not asked.must_close
            self._fields[rest] = _PLAIN if is_plain else _Fields(asked.request.headers, asked.must_close)
        return True

    def _read(self, line: bytes) -> Asked | None:
        """Read a first line that was not seen lately."""
        matched = _LINE.fullmatch(line)
        if matched is None or len(line) > LINE_BYTES_MAX:
            return None
        path = matched[2].decode()
        asked = Asked(DeliverRequest(matched[1].decode(), path, path, {}))
        if len(self._asked) >= HEADS_COUNT_MAX:
            self._asked.clear()
        self._asked[line] = asked
        return asked

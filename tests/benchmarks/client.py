"""One keep-alive connection of a client that costs next to nothing: a raw socket and a buffer made beforehand."""

import hashlib
import re
import socket
import time
from contextlib import suppress
from typing import Final, NamedTuple

HEAD_BYTES_MAX: Final = 16 * 1024
CONNECT_S_MAX: Final = 5.0

_STATUS: Final = slice(9, 12)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_ETAG: Final = re.compile(rb"\r\netag: *([^\r]*)", re.IGNORECASE)
_CACHE: Final = re.compile(rb"\r\ncache-control: *([^\r]*)", re.IGNORECASE)

Address = tuple[str, int]


class Ask(NamedTuple):
    """One GET to come.

    Args:
        client: Who asks; None for whichever is idle.
        at_ns: When, by the monotonic clock, which all processes share; 0 for at once.
        until_ns: An ask that got no 200 is repeated until then.
    """

    path: str
    client: int | None = None
    at_ns: int = 0
    until_ns: int = 0


class Answer(NamedTuple):
    """What came of one request; moments are of the monotonic clock. Status 0: the connection broke."""

    path: str
    client: int
    status: int
    due_ns: int
    sent_ns: int
    first_ns: int
    last_ns: int
    body_bytes: int
    digest: bytes
    etag: str
    cache_control: str


class Client:
    """A connection that asks for one thing at a time.

    Args:
        keep_bytes: Largest body that is kept to be hashed; 0 if none is.
        scratch: Where bodies go that are not kept; shared between clients.
    """

    def __init__(self, index: int, address: Address, keep_bytes: int, scratch: memoryview) -> None:
        self.index = index
        self.ask: Ask | None = None
        self._address = address
        self.keeps = keep_bytes > 0
        self._view = memoryview(bytearray(HEAD_BYTES_MAX + keep_bytes))
        self._scratch = scratch
        self._socket: socket.socket | None = None
        self._sent_ns = 0
        self._first_ns = 0
        self._last_ns = 0
        self._received_bytes = 0
        self._head_bytes = 0
        self._whole_bytes = 0
        self._is_last = False

    @property
    def has_first_byte(self) -> bool:
        return self._first_ns > 0

    @property
    def number_of_file(self) -> int | None:
        """The descriptor of its connection, if there is one."""
        return None if self._socket is None else self._socket.fileno()

    def connect(self) -> int:
        """Connect; returns the new descriptor.

        Raises:
            OSError: Nobody took the connection in time.
        """
        self.close()
        self._socket = socket.create_connection(self._address, timeout=CONNECT_S_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        return self._socket.fileno()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, ask: Ask, now_ns: int) -> None:
        """Send one request. A connection that takes none shows when it is read from."""
        self.ask = ask
        self._reset(now_ns)
        assert self._socket is not None
        with suppress(OSError):
            self._socket.send(f"GET {ask.path} HTTP/1.1\r\nHost: origin\r\n\r\n".encode())

    def read(self, woke_ns: int) -> bool:
        """Read once; returns whether this ended an answer or the connection."""
        assert self._socket is not None
        into = self._scratch if self._whole_bytes and not self.keeps else self._view[self._received_bytes :]
        try:
            count = self._socket.recv_into(into)
        except BlockingIOError:
            return False
        except OSError:
            count = 0
        if count == 0:
            self.close()
            return True
        if not self._first_ns:
            self._first_ns = woke_ns
        self._received_bytes += count
        if not self._whole_bytes:
            self._read_head()
        if not self._whole_bytes or self._received_bytes < self._whole_bytes:
            return False
        self._last_ns = time.monotonic_ns()
        if self._received_bytes > self._whole_bytes or self._is_last:
            self.close()
        return True

    def finish(self) -> Answer:
        """Return the answer that has ended, its body hashed if it is kept, and be free for the next."""
        ask, self.ask = self.ask, None
        assert ask is not None
        is_whole = bool(self._last_ns) and self._received_bytes == self._whole_bytes
        head = bytes(self._view[: self._head_bytes])
        body = self._view[self._head_bytes : self._whole_bytes]
        return Answer(
            path=ask.path,
            client=self.index,
            status=int(head[_STATUS]) if is_whole else 0,
            due_ns=ask.at_ns or self._sent_ns,
            sent_ns=self._sent_ns,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            body_bytes=self._received_bytes - self._head_bytes,
            digest=hashlib.sha256(body).digest() if is_whole and self.keeps else b"",
            etag=_text(_ETAG, head),
            cache_control=_text(_CACHE, head),
        )

    def _read_head(self) -> None:
        received = bytes(self._view[: min(self._received_bytes, HEAD_BYTES_MAX)])
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        self._head_bytes = end + 4
        length = _LENGTH.search(received, 0, end)
        self._whole_bytes = self._head_bytes + (int(length[1]) if length else 0)
        self._is_last = _CLOSE.search(received, 0, end) is not None

    def _reset(self, now_ns: int) -> None:
        self._sent_ns, self._first_ns, self._last_ns = now_ns, 0, 0
        self._received_bytes, self._head_bytes, self._whole_bytes = 0, 0, 0
        self._is_last = False


def _text(pattern: re.Pattern[bytes], head: bytes) -> str:
    found = pattern.search(head)
    return found[1].decode("ascii", "replace") if found else ""

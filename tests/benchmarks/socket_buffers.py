"""What waits in the buffers of a server's sockets, which is memory of the kernel and of no process (sock_diag(7))."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI48x")
_MESSAGE: Final = struct.Struct("=BBBB2s2s64x")
_ATTRIBUTE: Final = struct.Struct("=HH")
_MEMORY: Final = struct.Struct("=9I")

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_DUMP_REQUEST: Final = 0x301
_DONE: Final = 3
_ERROR: Final = 2
_MEMORY_INFO: Final = 7
_ESTABLISHED: Final = 1 << 1
_ANSWER_BYTES_MAX: Final = 256 * 1024


def buffers_bytes(port: int) -> int | None:
    """Return what the buffers of all connections that a server on `port` has (IPv4) take, in this network namespace.

    What is received and not read, what is to be sent or acknowledged, and what the kernel has set aside for either. Not
    among it are the structures of a socket, its inode and its file. None where the kernel does not tell.
    """
    with suppress(OSError), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_MEMORY_INFO - 1), 0, _ESTABLISHED)
        header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0)
        netlink.send(header + body)
        return sum(_taken_bytes(message) for message in _messages(netlink) if _port_of(message) == port)
    return None


def _messages(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        answer = netlink.recv(_ANSWER_BYTES_MAX)
        while answer:
            size, kind, _, _, _ = _HEADER.unpack_from(answer)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OSError("the kernel does not tell of sockets")
            yield answer[_HEADER.size : size]
            answer = answer[(size + 3) & ~3 :]


def _port_of(message: bytes) -> int:
    return int.from_bytes(_MESSAGE.unpack_from(message)[4], "big")


def _taken_bytes(message: bytes) -> int:
    attributes = message[_MESSAGE.size :]
    while attributes:
        size, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _MEMORY_INFO:
            received, _, _, _, set_aside, queued, *_ = _MEMORY.unpack_from(attributes, _ATTRIBUTE.size)
            return int(received + set_aside + queued)
        attributes = attributes[(size + 3) & ~3 :]
    raise OSError("the kernel does not tell what sockets take")

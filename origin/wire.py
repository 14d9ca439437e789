"""Writing an answer: what the system takes at once goes there at once, the rest is the transport's.

The transport's way to the system is a microsecond longer, of the twenty that an answer of 64 KB takes (measured), as
it must be ready for what the system does not take. Nothing is before an answer whose transport has nothing left to
write, so it may be written past it.
"""

import asyncio
import os

from storage.base import Body


def descriptor_of(transport: asyncio.BaseTransport) -> int:
    """Return the descriptor of a transport's socket, which is its own until it is closed; -1 where there is none."""
    connection = transport.get_extra_info("socket")
    return -1 if connection is None else connection.fileno()


def write(transport: asyncio.Transport, descriptor: int, head: bytes, body: Body) -> None:
    """Write an answer. Nothing waits, and nothing is lost: faults are left to the transport to find, too.

    Args:
        descriptor: Of the transport, or -1.
    """
    if descriptor < 0 or transport.get_write_buffer_size() or transport.is_closing():
        transport.writelines((head, body))
        return
    try:
        written_bytes = os.writev(descriptor, (head, body))
    except OSError:  # the system takes nothing now, or the client has gone
        transport.writelines((head, body))
        return
    left_bytes = len(head) + len(body) - written_bytes
    if not left_bytes:
        return
    if left_bytes > len(body):
        transport.writelines((head[written_bytes:], body))
    else:
        transport.write(memoryview(body)[len(body) - left_bytes :])

"""What the head of an upload tells of its body: how many bytes it has, and whether they are taken as they are."""

from typing import Final

from aiohttp import HttpVersion11
from aiohttp.http import RawRequestMessage

from origin.heads import PLAIN_PATH
from origin.publish import UploadHead

METHODS: Final = ("PUT", "POST")


def plain_upload(message: RawRequestMessage) -> UploadHead | None:
    """Return an upload whose body is so many bytes as they are, or None."""
    if message.method not in METHODS or message.chunked or message.upgrade or message.version != HttpVersion11:
        return None
    headers = message.headers
    if "Expect" in headers or "Content-Encoding" in headers or "Transfer-Encoding" in headers:
        return None
    length_bytes = length_bytes_of(message)
    if not length_bytes or PLAIN_PATH.fullmatch(message.path) is None:
        return None
    return UploadHead(message.method, message.path, headers, length_bytes)


def length_bytes_of(message: RawRequestMessage) -> int | None:
    """Return how many bytes of a body follow a head; None if it does not tell, or not clearly."""
    lengths = message.headers.getall("Content-Length", [])
    if message.chunked or len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdecimal()):
        return None
    return int(lengths[0])

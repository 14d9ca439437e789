"""What the tests of both lanes on one wire ask for, in two spellings, and an origin that has it."""

import asyncio
from typing import Final

from tests.origin.raw_client import request
from tests.origin.site import NUMBER, Site, make_body

NEXT: Final = NUMBER + 1
NEW: Final = f"/derby/v720/{NUMBER}.m4s"
HELD: Final = f"/derby/v720/{NEXT}.m4s"


def encoded(path: str) -> bytes:
    """Return a request for the same path in another spelling, which the fast lane leaves to aiohttp."""
    return request(path.replace("v720", "%76720"))


async def fill(site: Site) -> None:
    """Publish one of each kind."""
    for name in (NUMBER, "v720/init.mp4", "live.mpd"):
        assert (await site.put(name)).status == 201


def segment_at(number: int) -> bytes:
    """Return the bytes of a segment that pipeline `a` published."""
    return make_body(number)


def forget(site: Site) -> None:
    """Empty the RAM tier."""
    for key in list(site.ram._cache):
        site.origin._ram.drop(key)


async def until_read() -> None:
    """Let the origin, which runs in the same loop, read what was sent."""
    for _ in range(3):
        await asyncio.sleep(0)

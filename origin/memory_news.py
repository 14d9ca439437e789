"""What the publish process tells of shared memory over the feed, and what a deliver process makes of it."""

import json
import logging
import os
from collections.abc import Iterator
from typing import Final

from origin.feed.hooks import MemoryNews
from origin.feed.wire import FrameType
from origin.logs import fields
from storage.arenas import Announcement, ArenaGone, ArenaMade, BodyPlaced
from storage.base import BodyKey
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import BadAnnouncement, SharedRamReader

log = logging.getLogger(__name__)

# Bodies told of in one frame to who comes later; each takes about 100 bytes.
PLACES_AT_ONCE: Final = 500
# `json.dumps` with separators makes an encoder for each call.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def news_of(announcement: Announcement) -> MemoryNews:
    """Return an announcement as it is sent."""
    match announcement:
        case BodyPlaced():
            return _placed([announcement])
        case ArenaMade(arena_id, size_bytes, fd):
            return MemoryNews(FrameType.ARENA, _encoded([arena_id, size_bytes]), fd)
        case ArenaGone(arena_id):
            return MemoryNews(FrameType.GONE, _encoded(arena_id))


def all_news(ram: SharedRam) -> Iterator[MemoryNews]:
    """Yield what a newcomer must be told."""
    for arena in ram.arenas():
        yield news_of(arena)
        places = list(ram.places(arena.id))
        for first in range(0, len(places), PLACES_AT_ONCE):
            yield _placed(places[first : first + PLACES_AT_ONCE])


class MemoryFollower:
    """Tells a reader of shared memory what is heard of it. What cannot be is logged: bodies are read from SSD then."""

    def __init__(self, ram: SharedRamReader) -> None:
        self._ram = ram

    def on_arena(self, payload: bytes, descriptor: int) -> None:
        """Map an arena; the descriptor is closed."""
        try:
            arena_id, size_bytes = json.loads(payload)
        except ValueError:
            os.close(descriptor)
            raise
        try:
            self._ram.attach(arena_id, size_bytes, descriptor)
        except (BadAnnouncement, OSError) as exc:
            log.warning("shared memory not mapped", extra=fields(arena=arena_id, error=str(exc)))

    def on_placed(self, payload: bytes) -> None:
        """Learn where bodies lie."""
        for key, arena_id, offset, size_bytes in json.loads(payload):
            try:
                self._ram.place(BodyKey(key), arena_id, offset, size_bytes)
            except BadAnnouncement as exc:
                log.warning("shared body not taken", extra=fields(key=key, error=str(exc)))

    def on_gone(self, payload: bytes) -> None:
        """Let an arena go."""
        self._ram.gone(json.loads(payload))


def _placed(places: list[BodyPlaced]) -> MemoryNews:
    # Neither keys nor names of arenas hold anything that JSON would have to escape.
    texts = [f'["{key}","{arena_id}",{offset},{size_bytes}]' for key, arena_id, offset, size_bytes in places]
    return MemoryNews(FrameType.PLACED, f"[{','.join(texts)}]".encode())


def _encoded(value: object) -> bytes:
    return _encode(value).encode()

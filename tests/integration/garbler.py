"""A line between one packager and an origin that turns some media segments into garbage, and remembers everything.

Garbage arrives under the name of the segment, with headers that fit; neither end is told. Which segments it hits and
how is arithmetic, so that a run can be told about afterwards.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

import aiohttp
from aiohttp import web

from origin.demo import garbage
from origin.receive import BodyStalled, BodyTooLarge, BodyTruncated, UploadServer, read_body
from tests.support.packagers import Format

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
BODY_IDLE_MS: Final = 30_000
PACKET_BYTES: Final = 188
BLOCK: Final = 10

# Rendition and number.
Place = tuple[str, int]
# Takes a segment and another one that lies elsewhere; returns what is sent instead.
Garbling = Callable[[bytes, bytes], bytes]


def _of_the_demo(kind: garbage.Garbage) -> Garbling:
    def garble(body: bytes, other: bytes) -> bytes:
        done, sent = garbage.garble(kind, body, len(body), other)
        assert done is kind
        return sent

    return garble


def _middle_packet(body: bytes) -> int:
    return len(body) // PACKET_BYTES // 2 * PACKET_BYTES


def _noise(body: bytes, _other: bytes) -> bytes:
    return Random(len(body)).randbytes(len(body))


def _zero_tail(body: bytes, _other: bytes) -> bytes:
    kept = _middle_packet(body)
    return body[:kept] + bytes(len(body) - kept)


def _cut(body: bytes, _other: bytes) -> bytes:
    return body[: _middle_packet(body) + PACKET_BYTES // 2]


def _lose_packets(body: bytes, _other: bytes) -> bytes:
    begin = _middle_packet(body)
    return body[:begin] + body[begin + 5 * PACKET_BYTES :]


def _other(_body: bytes, other: bytes) -> bytes:
    return other


IN_BOXES: Final[Mapping[str, Garbling]] = {kind.value: _of_the_demo(kind) for kind in garbage.Garbage}
IN_PACKETS: Final[Mapping[str, Garbling]] = {
    "noise": _noise,
    "zeros": _zero_tail,
    "cut": _cut,
    "packets": _lose_packets,
    "other": _other,
}


def is_hit(place: Place, percent: int) -> bool:
    """Tell whether a segment is hit: exactly that share of any ten in a row, others of each rendition.

    >>> [number for number in range(20) if is_hit(("0", number), 10)]
    [5, 15]
    """
    rendition_id, number = place
    return number % BLOCK in Random(rendition_id).sample(range(BLOCK), percent * BLOCK // 100)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@dataclass
class Record:
    """What went through a line.

    Args:
        genuine: Digest of what the packager sent, by place.
        garbled: Digest of what arrived instead. kinds: of which kind it was.
    """

    genuine: dict[Place, str] = field(default_factory=dict)
    garbled: dict[Place, str] = field(default_factory=dict)
    kinds: dict[Place, str] = field(default_factory=dict)


class Line:
    """Passes everything on to an origin, some of it garbled.

    Args:
        origin_url: Where the origin takes publications, without a slash at the end.
        numbers: Those that may be hit; others are passed on as they are, and are not recorded.
        percent: Share of the segments that are hit.
    """

    def __init__(self, origin_url: str, form: Format, numbers: Sequence[int], percent: int) -> None:
        self.record = Record()
        self._origin_url = origin_url
        self._places = {track.name(number): (track.rendition_id, number) for track in form.tracks for number in numbers}
        self._percent = percent
        self._kinds = IN_PACKETS if form.event["init"] is None else IN_BOXES
        self._newest: dict[str, bytes] = {}
        self._session = aiohttp.ClientSession()
        self._server = UploadServer(self._handle)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=1)

    async def start(self) -> str:
        """Start to listen; returns where, as a base URL without a slash at the end."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._server.drain()
        await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await read_body(request, BODY_BYTES_MAX, BODY_IDLE_MS)
        except (BodyStalled, BodyTooLarge, BodyTruncated) as exc:
            return web.Response(status=400, text=repr(exc))  # its packager was killed
        place = self._places.get(request.path.rpartition("/")[2])
        if place is not None and body and request.method in ("PUT", "POST"):
            body = self._spoilt(place, body)
        async with self._session.request(request.method, self._origin_url + request.path, data=body) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    def _spoilt(self, place: Place, body: bytes) -> bytes:
        record, rendition_id = self.record, place[0]
        record.genuine[place] = digest_of(body)
        # Of another rendition; where there is only one, its former segment.
        other = next((newest for each, newest in self._newest.items() if each != rendition_id), None)
        other = other or self._newest.get(rendition_id, b"")
        self._newest[rendition_id] = body
        if not is_hit(place, self._percent):
            return body
        kind = list(self._kinds)[len(record.kinds) % len(self._kinds)]
        sent = self._kinds[kind](body, other)
        record.garbled[place], record.kinds[place] = digest_of(sent), kind
        return sent


@asynccontextmanager
async def line(
    origin_url: str, form: Format, numbers: Sequence[int], percent: int
) -> AsyncIterator[tuple[str, Record]]:
    """Yield where a packager is to push to, and what went through."""
    between = Line(origin_url, form, numbers, percent)
    try:
        yield await between.start(), between.record
    finally:
        await between.stop()

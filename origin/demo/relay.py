"""A bad line between one packager and the origin: a small HTTP relay that loses, garbles and delays on purpose.

It takes what it gets whole or not at all, as the origin does, and survives a packager that closes the
connection right after its last byte. What is not hit, it passes on unchanged. A packager is not told what became
of its segments; nor is the origin: garbage has the headers of a good one.
"""

import asyncio
import logging
from typing import Final

import aiohttp
from aiohttp import web

from origin.demo import media
from origin.demo.faults import is_dropped, is_garbled
from origin.demo.garbage import garble, kind_of
from origin.demo.media import Track
from origin.demo.options import Fault
from origin.demo.reader import digest_of
from origin.demo.reports import Dropped, Garbled, Tell
from origin.logs import fields
from origin.receive import BodyStalled, BodyTooLarge, BodyTruncated, UploadServer, read_body

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
# ffmpeg opens a request a whole segment before it sends the body.
BODY_IDLE_MS: Final = 10 * media.SEGMENT_MS
SHUTDOWN_TIMEOUT_S: Final = 1


class Relay:
    """Stands between one packager and the origin.

    Args:
        origin_url: Where the origin takes publications, as `http://host:port`.
        fault: What goes wrong here.
        tell: Told of every segment that was dropped or garbled.
    """

    def __init__(self, pipeline_id: str, origin_url: str, fault: Fault, tell: Tell) -> None:
        self._pipeline_id = pipeline_id
        self._origin_url = origin_url
        self._fault = fault
        self._tell = tell
        self._newest: dict[str, bytes] = {}
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[web.StreamResponse]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._server = UploadServer(self._handle)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)

    async def start(self) -> str:
        """Start to listen on a free port; returns where, as `http://host:port`."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=BODY_IDLE_MS / 1000))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop; what is still being delayed is lost."""
        self._stop.set()
        await self._runner.cleanup()
        await self._server.drain()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await read_body(request, BODY_BYTES_MAX, BODY_IDLE_MS)
        except (BodyStalled, BodyTooLarge, BodyTruncated) as exc:
            return web.Response(status=400, text=f"Not passed on: {exc!r}.")
        # A task of its own: the packager's connection may be gone before this is done, and `stop` waits for it.
        task = asyncio.create_task(self._forward(request, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await task

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        segment = media.segment_of_name(request.path.rpartition("/")[2])
        if segment is not None and body and request.method != "DELETE":
            if is_dropped(self._pipeline_id, segment[1], self._fault.drop_percent):
                self._tell(Dropped(self._pipeline_id, segment[0].rendition_id, segment[1]))
                return web.Response(status=202, text="Lost on purpose, by --drop.")
            body = self._spoilt(*segment, body)
        if self._fault.late_ms and await self._is_stopped_within(self._fault.late_ms):
            return web.Response(status=503, text="Not passed on: the demo is stopping.")
        return await self._pass_on(request, body)

    def _spoilt(self, track: Track, number: int, body: bytes) -> bytes:
        """Return what is passed on instead of a segment: itself, most of the time."""
        self._newest[track.kind] = body
        if not is_garbled(self._pipeline_id, number, self._fault.garble_percent):
            return body
        # Garbage that can be played is delivered where there is nothing else, as before the other pipeline's first
        # segment: it is sent only where all is garbage.
        is_all = self._fault.garble_percent == 100
        others = (newest for kind, newest in self._newest.items() if kind != track.kind and is_all)
        other = next(others, None)
        kind, garbage = garble(kind_of(number, track.index), body, number, other)
        self._tell(Garbled(self._pipeline_id, track.rendition_id, number, kind.value, digest_of(garbage)))
        return garbage

    async def _is_stopped_within(self, duration_ms: int) -> bool:
        try:
            async with asyncio.timeout(duration_ms / 1000):
                return await self._stop.wait()
        except TimeoutError:
            return False

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        assert self._session is not None, "started"
        try:
            async with self._session.request(request.method, self._origin_url + request.path, data=body) as answer:
                return web.Response(status=answer.status, body=await answer.read())
        except (aiohttp.ClientError, TimeoutError) as exc:
            log.warning("upload not passed on", extra=fields(path=request.path, error=repr(exc)))
            return web.Response(status=502, text="The origin did not answer.")

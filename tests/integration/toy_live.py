"""A server that keeps what is PUT and delivers it, held until it is there; it can be told to do one thing wrong."""

import asyncio
import hashlib
from enum import StrEnum

from aiohttp import web


class Fault(StrEnum):
    """What is wrong with it."""

    NONE = "nothing"
    WRONG_BODY = "a byte of each segment is changed before its ETag is made"
    TWO_COPIES = "readers get the copies of both pipelines in turn"
    MISSING = "segments with an even number are answered 404"
    SHED = "everything is answered 503"
    NO_ANSWER = "segments with an even number are never answered"
    NO_PUT = "every PUT of a segment with an even number is answered 500"


class ToyLive:
    """Paths are `/{event}/{pipeline}/{name}` for PUT and `/{event}/{name}` for GET."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._bodies: dict[str, dict[str, bytes]] = {}
        self._changed = asyncio.Condition()
        self._reads = 0
        self.delivered = asyncio.Event()

    def app(self) -> web.Application:
        """Return it as an application."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_put("/{event}/{pipeline}/{name:.+}", self._put)
        app.router.add_get("/{event}/{name:.+}", self._get)
        return app

    async def _put(self, request: web.Request) -> web.Response:
        body, name = await request.read(), request.match_info["name"]
        if self._fault is Fault.NO_PUT and _is_even(name):
            return web.Response(status=500)
        async with self._changed:
            self._bodies.setdefault(name, {})[request.match_info["pipeline"]] = body
            self._changed.notify_all()
        return web.Response(status=201)

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._fault is Fault.SHED:
            return web.Response(status=503, headers={"Retry-After": "5"})
        if self._fault is Fault.MISSING and _is_even(name):
            return web.Response(status=404)
        if self._fault is Fault.NO_ANSWER and _is_even(name):
            await asyncio.Event().wait()
        async with self._changed:
            # Both copies, so that the first one is the same for everybody.
            await self._changed.wait_for(lambda: len(self._bodies.get(name, ())) == 2)
        self._reads += 1
        pipeline = "ab"[self._reads % 2] if self._fault is Fault.TWO_COPIES else "a"
        body = self._bodies[name][pipeline]
        if self._fault is Fault.WRONG_BODY:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self.delivered.set()
        return _answer(request, body, pipeline)


def _answer(request: web.Request, body: bytes, pipeline: str) -> web.Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Live-Origin-Pipeline": pipeline}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    begin = request.http_range.start
    if begin is not None:
        headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        return web.Response(status=206, body=body[begin:], headers=headers)
    return web.Response(body=body, headers=headers)


def _is_even(name: str) -> bool:
    stem = name.rpartition("/")[2].removesuffix(".m4s")
    return stem.isdigit() and int(stem) % 2 == 0

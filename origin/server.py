"""aiohttp's low-level server, with answers of our own for requests that cannot even be parsed."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from origin.logs import fields
from origin.reply import Problem, Reply, problem
from selection import cache_policy

log = logging.getLogger(__name__)

SERVER: Final = "Live-Origin"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def response_of(reply: Reply) -> web.Response:
    """Return an answer as aiohttp sends it."""
    response = web.Response(status=reply.status, headers=reply.headers, body=reply.body or None)
    response.headers["Server"] = SERVER
    if reply.close:
        response.force_close()
    return response


class OriginProtocol(web.RequestHandler):
    """A connection whose every answer is ours: with a cache life time, and without a word about the software."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp cannot parse; whatever a handler raises, `routes.Edge` has answered already."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; cut it, so that no cache keeps half of it")
        log.info("request not understood", extra=fields(error=message or repr(exc)))
        detail = "This is no HTTP request, or its target or headers are longer than 8190 bytes."
        response = response_of(problem(Problem.BAD_REQUEST, detail, cache_policy.absent()))
        response.force_close()
        return response


class OriginServer(web.Server):
    """The low-level server of every listener.

    Args:
        handler: Answers one request.
        kwargs: Options of aiohttp's `Server` and `RequestHandler`.
    """

    def __init__(self, handler: Handler, **kwargs: Any) -> None:
        super().__init__(handler, access_log=None, **kwargs)

    def __call__(self) -> OriginProtocol:
        return OriginProtocol(self, loop=self._loop, **self._kwargs)

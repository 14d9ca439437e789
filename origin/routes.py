"""The URL surface on one screen, and the edge between handlers' values and sockets.

    publish   PUT, POST, DELETE  /{event}/{pipeline}/{name}    publish.Publisher
    deliver   GET, HEAD          /{event}/{name}               deliver.Deliverer   ({event}@{version} too)
    admin     GET                /metrics /healthz /readyz     admin.Admin
                                 /api/v1/events/{event}/segments/{rendition}/{number}   /api/v1/gc
              POST               /api/v1/gc/confirm-clock

All three listeners use aiohttp's low-level server: names are matched by the templates of the events, so a
router would only match them twice.
"""

import itertools
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from origin.admin import Admin
from origin.conditional import FIELDS
from origin.deliver import Deliverer, DeliverRequest
from origin.logs import fields
from origin.metrics import Metrics
from origin.publish import Publisher
from origin.reply import Problem, Reply, problem
from origin.server import response_of
from selection import cache_policy

log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Observer = Callable[[Reply, float], None]


class Edge:
    """Runs one listener's requests: answer, count, log, send.

    Args:
        name: The listener, for the log.
        log_requests: Whether each request gets a line.
    """

    _serials = itertools.count(1)

    def __init__(
        self,
        name: str,
        answer: Callable[[web.BaseRequest], Awaitable[Reply]],
        observe: Observer,
        *,
        log_requests: bool,
    ) -> None:
        self._name = name
        self._answer = answer
        self._observe = observe
        self._log_requests = log_requests

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of aiohttp's server. Anything unforeseen is a 500 that says nothing of our insides."""
        started_s = time.monotonic()
        try:
            reply = await self._answer(request)
        except Exception:
            log.exception("request failed", extra=fields(listener=self._name, method=request.method, path=request.path))
            reply = problem(Problem.INTERNAL, "This origin made a mistake; it is in its log.", cache_policy.absent())
        duration_s = time.monotonic() - started_s
        self._observe(reply, duration_s)
        if self._log_requests:
            log.info(
                "request",
                extra=fields(
                    id=next(self._serials),
                    listener=self._name,
                    method=request.method,
                    path=request.path,
                    status=reply.status,
                    outcome=reply.outcome,
                    bytes=len(reply.body),
                    duration_ms=round(duration_s * 1000, 1),
                    **reply.facts,
                ),
            )
        return response_of(reply)


def publish_handler(publisher: Publisher, metrics: Metrics, *, log_requests: bool) -> Handler:
    """Return the handler of the publish listener."""

    def observe(reply: Reply, _: float) -> None:
        metrics.publish_requests.labels(reply.outcome).inc()

    return Edge("publish", publisher.answer, observe, log_requests=log_requests).handle


def deliver_handler(deliverer: Deliverer, metrics: Metrics, *, log_requests: bool) -> Handler:
    """Return the handler of the deliver listener."""

    async def answer(request: web.BaseRequest) -> Reply:
        headers = {name: ", ".join(request.headers.getall(name)) for name in FIELDS if name in request.headers}
        return await deliverer.answer(DeliverRequest(request.method, request.path, headers))

    def observe(reply: Reply, duration_s: float) -> None:
        held_ms = reply.facts.get("hold_ms", 0)
        assert isinstance(held_ms, int)
        metrics.deliver_requests.labels(reply.facts.get("kind", "none"), reply.outcome).inc()
        metrics.deliver_bytes.inc(len(reply.body))
        metrics.deliver_duration.observe(max(duration_s - held_ms / 1000, 0))

    return Edge("deliver", answer, observe, log_requests=log_requests).handle


def admin_handler(admin: Admin) -> Handler:
    """Return the handler of the admin listener. Probes come every second: they are not logged."""

    async def answer(request: web.BaseRequest) -> Reply:
        return admin.answer(request.method, request.path)

    return Edge("admin", answer, lambda reply, duration_s: None, log_requests=False).handle

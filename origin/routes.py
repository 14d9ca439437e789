"""The URL surface on one screen, and the edge between handlers' values and sockets.

    publish   PUT, POST, DELETE  /{event}/{pipeline}/{name}    publish.Publisher
    deliver   GET, HEAD          /{event}/{name}               deliver.Deliverer   ({event}@{version} too)
                                 /healthz                      for probes of caches
    admin     GET                /metrics /healthz /readyz     admin.Admin
                                 /api/v1/events/{event}/segments/{rendition}/{number}   /api/v1/gc
              POST               /api/v1/gc/confirm-clock

All three listeners use aiohttp's low-level server: names are matched by the templates of the events, so a
router would only match them twice.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from origin.admin import METRICS_PATH, Admin
from origin.backup import Backups
from origin.conditional import FIELDS
from origin.deliver import Deliverer
from origin.logs import LineBudget, fields, tell
from origin.metrics import Metrics
from origin.publish import Publisher
from origin.reply import Problem, Reply, problem
from origin.server import response_of
from origin.steps import DeliverRequest
from selection import cache_policy

log = logging.getLogger(__name__)

# Told of an answer and its seconds; None where there was none.
Observer = Callable[[Reply, float | None], None]

# What stands in the log for a client that left before its answer, as with nginx.
GONE_STATUS: Final = 499


class Edge:
    """Runs one listener's requests: answer, count, log, send.

    Args:
        name: The listener, for the log.
        observe: Told every answer and its seconds, without those it was held; and who left before that, without any.
        log_lines: How many requests get a line each second; 0 for none. How many more there were is told once.
        backups: Returns what a 500 says of where else its path, as it was received, can be had.
    """

    _serials = itertools.count(1)

    def __init__(
        self,
        name: str,
        answer: Callable[[web.BaseRequest], Awaitable[Reply]],
        observe: Observer,
        *,
        log_lines: int,
        backups: Callable[[str], Mapping[str, str]] = lambda raw_path: {},
    ) -> None:
        self._name = name
        self._answer = answer
        self._observe = observe
        self._backups = backups
        self._budget = LineBudget(log_lines)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of aiohttp's server. Anything unforeseen is a 500 that says nothing of our insides."""
        started_s = time.monotonic()
        try:
            reply = await self._answer(request)
        except Exception as exc:  # noqa: BLE001  # a mistake of ours is answered, logged and counted
            reply = self.fail(exc, request.method, request.raw_path)
        held_ms = reply.facts.get("hold_ms", 0)
        assert isinstance(held_ms, int)
        self.note(reply, request.method, request.path, time.monotonic() - started_s, held_ms)
        return response_of(reply)

    def fail(self, exc: Exception, method: str, raw_path: str) -> Reply:
        """Return the answer where a mistake of ours was made."""
        log.error("request failed", exc_info=exc, extra=fields(listener=self._name, method=method, path=raw_path))
        detail = "This origin made a mistake; it is in its log."
        return problem(Problem.INTERNAL, detail, cache_policy.unavailable(), self._backups(raw_path))

    def note(self, reply: Reply, method: str, path: str, duration_s: float, held_ms: int) -> None:
        """Count and log an answer."""
        if method == "HEAD" and reply.body:  # a refusal: its body is not sent
            reply = reply._replace(body=b"")
        self._observe(reply, duration_s - held_ms / 1000)
        if not self._budget.is_spent():
            self._log(reply, method, path, duration_s, held_ms)

    def note_gone(self, method: str, path: str, duration_s: float) -> None:
        """Count and log a client that left before its answer."""
        reply = Reply(GONE_STATUS, "client-gone")
        self._observe(reply, None)
        if not self._budget.is_spent():
            self._log(reply, method, path, duration_s, 0)

    def _log(self, reply: Reply, method: str, path: str, duration_s: float, held_ms: int) -> None:
        values: dict[str, object] = {
            "id": next(self._serials),
            "listener": self._name,
            "method": method,
            "path": path,
            "status": reply.status,
            "outcome": reply.outcome,
            "bytes": len(reply.body),
            "duration_ms": round(duration_s * 1000, 1),
            **reply.facts,
        }
        if held_ms:
            values["hold_ms"] = held_ms
        tell(log, "request", values)


def publish_edge(publisher: Publisher, metrics: Metrics, *, log_lines: int) -> Edge:
    """Return the edge of the publish listener."""

    def observe(reply: Reply, _: float | None) -> None:
        metrics.observe_upload(reply.outcome)

    return Edge("publish", publisher.answer, observe, log_lines=log_lines)


def deliver_edge(deliverer: Deliverer, metrics: Metrics, backups: Backups, *, log_lines: int) -> Edge:
    """Return the edge of the deliver listener."""

    async def answer(request: web.BaseRequest) -> Reply:
        headers = {name: ", ".join(request.headers.getall(name)) for name in FIELDS if name in request.headers}
        raw_path = request.raw_path.partition("?")[0]
        return await deliverer.answer(DeliverRequest(request.method, request.path, raw_path, headers))

    return Edge("deliver", answer, metrics.deliveries.answered, log_lines=log_lines, backups=backups.headers)


def admin_edge(admin: Admin) -> Edge:
    """Return the edge of the admin listener. Probes come every second: they are not logged."""

    async def answer(request: web.BaseRequest) -> Reply:
        if request.path == METRICS_PATH:  # thousands of series take longer to write than the live edge may wait
            return await asyncio.to_thread(admin.answer, request.method, request.path)
        return admin.answer(request.method, request.path)

    return Edge("admin", answer, lambda reply, duration_s: None, log_lines=0)

"""The admin side: metrics and probes for Prometheus and orchestrators, explanations for operators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from origin.clock import Clock
from origin.disk_watch import DiskWatch
from origin.explain import explain
from origin.health import Health, State
from origin.reply import Problem, Reply, json_reply, problem
from origin.target import Programmes
from origin.time_watch import TimeWatch
from selection.model import SegmentKey
from selection.template import DIGITS_MAX
from storage.base import Catalog

READ = ("GET", "HEAD")
METRICS_PATH = "/metrics"
GC = "/api/v1/gc"
CONFIRM_CLOCK = "/api/v1/gc/confirm-clock"
SEGMENTS = "/api/v1/events/{event}/segments/{rendition}/{number}"
INIT = "init"


@dataclass(frozen=True, slots=True)
class Insight:
    """What operators may look into."""

    programmes: Programmes
    catalog: Catalog
    clock: Clock
    time: TimeWatch
    disk: DiskWatch


class Admin:
    """Answers requests of the admin listener.

    Args:
        render_metrics: Returns the page of Prometheus.
        workers: Returns how each deliver process is; none where all is in one process.
    """

    def __init__(
        self,
        render_metrics: Callable[[], bytes],
        health: Health,
        insight: Insight,
        workers: Callable[[], Sequence[dict[str, Any]]] = tuple,
    ) -> None:
        self._render_metrics = render_metrics
        self._workers = workers
        self._health = health
        self._insight = insight
        self._pages: dict[str, Callable[[], Reply]] = {
            METRICS_PATH: self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            GC: self._gc,
        }

    def answer(self, method: str, path: str) -> Reply:
        """Answer one request."""
        page = self._pages.get(path)
        methods: tuple[str, ...] = READ
        match path.split("/"):
            case ["", "api", "v1", "events", event_id, "segments", rendition_id, number]:
                page = partial(self._segment, event_id, rendition_id, number)
        if path == CONFIRM_CLOCK:
            page, methods = self._confirm_clock, ("POST",)
        if page is None:
            known = ", ".join([*self._pages, CONFIRM_CLOCK, SEGMENTS])
            return problem(Problem.UNKNOWN_NAME, f"Nothing at {path!r}; there is {known}.")
        if method not in methods:
            return problem(Problem.METHOD, f"Use {methods[0]} here.", headers={"Allow": ", ".join(methods)})
        return page()

    def _gc(self) -> Reply:
        """Tell whether what has aged out is deleted, and if not, why."""
        insight, doubt = self._insight, self._insight.time.guard.doubt
        document = {
            "deleting": doubt is None,
            "clock_doubt": None if doubt is None else doubt._asdict(),
            "clock_confirmation": insight.time.guard.confirmation,
            "disk_level": insight.disk.level,
            "used_bytes": insight.catalog.used_bytes,
            "retention_ms": {
                event.id: insight.disk.retention_ms(event) for event in insight.programmes.events.values()
            },
        }
        return json_reply(200, "gc", document)

    def _confirm_clock(self) -> Reply:
        """Take an operator's word that the wall clock is right."""
        self._insight.time.confirm()
        return self._gc()

    def _segment(self, event_id: str, rendition_id: str, number: str) -> Reply:
        """Explain one segment, or an init segment."""
        programme = self._insight.programmes.get(event_id)
        if programme is None:
            known = ", ".join(self._insight.programmes.ids)
            return problem(Problem.UNKNOWN_EVENT, f"No event {event_id!r}; there is {known}.")
        renditions = [rendition.id for rendition in programme.event.renditions]
        if rendition_id not in renditions:
            detail = f"Event {event_id!r} has no rendition {rendition_id!r}; it has {', '.join(renditions)}."
            return problem(Problem.UNKNOWN_RENDITION, detail, event=event_id)
        if number != INIT and not (number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX):
            detail = f"{number!r} is no segment; write its number, or {INIT} for the init segment."
            return problem(Problem.UNKNOWN_NAME, detail, event=event_id)
        if self._health.state in (State.STARTING, State.RECOVERING):
            return problem(Problem.NOT_READY, "The journal is being replayed; ask again when /readyz says ready.")
        key = SegmentKey(event_id, rendition_id, None if number == INIT else int(number))
        document = explain(programme.event, key, self._insight.catalog, self._insight.clock.now_ms())
        return json_reply(200, "explained", document)

    def _metrics(self) -> Reply:
        return Reply(200, "metrics", {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}, self._render_metrics())

    def _healthz(self) -> Reply:
        """The process runs and its event loop turns: that this is answered at all says so."""
        return json_reply(200, "healthy", {"status": "ok", "state": self._health.state})

    def _readyz(self) -> Reply:
        state, ready = self._health.state, self._health.is_ready
        document: dict[str, Any] = {"ready": ready, "state": state}
        if state is State.RECOVERING:
            document["progress"] = round(self._health.progress, 3)
        workers = self._workers()
        if workers:
            ready = ready and any(worker["in_sync"] for worker in workers)
            behind = [worker["worker"] for worker in workers if not worker["in_sync"]]
            document |= {"ready": ready, "workers": list(workers), "behind": behind}
        return json_reply(200 if ready else 503, state, document)

"""The admin side: metrics and probes for Prometheus and orchestrators, explanations for operators."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from origin.clock import Clock
from origin.explain import explain
from origin.health import Health, State
from origin.reply import Problem, Reply, json_reply, problem
from origin.target import Programmes
from selection.model import SegmentKey
from selection.template import DIGITS_MAX
from storage.base import Catalog

METHODS = ("GET", "HEAD")
SEGMENTS = "/api/v1/events/{event}/segments/{rendition}/{number}"
INIT = "init"


class Admin:
    """Answers requests of the admin listener."""

    def __init__(
        self, registry: CollectorRegistry, health: Health, programmes: Programmes, catalog: Catalog, clock: Clock
    ) -> None:
        self._registry = registry
        self._health = health
        self._programmes = programmes
        self._catalog = catalog
        self._clock = clock
        self._pages: dict[str, Callable[[], Reply]] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    def answer(self, method: str, path: str) -> Reply:
        """Answer one request."""
        page = self._pages.get(path)
        match path.split("/"):
            case ["", "api", "v1", "events", event_id, "segments", rendition_id, number]:
                page = partial(self._segment, event_id, rendition_id, number)
        if page is None:
            known = ", ".join([*self._pages, SEGMENTS])
            return problem(Problem.UNKNOWN_NAME, f"Nothing at {path!r}; there is {known}.")
        if method not in METHODS:
            return problem(Problem.METHOD, "Use GET here.", headers={"Allow": ", ".join(METHODS)})
        return page()

    def _segment(self, event_id: str, rendition_id: str, number: str) -> Reply:
        """Explain one segment, or an init segment."""
        programme = self._programmes.get(event_id)
        if programme is None:
            return problem(Problem.UNKNOWN_EVENT, f"No event {event_id!r}; there is {', '.join(self._programmes.ids)}.")
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
        return json_reply(200, "explained", explain(programme.event, key, self._catalog, self._clock.now_ms()))

    def _metrics(self) -> Reply:
        return Reply(200, "metrics", {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}, generate_latest(self._registry))

    def _healthz(self) -> Reply:
        """The process runs and its event loop turns: that this is answered at all says so."""
        return json_reply(200, "healthy", {"status": "ok", "state": self._health.state})

    def _readyz(self) -> Reply:
        state, ready = self._health.state, self._health.is_ready
        return json_reply(200 if ready else 503, state, {"ready": ready, "state": state})

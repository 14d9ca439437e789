"""The admin side: metrics and probes for Prometheus and orchestrators."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from origin.health import Health
from origin.reply import Problem, Reply, json_reply, problem

METHODS = ("GET", "HEAD")


class Admin:
    """Answers requests of the admin listener."""

    def __init__(self, registry: CollectorRegistry, health: Health) -> None:
        self._registry = registry
        self._health = health
        self._pages: dict[str, Callable[[], Reply]] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    def answer(self, method: str, path: str) -> Reply:
        """Answer one request."""
        page = self._pages.get(path)
        if page is None:
            return problem(Problem.UNKNOWN_NAME, f"Nothing at {path!r}; there is {', '.join(self._pages)}.")
        if method not in METHODS:
            return problem(Problem.METHOD, "Use GET here.", headers={"Allow": ", ".join(METHODS)})
        return page()

    def _metrics(self) -> Reply:
        return Reply(200, "metrics", {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}, generate_latest(self._registry))

    def _healthz(self) -> Reply:
        """The process runs and its event loop turns: that this is answered at all says so."""
        return json_reply(200, "healthy", {"status": "ok", "state": self._health.state})

    def _readyz(self) -> Reply:
        state, ready = self._health.state, self._health.is_ready
        return json_reply(200 if ready else 503, state, {"ready": ready, "state": state})

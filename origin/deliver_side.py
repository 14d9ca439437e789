"""What the deliver listener is made of: who waits, who is let in, who answers, over which connections."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from config.model import Settings
from origin.admission import Admission
from origin.backup import Backups
from origin.clock import Clock
from origin.connections import ConnectionLimits, Unsent
from origin.deliver import Deliverer
from origin.descriptors import connections_limit
from origin.lane import LaneDesk
from origin.loop_lag import LoopLag
from origin.metrics import Metrics
from origin.routes import deliver_edge
from origin.server import OriginServer
from origin.serving import Gates, Sources
from origin.target import Programmes
from origin.turnout import LaneServer
from origin.waiters import HoldLimits, Waiters
from selection.model import Candidate, SegmentKey
from selection.shedding import LoadLimits
from storage.base import Bodies, Catalog
from storage.ram import Ram
from storage.tiered import TieredBodies


@dataclass(frozen=True, slots=True)
class Shared:
    """What both sides of an origin use."""

    settings: Settings
    programmes: Programmes
    clock: Clock
    metrics: Metrics
    connections: ConnectionLimits


class _Load:
    """The load of a deliver side: implements `selection.shedding.Signals`. Asked for every answer."""

    __slots__ = ("_bodies", "_lag", "unsent")

    def __init__(self, bodies: TieredBodies, lag: LoopLag) -> None:
        self._bodies = bodies
        self._lag = lag
        self.unsent = Unsent()  # of the listener, once it is open

    @property
    def reads_count(self) -> int:
        return self._bodies.reads_count

    @property
    def unsent_bytes(self) -> int:
        return self.unsent.bytes_count

    @property
    def loop_lag_ms(self) -> float:
        return self._lag.lag_ms


class DeliverSide:
    """Everything between the stores and the caches.

    Args:
        ram, files: The tiers that bodies are read from; `bodies` is both together.
    """

    def __init__(self, shared: Shared, ram: Ram, files: Bodies) -> None:
        limits, metrics = shared.settings.limits, shared.metrics
        self._shared = shared
        self._lag = LoopLag()
        self.bodies = TieredBodies(ram, files, metrics.deliveries.read, self._note_read)
        self._load = _Load(self.bodies, self._lag)
        self.waiters = Waiters(
            HoldLimits(limits.hold_ms, limits.holds, limits.holds_per_event, limits.holds_per_segment),
            metrics.holds_in_progress.set,
            metrics.hold_release.observe,
        )
        self._admission = Admission(
            LoadLimits(limits.reads, limits.unsent_bytes, limits.loop_lag_ms),
            limits.read_time_ms,
            self._load,
            lambda request_class, reason: metrics.observe_shed(request_class, reason.value),
        )

    def open(self, catalog: Catalog, on_lost: Callable[[SegmentKey, Candidate], Awaitable[None]]) -> LaneServer:
        """Return the listener's server, and begin to look at the load.

        Args:
            on_lost: Told of a chosen copy whose body is missing or damaged; on return it is decided what takes its
                place.
        """
        shared = self._shared
        backups = Backups(shared.settings.backups)
        deliverer = Deliverer(
            shared.programmes,
            Sources(catalog, self.bodies, on_lost),
            Gates(self.waiters, self._admission, backups),
            shared.clock,
            shared.metrics,
        )
        edge = deliver_edge(deliverer, shared.metrics, backups, log_lines=shared.settings.log.lines_per_second)
        server = LaneServer(
            LaneDesk(deliverer, self.waiters, edge),
            edge.handle,
            # A client that leaves must free its place in the waiting list: its handler is cancelled.
            handler_cancellation=True,
            limits=shared.connections,
            observe=shared.metrics.refusal_observer("deliver"),
        )
        self._load.unsent = server.unsent
        watch_connections(shared.metrics, "deliver", server)
        shared.metrics.reads_in_flight.set_function(lambda: float(self.bodies.reads_count))
        shared.metrics.reads_limit.set_function(lambda: float(self._admission.reads_limit))
        shared.metrics.loop_lag.set_function(lambda: self._lag.lag_ms / 1000)
        self._lag.start()
        return server

    def close(self) -> None:
        """Look at the load no more."""
        self._lag.stop()

    def _note_read(self, seconds: float) -> None:
        self._shared.metrics.read_duration.observe(seconds)
        self._admission.observe_read(seconds)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Return what the connections of one listener may take."""
    limits = settings.limits
    count = connections_limit(limits.connections)
    # Where the system allows fewer than are wanted, one address must still not have them all.
    one_address_max = count if count == limits.connections else max(count // 2, 1)
    return ConnectionLimits(
        connections_count=count,
        connections_per_address=min(limits.connections_per_address, one_address_max),
        head_ms=limits.head_ms,
        head_bytes=limits.head_bytes,
        keepalive_ms=limits.keepalive_ms,
        send_rate_bytes=limits.send_rate_bytes,
        unsent_bytes=limits.unsent_bytes,
    )


def watch_connections(metrics: Metrics, listener: str, server: OriginServer) -> None:
    """Let `/metrics` tell of a listener's connections."""
    metrics.connections.labels(listener).set_function(lambda: float(server.clients.count))
    metrics.unsent_bytes.labels(listener).set_function(lambda: float(server.unsent.bytes_count))

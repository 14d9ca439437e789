"""All settings. One that exists has been checked as a whole: each value, and how they fit together."""

import os
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from config.event import EventSettings, PipelineSettings, RenditionSettings, SelectionSettings
from config.event_rules import event_findings
from config.fields import Address, Count, DirectoryPath, DurationMs, Identifier, ListenAddress, SizeBytes, Switch
from config.limits import Limits
from config.peers import PEERS_COUNT_MAX, PeerSettings, peer_findings
from config.problems import BrokenRules, Finding, key_path
from config.rules import at_most, duration, less_than, percent, size, unique_ids
from config.section import Documented, Section
from config.units import GIB, MIB, MINUTE, SECOND, TIB, format_duration_ms, format_seconds
from selection.model import Event

__all__ = [
    "Address",
    "EventSettings",
    "Limits",
    "Listen",
    "Log",
    "PeerSettings",
    "PipelineSettings",
    "RenditionSettings",
    "SelectionSettings",
    "Settings",
    "Storage",
]

# Each has connections, and a share of every bound, of its own.
WORKERS_COUNT_MAX: Final = 64


def default_workers() -> int:
    """Return a deliver process for each core but one, at least one."""
    return min(max((os.cpu_count() or 1) - 1, 1), WORKERS_COUNT_MAX)


class Listen(Section):
    """Where the three servers listen."""

    publish: ListenAddress = Field(Address("127.0.0.1", 8081), description="For packagers, who PUT.")
    deliver: ListenAddress = Field(Address("127.0.0.1", 8080), description="For CDN caches, who GET.")
    admin: ListenAddress = Field(
        Address("127.0.0.1", 8082), description="For operators: API, metrics and health; keep it private."
    )

    def findings(self) -> Iterator[Finding]:
        """Yield the pairs of servers that cannot both listen."""
        addresses = {"publish": self.publish, "deliver": self.deliver, "admin": self.admin}
        for (first, address), (second, other) in combinations(addresses.items(), 2):
            if address.collides(other):
                yield Finding(
                    (("listen", second), ("listen", first)),
                    f"listen.{second} is {other} and listen.{first} is {address}: two servers cannot share a port",
                    f"give listen.{second} another port, or 0 for any free one",
                )


class Storage(Section):
    """Where segments are kept."""

    path: DirectoryPath = Field(
        Path("data"),
        description="Directory of segments and journal, relative to where the server is started.",
    )
    ram_bytes: SizeBytes = Field(
        1 * GIB, alias="ram", ge=1 * MIB, le=16 * TIB, description="Segments kept in memory, oldest dropped first."
    )
    ssd_bytes: SizeBytes = Field(
        20 * GIB, alias="ssd", ge=1 * MIB, le=256 * TIB, description="Segments kept on disk, all events together."
    )
    shrink_percent: Count = Field(
        90,
        ge=10,
        le=99,
        description="Fill of `ssd` or of the file system above which what has left its DVR window is dropped at once.",
    )
    refuse_old_percent: Count = Field(
        95,
        ge=10,
        le=99,
        description="Fill above which segments past their retry deadline are refused with 507, too.",
    )
    refuse_percent: Count = Field(
        98, ge=10, le=99, description="Fill above which every PUT is refused with 507; delivery goes on."
    )
    acknowledge: Literal["disk", "fsync"] = Field(
        "disk",
        description="What a 2xx to a PUT promises to survive: `disk` the process being killed, `fsync` a power cut.",
    )

    def findings(self) -> Iterator[Finding]:
        """Yield the levels of a filling disk that do not come one after the other."""
        shrink, refuse_old, refuse = (
            percent(("storage", name), getattr(self, name))
            for name in ("shrink_percent", "refuse_old_percent", "refuse_percent")
        )
        yield from less_than(shrink, refuse_old, "segments would be refused before room is made")
        yield from less_than(refuse_old, refuse, "live segments would be refused no later than old ones")


class Log(Section):
    """What is written to the log."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least important line to write.")
    requests: Switch = Field(True, description="Whether every request writes one line when it ends.")
    requests_per_second: Count = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Such lines a second and listener; how many more there were is told once.",
    )

    @property
    def lines_per_second(self) -> int:
        """Lines a second for requests; 0 for none."""
        return self.requests_per_second if self.requests else 0


class Settings(Section):
    """Everything an operator can set."""

    listen: Listen = Listen()
    storage: Storage = Storage()
    workers: Annotated[Count, Documented(default="number of cores minus one, at least 1")] = Field(
        default_factory=default_workers,
        ge=0,
        le=WORKERS_COUNT_MAX,
        description="Deliver processes beside the one that publishes; 0 runs everything in one process.",
    )
    limits: Limits = Limits()
    stop_timeout_ms: DurationMs = Field(
        10 * SECOND,
        alias="stop_timeout",
        ge=0,
        le=10 * MINUTE,
        description="How long a graceful stop waits for requests in progress.",
    )
    log: Log = Log()
    region: Identifier | None = Field(
        None, description="Where this origin stands; peers of this region are left out, so that all can have one list."
    )
    peers: tuple[PeerSettings, ...] = Field((), max_length=PEERS_COUNT_MAX)
    events: tuple[EventSettings, ...] = Field(examples=[[{}]], min_length=1)

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        findings = tuple(self._findings())
        if findings:
            raise BrokenRules(findings)
        return self

    def _findings(self) -> Iterator[Finding]:
        yield from self.listen.findings()
        yield from self.storage.findings()
        segment = size(("limits", "segment_bytes"), self.limits.segment_bytes)
        ram = size(("storage", "ram"), self.storage.ram_bytes)
        ssd = size(("storage", "ssd"), self.storage.ssd_bytes)
        yield from at_most(segment, ram, "the largest segment would not fit into memory")
        yield from at_most(ram, ssd, "memory holds copies of what is on disk, so the rest would stay empty")
        yield from unique_ids(("events",), [event.id for event in self.events])
        for index, event in enumerate(self.events):
            yield from (finding.below("events", index) for finding in event_findings(event))
            yield from self._hold_findings(index, event)
        yield from self._body_idle_findings()
        yield from peer_findings(self.peers)

    def _hold_findings(self, index: int, event: EventSettings) -> Iterator[Finding]:
        why = "the hold would end before the segment is due"
        hold = duration(("limits", "hold"), self.limits.hold_ms)
        hold_ahead = duration(("events", index, "hold_ahead"), event.effective_hold_ahead_ms)
        if event.hold_ahead_ms is not None:
            yield from at_most(hold_ahead, hold, why)
        elif hold_ahead.value > hold.value:
            yield Finding(
                (hold.location, hold_ahead.location, ("events", index, "segment_duration")),
                f"limits.hold is {hold.text} and {key_path(hold_ahead.location)} is {hold_ahead.text} by default"
                f" (one segment and a second): {why}",
                f"make limits.hold at least {hold_ahead.text}",
            )

    def _body_idle_findings(self) -> Iterator[Finding]:
        """ffmpeg's DASH muxer opens a PUT when the segment begins and sends its body when it ends (measured)."""
        durations = [event.segment_duration_seconds for event in self.events]
        longest = max(durations)
        location = ("events", durations.index(longest), "segment_duration")
        if self.limits.body_idle_ms <= 2 * longest * 1000:
            yield Finding(
                (("limits", "body_idle"), location),
                f"limits.body_idle is {format_duration_ms(self.limits.body_idle_ms)} and {key_path(location)} is"
                f" {format_seconds(longest)}: ffmpeg opens a PUT a whole segment before its body",
                f"make limits.body_idle more than twice as long as the segment: over {format_seconds(2 * longest)}",
            )

    @property
    def backups(self) -> tuple[PeerSettings, ...]:
        """The peers that are not this origin itself, nearest first."""
        return tuple(peer for peer in self.peers if peer.region != self.region)

    def to_events(self) -> tuple[Event, ...]:
        """Return the events these settings describe."""
        return tuple(event.to_event() for event in self.events)

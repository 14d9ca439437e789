"""The shapes, as data: how many clients of which role a stage has, and what happens in it.

Ranks, not classes, give clients their roles: client number 0 to `caches - 1` is a cache, the next `rewinders` rewind,
the next `junk` ask for what cannot exist. So a storm makes more of one kind out of those that are there, and the newest
clients leave first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a client does."""

    CACHE = "cache"
    REWINDER = "rewinder"
    JUNK = "junk"


@dataclass(frozen=True)
class Stage:
    """A part of a run.

    Args:
        seconds: How long it lasts.
        spawn_per_s: How many clients come or go in a second.
        kills: The first pipeline is dead in the middle third of it.
    """

    name: str
    seconds: float
    caches: int
    rewinders: int
    junk: int
    spawn_per_s: int
    kills: bool = False

    @property
    def clients(self) -> int:
        """How many clients there are in all."""
        return self.caches + self.rewinders + self.junk

    def role_of(self, rank: int) -> Role | None:
        """Return what the client of this rank does; None if it is one too many.

        >>> [Stage("x", 10, 1, 1, 1, 5).role_of(rank) for rank in range(4)]
        [<Role.CACHE: 'cache'>, <Role.REWINDER: 'rewinder'>, <Role.JUNK: 'junk'>, None]
        """
        for role, count in ((Role.CACHE, self.caches), (Role.REWINDER, self.rewinders), (Role.JUNK, self.junk)):
            if rank < count:
                return role
            rank -= count
        return None


@dataclass(frozen=True)
class Fleet:
    """How many clients there are when nothing happens, and by how many times a storm has more of one kind."""

    caches: int
    rewinders: int
    junk: int
    storm: int


# Everyone is there within so many seconds of an event's start, and of any storm.
ARRIVAL_S: Final = 3
TOUR: Final = "tour"
NAMES: Final = ("event-start", "failover", "origin-storm", "404-storm", "rewind-storm", TOUR, "all")


@dataclass(frozen=True)
class Plan:
    """The stages of a run, one after the other."""

    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long they last together."""
        return sum(stage.seconds for stage in self.stages)

    def at(self, elapsed_ms: float) -> tuple[Stage, float] | None:
        """Return the stage and how much of it is over (0 to 1); None when the run is over."""
        for stage in self.stages:
            if elapsed_ms < stage.seconds * 1_000:
                return stage, max(elapsed_ms, 0) / (stage.seconds * 1_000)
            elapsed_ms -= stage.seconds * 1_000
        return None

    def is_first_dead(self, elapsed_ms: float) -> bool:
        """Return whether the first pipeline is dead: in the middle third of a stage that kills."""
        found = self.at(elapsed_ms)
        return found is not None and found[0].kills and 1 / 3 <= found[1] < 2 / 3


def plan(shape: str, fleet: Fleet, seconds: float) -> Plan:
    """Return the stages of a shape; `tour` (or `all`) goes through every one of them in `seconds`."""
    steady = Stage("steady", seconds, fleet.caches, fleet.rewinders, fleet.junk, 1)
    every: Mapping[str, Stage] = {
        "event-start": replace(steady, rewinders=0, junk=0),
        "failover": replace(steady, kills=True),
        "origin-storm": replace(steady, caches=fleet.caches * fleet.storm),
        "404-storm": replace(steady, junk=fleet.junk * fleet.storm),
        "rewind-storm": replace(steady, rewinders=fleet.rewinders * fleet.storm),
    }
    names = tuple(every) if shape in (TOUR, "all") else (shape,)
    stages = (replace(every[name], name=name, seconds=seconds / len(names)) for name in names)
    return Plan(tuple(replace(stage, spawn_per_s=max(stage.clients // ARRIVAL_S, 1)) for stage in stages))

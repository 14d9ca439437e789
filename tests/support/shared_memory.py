"""What this process has of files in memory, and readers that hear what a tier announces as through a socket."""

import gc
import os
from pathlib import Path

from storage.arenas import Announcement, ArenaGone, ArenaMade, BodyPlaced
from storage.base import BodyKey
from storage.ram import Ram
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader


def mappings_count(generation: str) -> int:
    """Return how many mappings of arenas of one generation this process has."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"live-origin-{generation}-" in line for line in maps)


def descriptors_count() -> int:
    """Return how many files this process has open, without those that other tests left to be collected."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def arena_descriptors_count(generation: str) -> int:
    """Return how many of them are arenas of one generation."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(f"live-origin-{generation}-" in os.readlink(link) for link in links if os.path.islink(link))


def tell(reader: SharedRamReader, told: Announcement) -> None:
    """Hand an announcement to a reader, with a descriptor of its own."""
    match told:
        case ArenaMade(arena_id, size_bytes, fd):
            reader.attach(arena_id, size_bytes, os.dup(fd))
        case BodyPlaced(key, arena_id, offset, size_bytes):
            reader.place(key, arena_id, offset, size_bytes)
        case ArenaGone(arena_id):
            reader.gone(arena_id)


def read(ram: Ram, name: str) -> bytes | None:
    """Return a copy of the body of a name, as the tests of the RAM tier name them, or None."""
    body = ram.get(BodyKey(f"derby/0/{name}"))
    return None if body is None else bytes(body)


def view_of(ram: SharedRam | SharedRamReader, name: str) -> memoryview:
    """Return a body that is there, without a copy."""
    view = ram.get(BodyKey(f"derby/0/{name}"))
    assert view is not None
    return view


def all_of(tier: SharedRam) -> list[Announcement]:
    """Return what a reader that comes now is to be told."""
    return [*tier.arenas(), *tier.places()]

"""The shared tier against what must hold whatever is called, and a reader against its publisher."""

import mmap
import os
from contextlib import closing, suppress
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.arenas import Announcement, Arena, ArenaGone, ArenaMade
from storage.base import BodyKey
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import BadAnnouncement, SharedRamReader
from tests.properties.test_ram_tier import KEYS, newest_numbers, place_of
from tests.support.shared_memory import all_of, arena_descriptors_count, mappings_count, tell

PAGE = mmap.PAGESIZE

SIZES = st.sampled_from([0, 1, 100, 500, 1024, 1025, PAGE, PAGE + 1, 3 * PAGE])
CALLS = st.lists(st.tuples(st.sampled_from(["put"] * 5 + ["drop"]), KEYS, SIZES), max_size=120)
BUDGETS = st.integers(0, 40).map(lambda pages_count: pages_count * PAGE)


def held_by(tier: SharedRam | SharedRamReader, keys: set[BodyKey]) -> dict[BodyKey, bytes]:
    return {key: bytes(body) for key in keys if (body := tier.get(key)) is not None}


def is_protected(key: BodyKey, keys: set[BodyKey]) -> bool:
    place = place_of(key)
    return place is not None and place.rendition is not None and place.number in newest_numbers(place.rendition, keys)


@settings(max_examples=200, deadline=None)
@given(BUDGETS, CALLS)
def test_every_body_that_is_held_is_right_and_so_is_every_view_that_was_taken(
    capacity_bytes: int, made: list[tuple[str, BodyKey, int]]
) -> None:
    put: dict[BodyKey, bytes] = {}
    views: list[tuple[memoryview, bytes]] = []
    keys = {key for _, key, _ in made}
    with closing(SharedRam(capacity_bytes, place_of)) as tier:
        for serial, (name, key, size_bytes) in enumerate(made):
            if name == "drop":
                tier.drop(key)
                put.pop(key, None)
            else:
                put[key] = bytes([serial % 256]) * size_bytes
                tier.put(key, put[key])
            held = held_by(tier, keys)
            assert held.items() <= put.items()
            view = tier.get(key)
            if view is not None:
                views.append((view, put[key]))
            assert tier.used_bytes <= sum(arena.size_bytes for arena in tier.arenas()) <= capacity_bytes
            assert {place.key for place in tier.places()} == set(held)
    for view, body in views:
        assert view == body


@settings(max_examples=200, deadline=None)
@given(BUDGETS, CALLS)
def test_a_body_that_is_not_taken_costs_nobody_a_place_and_live_edges_go_last(
    capacity_bytes: int, made: list[tuple[str, BodyKey, int]]
) -> None:
    keys = {key for _, key, _ in made}
    gone: list[set[BodyKey]] = []

    def note(told: Announcement) -> None:
        if isinstance(told, ArenaGone):
            gone.append(arenas.pop(told.id))
        elif isinstance(told, ArenaMade):
            arenas[told.id] = set()
        else:
            arenas[told.arena_id].add(told.key)

    arenas: dict[str, set[BodyKey]] = {}
    with closing(SharedRam(capacity_bytes, place_of, note)) as tier:
        for name, key, size_bytes in made:
            before = set(held_by(tier, keys)) - {key}
            if name == "drop":
                tier.drop(key)
                continue
            tier.drop(key)
            tier.put(key, bytes(size_bytes))
            after = set(held_by(tier, keys))
            evicted = before - after
            if key not in after:
                assert not evicted
                continue
            now = before | {key}
            if any(is_protected(each, now) for each in evicted):
                # Every arena that stayed has a live edge, too.
                stayed = [bodies & after for bodies in arenas.values()]
                assert all(any(is_protected(each, now) for each in bodies) for bodies in stayed if bodies - {key})
            place = place_of(key)
            if place is not None and not is_protected(key, now):
                times = [each for each in map(place_of, evicted) if each is not None]
                assert all(each.end_ms <= place.end_ms for each in times)


@settings(max_examples=200, deadline=None)
@given(BUDGETS, CALLS, st.lists(st.integers(0, 120), max_size=4))
def test_a_reader_that_comes_at_any_time_has_what_the_publisher_has(
    capacity_bytes: int, made: list[tuple[str, BodyKey, int]], joins: list[int]
) -> None:
    keys = {key for _, key, _ in made}
    readers: list[SharedRamReader] = []
    serials = count(1)

    def tell_all(told: Announcement) -> None:
        for reader in readers:
            tell(reader, told)

    with closing(SharedRam(capacity_bytes, place_of, tell_all)) as tier:
        for index, (name, key, size_bytes) in enumerate(made):
            for _ in range(joins.count(index)):
                readers.append(SharedRamReader(capacity_bytes))
                for told in all_of(tier):
                    tell(readers[-1], told)
            if name == "drop":
                tier.drop(key)
            else:
                tier.put(key, bytes([next(serials) % 256]) * size_bytes)
            held = held_by(tier, keys)
            for reader in readers:
                assert held.items() <= held_by(reader, keys).items(), (
                    "and perhaps what was dropped, until its arena goes"
                )
                assert reader.arena_ids() == [arena.id for arena in tier.arenas()]
    for reader in readers:
        assert (reader.used_bytes, held_by(reader, keys)) == (0, {})


ANNOUNCED = st.lists(
    st.tuples(
        st.sampled_from(["attach", "place", "place", "gone"]), st.integers(0, 3), KEYS, st.integers(-9, 99), SIZES
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 6), ANNOUNCED)
def test_whatever_a_reader_is_told_it_refuses_or_reads_within_its_memory(
    capacity_pages: int, announced: list[tuple[str, int, BodyKey, int, int]]
) -> None:
    arenas = [Arena(f"wild-{pages}", pages * PAGE, is_lasting=False) for pages in range(1, 5)]
    for index, arena in enumerate(arenas):
        arena.write(bytes([index]) * arena.size_bytes)
    reader = SharedRamReader(capacity_pages * PAGE)
    for name, index, key, number, size_bytes in announced:
        arena = arenas[index]
        with suppress(BadAnnouncement):
            match name:
                case "attach":
                    reader.attach(arena.id, arena.size_bytes + number // 50, os.dup(arena.fd))
                case "place":
                    reader.place(key, arena.id, number * 100, size_bytes)
                    body = None if (view := reader.get(key)) is None else bytes(view)
                    view = None  # would keep the mapping
                    assert arena.id not in reader.arena_ids() or body == bytes([index]) * size_bytes
                case _:
                    reader.gone(arena.id)
        assert reader.used_bytes <= (capacity_pages + 4) * PAGE
    for arena in arenas:
        reader.gone(arena.id)
        arena.close()
    assert (reader.used_bytes, mappings_count("wild"), arena_descriptors_count("wild")) == (0, 0, 0)

"""The shared tier never exceeds its budget, lets the arena with the oldest media go first, and keeps live edges."""

import mmap
import os
from collections.abc import Callable, Iterator
from random import Random

import pytest

from storage import shared_ram
from storage.arenas import Announcement, Arena, ArenaGone, ArenaMade, BodyPlaced
from storage.base import BodyKey
from storage.eviction import PROTECTED_SEGMENTS
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader
from tests.storage.test_ram import key, place_of, span
from tests.support.shared_memory import all_of, descriptors_count, mappings_count, read, tell, view_of

PAGE = mmap.PAGESIZE
# Sixteen arenas of four pages; each holds four bodies of a page, as that is just not too large to share one.
CAPACITY_BYTES = 64 * PAGE


def body_of(name: str, size_bytes: int = PAGE) -> bytes:
    return Random(name).randbytes(size_bytes)


class Told(list[Announcement]):
    """What a tier has announced."""

    def take(self) -> list[Announcement]:
        taken = list(self)
        self.clear()
        return taken


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def tier(told: Told) -> Iterator[SharedRam]:
    made = SharedRam(CAPACITY_BYTES, place_of, told.append, generation="g")
    yield made
    made.close()


def fill(tier: SharedRam, *names: str, size_bytes: int = PAGE) -> None:
    for name in names:
        tier.put(key(name), body_of(name, size_bytes))


def held(tier: SharedRam, *names: str) -> list[str]:
    return [name for name in names if tier.get(key(name)) is not None]


def sizes_bytes(tier: SharedRam) -> int:
    return sum(arena.size_bytes for arena in tier.arenas())


def test_a_body_that_was_put_is_there_for_reading_only(tier: SharedRam) -> None:
    fill(tier, "v-1", "v-2", "init")
    view = view_of(tier, "v-1")
    assert view == body_of("v-1")
    assert view.readonly
    assert read(tier, "init") == body_of("init")
    assert (tier.used_bytes, tier.capacity_bytes) == (3 * PAGE, CAPACITY_BYTES)


@pytest.mark.parametrize("kind", [bytes, bytearray, lambda body: memoryview(bytearray(body)).toreadonly()])
def test_a_body_may_be_bytes_of_any_kind(tier: SharedRam, kind: Callable[[bytes], bytes | memoryview]) -> None:
    for _ in range(2):  # the second time it is found to be there
        tier.put(key("v-1"), kind(body_of("v-1")))
    view = tier.get(key("v-1"))
    assert view is not None and bytes(view) == body_of("v-1")
    assert tier.used_bytes == PAGE


def test_a_body_that_was_not_put_is_not_there(tier: SharedRam) -> None:
    assert read(tier, "v-1") is None


@pytest.mark.parametrize("name", ["v-1", "init", "gone-1"])
def test_a_body_of_no_bytes_is_a_body(tier: SharedRam, name: str) -> None:
    tier.put(key(name), b"")
    assert read(tier, name) == b""


def test_everything_is_announced_in_order(tier: SharedRam, told: Told) -> None:
    fill(tier, "v-1", "v-2", "init", size_bytes=100)
    fd = [arena.fd for arena in tier.arenas()]
    assert told.take() == [
        ArenaMade("g-1", 4 * PAGE, fd[0]),
        BodyPlaced(key("v-1"), "g-1", 0, 100),
        BodyPlaced(key("v-2"), "g-1", 100, 100),
        ArenaMade("g-2", PAGE, fd[1]),
        BodyPlaced(key("init"), "g-2", 0, 100),
    ]
    tier.close()
    assert told.take() == [ArenaGone("g-1"), ArenaGone("g-2")]


def test_who_comes_later_is_told_what_is_there(tier: SharedRam, told: Told) -> None:
    fill(tier, *span("v", 1, 70), "init")
    tier.drop(key("v-69"))
    early, late = SharedRamReader(CAPACITY_BYTES), SharedRamReader(CAPACITY_BYTES)
    for each in all_of(tier):
        tell(late, each)
    gone = {each.id for each in told if isinstance(each, ArenaGone)}
    for each in told:
        if not isinstance(each, ArenaMade) or each.id not in gone:  # the descriptors of those are closed by now
            tell(early, each)
    for name in [*span("v", 1, 70), "init"]:
        assert read(late, name) == read(tier, name)
        if name != "v-69":
            assert read(early, name) == read(tier, name)
    assert len(held(tier, *span("v", 1, 70))) > 50


def test_the_bodies_of_one_arena_can_be_asked_for(tier: SharedRam) -> None:
    fill(tier, *span("v", 1, 5))
    first, second = tier.arenas()
    assert [place.key for place in tier.places(second.id)] == [key("v-5")]
    assert {place.key for place in tier.places(first.id)} == {key(name) for name in span("v", 1, 4)}
    assert list(tier.places("g-77")) == []


def test_generations_are_told_apart_by_themselves() -> None:
    tiers = [SharedRam(CAPACITY_BYTES, place_of) for _ in range(2)]
    for tier in tiers:
        fill(tier, "v-1")
    assert tiers[0].arenas()[0].id != tiers[1].arenas()[0].id
    for tier in tiers:
        tier.close()


def test_the_oldest_media_makes_room_an_arena_at_a_time(tier: SharedRam) -> None:
    fill(tier, *span("v", 1, 64))
    assert held(tier, *span("v", 1, 64)) == span("v", 1, 64)
    fill(tier, "v-65")
    assert held(tier, *span("v", 1, 65)) == span("v", 5, 65)
    fill(tier, *span("v", 66, 69))
    assert held(tier, *span("v", 1, 69)) == span("v", 9, 69)
    assert (tier.evictions_count, tier.refusals_count) == (8, 0)
    assert sizes_bytes(tier) == CAPACITY_BYTES


def test_an_arena_is_as_old_as_the_newest_in_it(tier: SharedRam) -> None:
    fill(tier, "v-1", "v-2", "v-3", "v-50", *span("v", 4, 49), *span("v", 51, 64))
    fill(tier, "v-65")
    assert held(tier, *span("v", 1, 65)) == ["v-1", "v-2", "v-3", *span("v", 8, 65)]
    tier.drop(key("v-50"))
    fill(tier, *span("v", 66, 69))
    assert held(tier, *span("v", 1, 12)) == span("v", 8, 12), "which is looked up anew when that one is dropped"


def test_an_old_segment_does_not_push_out_newer_ones(tier: SharedRam) -> None:
    fill(tier, *span("v", 11, 74))
    fill(tier, "v-5")
    assert held(tier, *span("v", 1, 80)) == span("v", 11, 74)
    assert (tier.evictions_count, tier.refusals_count) == (0, 1)


def test_an_old_segment_is_taken_while_there_is_room(tier: SharedRam) -> None:
    fill(tier, *span("v", 11, 73), "v-5")
    assert held(tier, "v-5", "v-11") == ["v-5", "v-11"]


def test_a_rendition_that_has_stalled_keeps_its_live_edge(tier: SharedRam) -> None:
    fill(tier, *span("stalled", 1, 12), *span("v", 100, 400))
    assert held(tier, *span("stalled", 1, 12)) == span("stalled", 5, 12)
    assert len(held(tier, *span("v", 100, 400))) >= 64 - 8 - 4
    assert tier.refusals_count == 0


def test_live_edges_make_room_for_newer_media_once_nothing_else_is_left(told: Told) -> None:
    tier = SharedRam(16 * PAGE, place_of, told.append)  # arenas of a page
    fill(tier, *span("old", 1, PROTECTED_SEGMENTS), *span("other", 11, 18))
    fill(tier, "v-100", "v-101")
    assert held(tier, *span("old", 1, 8), *span("other", 11, 18)) == [*span("old", 3, 8), *span("other", 11, 18)]
    fill(tier, "old-2")
    assert held(tier, *span("old", 1, 3), "v-100", "v-101") == ["old-3", "v-100", "v-101"]
    assert (tier.evictions_count, tier.refusals_count) == (2, 1)
    tier.close()


def test_what_has_no_media_time_outlives_segments_but_not_live_edges(told: Told) -> None:
    tier = SharedRam(16 * PAGE, place_of, told.append)
    fill(tier, "init", *span("v", 1, 40))
    assert held(tier, "init", *span("v", 1, 40)) == ["init", *span("v", 26, 40)]
    fill(tier, *span("w", 101, 107))
    assert held(tier, "init", *span("v", 26, 40)) == ["init", *span("v", 33, 40)]
    fill(tier, "w-108")
    assert held(tier, "init", *span("v", 26, 40)) == span("v", 33, 40)
    fill(tier, "init")
    assert held(tier, "init") == [], "nor does it come in by pushing out a live edge"
    tier.close()


def test_what_has_no_media_time_leaves_in_the_order_it_came(told: Told) -> None:
    tier = SharedRam(3 * PAGE, place_of, told.append)
    fill(tier, "one", "two", "three", "four")
    assert held(tier, "one", "two", "three", "four") == ["two", "three", "four"]
    tier.close()


def test_small_bodies_without_media_time_share_an_arena_of_their_own(tier: SharedRam) -> None:
    fill(tier, "one", "v-1", "two", size_bytes=PAGE // 4)
    assert [{place.key for place in tier.places(arena.id)} for arena in tier.arenas()] == [
        {key("one"), key("two")},
        {key("v-1")},
    ]


def test_what_has_left_the_configuration_goes_first_and_protects_nothing(tier: SharedRam) -> None:
    fill(tier, *span("v", 1, 60), *span("gone", 0, 3), "v-61")
    assert held(tier, *span("gone", 0, 3), "v-1") == ["v-1"]
    fill(tier, "v-62", "v-63", "v-64", "gone-1")
    assert held(tier, "gone-1") == []


def test_a_place_that_was_lost_with_the_configuration_is_looked_up_as_it_is_now(tier: SharedRam) -> None:
    """A running origin may be given another configuration: then a segment is one without a time, too."""
    places = {"is_known": True}
    changing = SharedRam(CAPACITY_BYTES, lambda name: place_of(name) if places["is_known"] else None)
    fill(changing, *span("v", 1, 64))
    places["is_known"] = False
    changing.drop(key("v-64"))
    fill(changing, "init")
    assert held(changing, *span("v", 55, 64), "init") == [*span("v", 55, 63), "init"]
    changing.close()


@pytest.mark.parametrize(("size_bytes", "arena_pages"), [(PAGE + 1, 2), (5 * PAGE, 5), (CAPACITY_BYTES, 64)])
def test_a_large_body_has_an_arena_of_its_own(tier: SharedRam, size_bytes: int, arena_pages: int) -> None:
    fill(tier, "v-1")
    fill(tier, "v-2", size_bytes=size_bytes)
    assert read(tier, "v-2") == body_of("v-2", size_bytes)
    assert tier.arenas()[-1].size_bytes == arena_pages * PAGE
    assert sizes_bytes(tier) <= CAPACITY_BYTES
    fill(tier, "v-3")
    if arena_pages < 64:
        assert held(tier, "v-1", "v-2", "v-3") == ["v-1", "v-2", "v-3"]
        assert len(tier.arenas()) == 2


@pytest.mark.parametrize("name", ["init", "v-9", "gone-1"])
def test_a_body_larger_than_the_tier_is_not_kept_and_drops_nothing(tier: SharedRam, name: str) -> None:
    fill(tier, "v-1")
    fill(tier, name, size_bytes=CAPACITY_BYTES + 1)
    assert held(tier, "v-1", name) == ["v-1"]
    assert (tier.evictions_count, tier.refusals_count) == (0, 1)


@pytest.mark.parametrize("capacity_bytes", [0, PAGE - 1])
def test_a_tier_of_less_than_a_page_holds_nothing(capacity_bytes: int) -> None:
    tier = SharedRam(capacity_bytes, place_of)
    fill(tier, "v-1", "init", size_bytes=1)
    assert held(tier, "v-1", "init") == []
    assert tier.refusals_count == 2


def test_the_same_body_put_again_takes_no_room(tier: SharedRam, told: Told) -> None:
    fill(tier, "v-1")
    told.clear()
    fill(tier, "v-1")
    assert told == []
    assert tier.used_bytes == PAGE


def test_a_body_that_is_replaced_is_written_elsewhere(tier: SharedRam, told: Told) -> None:
    tier.put(key("v-1"), b"old")
    view = view_of(tier, "v-1")
    tier.put(key("v-1"), b"newer")
    assert (read(tier, "v-1"), bytes(view)) == (b"newer", b"old")
    assert told[-1] == BodyPlaced(key("v-1"), "g-1", 3, 5)


def test_a_dropped_body_is_forgotten_and_its_arena_goes_with_the_last_one(tier: SharedRam, told: Told) -> None:
    fill(tier, *span("v", 1, 5))
    told.clear()
    for name in ("v-1", "v-1", "v-2", "v-3"):
        tier.drop(key(name))
    assert told == []
    tier.drop(key("v-4"))
    assert told.take() == [ArenaGone("g-1")]
    tier.drop(key("v-5"))
    assert told == [], "the arena that is being filled stays"
    assert held(tier, *span("v", 1, 5)) == []
    assert tier.evictions_count == 0
    fill(tier, "v-6")
    assert told.take() == [BodyPlaced(key("v-6"), "g-2", PAGE, PAGE)], "and what was written is never written over"


def test_an_arena_that_is_full_of_dropped_bodies_goes_when_the_next_is_made(tier: SharedRam, told: Told) -> None:
    fill(tier, *span("v", 1, 4))
    for name in span("v", 1, 4):
        tier.drop(key(name))
    told.clear()
    fill(tier, "v-5")
    assert [type(each) for each in told] == [ArenaMade, ArenaGone, BodyPlaced]
    assert [arena.id for arena in tier.arenas()] == ["g-2"]


def test_what_was_dropped_goes_before_anything_that_is_held(tier: SharedRam, told: Told) -> None:
    fill(tier, *span("v", 1, 60))
    fill(tier, "init", size_bytes=100)
    tier.drop(key("init"))
    fill(tier, *span("v", 61, 64))
    assert held(tier, *span("v", 1, 64)) == span("v", 1, 64)
    assert ArenaGone("g-16") in told


def test_a_bucket_is_forgotten_as_a_whole(tier: SharedRam) -> None:
    names = [BodyKey(f"derby/{bucket}/v-{n}") for bucket in ("3", "33", "init", "manifest") for n in (1, 2)]
    for name in names:
        tier.put(name, name.encode())
    tier.drop_bucket("derby", 3)
    assert [name for name in names if tier.get(name) is not None] == names[2:]
    tier.drop_bucket("derby", None)
    assert [name for name in names if tier.get(name) is not None] == names[2:4]


def test_a_view_outlives_its_arena_and_memory_is_given_back_with_it(tier: SharedRam) -> None:
    fill(tier, "v-1", *span("v", 2, 4))
    view = view_of(tier, "v-1")
    fill(tier, *span("v", 5, 80))
    assert held(tier, "v-1") == []
    assert view == body_of("v-1")
    count = mappings_count("g")
    assert count == len(tier.arenas()) + 1
    del view
    assert mappings_count("g") == count - 1


def test_nothing_is_left_of_a_tier_that_was_closed() -> None:
    open_before = descriptors_count()
    tier = SharedRam(CAPACITY_BYTES, place_of, generation="closed")
    fill(tier, *span("v", 1, 200), "init")
    tier.close()
    assert (descriptors_count(), mappings_count("closed")) == (open_before, 0)
    assert (tier.used_bytes, len(tier._order), tier.arenas(), list(tier.places())) == (0, 0, [], [])


def fail(*_: object) -> None:
    raise OSError("no memory")


@pytest.mark.parametrize(("owner", "name"), [(os, "memfd_create"), (os, "ftruncate"), (Arena, "write")])
@pytest.mark.parametrize("size_bytes", [PAGE, 5 * PAGE])
def test_a_body_for_which_there_is_no_memory_is_not_kept(
    tier: SharedRam, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, size_bytes: int
) -> None:
    fill(tier, *span("v", 1, 4))
    open_before = descriptors_count()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        fill(tier, "v-5", size_bytes=size_bytes)
    assert (held(tier, *span("v", 1, 5)), tier.refusals_count) == (span("v", 1, 4), 1)
    assert descriptors_count() == open_before
    fill(tier, "v-5", size_bytes=size_bytes)
    assert held(tier, "v-5") == ["v-5"]


def test_where_an_arena_cannot_be_filled_its_bodies_stay(tier: SharedRam, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tier, "v-1")
    with monkeypatch.context() as patch:
        patch.setattr(Arena, "write", fail)
        fill(tier, "v-2")
    fill(tier, "v-3")
    assert held(tier, *span("v", 1, 3)) == ["v-1", "v-3"]


@pytest.mark.parametrize(("capacity_mib", "arena_mib"), [(16, 1), (255, 15.9375), (4096, 16), (16384, 32)])
def test_a_tier_has_from_16_to_512_arenas(capacity_mib: int, arena_mib: float) -> None:
    mib = 2**20
    assert shared_ram.arena_bytes(capacity_mib * mib) == arena_mib * mib

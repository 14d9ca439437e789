"""The order of eviction: ranks, victims, and nothing left behind for what has gone."""

from random import Random

from storage.base import BodyKey
from storage.eviction import PROTECTED_SEGMENTS, EvictionOrder, MediaPlace, Queue


def key(name: object) -> BodyKey:
    return BodyKey(f"derby/0/{name}")


def make_order(*names: str) -> EvictionOrder:
    """Return an order of bodies named `rendition-number`, 2 s a segment; what has no number has no media time."""
    order = EvictionOrder()
    for name in names:
        rendition, _, number = name.partition("-")
        order.add(key(name), MediaPlace(rendition, int(number), int(number) * 2_000) if number else None)
    return order


def victims(order: EvictionOrder, needed_bytes: int, newcomer: str) -> list[str] | None:
    """Return the names of those that go first, where each body has one byte."""
    found = order.victims(needed_bytes, lambda _: 1, key(newcomer))
    return None if found is None else [name.rpartition("/")[2] for name in found]


def test_a_queue_gives_back_the_lowest_rank_first() -> None:
    queue: Queue[str] = Queue()
    for rank in (3, 1, 2):
        queue.add(f"item {rank}", (rank,))
    assert [queue.take() for _ in range(3)] == [("item 1", (1,)), ("item 2", (2,)), ("item 3", (3,))]
    assert len(queue) == 0


def test_a_queue_gives_back_nothing_that_was_removed() -> None:
    queue: Queue[str] = Queue()
    for rank in range(4):
        queue.add(f"item {rank}", (rank,))
    assert queue.remove("item 0") == (0,)
    queue.add("item 0", (9,))
    assert queue.remove("item 2") == (2,)
    queue.add("item 2", (2,))
    assert [queue.take()[0] for _ in range(4)] == ["item 1", "item 2", "item 3", "item 0"]


def test_a_queue_stays_as_small_as_what_it_holds() -> None:
    """Though what was removed never comes up, because something older stays below it."""
    queue: Queue[int] = Queue()
    queue.add(0, (0,))
    for rank in range(1, 10_000):
        queue.add(rank, (rank,))
        queue.remove(rank)
    assert len(queue) == 1
    assert len(queue._heap) < 100


def test_a_queue_tells_what_it_holds() -> None:
    queue: Queue[str] = Queue()
    for rank in range(3):
        queue.add(f"item {rank}", (rank,))
    queue.remove("item 1")
    assert set(queue) == {"item 0", "item 2"}
    assert ["item 1" in queue, "item 2" in queue] == [False, True]


def test_what_goes_last_is_told() -> None:
    order = make_order(*(f"v-{number}" for number in range(1, 11)), "w-1", "init")
    assert set(order.protected()) == {key(name) for name in ("w-1", *(f"v-{number}" for number in range(3, 11)))}
    assert [order.is_protected(key(name)) for name in ("v-2", "v-3", "init")] == [False, True, False]
    order.remove(key("v-10"))
    assert order.is_protected(key("v-2"))


def test_victims_are_told_without_changing_anything() -> None:
    order = make_order(*(f"v-{number}" for number in range(1, 13)), "init")
    for _ in range(2):
        assert victims(order, 3, "v-12") == ["v-1", "v-2", "v-3"]
        assert victims(order, 6, "v-12") == ["v-1", "v-2", "v-3", "v-4", "init", "v-5"]
        assert victims(order, 13, "v-12") is None
        assert victims(order, 3, "v-3") is None
        assert victims(order, 2, "v-3") == ["v-1", "v-2"]
        assert victims(order, 0, "v-3") == victims(order, -5, "v-3") == []


def test_an_old_number_among_newer_ones_is_not_protected() -> None:
    order = make_order(*(f"v-{number}" for number in range(11, 19)), "init", "v-1")
    assert victims(order, 1, "v-18") == ["v-1"]


def test_a_hole_that_is_filled_late_is_protected_like_its_neighbours() -> None:
    order = make_order(*(f"v-{number}" for number in range(1, 12) if number != 9), "init", "v-9")
    assert victims(order, 4, "v-11") == ["v-1", "v-2", "v-3", "init"]


def test_nothing_is_left_of_what_has_gone() -> None:
    names = [f"{rendition}-{number}" for rendition in "uvw" for number in range(2 * PROTECTED_SEGMENTS)]
    names += ["init", "manifest"]
    for seed in range(10):
        order = make_order(*names)
        leaving = list(names)
        Random(seed).shuffle(leaving)
        for name in leaving:
            order.remove(key(name))
        assert len(order) == 0
        assert order._renditions == {}
        assert len(order._loose) == len(order._protected) == 0

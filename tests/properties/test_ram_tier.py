"""The RAM tier against a list that is sorted anew at every call, and what must hold whatever is called."""

from dataclasses import dataclass, field
from itertools import count
from typing import Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.base import BodyKey
from storage.eviction import PROTECTED_SEGMENTS, MediaPlace
from storage.ram import RamTier

RENDITIONS = ("live", "stalled", "short")
COPIES_COUNT = 2

Name = Literal["put", "get", "drop"]


class Call(NamedTuple):
    """One call of the tier."""

    name: Name
    key: BodyKey
    size_bytes: int


@dataclass(frozen=True)
class Held:
    """A body that is held."""

    key: BodyKey
    place: MediaPlace | None
    size_bytes: int
    serial: int


def place_of(key: BodyKey) -> MediaPlace | None:
    """Read a place off a key: the renditions lie far apart in time, and have other durations."""
    rendition, number_text, _ = key.split("~")
    if rendition == "timeless":
        return None
    number = int(number_text)
    if rendition == "gone":
        return MediaPlace(None, 0, 0)
    start_ms, duration_ms = {"live": (50_000, 2_000), "stalled": (0, 2_000), "short": (50_000, 5_000)}[rendition]
    return MediaPlace(rendition, number, start_ms + number * duration_ms)


KEYS = st.builds(
    lambda rendition, number, copy: BodyKey(f"{rendition}~{number}~{copy}"),
    st.sampled_from([*RENDITIONS, "live", "live", "timeless", "gone"]),
    st.integers(0, 3 * PROTECTED_SEGMENTS),
    st.integers(0, COPIES_COUNT - 1),
)


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    """Anything, but first two renditions with more numbers than are protected, and then some of them dropped.

    Draws alone hardly ever come to where protection is handed on.
    """
    numbers = range(draw(st.sampled_from([0, PROTECTED_SEGMENTS + 4])))
    filling = [Call("put", BodyKey(f"{rendition}~{n}~0"), 1) for n in numbers for rendition in ("stalled", "live")]
    leaving = st.lists(st.sampled_from(filling), max_size=8) if filling else st.just([])
    dropping = [Call("drop", call.key, 0) for call in draw(leaving)]
    anything = st.builds(Call, st.sampled_from(["put", "put", "put", "get", "drop"]), KEYS, st.integers(0, 9))
    return [*filling, *dropping, *draw(st.lists(anything, max_size=120))]


CALLS = calls()
BUDGETS = st.integers(0, 8) | st.integers(9, 120)


@dataclass
class Model:
    """What the tier does, told naively: sort everything, and let go from the front."""

    capacity_bytes: int
    held: list[Held] = field(default_factory=list)
    evictions_count: int = 0
    refusals_count: int = 0
    serials: "count[int]" = field(default_factory=count)

    def used_bytes(self) -> int:
        return sum(each.size_bytes for each in self.held)

    def is_protected(self, body: Held) -> bool:
        if body.place is None or body.place.rendition is None:
            return False
        numbers = {
            each.place.number
            for each in self.held
            if each.place is not None and each.place.rendition == body.place.rendition
        }
        return len([number for number in numbers if number > body.place.number]) < PROTECTED_SEGMENTS

    def rank(self, body: Held) -> tuple[bool, bool, int, int]:
        end_ms = 0 if body.place is None else body.place.end_ms
        return (self.is_protected(body), body.place is None, end_ms, body.serial)

    def drop(self, key: BodyKey) -> None:
        self.held = [each for each in self.held if each.key != key]

    def put(self, key: BodyKey, size_bytes: int) -> list[Held]:
        """Return what was evicted."""
        self.drop(key)
        before = list(self.held)
        newcomer = Held(key, place_of(key), size_bytes, next(self.serials))
        self.held.append(newcomer)
        evicted: list[Held] = []
        for each in sorted(self.held, key=self.rank):
            if self.used_bytes() - sum(other.size_bytes for other in evicted) <= self.capacity_bytes:
                break
            evicted.append(each)
        if newcomer in evicted or size_bytes > self.capacity_bytes:
            self.held = before
            self.refusals_count += 1
            return []
        self.held = [each for each in self.held if each not in evicted]
        self.evictions_count += len(evicted)
        return evicted


@settings(max_examples=400, deadline=None)
@given(BUDGETS, CALLS)
def test_the_tier_does_what_the_model_does(capacity_bytes: int, made: list[Call]) -> None:
    tier, model = RamTier(capacity_bytes, place_of), Model(capacity_bytes)
    keys = {call.key for call in made}
    for name, key, size_bytes in made:
        match name:
            case "put":
                tier.put(key, bytes(size_bytes))
                model.put(key, size_bytes)
            case "get":
                tier.get(key)
            case "drop":
                tier.drop(key)
                model.drop(key)
        sizes = {each: len(body) for each in keys if (body := tier.get(each)) is not None}
        assert sizes == {each.key: each.size_bytes for each in model.held}
        assert tier.used_bytes == model.used_bytes() <= capacity_bytes
        assert (tier.evictions_count, tier.refusals_count) == (model.evictions_count, model.refusals_count)


def newest_numbers(rendition: str, keys: set[BodyKey]) -> set[int]:
    """Return the numbers that are to be protected."""
    places = [place for key in keys if (place := place_of(key)) is not None and place.rendition == rendition]
    return set(sorted({place.number for place in places})[-PROTECTED_SEGMENTS:])


@settings(max_examples=400, deadline=None)
@given(BUDGETS, CALLS)
def test_newer_media_never_makes_room_for_older_and_live_edges_only_for_lack_of_anything_else(
    capacity_bytes: int, made: list[Call]
) -> None:
    tier = RamTier(capacity_bytes, place_of)
    keys = {call.key for call in made}
    for name, key, size_bytes in made:
        before = {each for each in keys if tier.get(each) is not None} - {key}
        if name != "put":
            tier.drop(key)
            continue
        tier.put(key, bytes(size_bytes))
        after = {each for each in keys if tier.get(each) is not None}
        assert tier.used_bytes <= capacity_bytes
        evicted = before - after
        if key not in after:
            assert not evicted, "a body that is not taken costs nobody else a place"
            continue
        newest = {rendition: newest_numbers(rendition, before | {key}) for rendition in RENDITIONS}

        def is_protected(each: BodyKey, newest: dict[str, set[int]] = newest) -> bool:
            place = place_of(each)
            return place is not None and place.rendition is not None and place.number in newest[place.rendition]

        if any(is_protected(each) for each in evicted):
            assert all(is_protected(each) for each in after)
        place = place_of(key)
        for each in evicted:
            other = place_of(each)
            if is_protected(each) == is_protected(key) and place is not None:
                assert other is not None and other.end_ms <= place.end_ms


@settings(deadline=None)
@given(BUDGETS, CALLS)
def test_nothing_is_left_of_bodies_that_have_gone(capacity_bytes: int, made: list[Call]) -> None:
    tier = RamTier(capacity_bytes, place_of)
    for _, key, size_bytes in made:
        tier.put(key, bytes(size_bytes))
    for _, key, _ in made:
        tier.drop(key)
    order = tier._order
    assert tier.used_bytes == len(order) == len(order._loose) == len(order._protected) == 0
    assert order._renditions == {}

"""The RAM tier never exceeds its budget, drops the oldest media first, and keeps the live edge of every rendition."""

from random import Random

import pytest

from storage.base import BodyKey
from storage.eviction import PROTECTED_SEGMENTS, MediaPlace
from storage.ram import RamTier, keys_of_bucket


def key(name: object) -> BodyKey:
    return BodyKey(f"derby/0/{name}")


def place_of(body_key: BodyKey) -> MediaPlace | None:
    """Read a place off a key: `rendition-number` with 2 s a segment, `gone-number`, or anything else."""
    rendition, _, number = body_key.rpartition("/")[2].partition("-")
    if not number:
        return None
    return MediaPlace(None if rendition == "gone" else rendition, int(number), int(number) * 2_000)


def make_tier(capacity_bytes: int, *names: str, size_bytes: int = 1) -> RamTier:
    """Return a tier with bodies of one size."""
    tier = RamTier(capacity_bytes, place_of)
    for name in names:
        tier.put(key(name), bytes(size_bytes))
    return tier


def held(tier: RamTier, *names: str) -> list[str]:
    """Return those of `names` that the tier holds."""
    return [name for name in names if tier.get(key(name)) is not None]


def span(rendition: str, first: int, last: int) -> list[str]:
    return [f"{rendition}-{number}" for number in range(first, last + 1)]


def test_a_body_that_was_put_is_there() -> None:
    tier = make_tier(10)
    tier.put(key("v-1"), b"abcd")
    assert tier.get(key("v-1")) == b"abcd"
    assert tier.used_bytes == 4
    assert tier.capacity_bytes == 10


def test_a_body_that_was_not_put_is_not_there() -> None:
    assert make_tier(10).get(key("v-1")) is None


def test_the_oldest_media_makes_room_in_whatever_order_it_came() -> None:
    names = span("v", 1, 20)
    shuffled = list(names)
    Random(4).shuffle(shuffled)
    tier = make_tier(20, *shuffled)
    for number in range(21, 26):
        tier.put(key(f"v-{number}"), b"a")
        names = [*names[1:], f"v-{number}"]
        assert held(tier, *span("v", 1, 30)) == names
    assert (tier.evictions_count, tier.refusals_count) == (5, 0)


def test_a_body_that_is_asked_for_often_leaves_in_its_turn() -> None:
    tier = make_tier(20, *span("v", 1, 20))
    for _ in range(100):
        tier.get(key("v-1"))
    tier.put(key("v-21"), b"a")
    assert held(tier, "v-1", "v-2") == ["v-2"]


def test_an_old_segment_that_is_read_again_does_not_push_out_newer_ones() -> None:
    tier = make_tier(20, *span("v", 11, 30))
    tier.put(key("v-5"), b"a")
    assert held(tier, *span("v", 1, 30)) == span("v", 11, 30)
    assert (tier.evictions_count, tier.refusals_count) == (0, 1)


def test_an_old_segment_is_taken_while_there_is_room() -> None:
    tier = make_tier(21, *span("v", 11, 30))
    tier.put(key("v-5"), b"a")
    assert held(tier, *span("v", 1, 30)) == ["v-5", *span("v", 11, 30)]


def test_a_segment_that_would_push_out_newer_ones_pushes_out_no_older_ones_either() -> None:
    tier = make_tier(20, *span("v", 1, 4), *span("v", 6, 21))
    tier.put(key("v-5"), b"abcde")
    assert held(tier, *span("v", 1, 30)) == [*span("v", 1, 4), *span("v", 6, 21)]
    tier.put(key("v-5"), b"abcd")
    assert held(tier, *span("v", 1, 30)) == span("v", 5, 21)
    assert (tier.evictions_count, tier.refusals_count) == (4, 1)


def test_what_is_of_one_age_leaves_in_the_order_it_came() -> None:
    tier = make_tier(20, *span("a", 1, 10), *span("v", 1, 10))
    tier.put(key("v-11"), b"abc")
    assert held(tier, "a-1", "v-1", "a-2", "v-2") == ["v-2"]


def test_a_rendition_that_has_stalled_keeps_its_live_edge() -> None:
    """However long the others go on, and though each of theirs is newer."""
    tier = make_tier(30, *span("stalled", 1, 12))
    for name in span("v", 100, 300):
        tier.put(key(name), b"a")
    assert held(tier, *span("stalled", 1, 12)) == span("stalled", 5, 12)
    assert held(tier, *span("v", 100, 300)) == span("v", 279, 300)


def test_every_copy_of_a_protected_number_is_protected() -> None:
    tier = RamTier(20, lambda body_key: place_of(BodyKey(body_key.rstrip("abc"))))
    for number in range(1, 9):
        for pipeline in "ab":
            tier.put(key(f"v-{number}{pipeline}"), b"1")
    for number in range(100, 109):
        tier.put(key(f"w-{number}"), b"1")
    assert held(tier, *(f"v-{number}{pipeline}" for number in range(1, 9) for pipeline in "ab")) == [
        f"v-{number}{pipeline}" for number in range(3, 9) for pipeline in "ab"
    ]  # nothing else was left
    assert held(tier, *span("w", 100, 108)) == span("w", 101, 108)


def test_protected_segments_make_room_for_newer_ones_once_nothing_else_is_left() -> None:
    tier = make_tier(8, *span("old", 1, PROTECTED_SEGMENTS))
    tier.put(key("v-100"), b"abc")
    assert held(tier, *span("old", 1, 8), "v-100") == [*span("old", 4, 8), "v-100"]
    tier.put(key("old-3"), b"a")
    assert held(tier, *span("old", 1, 8), "v-100") == [*span("old", 4, 8), "v-100"]
    assert (tier.evictions_count, tier.refusals_count) == (3, 1)


def test_protection_is_handed_on_when_a_protected_segment_is_dropped() -> None:
    tier = make_tier(30, *span("old", 1, 12))
    tier.drop(key("old-12"))
    tier.drop(key("old-8"))
    for name in span("v", 100, 200):
        tier.put(key(name), b"a")
    assert held(tier, *span("old", 1, 12)) == [*span("old", 3, 7), *span("old", 9, 11)]


def test_what_has_no_media_time_outlives_every_segment_that_is_not_protected() -> None:
    tier = make_tier(12, "init", *span("v", 1, 11))
    for name in span("v", 12, 40):
        tier.put(key(name), b"a")
    assert held(tier, "init") == ["init"]
    tier.put(key("v-41"), b"abcd")  # eight protected ones are then 11 bytes
    assert held(tier, "init", *span("v", 30, 41)) == ["init", *span("v", 34, 41)]
    tier.put(key("v-42"), b"abcd")
    assert held(tier, "init", *span("v", 30, 42)) == span("v", 37, 42)


def test_what_has_no_media_time_leaves_in_the_order_it_came() -> None:
    tier = make_tier(3, "one", "two", "three", "four")
    assert held(tier, "one", "two", "three", "four") == ["two", "three", "four"]
    tier.put(key("two"), b"a")
    tier.put(key("five"), b"a")
    assert held(tier, "two", "three", "four", "five") == ["two", "four", "five"]


def test_what_has_left_the_configuration_goes_first_and_protects_nothing() -> None:
    tier = make_tier(10, "gone-5", "gone-6", *span("v", 1, 8))
    tier.put(key("v-9"), b"a")
    tier.put(key("init"), b"a")
    assert held(tier, "gone-5", "gone-6", "v-1", "v-2") == ["gone-6", "v-2"]  # v-1 had become the ninth
    tier.put(key("other"), b"a")
    assert held(tier, "gone-6", "v-2") == ["v-2"]


@pytest.mark.parametrize("name", ["init", "v-1", "gone-1"])
def test_a_body_as_large_as_the_tier_is_kept_alone(name: str) -> None:
    tier = make_tier(10, "gone-0")
    tier.put(key(name), bytes(10))
    assert held(tier, "gone-0", name) == [name]


@pytest.mark.parametrize("name", ["init", "v-9"])
def test_a_body_larger_than_the_tier_is_not_kept_and_drops_nothing(name: str) -> None:
    tier = make_tier(10, "v-1")
    tier.put(key(name), bytes(11))
    assert held(tier, "v-1", name) == ["v-1"]
    assert (tier.evictions_count, tier.refusals_count) == (0, 1)


def test_a_body_that_is_put_again_is_held_once() -> None:
    tier = make_tier(10, "v-1", "v-1", "v-2", "v-1")
    assert tier.used_bytes == 2
    assert tier.evictions_count == 0


def test_a_tier_without_room_holds_nothing() -> None:
    assert held(make_tier(0, "v-1", "init"), "v-1", "init") == []


@pytest.mark.parametrize(("bucket", "first", "end"), [(3, 0, 1), (33, 2, 3), (None, 4, 6), (4, 0, 0)])
def test_a_bucket_is_told_by_its_folders(bucket: int | None, first: int, end: int) -> None:
    folders = ("derby/3", "oaks/3", "derby/33", "derby/3x", "derby/init", "derby/manifest")
    keys = [BodyKey(f"{folder}/a") for folder in folders]
    assert keys_of_bucket(keys, "derby", bucket) == keys[first:end]


def test_a_dropped_body_frees_its_bytes() -> None:
    tier = make_tier(10)
    tier.put(key("v-1"), b"abcd")
    tier.drop(key("v-1"))
    tier.drop(key("v-1"))
    assert tier.get(key("v-1")) is None
    assert tier.used_bytes == 0
    assert tier.evictions_count == 0

"""The RAM tier never exceeds its budget and drops the oldest first."""

from hypothesis import given
from hypothesis import strategies as st

from storage.base import BodyKey
from storage.ram import RamTier


def key(name: object) -> BodyKey:
    return BodyKey(f"derby/0/{name}")


def test_a_body_that_was_put_is_there() -> None:
    tier = RamTier(10)
    tier.put(key(1), b"abcd")
    assert tier.get(key(1)) == b"abcd"
    assert tier.used_bytes == 4
    assert tier.capacity_bytes == 10


def test_a_body_that_was_not_put_is_not_there() -> None:
    assert RamTier(10).get(key(1)) is None


def test_the_oldest_body_makes_room() -> None:
    tier = RamTier(10)
    for number in range(3):
        tier.put(key(number), b"abcd")
    assert [tier.get(key(number)) for number in range(3)] == [None, b"abcd", b"abcd"]


def test_a_body_that_is_asked_for_often_leaves_in_its_turn() -> None:
    tier = RamTier(10)
    tier.put(key("rewind"), b"abcd")
    tier.put(key("edge"), b"abcd")
    for _ in range(100):
        tier.get(key("rewind"))
    tier.put(key("new edge"), b"abcd")
    assert tier.get(key("rewind")) is None
    assert tier.get(key("edge")) == b"abcd"


def test_several_bodies_make_room_for_a_large_one() -> None:
    tier = RamTier(10)
    for number in range(5):
        tier.put(key(number), b"ab")
    tier.put(key("large"), b"abcdefg")
    assert [tier.get(key(number)) for number in range(5)] == [None, None, None, None, b"ab"]
    assert tier.used_bytes == 9


def test_a_body_as_large_as_the_tier_is_kept_alone() -> None:
    tier = RamTier(10)
    tier.put(key(1), b"a")
    tier.put(key(2), b"abcdefghij")
    assert tier.get(key(1)) is None
    assert tier.get(key(2)) == b"abcdefghij"


def test_a_body_larger_than_the_tier_is_not_kept_and_drops_nothing() -> None:
    tier = RamTier(10)
    tier.put(key(1), b"a")
    tier.put(key(2), b"abcdefghijk")
    assert tier.get(key(1)) == b"a"
    assert tier.get(key(2)) is None


def test_a_dropped_body_frees_its_bytes() -> None:
    tier = RamTier(10)
    tier.put(key(1), b"abcd")
    tier.drop(key(1))
    tier.drop(key(1))
    assert tier.get(key(1)) is None
    assert tier.used_bytes == 0


@given(
    capacity_bytes=st.integers(0, 40),
    calls=st.lists(st.tuples(st.sampled_from(["put", "get", "drop"]), st.integers(0, 7), st.integers(1, 30))),
)
def test_the_budget_holds_and_what_is_kept_is_the_newest(
    capacity_bytes: int, calls: list[tuple[str, int, int]]
) -> None:
    tier = RamTier(capacity_bytes)
    model: dict[BodyKey, bytes] = {}  # oldest first
    for call, number, size_bytes in calls:
        body = bytes([number]) * size_bytes
        if call == "put":
            tier.put(key(number), body)
            if size_bytes <= capacity_bytes:
                model.pop(key(number), None)
                model[key(number)] = body
                while sum(map(len, model.values())) > capacity_bytes:
                    del model[next(iter(model))]
        elif call == "drop":
            tier.drop(key(number))
            model.pop(key(number), None)
        assert {name: tier.get(name) for name in map(key, range(8)) if tier.get(name) is not None} == model
        assert tier.used_bytes == sum(map(len, model.values())) <= capacity_bytes

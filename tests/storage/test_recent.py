"""A bounded dictionary: never more than it may hold, never without what was asked for last."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.recent import Recent

COUNT = 8
KEYS = st.integers(0, 20)
STEPS = st.lists(st.tuples(st.sampled_from(["keep", "read", "forget"]), KEYS), max_size=200)


def found(recent: Recent[int, int], key: int) -> int | None:
    try:
        return recent[key]
    except KeyError:
        return None


@given(STEPS)
def test_it_holds_what_was_used_last_and_only_what_was_kept(steps: list[tuple[str, int]]) -> None:
    recent: Recent[int, int] = Recent(COUNT)
    truth: OrderedDict[int, int] = OrderedDict()  # all that was kept and not forgotten, used last at the end
    for value, (step, key) in enumerate(steps):
        newest = list(truth)[-COUNT // 2 :]
        if step == "keep":
            recent.keep(key, value)
            truth[key] = value
            truth.move_to_end(key)
        elif step == "forget":
            assert recent.forget(key) in ({truth[key]} if key in newest else {truth.get(key), None})
            truth.pop(key, None)
        else:
            value_found = found(recent, key)
            assert value_found in ({truth[key]} if key in newest else {truth.get(key), None})
            if value_found is not None:
                truth.move_to_end(key)
            else:
                truth.pop(key, None)  # it is gone, and stays so
        assert len(recent) <= COUNT // 2


@pytest.mark.parametrize("count", [2, 3, 8, 9])
def test_it_never_holds_more_than_it_may(count: int) -> None:
    recent: Recent[int, int] = Recent(count)
    for number in range(100):
        recent.keep(number, number)
        held = [key for key in range(100) if key in recent or key in recent._older]
        assert len(held) <= count
        assert number in held


def test_the_newest_value_counts() -> None:
    recent: Recent[str, int] = Recent(4)
    for value, key in enumerate("abcab"):
        recent.keep(key, value)
    assert [recent[key] for key in "abc"] == [3, 4, 2]
    assert recent.forget("a") == 3
    with pytest.raises(KeyError):
        recent["a"]

"""Segments vanish by rule, not by chance."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin.demo.faults import BLOCK, is_dropped, is_garbled

NUMBERS = st.integers(min_value=0, max_value=2**40)
PERCENTS = st.integers(min_value=0, max_value=100)


@given(NUMBERS)
def test_nothing_and_everything_mean_what_they_say(number: int) -> None:
    assert not is_dropped("a", number, 0)
    assert is_dropped("a", number, 100)


@given(NUMBERS, PERCENTS, st.sampled_from([is_dropped, is_garbled]))
def test_the_share_is_right_in_a_hundred_blocks_wherever_they_begin(
    block: int, percent: int, is_hit: Callable[[str, int, int], bool]
) -> None:
    numbers = range(block * BLOCK, (block + 100) * BLOCK)
    assert sum(is_hit("a", number, percent) for number in numbers) == BLOCK * percent


@given(NUMBERS)
def test_half_is_seen_to_be_dropped_within_six_numbers(first: int) -> None:
    dropped = [is_dropped("a", number, 50) for number in range(first, first + 6)]
    assert 2 <= sum(dropped) <= 4


@pytest.mark.parametrize("percent", [30, 50])
def test_two_pipelines_lose_different_segments(percent: int) -> None:
    lost = {each: {n for n in range(1_000) if is_dropped(each, n, percent)} for each in "ab"}
    assert lost["a"] - lost["b"]
    assert lost["a"] & lost["b"]


def test_other_segments_are_garbled_than_are_lost() -> None:
    lost = {n for n in range(1_000) if is_dropped("a", n, 50)}
    garbled = {n for n in range(1_000) if is_garbled("a", n, 50)}
    assert lost - garbled
    assert garbled - lost

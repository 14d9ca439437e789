"""Waits between restarts."""

from origin.backoff import Backoff, Waits

WAITS = Waits(first_ms=100, max_ms=10_000, healthy_ms=30_000)


def test_the_first_restart_is_at_once_and_the_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(WAITS)
    waits = [backoff.wait_ms(0) for _ in range(10)]
    assert waits == [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]


def test_who_lived_long_enough_begins_anew() -> None:
    backoff = Backoff(WAITS)
    for _ in range(5):
        backoff.wait_ms(0)
    assert backoff.wait_ms(29_999) == 1_600
    assert backoff.wait_ms(30_000) == 0
    assert backoff.wait_ms(0) == 100

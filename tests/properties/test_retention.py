"""Nothing inside its window is collected, and nothing outlives its retention by more than a bucket."""

from hypothesis import given, settings
from hypothesis import strategies as st

from selection.capacity import CapacityLevel, retention_in_force_ms
from selection.model import Event
from selection.retention import collectable, event_is_over
from selection.window import WindowClass, classify, gives_up_ms
from tests.properties.strategies import events, exact_end_ms, numbers_and_times

RETENTIONS = st.integers(0, 60_000) | st.just(0)
SIZES = st.integers(1, 40)
# What a number is while its copies may be asked for, or may still come.
WANTED = (WindowClass.FUTURE, WindowClass.NEXT, WindowClass.DUE, WindowClass.GIVEN_UP)


def of_bucket(bucket: int, size: int) -> range:
    return range(bucket * size, (bucket + 1) * size)


def aged_out(event: Event, number: int, now_ms: int, retention_ms: int) -> bool:
    """Tell whether a number has been out of its window for the retention; from exact times."""
    late_ms = (now_ms - exact_end_ms(event, number) - event.publish_delay_ms).__floor__()
    return late_ms >= event.dvr_window_ms + retention_ms


@settings(max_examples=300)
@given(numbers_and_times(), RETENTIONS, SIZES, st.sampled_from(CapacityLevel))
def test_a_bucket_is_collected_when_all_of_it_has_aged_out_and_not_before(
    case: tuple[Event, int, int], retention_ms: int, size: int, level: CapacityLevel
) -> None:
    event, number, now_ms = case
    kept_ms = retention_in_force_ms(level, retention_ms)
    buckets = {number // size + offset for offset in (-1, 0, 1)}
    found = collectable(event, buckets, now_ms, kept_ms, segments_per_bucket=size)
    assert found == sorted(found)
    for bucket in buckets:
        numbers = of_bucket(bucket, size)
        assert (bucket in found) is all(aged_out(event, each, now_ms, kept_ms) for each in numbers)
        if bucket in found:
            assert all(classify(event, each, now_ms) not in WANTED for each in numbers)


@given(numbers_and_times(), RETENTIONS, SIZES, st.integers(0, 100_000))
def test_what_may_go_may_go_ever_after(
    case: tuple[Event, int, int], retention_ms: int, size: int, later_ms: int
) -> None:
    event, number, now_ms = case
    buckets = range(number // size - 3, number // size + 3)
    now = collectable(event, buckets, now_ms, retention_ms, segments_per_bucket=size)
    later = collectable(event, buckets, now_ms + later_ms, retention_ms, segments_per_bucket=size)
    assert set(now) <= set(later)
    assert not event_is_over(event, now_ms, retention_ms) or event_is_over(event, now_ms + later_ms, retention_ms)


@given(events(), RETENTIONS, st.integers(-200_000, 400_000))
def test_an_event_that_is_over_has_nothing_left_that_is_wanted(event: Event, retention_ms: int, now_ms: int) -> None:
    if not event_is_over(event, now_ms, retention_ms):
        return
    last = event.last_number
    assert last is not None
    for number in range(last - 50, last + 50):
        assert classify(event, number, now_ms) not in WANTED
    assert now_ms - gives_up_ms(event, last) >= event.dvr_window_ms + retention_ms

"""The load generator's own arithmetic says the same as the origin's, at every boundary."""

from fractions import Fraction

import pytest

from loadtests.schedule import Grid, jitter_ms, size_of
from selection.window import WindowClass, classify
from tests.support.events import make_event

EPOCH_MS = 1_000_000
SEGMENT_MS = 1_920
GRID = Grid(EPOCH_MS, SEGMENT_MS, start_number=7, publish_delay_ms=1_000, dvr_ms=60_000)


@pytest.mark.parametrize(
    ("after_ms", "number"), [(-1, 6), (0, 7), (1_919, 7), (1_920, 8), (1_920.5, 8), (5_000_000_000, 2_604_173)]
)
def test_the_number_being_made_changes_when_a_segment_begins(after_ms: float, number: int) -> None:
    assert GRID.number_at(EPOCH_MS + after_ms) == number


@pytest.mark.parametrize("number", [7, 8, 1_000_003])
def test_the_media_of_a_segment_ends_when_that_of_the_next_begins(number: int) -> None:
    assert GRID.number_at(GRID.end_ms(number)) == number + 1
    assert GRID.number_at(GRID.end_ms(number) - 1) == number


def test_a_packager_is_late_by_its_jitter_and_the_same_in_every_run() -> None:
    delays = {jitter_ms(pipeline, "v720", number, 20) for pipeline in "ab" for number in range(500)}
    assert delays == set(range(21))
    assert jitter_ms("a", "v720", 5, 20) == jitter_ms("a", "v720", 5, 20)
    assert jitter_ms("a", "v720", 5, 0) == 0


def test_each_rendition_has_half_the_bytes_of_the_one_before() -> None:
    assert [size_of(index, 1_000) for index in range(4)] == [1_000, 500, 250, 125]


@pytest.mark.parametrize("offset_ms", [0, 1, SEGMENT_MS - 1])
def test_the_origin_agrees_on_what_has_left_the_window(offset_ms: int) -> None:
    event = make_event(
        duration=Fraction(SEGMENT_MS, 1_000),
        epoch_ms=EPOCH_MS,
        start_number=7,
        publish_delay_ms=1_000,
        dvr_window_ms=60_000,
    )
    now_ms = GRID.end_ms(5_000) + offset_ms
    kept = GRID.first_kept(now_ms)
    assert classify(event, kept - 1, now_ms) is WindowClass.EXPIRED
    assert classify(event, kept, now_ms) is WindowClass.GIVEN_UP

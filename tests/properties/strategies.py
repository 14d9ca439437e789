"""What properties draw from: timelines with awkward durations, and events that begin and end anywhere."""

from collections.abc import Iterator
from fractions import Fraction

from hypothesis import strategies as st

from selection.model import Event
from selection.timeline import Timeline
from tests.support.events import make_event

AWKWARD = [
    Fraction(2),
    Fraction(192, 100),
    Fraction(2002, 1000),
    Fraction(60_060, 30_000),
    50 * Fraction(1001, 30_000),
    Fraction(1, 3),
    Fraction(1, 1000),
]


@st.composite
def durations(draw: st.DrawFn, least: Fraction = Fraction(1, 1000), most: int = 60) -> Fraction:
    """Segment durations in seconds. At least 1 ms, or two segments would start in one ms of the wall clock."""
    timescale = draw(st.integers(1, 90_000))
    ticks = draw(st.integers(-(-least.numerator * timescale // least.denominator), most * timescale))
    return draw(st.sampled_from([Fraction(max(ticks, 1), timescale), *(each for each in AWKWARD if each >= least)]))


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Timelines before and after 1970, and with another start number than 0."""
    duration = draw(durations())
    factor = draw(st.integers(1, 1_000))  # a fraction need not be in lowest terms
    return Timeline(
        epoch_ms=draw(st.integers(-(10**12), 2 * 10**12)),
        duration_ticks=duration.numerator * factor,
        timescale=duration.denominator * factor,
        start_number=draw(st.integers(0, 10**9)),
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Events whose window settings are as odd as they can be, such as a window shorter than the retry deadline."""
    epoch_ms = draw(st.integers(-100_000, 100_000))
    span = st.none() | st.integers(epoch_ms, epoch_ms + 100_000)
    waits = st.integers(0, 20_000)
    return make_event(
        epoch_ms=epoch_ms,
        duration=draw(durations(least=Fraction(1, 10), most=10)),
        start_number=draw(st.integers(0, 1_000)),
        start_ms=draw(span),
        end_ms=draw(span),
        publish_delay_ms=draw(waits),
        retry_deadline_ms=draw(waits),
        dvr_window_ms=draw(st.integers(0, 60_000)),
        hold_ahead_ms=draw(waits),
        live_edge_ms=draw(waits),
        recent_ms=draw(waits),
    )


@st.composite
def numbers_and_times(draw: st.DrawFn) -> tuple[Event, int, int]:
    """An event, a segment number of it or just outside, and a ms around the boundaries of that number's life."""
    event = draw(events())
    number = event.timeline.start_number + draw(st.integers(-20, 200))
    due_ms = exact_end_ms(event, number) + event.publish_delay_ms
    boundaries = (
        -event.hold_ahead_ms,
        -event.publish_delay_ms - 2_000,
        0,
        event.retry_deadline_ms,
        event.dvr_window_ms,
    )
    offset_ms = draw(st.integers(-3, 3) | st.integers(-100_000, 100_000))
    return event, number, int(due_ms) + draw(st.sampled_from(boundaries)) + offset_ms


def exact_start_ms(event: Event, number: int) -> Fraction:
    """Return when a segment starts, without rounding."""
    timeline = event.timeline
    duration_ms = Fraction(timeline.duration_ticks, timeline.timescale) * 1000
    return timeline.epoch_ms + (number - timeline.start_number) * duration_ms


def exact_end_ms(event: Event, number: int) -> Fraction:
    """Return when a segment ends, without rounding."""
    return exact_start_ms(event, number + 1)


def numbers_of_event(event: Event, below: int) -> Iterator[int]:
    """Yield every number that can exist, up to `below`, by looking at the time each covers."""
    for number in range(event.timeline.start_number, below):
        ended_before_start = event.start_ms is not None and exact_end_ms(event, number) <= event.start_ms
        begins_after_end = event.end_ms is not None and exact_start_ms(event, number) > event.end_ms - 1
        if not ended_before_start and not begins_after_end:
            yield number

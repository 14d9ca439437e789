"""Whatever the load: higher classes go first, more load admits no more, and limits stay within their bounds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from selection.model import Event
from selection.request_class import RequestClass, request_class
from selection.shedding import READS_COUNT_MIN, LoadLimits, limit_at_start, refusal
from selection.window import due_ms
from tests.properties.strategies import events
from tests.support.load import Load

CLASSES = list(RequestClass)
limits = st.builds(LoadLimits, st.integers(1, 300), st.integers(1, 2_000), st.integers(1, 100))
loads = st.builds(Load, st.integers(0, 600), st.integers(0, 3_000), st.integers(0, 300))
needs = st.booleans()
shares = st.floats(0, 1)


def adaptive(load_limits: LoadLimits, share: float) -> int:
    """Return a limit that such hard limits allow."""
    most = load_limits.reads_count_max
    return min(max(int(share * most), READS_COUNT_MIN), most)


@given(limits, loads, needs, shares)
def test_where_a_class_is_refused_every_lower_one_is(
    load_limits: LoadLimits, load: Load, needs_read: bool, share: float
) -> None:
    reads_limit = adaptive(load_limits, share)
    refused = [refusal(each, load, load_limits, reads_limit, needs_read=needs_read) is not None for each in CLASSES]
    assert refused == sorted(refused)
    assert not refused[0], "publishing never is"


@given(st.sampled_from(CLASSES), limits, loads, loads, needs, shares)
def test_more_load_admits_nothing_that_less_refuses(
    each: RequestClass, load_limits: LoadLimits, load: Load, more: Load, needs_read: bool, share: float
) -> None:
    total = Load(
        load.reads_count + more.reads_count,
        load.unsent_bytes + more.unsent_bytes,
        load.loop_lag_ms + more.loop_lag_ms,
    )
    reads_limit = adaptive(load_limits, share)
    if refusal(each, load, load_limits, reads_limit, needs_read=needs_read) is not None:
        assert refusal(each, total, load_limits, reads_limit, needs_read=needs_read) is not None
        assert refusal(each, load, load_limits, max(reads_limit - 1, 1), needs_read=needs_read) is not None


@given(st.sampled_from(CLASSES), limits, loads, shares)
def test_what_needs_no_read_is_admitted_wherever_what_needs_one_is(
    each: RequestClass, load_limits: LoadLimits, load: Load, share: float
) -> None:
    reads_limit = adaptive(load_limits, share)
    if refusal(each, load, load_limits, reads_limit, needs_read=True) is None:
        assert refusal(each, load, load_limits, reads_limit, needs_read=False) is None


reads = st.lists(st.tuples(st.floats(0, 1e9), st.integers(1, 1_000)), max_size=300)


@given(st.integers(1, 1_000), st.floats(0.1, 10_000), reads)
def test_the_adaptive_limit_stays_within_its_bounds_and_at_most_halves(
    reads_count_max: int, read_time_ms: float, took: list[tuple[float, int]]
) -> None:
    history = [limit_at_start(read_time_ms, reads_count_max)]
    for read_ms, reads_in_flight in took:
        history.append(history[-1].after(read_ms, reads_in_flight))
    behind_max = max(reads_count_max * 3 // 4, 1)  # the rest is for the live edge alone
    assert all(min(READS_COUNT_MIN, behind_max) <= each.reads_count <= behind_max for each in history)
    for former, latter in pairwise(history):
        assert former.reads_count // 2 <= latter.reads_count <= former.reads_count + max(former.reads_count // 4, 1)


@given(events(), st.integers(0, 100), st.integers(-100_000, 100_000), st.integers(0, 100_000))
def test_a_segment_only_ever_goes_down_in_class(event: Event, ahead: int, age_ms: int, later_ms: int) -> None:
    number = event.first_number + ahead
    now_ms = due_ms(event, number) + age_ms
    order = [CLASSES.index(request_class(event, number, at_ms)) for at_ms in (now_ms, now_ms + later_ms)]
    newer = CLASSES.index(request_class(event, number + 1, now_ms))
    assert order == sorted(order)
    assert newer <= order[0], "and a newer one is never below an older one"

"""A wall clock that was doubted is trusted again only when segments in a row, or an operator, have agreed with it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from selection.clock_guard import (
    CONFIRM_MS_MAX,
    CONFIRM_SPACING_MS,
    CONFIRMATIONS,
    STEP_MS_MAX,
    ClockGuard,
    observe,
    observe_publication,
    start,
)

WALL_MS = 1_800_000_000_000
Advance = tuple[int, int]
# What time passes by itself, and how far the wall clock is off by the end.
SLEWS = st.lists(st.tuples(st.integers(0, 60_000), st.integers(-STEP_MS_MAX, STEP_MS_MAX)), max_size=50)
STEPS = st.integers(STEP_MS_MAX + 1, 10**12) | st.integers(-(10**12), -STEP_MS_MAX - 1)
DELAYS = st.sampled_from([0, 1_000]) | st.integers(0, 600_000)
# Ms after the step at which a segment is due, and how late it is.
PUBLICATIONS = st.lists(
    st.tuples(
        st.integers(0, 20_000),
        st.integers(-CONFIRM_MS_MAX - 1, CONFIRM_MS_MAX + 1) | st.integers(-20_000, 20_000) | st.just(0),
    ),
    max_size=30,
)


def stepped(step_ms: int) -> ClockGuard:
    return observe(start(WALL_MS, 0, WALL_MS), WALL_MS + 1_000 + step_ms, 1_000)


@given(SLEWS)
def test_slewing_and_drifting_is_no_step(advances: list[Advance]) -> None:
    guard, wall_ms, monotonic_ms = start(WALL_MS, 0, WALL_MS), WALL_MS, 0
    for passed_ms, slew_ms in advances:
        wall_ms, monotonic_ms = wall_ms + passed_ms + slew_ms, monotonic_ms + passed_ms
        guard = observe(guard, wall_ms, monotonic_ms)
        assert guard.is_trusted


@given(SLEWS, STEPS, SLEWS)
def test_every_step_is_noticed_and_time_alone_never_heals_it(
    before: list[Advance], step_ms: int, later: list[Advance]
) -> None:
    guard, wall_ms, monotonic_ms = start(WALL_MS, 0, WALL_MS), WALL_MS, 0
    for passed_ms, slew_ms in [*before, (1_000, step_ms), *later]:
        wall_ms, monotonic_ms = wall_ms + passed_ms + slew_ms, monotonic_ms + passed_ms
        guard = observe(guard, wall_ms, monotonic_ms)
    assert guard.doubt is not None
    assert guard.doubt.step_ms == step_ms


def agree(run: list[tuple[int, int]]) -> bool:
    """Tell whether publications without one against among them hold enough that are some time apart; the naive way."""
    witnesses: list[int] = []
    for due_ms, _ in run:
        if not witnesses or due_ms >= witnesses[-1] + CONFIRM_SPACING_MS:
            witnesses.append(due_ms)
    return len(witnesses) >= CONFIRMATIONS


@settings(max_examples=300)
@given(STEPS, PUBLICATIONS, st.integers(0, 5_000))
def test_a_doubt_ends_only_with_agreement_in_a_row(
    step_ms: int, publications: list[tuple[int, int]], delay_ms: int
) -> None:
    guard = stepped(step_ms)
    since_ms = guard.reading.wall_ms
    run: list[tuple[int, int]] = []
    for due_ms, late_ms in publications:
        guard = observe_publication(guard, since_ms + due_ms, since_ms + due_ms + late_ms, delay_ms)
        if due_ms + late_ms < 0:
            continue
        agrees = late_ms <= CONFIRM_MS_MAX and late_ms + delay_ms >= -CONFIRM_MS_MAX
        run = [*run, (due_ms, late_ms)] if agrees else []
        assert guard.is_trusted is agree(run)
        if guard.is_trusted:
            return


@given(st.data(), DELAYS)
def test_packagers_that_were_punctual_never_confirm_a_wrong_clock(data: st.DataObject, delay_ms: int) -> None:
    """Received at the true time plus the step, as the wrong clock tells it."""
    least_ms = max(STEP_MS_MAX, delay_ms + 2 * CONFIRM_MS_MAX) + 1
    step_ms = data.draw(st.integers(least_ms, 10**12) | st.integers(-(10**12), -least_ms))
    guard = stepped(step_ms)
    for each_ms in data.draw(st.lists(st.integers(0, 10**6), min_size=CONFIRMATIONS, max_size=20).map(sorted)):
        due_ms = WALL_MS + 1_000 + each_ms
        late_ms = data.draw(st.integers(-delay_ms - CONFIRM_MS_MAX, CONFIRM_MS_MAX))
        guard = observe_publication(guard, due_ms, due_ms + late_ms + step_ms, delay_ms)
    assert not guard.is_trusted


@given(STEPS, st.integers(-CONFIRM_MS_MAX, CONFIRM_MS_MAX), st.integers(CONFIRM_SPACING_MS, 60_000), DELAYS)
def test_packagers_that_are_punctual_confirm_a_step_that_mended_the_clock(
    step_ms: int, late_ms: int, duration_ms: int, delay_ms: int
) -> None:
    guard = stepped(step_ms)
    first_ms = guard.reading.wall_ms + CONFIRM_MS_MAX
    for due_ms in range(first_ms, first_ms + CONFIRMATIONS * duration_ms, duration_ms):
        assert not guard.is_trusted
        guard = observe_publication(guard, due_ms, due_ms + late_ms, delay_ms)
    assert guard.is_trusted


@given(SLEWS)
def test_the_guard_keeps_the_last_reading(advances: list[Advance]) -> None:
    guard, readings = start(WALL_MS, 0, None), [(WALL_MS, 0)]
    for passed_ms, slew_ms in advances:
        readings.append((readings[-1][0] + passed_ms + slew_ms, readings[-1][1] + passed_ms))
        guard = observe(guard, *readings[-1])
    assert guard.reading == readings[-1]

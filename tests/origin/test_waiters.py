"""The waiting list: bounded, in the order of arrival, and nobody is forgotten or counted twice."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from origin import waiters
from origin.waiters import SLICE_PLACES, HoldLimits, Release, Waiters
from tests.support.events import make_key

KEY, OTHER = make_key(10), make_key(11)
LONG_MS = 60_000


class Crowd:
    """A waiting list, how many it said were waiting, and in which order they went on."""

    def __init__(self, limit_count: int = 100, per_event: int = 100, per_segment: int = 100) -> None:
        self.counts: list[int] = []
        self.releases: list[float] = []
        self.gone: list[tuple[str, bool]] = []
        limits = HoldLimits(8_000, limit_count, per_event, per_segment)
        self.waiters = Waiters(limits, self.counts.append, self.releases.append)

    async def join(self, name: str, timeout_ms: int = LONG_MS, key: object = KEY) -> "asyncio.Task[None]":
        """Let somebody wait; returns when they do."""
        task = asyncio.create_task(self._wait(name, timeout_ms, OTHER if key is OTHER else KEY))
        await asyncio.sleep(0)
        return task

    async def _wait(self, name: str, timeout_ms: int, key: object) -> None:
        release = await self.waiters.wait(OTHER if key is OTHER else KEY, timeout_ms)
        self.gone.append((name, release is not None))


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


async def test_who_waits_goes_on_when_woken(crowd: Crowd) -> None:
    task = await crowd.join("first")
    assert crowd.waiters.count == 1
    assert not task.done()
    assert crowd.waiters.wake(KEY) == 1
    await task
    assert crowd.gone == [("first", True)]
    assert crowd.counts == [1, 0]


async def test_all_who_wait_go_on_in_the_order_in_which_they_came(crowd: Crowd) -> None:
    names = [str(number) for number in range(20)]
    tasks = [await crowd.join(name) for name in names]
    assert crowd.waiters.wake(KEY) == 20
    await asyncio.gather(*tasks)
    assert crowd.gone == [(name, True) for name in names]
    assert crowd.waiters.count == 0


async def test_only_those_who_wait_for_it_are_woken(crowd: Crowd) -> None:
    one, other = await crowd.join("one"), await crowd.join("other", key=OTHER)
    assert crowd.waiters.wake(KEY) == 1
    await one
    assert not other.done()
    assert crowd.waiters.wake(OTHER) == 1
    await other


async def test_what_is_waited_for_is_known(crowd: Crowd) -> None:
    waiters = crowd.waiters
    assert not waiters.keys
    places = [waiters.join(key, 60_000, lambda release: None) for key in (KEY, OTHER, KEY)]
    assert waiters.keys == (KEY, OTHER)
    for place in places:
        place.leave()
    assert not waiters.keys


async def test_waking_nobody_wakes_nobody(crowd: Crowd) -> None:
    assert crowd.waiters.wake(KEY) == 0
    assert crowd.counts == []


async def test_a_second_wake_finds_nobody_left(crowd: Crowd) -> None:
    task = await crowd.join("first")
    assert (crowd.waiters.wake(KEY), crowd.waiters.wake(KEY)) == (1, 0)
    await task
    assert crowd.counts == [1, 0]


async def test_who_comes_after_the_wake_waits_for_the_next_one(crowd: Crowd) -> None:
    first = await crowd.join("first")
    crowd.waiters.wake(KEY)
    second = await crowd.join("second")  # joins while the first is on its way out
    await first
    assert not second.done()
    assert crowd.waiters.count == 1
    assert crowd.waiters.wake(KEY) == 1
    await second
    assert crowd.gone == [("first", True), ("second", True)]


async def test_who_was_registered_before_the_first_suspension_misses_no_wake(crowd: Crowd) -> None:
    """`wait` joins the list before anything else can run: a wake in the very next step reaches it."""
    waiting = crowd.waiters.wait(KEY, LONG_MS)
    waiting.send(None)
    assert crowd.waiters.wake(KEY) == 1
    await asyncio.sleep(0)
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert ended.value.value is not None


@pytest.mark.parametrize("timeout_ms", [0, 1])
async def test_who_waited_long_enough_goes_on_unwoken(crowd: Crowd, timeout_ms: int) -> None:
    assert await crowd.waiters.wait(KEY, timeout_ms) is None
    assert crowd.counts == [1, 0]
    assert crowd.waiters.wake(KEY) == 0


async def test_one_who_gave_up_leaves_the_others_waiting(crowd: Crowd) -> None:
    patient = await crowd.join("patient")
    await (await crowd.join("impatient", timeout_ms=0))
    assert not patient.done()
    assert crowd.waiters.wake(KEY) == 1
    await patient
    assert crowd.gone == [("impatient", False), ("patient", True)]


async def test_who_is_cancelled_frees_the_place_at_once() -> None:
    crowd = Crowd(limit_count=1)
    task = await crowd.join("first")
    was_full = crowd.waiters.refusal(KEY)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (was_full, crowd.waiters.refusal(KEY)) == ("holds", None)
    assert crowd.counts == [1, 0]
    assert crowd.waiters.wake(KEY) == 0


async def test_who_is_cancelled_in_the_same_moment_as_woken_is_cancelled(crowd: Crowd) -> None:
    leaving, staying = await crowd.join("leaving"), await crowd.join("staying")
    crowd.waiters.wake(KEY)
    leaving.cancel()
    results = await asyncio.gather(leaving, staying, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert crowd.gone == [("staying", True)]
    assert crowd.waiters.count == 0


async def test_who_is_cancelled_just_before_the_wake_is_not_woken_twice(crowd: Crowd) -> None:
    leaving, staying = await crowd.join("leaving"), await crowd.join("staying")
    leaving.cancel()
    crowd.waiters.wake(KEY)
    await asyncio.gather(leaving, staying, return_exceptions=True)
    assert leaving.cancelled()
    assert crowd.gone == [("staying", True)]
    assert crowd.counts[-1] == 0


@pytest.mark.parametrize("limit_count", [0, 1, 3])
async def test_no_more_wait_than_are_allowed(limit_count: int) -> None:
    crowd = Crowd(limit_count)
    tasks = []
    for number in range(limit_count):
        assert crowd.waiters.refusal(KEY) is None
        tasks.append(await crowd.join(str(number), key=OTHER if number % 2 else KEY))
    assert crowd.waiters.refusal(KEY) == "holds"
    with pytest.raises(AssertionError, match="ask `refusal`"):
        await crowd.waiters.wait(KEY, LONG_MS)
    assert crowd.waiters.count == limit_count
    await crowd.waiters.close()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("bounds", "bound"),
    [((100, 100, 2), "holds_per_segment"), ((100, 2, 100), "holds_per_event"), ((2, 1, 1), "holds_per_event")],
)
async def test_no_more_wait_for_one_segment_or_event_than_are_allowed(bounds: tuple[int, int, int], bound: str) -> None:
    crowd = Crowd(*bounds)
    tasks = [await crowd.join(str(number)) for number in range(min(bounds))]
    assert crowd.waiters.refusal(KEY) == bound
    is_of_segment = bound == "holds_per_segment"
    assert (crowd.waiters.refusal(OTHER) is None) == is_of_segment
    assert crowd.waiters.refusal(make_key(10, event_id="other")) is None
    crowd.waiters.wake(KEY)
    await asyncio.gather(*tasks)
    assert crowd.waiters.refusal(KEY) is None


async def test_the_journal_goes_on_before_anybody_is_told(crowd: Crowd) -> None:
    told: list[object] = []
    crowd.waiters.join(KEY, LONG_MS, told.append)
    crowd.waiters.wake(KEY)
    assert told == []
    assert crowd.waiters.count == 1
    await asyncio.sleep(0)
    assert len(told) == 1


async def test_others_have_their_turn_between_two_slices_of_a_long_list(crowd: Crowd) -> None:
    order: list[str] = []
    crowd = Crowd(10_000, 10_000, 10_000)
    for _ in range(2 * SLICE_PLACES + 1):
        crowd.waiters.join(KEY, LONG_MS, lambda release: order.append("told"))
    crowd.waiters.wake(KEY)
    while crowd.waiters.count:
        await asyncio.sleep(0)
        order.append("turn")
    assert order.index("turn") == SLICE_PLACES
    assert order.count("told") == 2 * SLICE_PLACES + 1
    assert order.count("turn") == 3


async def test_who_leaves_between_two_slices_is_not_told(crowd: Crowd) -> None:
    crowd = Crowd(10_000, 10_000, 10_000)
    told: list[int] = []

    def teller(number: int) -> Callable[[Release | None], None]:
        return lambda release: told.append(number)

    places = [crowd.waiters.join(KEY, LONG_MS, teller(number)) for number in range(SLICE_PLACES + 2)]
    crowd.waiters.wake(KEY)
    await asyncio.sleep(0)
    assert places[-2].leave() is True
    assert places[0].leave() is False
    await asyncio.sleep(0)
    assert told == [*range(SLICE_PLACES), SLICE_PLACES + 1]
    assert crowd.waiters.count == 0


def fail(_: Release | None) -> None:
    raise ZeroDivisionError


async def test_a_mistake_in_one_answer_does_not_keep_the_others_waiting(
    crowd: Crowd, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[object] = []
    crowd.waiters.join(KEY, LONG_MS, fail)
    crowd.waiters.join(KEY, LONG_MS, told.append)
    crowd.waiters.wake(KEY)
    await asyncio.sleep(0)
    assert len(told) == 1
    assert [record.getMessage() for record in caplog.records] == ["held request failed"]


async def test_a_release_tells_how_long_it_took_until_the_last_answer_began(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "RELEASE_S_MAX", 0.0)
    moments = iter([10.0, 10.002, 10.005])
    crowd.waiters = Waiters(
        HoldLimits(8_000, 9, 9, 9), crowd.counts.append, crowd.releases.append, lambda: next(moments)
    )
    for _ in range(2):
        crowd.waiters.join(KEY, LONG_MS, lambda release: release.note_written() if release else None)
    crowd.waiters.wake(KEY)
    while not crowd.releases:  # noqa: ASYNC110  # what is waited for has no event of its own
        await asyncio.sleep(0)
    assert crowd.releases == [pytest.approx(0.005)]


async def test_a_release_whom_nobody_waited_for_to_the_end_is_not_observed(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiters, "RELEASE_S_MAX", 0.0)
    crowd.waiters.join(KEY, LONG_MS, lambda release: None)
    crowd.waiters.wake(KEY)
    for _ in range(10):
        await asyncio.sleep(0)
    assert crowd.releases == []


async def test_closing_lets_everybody_go_and_nobody_wait_any_more(crowd: Crowd) -> None:
    tasks = [await crowd.join("one"), await crowd.join("other", key=OTHER)]
    was_closed = crowd.waiters.is_closed
    await crowd.waiters.close()
    assert (was_closed, crowd.waiters.is_closed) == (False, True)
    assert crowd.waiters.count == 0
    await asyncio.gather(*tasks)
    with pytest.raises(AssertionError, match="`is_closed` first"):
        await crowd.waiters.wait(KEY, LONG_MS)
    await crowd.waiters.close()


async def nothing(_: Crowd) -> None:
    """Leave it to the time-out."""


async def wake(crowd: Crowd) -> None:
    crowd.waiters.wake(KEY)


async def close(crowd: Crowd) -> None:
    await crowd.waiters.close()


ENDINGS = [("time-out", nothing, 200), ("wake", wake, LONG_MS), ("close", close, LONG_MS)]


@pytest.mark.parametrize(("ending", "timeout_ms"), [case[1:] for case in ENDINGS], ids=[case[0] for case in ENDINGS])
async def test_whatever_ends_the_wait_the_list_is_empty_after_it(
    crowd: Crowd, ending: Callable[[Crowd], Awaitable[None]], timeout_ms: int
) -> None:
    tasks = [await crowd.join(str(number), timeout_ms) for number in range(5)]
    await ending(crowd)
    await asyncio.gather(*tasks)
    assert crowd.waiters.count == 0
    assert crowd.counts == [1, 2, 3, 4, 5, 4, 3, 2, 1, 0]
    assert crowd.waiters._waiting == {}

"""Threads that take jobs: in order, at the same time, each told once, whatever its caller does."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from storage.hands import Hands

COUNT = 3


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands(COUNT, "test-hands")
    yield made
    made.close()


def names() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("test-hands"))


async def test_what_work_returns_is_the_answer(hands: Hands) -> None:
    answers = await asyncio.gather(*(hands.do(partial(int.__mul__, number, 2)) for number in range(1_000)))
    assert answers == [number * 2 for number in range(1_000)]


async def test_what_work_raises_is_raised_where_it_is_waited_for(hands: Hands) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await hands.do(fail)
    assert await hands.do(lambda: "goes on") == "goes on"


async def test_work_is_done_in_another_thread(hands: Hands) -> None:
    assert await hands.do(threading.get_ident) != threading.get_ident()


async def test_as_many_jobs_as_there_are_threads_are_done_at_the_same_time(hands: Hands) -> None:
    together = threading.Barrier(COUNT)
    await asyncio.gather(*(hands.do(lambda: together.wait(10)) for _ in range(COUNT)))


async def test_a_thread_is_started_only_when_all_others_are_busy(hands: Hands) -> None:
    assert names() == []
    for _ in range(5):
        await hands.do(int)
    assert names() == ["test-hands_0"]
    go_on = threading.Event()
    busy = [hands.do(lambda: go_on.wait(10)) for _ in range(2 * COUNT)]
    assert names() == [f"test-hands_{number}" for number in range(COUNT)]
    go_on.set()
    assert await asyncio.gather(*busy) == [True] * (2 * COUNT)


async def test_jobs_wait_in_the_order_in_which_they_came() -> None:
    hands, order = Hands(1, "test-hands"), list[int]()
    await asyncio.gather(*(hands.do(partial(order.append, number)) for number in range(50)))
    assert order == list(range(50))
    hands.close()


async def test_work_whose_caller_was_cancelled_is_done_all_the_same(hands: Hands) -> None:
    began, go_on, done = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        began.set()
        assert go_on.wait(10)
        done.append("whole")

    future = hands.do(work)
    assert await asyncio.to_thread(began.wait, 10)
    future.cancel()
    go_on.set()
    assert await hands.do(lambda: "next") == "next"
    await asyncio.to_thread(hands.close)
    assert done == ["whole"]


async def test_what_ends_while_the_loop_is_busy_is_told_to_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, done = asyncio.get_running_loop(), threading.Semaphore(0)
    calls: list[object] = []
    really_call = loop.call_soon_threadsafe

    def call_soon(callback: Callable[[], None]) -> None:
        calls.append(callback)
        really_call(callback)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call_soon)
    one = Hands(1, "test-hands")
    futures = [one.do(done.release) for _ in range(20)]
    for _ in futures:  # the loop is kept from looking
        assert done.acquire(timeout=10)
    one.close()
    await asyncio.gather(*futures)
    assert len(calls) == 1


def test_closing_waits_for_what_was_taken() -> None:
    hands, go_on, done = Hands(COUNT, "test-hands"), threading.Event(), list[int]()

    def work(number: int) -> None:
        assert go_on.wait(10)
        done.append(number)

    async def give() -> None:
        for number in range(10):
            hands.do(partial(work, number)).cancel()

    asyncio.run(give())
    go_on.set()
    hands.close()
    assert sorted(done) == list(range(10))
    assert names() == []


async def test_nothing_is_taken_after_the_end(hands: Hands) -> None:
    await hands.do(int)
    hands.close()
    hands.close()
    with pytest.raises(RuntimeError, match="after the end"):
        hands.do(int)


def test_a_loop_that_ended_before_its_work_does_not_keep_the_next_one_waiting(hands: Hands) -> None:
    go_on = threading.Event()

    async def leave() -> None:
        hands.do(lambda: go_on.wait(10)).cancel()

    async def stay() -> str:
        future = hands.do(lambda: "told")
        go_on.set()
        return await asyncio.wait_for(future, 10)

    asyncio.run(leave())
    assert asyncio.run(stay()) == "told"
    assert asyncio.run(stay()) == "told"

"""Work that nobody waits for is done all the same: beside the event loop, and at once where there is none."""

import asyncio
import threading

from origin.background import run_in_thread


async def test_work_is_done_in_another_thread() -> None:
    done = asyncio.Event()
    loop, names = asyncio.get_running_loop(), list[str]()

    def work() -> None:
        names.append(threading.current_thread().name)
        loop.call_soon_threadsafe(done.set)

    run_in_thread(work)
    async with asyncio.timeout(10):
        await done.wait()
    assert names != [threading.current_thread().name]


def test_without_an_event_loop_it_is_done_at_once() -> None:
    names: list[str] = []
    run_in_thread(lambda: names.append(threading.current_thread().name))
    assert names == [threading.current_thread().name]

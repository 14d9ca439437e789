"""Nobody who reads slowly, or not at all, stops the demo."""

import asyncio
import os
import sys
import threading
from functools import partial

import pytest

from origin.demo import outlet as outlet_module
from origin.demo.outlet import Outlet


async def test_lines_are_written_in_order_before_it_closes(capsys: pytest.CaptureFixture[str]) -> None:
    outlet = Outlet(on_broken=lambda: None)
    for number in range(100):
        outlet.write(str(number))
    await outlet.close()
    assert capsys.readouterr().out.split() == [str(number) for number in range(100)]


class Blocking:
    """A job that blocks until it is let go."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.gate = threading.Event()

    def __call__(self) -> None:
        self.running.set()
        self.gate.wait()


async def test_the_loop_goes_on_while_a_job_blocks() -> None:
    outlet, job = Outlet(on_broken=lambda: None), Blocking()
    outlet.submit(job)
    outlet.submit(lambda: None)
    assert not outlet.is_idle
    job.gate.set()
    await outlet.close()
    assert outlet.is_idle


async def test_too_many_jobs_are_dropped_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outlet_module, "JOBS_MAX", 2)
    outlet, job, done = Outlet(on_broken=lambda: None), Blocking(), list[int]()
    outlet.submit(job)
    await asyncio.to_thread(job.running.wait)
    for number in range(4):
        outlet.submit(partial(done.append, number))
    await outlet.close()
    assert caplog.messages == ["demo output dropped"]
    assert caplog.records[0].fields == {"jobs": 2}  # type: ignore[attr-defined]
    job.gate.set()


async def test_a_reader_that_left_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    broken: asyncio.Queue[str] = asyncio.Queue()
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        outlet = Outlet(on_broken=lambda: broken.put_nowait("broken"))
        outlet.write("one")
        outlet.write("two")
        assert await broken.get() == "broken"
        await outlet.close()
        stream.write("what the interpreter flushes at its end goes nowhere")
    assert broken.empty()

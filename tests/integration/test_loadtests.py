"""The load generator runs against a real origin, and tells a right answer from a wrong one."""

import asyncio
import os
import re
import sys
from pathlib import Path

import aiohttp

from tests.support.origins import SEGMENT_MS, Running, make_settings, running_origin

ROOT = Path(__file__).parents[2]
RUN_S = 8


async def _publish_on_time(origin: Running, session: aiohttp.ClientSession) -> None:
    """PUT each segment of v720 the moment its media has ended, for as long as nobody cancels."""
    clock = origin.origin.clock
    number = clock.now_ms() // SEGMENT_MS - 1
    while True:
        await asyncio.sleep(max((number + 1) * SEGMENT_MS - clock.now_ms(), 0) / 1000)
        async with session.put(f"{origin.publish}/derby/a/v720/{number}.m4s", data=os.urandom(50_000)) as answer:
            assert answer.status == 201, await answer.text()
        number += 1


async def _locust(host: str, *options: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "--headless", "--locustfile", "loadtests/locustfile.py", "--host", host),
        *("--users", "5", "--spawn-rate", "5", "--run-time", f"{RUN_S}s", "--only-summary", "--event", "derby"),
        *options,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_caches_at_the_live_edge_get_every_segment(tmp_path: Path) -> None:
    async with running_origin(make_settings(tmp_path)) as origin, aiohttp.ClientSession() as session:
        publishing = asyncio.create_task(_publish_on_time(origin, session))
        right, wrong = await asyncio.gather(
            _locust(origin.deliver, "--rendition", "v720"),
            _locust(origin.deliver, "--rendition", "v721"),
        )
        publishing.cancel()
    status, report = right
    assert status == 0, report
    answered = re.search(r"GET +live edge +(\d+) +0\(0\.00%\)", report)
    assert answered is not None, report
    assert int(answered[1]) >= 10
    assert "LATE" in report
    status, report = wrong
    assert status == 1, "a rendition that does not exist must fail the run"
    assert "status 404" in report

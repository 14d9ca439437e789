"""Requests that come before their segment: held, answered together, and never more of them than was allowed."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.integration.wire import TEXT_RENDITION, Answer, Close, Connection, ask, head, path_of, upload
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import SEGMENT_MS, number_now, start_ms
from tests.support.reader import Reader

WAITERS: Final = 200
PUBLISH_DELAY_MS: Final = 1_000
# The shortest hold there may be where a request is held for one segment ahead.
HOLD_MS: Final = SEGMENT_MS
BODY: Final = bytes(range(256)) * 400


def delivered_path(number: int) -> str:
    return f"/derby/cc/{number}.vtt"


@pytest.fixture
def limits() -> dict[str, Any]:
    """What the origin allows; tests bring their own."""
    return {}


@pytest.fixture
async def running(tmp_path: Path, limits: dict[str, Any]) -> AsyncIterator[Running]:
    event = EVENT | {"renditions": [TEXT_RENDITION], "hold_ahead": f"{HOLD_MS}ms"}
    limits = {"hold": f"{HOLD_MS}ms"} | limits
    async with running_origin(make_settings(tmp_path, limits=limits, events=[event])) as running:
        yield running


@pytest.fixture
async def reader(running: Running) -> AsyncIterator[Reader]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Reader(session, running.deliver)

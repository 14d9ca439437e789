"""What tests of the edge ask for by name."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.origin.site import Site, open_site

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
# What these modules test depends on how a loop sends, pauses and closes.
_ON_EVERY_LOOP = ("test_server", "test_farewell", "test_turnout")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run what touches connections on both event loops, everything else on the default one."""
    if item.path.name.startswith(_ON_EVERY_LOOP):
        return _LOOPS
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An origin with one event, two renditions and the pipelines `a` and `b`, when segment 1000 becomes due."""
    async with open_site(tmp_path) as site:
        yield site

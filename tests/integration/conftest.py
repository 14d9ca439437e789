"""What the integration tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.integration.show import CASTS, Act, perform
from tests.origin.site import Site, open_site

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
# What these modules test depends on the order in which a loop tells of bytes and of the end of a connection.
_ON_EVERY_LOOP = ("test_wire", "test_held", "test_hostile", "test_lane")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Run what touches the wire on both event loops, everything else on the default one."""
    if item.path.name.startswith(_ON_EVERY_LOOP):
        return _LOOPS
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An origin with one event whose clock stands when segment 1000 becomes due."""
    async with open_site(tmp_path) as site:
        yield site


@pytest.fixture(scope="session")
def acts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Act]:
    """What happened at each event of the one show, by event."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(perform(CASTS, tmp_path_factory.mktemp("show")))

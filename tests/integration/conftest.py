"""What the integration tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.integration.show import CASTS, Act, perform
from tests.integration.tour import TOUR, Tour, needs_tour
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what looks at the tour last, whatever the order of the others; so nobody waits for its two minutes."""
    items.sort(key=needs_tour)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the tour with the tests, if one of those that will run looks at it."""
    if not session.config.option.collectonly and any(map(needs_tour, session.items)):
        session.config.stash[TOUR] = Tour()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it, also when the tests were interrupted."""
    if TOUR in config.stash:
        config.stash[TOUR].close()


@pytest.fixture(scope="session")
def tour(pytestconfig: pytest.Config) -> Tour:
    """The run of `make load` that began with the tests."""
    return pytestconfig.stash[TOUR]

"""What tests of the edge ask for by name."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
import uvloop
from aiohttp import http_parser, web_protocol

from origin import aiohttp_inside
from tests.origin.site import Site, open_site

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_LOOPS: Mapping[str, LoopFactory] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
# What these modules test depends on how a loop sends, pauses and closes.
_ON_EVERY_LOOP = (
    "test_server",
    "test_farewell",
    "test_turnout",
    "test_upload_lane",
    "test_aiohttp_inside",
    "test_wire",
)


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


@pytest.fixture(params=["c", "python"])
def parser(request: pytest.FixtureRequest) -> Iterator[str]:
    """aiohttp's parser with and without its extensions."""
    if request.param == "python":
        python = http_parser.HttpRequestParserPy
        with (
            patch.object(web_protocol, "HttpRequestParser", python),
            patch.object(aiohttp_inside, "HttpRequestParser", python),
        ):
            yield "python"
    else:
        assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy, "there are no extensions"
        yield "c"

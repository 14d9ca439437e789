"""The first request of a connection that comes in the same turn of the event loop as the connection itself."""

import asyncio
from typing import Any, cast

from aiohttp import web

from origin.heads import Asked, KnownHeads
from origin.lane import LaneDesk
from origin.turnout import LaneProtocol, LaneServer
from tests.origin.connecting import get


class Wire(asyncio.Transport):
    """A transport that leads nowhere."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class HeldExchange:
    """An exchange that is never answered."""

    def abandon(self) -> None: ...


class Desk:
    """Takes everything, and notes the paths."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.heads = KnownHeads()

    def open(self, connection: object, asked: Asked) -> HeldExchange:
        self.paths.append(asked.request.path)
        return HeldExchange()


async def test_the_fast_lane_takes_the_first_request_before_aiohttps_task_has_begun() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError("the fast lane should have it")

    desk = Desk()
    protocol: LaneProtocol = LaneServer(cast(LaneDesk, desk), handler)()
    protocol.connection_made(Wire())
    protocol.data_received(get("/first"))
    assert desk.paths == ["/first"]
    protocol.data_received(get("/second"))
    assert desk.paths == ["/first"], "requests of one connection are answered in their order"
    protocol.connection_lost(None)
    await asyncio.sleep(0)

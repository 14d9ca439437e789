"""Connections with a lane of our own beside aiohttp's queue: one request at a time, answers in their order."""

import asyncio
from contextlib import suppress
from typing import Any

from origin.server import OriginProtocol, OriginServer


class TurnProtocol(OriginProtocol):
    """A connection some of whose requests never reach aiohttp's queue; the others wait there for their turn."""

    __slots__ = ("_behind", "_is_busy")

    def __init__(self, manager: OriginServer, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        # From the beginning of a request in our lane until its answer has been taken.
        self._is_busy = False
        self._behind: list[asyncio.Future[None]] = []
        self.look_first()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered in either lane."""
        return not self._is_busy and super().is_idle

    async def turn(self) -> None:
        """Wait until the answers before this request have been written."""
        if self._is_busy:
            future: asyncio.Future[None] = self.loop.create_future()
            self._behind.append(future)
            await future

    def end_turn(self) -> None:
        """Let the next request be answered: the one in our lane has been."""
        self._is_busy = False
        self.count_idle_from_now()
        if self._behind:
            self._let_go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let what waits for its turn find the connection gone."""
        self._is_busy = False
        self._let_go_on()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109  # aiohttp's signature
        """Let the request in our lane be answered, then do what aiohttp does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.turn()
        await super().shutdown(timeout)

    def keepalive_due(self) -> float:
        """A connection on which a request is being answered is not idle."""
        if self._is_busy:
            self.count_idle_from_now()
        return super().keepalive_due()

    def _let_go_on(self) -> None:
        behind, self._behind = self._behind, []
        for future in behind:
            if not future.done():
                future.set_result(None)

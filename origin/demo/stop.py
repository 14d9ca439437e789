"""When the demo ends: at its appointed time, by a signal, or because it cannot go on."""

import asyncio
import time


class Stop:
    """The one place that knows whether the demo is to end.

    `at_ms` is when it ends or ended (ms since 1970), None while that is open. The first request counts; a second
    one means that the user does not want to wait for the last segments.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.failure: str | None = None
        self.hurry = asyncio.Event()
        self._asked = asyncio.Event()
        self._asked_ms = 0

    @property
    def is_asked(self) -> bool:
        """Whether the end has begun."""
        return self._asked.is_set()

    @property
    def at_ms(self) -> int:
        """When the end began; only to be asked after it has."""
        assert self.is_asked, "the end has begun"
        return self._asked_ms

    def appoint(self, at_ms: int, reason: str) -> None:
        """End at `at_ms` at the latest."""
        loop = asyncio.get_running_loop()
        loop.call_later(max(at_ms - _now_ms(), 0) / 1000, self._ask, reason, at_ms)

    def ask(self, reason: str) -> None:
        """End now; asked again, without waiting for the last segments."""
        if self.is_asked:
            self.hurry.set()
        else:
            self._ask(reason, _now_ms())

    def fail(self, sentence: str) -> None:
        """End now, because of what `sentence` says, without waiting for anything."""
        self.failure = self.failure or sentence
        if not self.is_asked:
            self._ask("failed", _now_ms())
        self.hurry.set()

    async def comes_before(self, moment_ms: int) -> bool:
        """Wait until the wall clock shows `moment_ms` (False) or the end begins (True), whichever is first."""
        try:
            async with asyncio.timeout(max(moment_ms - _now_ms(), 0) / 1000):
                return await self._asked.wait()
        except TimeoutError:
            return self.is_asked

    async def asked(self) -> None:
        """Wait until the end begins."""
        await self._asked.wait()

    def _ask(self, reason: str, at_ms: int) -> None:
        if not self.is_asked:
            self.reason, self._asked_ms = reason, at_ms
            self._asked.set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

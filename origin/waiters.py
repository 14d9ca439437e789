"""The waiting list of held requests: bounded, answered in the order of arrival.

A request waits on the choice, not on storage: it costs one future. Nothing may await between looking a
choice up and `wait`, or a choice made in between would be missed; `wait` itself registers before its first
suspension.
"""

import asyncio
from collections.abc import Callable

from selection.model import SegmentKey


class Waiters:
    """Requests waiting for a segment to be chosen.

    Args:
        limit_count: How many may wait in total.
        observe: Told the number of waiting requests whenever it changes.
        hold_ms_max: How long one request may be held, all its waits together; kept here for who asks it to wait.
    """

    def __init__(self, limit_count: int, observe: Callable[[int], None], hold_ms_max: int) -> None:
        self.hold_ms_max = hold_ms_max
        self._limit_count = limit_count
        self._observe = observe
        self._waiting: dict[SegmentKey, dict[asyncio.Future[None], None]] = {}
        self._count = 0
        self._closed = False

    @property
    def count(self) -> int:
        """How many requests wait now."""
        return self._count

    @property
    def is_full(self) -> bool:
        return self._count >= self._limit_count

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def wait(self, key: SegmentKey, timeout_ms: int) -> bool:
        """Wait until `key` is woken. Returns False when the time ran out; cancelling frees the place at once."""
        assert not self.is_full and not self._closed, "ask is_full and is_closed first"
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(key, {})
        queue[future] = None
        self._change(+1)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await future
            return True
        except TimeoutError:
            return False
        finally:
            self._change(-1)
            queue.pop(future, None)
            if not queue and self._waiting.get(key) is queue:
                del self._waiting[key]

    def wake(self, key: SegmentKey) -> int:
        """Let every request that waits for `key` go on; returns how many."""
        queue = self._waiting.pop(key, {})
        for future in queue:
            if not future.done():
                future.set_result(None)
        return len(queue)

    def close(self) -> None:
        """Let everybody go on, and nobody wait any more: the server is stopping."""
        self._closed = True
        for key in list(self._waiting):
            self.wake(key)

    def _change(self, by: int) -> None:
        self._count += by
        self._observe(self._count)

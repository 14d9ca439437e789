"""Lets callers with the same purpose in one after the other; a lock for each purpose, as long as somebody has one."""

import asyncio
from collections.abc import Hashable


class OneAtATime:
    """The locks; none is kept that nobody holds or waits for. Not for threads."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Shared] = {}

    def turn(self, *whose: Hashable) -> "_Turn":
        """Return what is to be entered with `async with`: it waits for all who entered the same before."""
        return _Turn(self._locks, whose)

    @property
    def count(self) -> int:
        """How many purposes somebody has."""
        return len(self._locks)


class _Shared:
    __slots__ = ("lock", "users_count")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users_count = 0


class _Turn:
    __slots__ = ("_locks", "_whose")

    def __init__(self, locks: dict[Hashable, _Shared], whose: Hashable) -> None:
        self._locks = locks
        self._whose = whose

    async def __aenter__(self) -> None:
        shared = self._locks.get(self._whose)
        if shared is None:
            shared = self._locks[self._whose] = _Shared()
        shared.users_count += 1
        try:
            await shared.lock.acquire()
        except BaseException:
            self._leave(shared)
            raise

    async def __aexit__(self, *_: object) -> None:
        shared = self._locks[self._whose]
        shared.lock.release()
        self._leave(shared)

    def _leave(self, shared: _Shared) -> None:
        shared.users_count -= 1
        if not shared.users_count:
            del self._locks[self._whose]

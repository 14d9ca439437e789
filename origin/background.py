"""Work that nobody waits for."""

import asyncio
from collections.abc import Callable


def run_in_thread(work: Callable[[], None]) -> None:
    """Do some work in a thread, so that the event loop does not stop for it; at once where there is no loop."""
    try:
        asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError:
        work()

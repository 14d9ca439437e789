"""Signals as something to wait for and to read: none is lost, however many come at once."""

import os
import signal
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from types import FrameType
from typing import Any

# A child must not be ended by what the terminal sends to all processes of its group: the supervisor tells it.
_FOR_THE_SUPERVISOR_ALONE = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class SignalInbox:
    """Counts signals, and makes a descriptor readable when there are some.

    The count is kept by Python's handlers; the pipe that the interpreter writes to on each signal only wakes whoever
    polls, so it does not matter when it is full. To be used by the main thread, `with`.
    """

    def __init__(self, numbers: Collection[signal.Signals]) -> None:
        self._numbers = frozenset(numbers)
        self._counts: Counter[int] = Counter()
        self._previous: dict[int, Any] = {}
        self.descriptor = -1
        self._write_descriptor = -1

    def __enter__(self) -> "SignalInbox":
        self.descriptor, self._write_descriptor = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_descriptor, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._note) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._close()

    def take(self) -> Counter[int]:
        """Return how many of each signal have come since the last call."""
        with suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass
        # A signal between the two steps is counted in what is returned.
        counts, self._counts = self._counts, Counter()
        return counts

    def block(self) -> set[signal.Signals | int]:
        """Have signals wait; returns what `unblock` wants.

        Around a fork: one that comes before the child has set its own handlers must not end in a copy of this inbox.
        """
        return signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def unblock(self, before: set[signal.Signals | int]) -> None:
        """Have those signals that waited come."""
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def leave_to_child(self) -> None:
        """In a child: nothing of this is left; signals do what they do by default, or nothing."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_DFL)
        for number in _FOR_THE_SUPERVISOR_ALONE:
            signal.signal(number, signal.SIG_IGN)
        self._close()

    def _note(self, number: int, _: FrameType | None) -> None:
        self._counts[number] += 1

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self.descriptor)
        os.close(self._write_descriptor)

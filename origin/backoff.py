"""How long to wait before a process is started again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waits:
    """Waits between restarts, in ms.

    Args:
        first_ms: Before the second restart in a row; the first one is at once.
        max_ms: The longest.
        healthy_ms: Who lived this long begins anew: to start it costs little beside what it did meanwhile, while a wait
            of `max_ms` would be more of an outage than its deaths are.
    """

    first_ms: int = 100
    max_ms: int = 10_000
    healthy_ms: int = 5_000


class Backoff:
    """Doubles the wait with every restart in a row.

    >>> backoff = Backoff(Waits(first_ms=100, max_ms=300, healthy_ms=1_000))
    >>> [backoff.wait_ms(lived_ms=5) for _ in range(5)]
    [0, 100, 200, 300, 300]
    >>> backoff.wait_ms(lived_ms=1_000)
    0
    """

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._next_ms = 0

    def wait_ms(self, lived_ms: int) -> int:
        """Return how long to wait now that a process ended that had lived for `lived_ms`."""
        wait_ms = 0 if lived_ms >= self._waits.healthy_ms else self._next_ms
        self._next_ms = min(max(2 * wait_ms, self._waits.first_ms), self._waits.max_ms)
        return wait_ms

"""The load of one moment, for tests of what is refused under it."""

from typing import NamedTuple


class Load(NamedTuple):
    """Implements `selection.shedding.Signals` with plain values."""

    reads_count: int
    unsent_bytes: int
    loop_lag_ms: float

"""Whether this origin may take traffic, and if not, why."""

from enum import StrEnum


class State(StrEnum):
    """The life of an origin, in order."""

    STARTING = "starting"
    RECOVERING = "recovering"
    READY = "ready"
    STOPPING = "stopping"


class Health:
    """What `/healthz` and `/readyz` tell.

    `progress` is how much of the recovery is done, from 0 to 1.
    """

    def __init__(self) -> None:
        self.state = State.STARTING
        self.progress = 0.0

    @property
    def is_ready(self) -> bool:
        return self.state is State.READY

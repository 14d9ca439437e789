"""Whether this origin may take traffic, and if not, why."""

from enum import StrEnum


class State(StrEnum):
    """The life of an origin, in order."""

    STARTING = "starting"
    RECOVERING = "recovering"
    READY = "ready"
    STOPPING = "stopping"


class Health:
    """What `/healthz` and `/readyz` tell."""

    def __init__(self) -> None:
        self.state = State.STARTING

    @property
    def is_ready(self) -> bool:
        return self.state is State.READY

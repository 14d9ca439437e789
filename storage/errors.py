"""What can go wrong below the HTTP edge: one small tree, raised instead of the operating system's errors."""


class StorageError(Exception):
    """A fault of this node's storage. `operation` names what was tried, for logs and metrics."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(f"{operation}: {detail}")
        self.operation = operation


class StorageFull(StorageError):
    """No space left (ENOSPC, EDQUOT): the same write may succeed once something was deleted."""


class BodyMissing(StorageError):
    """The body a record speaks of is not there."""

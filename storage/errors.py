"""What can go wrong below the HTTP edge: one small tree, raised instead of the operating system's errors."""

import errno
from typing import Final

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class StorageError(Exception):
    """A fault of this node's storage. `operation` names what was tried, for logs and metrics."""

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(f"{operation}: {detail}")
        self.operation = operation


class StorageFull(StorageError):
    """No space left (ENOSPC, EDQUOT): the same write may succeed once something was deleted."""


class BodyMissing(StorageError):
    """The body a record speaks of is not there."""


class BodyDamaged(StorageError):
    """The body a record speaks of was not what had been stored, and was set aside."""


def not_intact(*, was_set_aside: bool) -> StorageError:
    """Return what to raise for a body whose bytes are wrong: those on the disk, or else only those that were read."""
    if was_set_aside:
        return BodyDamaged("body-read", "the bytes are not those that were stored")
    return StorageError("body-read", "the bytes were not those that are stored; read it again")


def translate(operation: str, exc: OSError) -> StorageError:
    """Return what to raise for an error of the operating system. Its text has no path of our disk in it."""
    detail = exc.strerror or str(exc)
    return (StorageFull if exc.errno in _FULL else StorageError)(operation, detail)

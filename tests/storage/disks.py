"""Disks that fail, by way of the kernel or in place of a call to it."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def fail_with(number: int) -> Callable[..., int]:
    """Return what stands in for a system call that fails with this errno."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Let the kernel take no more than this of a file: a short write first, then none at all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

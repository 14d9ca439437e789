"""Counts how many lines of the pure package run: a measure of work that no busy machine disturbs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import selection

_PACKAGE: Final = str(Path(next(iter(selection.__path__))).resolve())


@dataclass
class Steps:
    """Lines that ran so far."""

    count: int = 0


@contextmanager
def counted_steps() -> Iterator[Steps]:
    """Count the lines of `selection` that run within the context. About thirty times slower than without."""
    steps = Steps()

    def count(_frame: FrameType, event: str, _argument: Any) -> Any:
        steps.count += event == "line"
        return count

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        return count if frame.f_code.co_filename.startswith(_PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield steps
    finally:
        sys.settrace(before)

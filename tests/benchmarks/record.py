"""Blocks of a Markdown file that a command writes, between marks, so that remarks by hand stay beside them."""

import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Final

from tests.benchmarks import nginx

_GIB: Final = 2**30


class NoBlockError(Exception):
    """The file has no place for what was measured."""


def marks(name: str) -> tuple[str, str]:
    """Return the lines around a block.

    >>> marks("puts")
    ('<!-- bench puts: begin -->', '<!-- bench puts: end -->')
    """
    return f"<!-- bench {name}: begin -->", f"<!-- bench {name}: end -->"


def replaced(text: str, name: str, content: str) -> str:
    r"""Return the text with another content between the marks of a block.

    >>> replaced("a\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\nb\n", "x", "new")
    'a\n<!-- bench x: begin -->\n\nnew\n\n<!-- bench x: end -->\nb\n'

    Raises:
        NoBlockError: It has no such block, or more than one.
    """
    begin, end = marks(name)
    head, found, rest = text.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found and found_end) or begin in rest:
        raise NoBlockError(f"one block is wanted for this; add these two lines where it is to be:\n{begin}\n{end}")
    return f"{head}{begin}\n\n{content.strip()}\n\n{end}{tail}"


def as_markdown(printed: str) -> str:
    r"""Return what a bench prints as Markdown: tables apart from the lines before and after them.

    >>> as_markdown("what, 2 cores\n| n |\n|---|\n| 1 |\nsecond\n| m |\n|---|\n")
    'what, 2 cores\n\n| n |\n|---|\n| 1 |\n\nsecond\n\n| m |\n|---|'
    """
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    told: list[str] = []
    for line in lines:
        if told and told[-1] and line and line.startswith("|") != told[-1].startswith("|"):
            told.append("")
        told.append(line)
    return "\n".join(told)


def block(printed: str, command: str, told_of_machine: str, day: date) -> str:
    """Return the content of a block: where, when and how it was measured, and what came out."""
    return f"{told_of_machine}, {day.isoformat()}: `{command}`\n\n{as_markdown(printed)}"


def machine() -> str:
    """Return on what was measured, in one line."""
    processor = _first("/proc/cpuinfo", r"^model name\s*: (.*)$", "an unknown processor")
    parts = [
        f"{os.cpu_count()} cores of {processor}",
        f"{round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / _GIB)} GiB",
        f"Linux {platform.release()}",
        _first("/etc/os-release", r'^PRETTY_NAME="?(.*?)"?$', "an unknown system"),
        f"Python {platform.python_version()}",
        nginx.version(),
    ]
    return ", ".join(parts)


def _first(path: str, pattern: str, otherwise: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return otherwise
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else otherwise

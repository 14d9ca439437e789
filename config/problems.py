"""What is wrong with a configuration, in words for the person who has to put it right.

Every problem names its key, what was wrong and what would be right. They are collected, never raised one
by one: who mends a file at night wants to mend it once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Where a setting stands: keys as the file spells them, and list offsets.
Location = tuple[str | int, ...]

SHOWN_LENGTH_MAX: Final = 60


class SettingError(ValueError):
    """One value that cannot be used."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule between settings that are each fine by themselves.

    Args:
        locations: The settings it is about; it is reported at the first. If one of them is in doubt (it was
            missing or could not be read), so is the finding.
    """

    locations: tuple[Location, ...]
    message: str
    remedy: str

    def below(self, *prefix: str | int) -> "Finding":
        """Return the same finding as seen from further up."""
        return Finding(tuple((*prefix, *location) for location in self.locations), self.message, self.remedy)


class BrokenRules(ValueError):
    """Settings that are each fine, and do not fit together."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = findings


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right.

    Args:
        key: Key path as `events[0].renditions[1].timescale`; empty for the file as a whole.
        source: Where the value came from: lines of the file, a variable, a flag; empty if nowhere.
        line: The first of those lines, to put problems in order; 0 for none.
    """

    key: str
    message: str
    remedy: str
    source: str = ""
    line: int = 0

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.source, self.key) if part)
        return f"{where}: {self.message}; {self.remedy}" if where else f"{self.message}; {self.remedy}"


class ConfigError(Exception):
    """A configuration that cannot be used, with everything that is wrong with it."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(name, problems)
        self.name = name
        self.problems = problems

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n  ".join([f"{self.name}: {count}", *map(str, self.problems)])


def key_path(location: Location) -> str:
    """Return a location as people write it.

    >>> key_path(("events", 0, "renditions", 1, "timescale"))
    'events[0].renditions[1].timescale'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def shown(value: object) -> str:
    """Return a value as the file spells it, short enough for a message.

    >>> [shown(value) for value in (None, True, 8, "8 s", [1])]
    ['nothing', 'true', '8', "'8 s'", 'a list']
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a section of keys"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_LENGTH_MAX else text[: SHOWN_LENGTH_MAX - 3] + "..."

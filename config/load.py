"""Reads the settings: file, then environment, then flags, each over the one before.

Every problem is found in one go, although a value that cannot be used hides what depends on it. So what is
wrong is reported, taken out of the data and put in its place a value that is known to be fine, until the
data makes settings. Only what follows from such a stand-in is kept from the reader: those locations are
*doubtful*.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.document import Document, read_document
from config.explain import Value, explain, likely_key
from config.model import Settings
from config.overrides import Override, apply_override, read_environment, read_flags
from config.problems import BrokenRules, ConfigError, Finding, Location, Problem, SettingError, key_path
from config.section import field_at, section_at

__all__ = ["ConfigError", "Problem", "load_settings"]

# Each pass reaches at least one level deeper, and settings are six levels deep.
PASSES_MAX: Final = 10


def load_settings(path: Path | None, environment: Mapping[str, str], overrides: Sequence[str]) -> Settings:
    """Return the settings of a file, environment variables and `key.path=value` flags.

    Args:
        path: The YAML file, or None to do without.
        environment: All variables; those that begin with `LIVE_ORIGIN_` count.
        overrides: As given to `--set`.

    Raises:
        ConfigError: They cannot be used; it holds every problem of all three.
    """
    document = read_document(path) if path is not None else Document()
    check = _Check(document)
    for override in (*read_environment(environment), *read_flags(overrides)):
        check.override(override)
    settings = check.settings()
    problems = check.problems()
    if problems or settings is None:
        raise ConfigError(str(path) if path is not None else "settings", problems)
    return settings


class _Check:
    """One look at all the data, which it repairs on the way."""

    def __init__(self, document: Document) -> None:
        self._tree = document.tree
        self._lines = document.lines
        self._doubtful = document.doubtful
        self._problems = document.problems
        self._overrides: dict[Location, str] = {}

    def problems(self) -> tuple[Problem, ...]:
        """Return what was found, in the order of the file; what does not stand in it comes first."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line))

    def override(self, item: Override | Problem) -> None:
        """Put a value over what is there."""
        if isinstance(item, Problem):
            self._problems.append(item)
            return
        try:
            apply_override(self._tree, item)
        except SettingError as exc:
            self._problems.append(Problem(key_path(item.location), exc.message, exc.remedy, item.source))
        else:
            self._overrides[item.location] = item.source

    def settings(self, passes_left: int = PASSES_MAX) -> Settings | None:
        """Return the settings that the data makes, repaired where need be; None if they do not fit together."""
        assert passes_left, "stand-ins make settings"
        try:
            return Settings.model_validate(self._tree)
        except ValidationError as exc:
            errors = [error for error in exc.errors(include_url=False) if not self._is_echo(error)]
        cause = errors[0].get("ctx", {}).get("error")
        if isinstance(cause, BrokenRules):
            self._report_findings(cause.findings)
            return None
        for error in errors:
            self._note_misspelling(error)
        for error in errors:
            self._report(error)
        for error in errors:
            self._repair(error)
        return self.settings(passes_left - 1)

    def _is_echo(self, error: ErrorDetails) -> bool:
        """Tell whether pydantic calls a list too short only because none of its entries was valid."""
        return error["type"] == "too_short" and bool(self._at(error["loc"]))

    def _note_misspelling(self, error: ErrorDetails) -> None:
        """Doubt the key that an unknown one was meant for, so that it is not called missing as well."""
        if error["type"] == "extra_forbidden":
            *place, key = error["loc"]
            meant = likely_key(str(key), self._known_keys(tuple(place)))
            if meant is not None and meant not in self._at(tuple(place)):
                self._doubtful.add((*place, meant))

    def _report(self, error: ErrorDetails) -> None:
        location = error["loc"]
        if error["type"] == "missing" and self._is_doubtful(location):
            return
        raw = None if error["type"] == "missing" else self._at(location)
        key = location[-1] if isinstance(location[-1], str) else ""
        place = location[:-1] if error["type"] == "extra_forbidden" else location
        value = Value(raw, key, field_at(Settings, location), self._known_keys(place))
        message, remedy = explain(error, value)
        line, source = self._source(location)
        self._problems.append(Problem(key_path(location), message, remedy, source, line))

    def _report_findings(self, findings: Sequence[Finding]) -> None:
        certain = [finding for finding in findings if not any(map(self._is_doubtful, finding.locations))]
        # One template of the event is found wrong once for each rendition.
        distinct = {(finding.locations[0], finding.message): finding for finding in reversed(certain)}
        for finding in reversed(distinct.values()):
            given = [place for place in finding.locations if place in self._lines or place in self._overrides]
            sources = dict.fromkeys(self._source(place) for place in given or finding.locations[:1])
            line = min(line for line, _ in sources)
            source = ", ".join(source for _, source in sources)
            self._problems.append(
                Problem(key_path(finding.locations[0]), finding.message, finding.remedy, source, line)
            )

    def _repair(self, error: ErrorDetails) -> None:
        """Put something in the place of a broken value that makes its section whole again."""
        location = error["loc"]
        key, parent = location[-1], self._at(location[:-1])
        field = field_at(Settings, location)
        if error["type"] == "extra_forbidden":
            del parent[key]
            return
        if isinstance(key, int):
            parent[key] = {}
        elif field is not None and field.examples:
            parent[key] = deepcopy(field.examples[0])
        else:
            del parent[key]
        self._doubtful.add(location)

    def _at(self, location: Location) -> Any:
        value: Any = self._tree
        for part in location:
            value = value[part]
        return value

    def _known_keys(self, location: Location) -> Sequence[str]:
        section = section_at(Settings, location)
        return list(section.fields_by_key()) if section is not None else ()

    def _is_doubtful(self, location: Location) -> bool:
        """Tell whether the value here is not what was meant. An override restores what it sets."""
        depths = range(len(location), -1, -1)
        doubtful = next((depth for depth in depths if location[:depth] in self._doubtful), None)
        overridden = next((depth for depth in depths if location[:depth] in self._overrides), -1)
        return doubtful is not None and doubtful >= overridden

    def _source(self, location: Location) -> tuple[int, str]:
        """Return the line and the name of where a value, or else the section around it, came from."""
        for depth in range(len(location), 0, -1):
            place = location[:depth]
            if place in self._overrides:
                return 0, self._overrides[place]
            if place in self._lines:
                return self._lines[place], f"line {self._lines[place]}"
            for other, source in self._overrides.items():
                if other[:depth] == place:
                    return 0, source
        return 0, ""

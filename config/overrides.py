"""Settings from outside the file: environment variables, and flags of the form `key.path=value`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from config.document import parse_scalar
from config.problems import Location, Problem, SettingError, key_path, shown
from config.reference import ENVIRONMENT_PREFIX, iterate_settings

_KEY_PATH = re.compile(r"[^.\[\]\s]+(?:\[[0-9]{1,4}\])*(?:\.[^.\[\]\s]+(?:\[[0-9]{1,4}\])*)*")
_KEY_PART = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")
FLAG: Final = "--set"


@dataclass(frozen=True, slots=True)
class Override:
    """A value that takes the place of the file's, and what to call where it came from."""

    location: Location
    value: Any
    source: str


def read_environment(environment: Mapping[str, str]) -> Iterator[Override | Problem]:
    """Yield the settings among the variables; one with our prefix that sets nothing is a problem."""
    locations = {setting.environment_name: setting.location for setting in iterate_settings()}
    names = [name for name in locations if name is not None]
    for name in sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX)):
        location = locations.get(name)
        if location is None:
            yield Problem("", "no setting has this variable", _variable_remedy(name, names), name)
            continue
        try:
            yield Override(location, parse_scalar(environment[name]), name)
        except SettingError as exc:
            yield Problem(key_path(location), exc.message, exc.remedy, name)


def _variable_remedy(name: str, names: Sequence[str]) -> str:
    for key in ("events", "peers"):
        if name.startswith(f"{ENVIRONMENT_PREFIX}{key.upper()}"):
            return f"set {key} in the file, or with {FLAG} {key}[0].KEY=VALUE"
    # Without the prefix, which would make every name look like every other.
    tails = [known.removeprefix(ENVIRONMENT_PREFIX) for known in names]
    likely = get_close_matches(name.removeprefix(ENVIRONMENT_PREFIX), tails, n=1)
    if likely:
        return f"did you mean {ENVIRONMENT_PREFIX}{likely[0]}?"
    return f"unset it; levels are joined by __, as in {names[0]}"


def read_flags(flags: Sequence[str]) -> Iterator[Override | Problem]:
    """Yield the settings of `key.path=value` flags; the last one of a key wins."""
    for flag in flags:
        key, equals, value = flag.partition("=")
        key = key.strip()
        if not equals or not _KEY_PATH.fullmatch(key):
            remedy = "write key.path=value, such as listen.publish=0.0.0.0:8081 or events[0].dvr_window=10m"
            yield Problem("", f"{shown(flag)} sets nothing", remedy, FLAG)
            continue
        location = tuple(int(index) if index else name for index, name in _KEY_PART.findall(key))
        try:
            yield Override(location, parse_scalar(value.strip()), FLAG)
        except SettingError as exc:
            yield Problem(key, exc.message, exc.remedy, FLAG)


def apply_override(tree: dict[str, Any], override: Override) -> None:
    """Put a value into the tree, making the sections on the way.

    A list grows by one entry at most: `events[1].id=...` adds a second event to one, and is refused for none.

    Raises:
        SettingError: The way leads through something that is no section, or past the end of a list.
    """
    place: Any = tree
    *way, last = override.location
    for depth, part in enumerate(way):
        _make_room(place, part, override.location[:depth])
        present = place[part] if isinstance(part, int) else place.get(part)
        if present is None:
            present = place[part] = [] if isinstance(override.location[depth + 1], int) else {}
        place = present
    _make_room(place, last, tuple(way))
    place[last] = override.value


def _make_room(place: Any, part: str | int, way: Location) -> None:
    """See to it that `part` can be set in `place`, which stands at `way`."""
    if isinstance(part, str):
        if not isinstance(place, dict):
            raise SettingError(f"{key_path(way)} is {shown(place)}, which has no keys", f"set {key_path(way)} itself")
        return
    if not isinstance(place, list):
        raise SettingError(f"{key_path(way)} is {shown(place)}, which has no entries", "write the key without []")
    if part > len(place):
        count = f"{len(place)} " + ("entry" if len(place) == 1 else "entries")
        raise SettingError(f"{key_path(way)} has {count}, counted from 0", f"write [{len(place)}] to add one")
    if part == len(place):
        place.append(None)

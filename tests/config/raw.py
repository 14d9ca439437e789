"""Configurations as a file would hold them, to be changed one key at a time, and loaded."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import ConfigError, load_settings
from config.model import Settings
from config.problems import Location, Problem

RENDITION = {"id": "v720", "kind": "video", "bandwidth": 3_000_000}
PIPELINE = {"id": "a"}


def event(**changes: Any) -> dict[str, Any]:
    """Return the least an event needs, with `changes`."""
    least = {"id": "derby", "segment_duration": "2s", "renditions": [RENDITION], "pipelines": [PIPELINE]}
    return deepcopy(least | changes)


def settings(**changes: Any) -> dict[str, Any]:
    """Return the least a configuration needs, with `changes`."""
    return deepcopy({"events": [event()]} | changes)


def changed(location: Location, value: Any) -> dict[str, Any]:
    """Return the least a configuration needs, with one value set; the last section on the way is made."""
    tree = settings()
    place: Any = tree
    for part in location[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[location[-1]] = value
    return tree


def load(
    folder: Path, content: str | dict[str, Any], environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> Settings:
    """Load a file with this content."""
    path = folder / "live.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return load_settings(path, environment or {}, flags)


def problems(
    folder: Path, content: str | dict[str, Any], environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> tuple[Problem, ...]:
    """Return all that is wrong with a file with this content."""
    with pytest.raises(ConfigError) as caught:
        load(folder, content, environment, flags)
    return caught.value.problems

"""Configurations as a file would hold them, to be changed one key at a time."""

from copy import deepcopy
from typing import Any

from config.problems import Location

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

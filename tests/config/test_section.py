"""How declarations are read back."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.event import EventSettings, RenditionSettings
from config.model import Limits, Settings
from config.problems import Location
from config.section import field_at, is_list, section_at, section_of, value_type, written
from selection.model import Kind


def test_section_is_frozen_and_has_no_room_for_unknown_keys() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Limits().holds = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="hold_ms"):
        Limits.model_validate({"hold_ms": "8s"})


@pytest.mark.parametrize(
    ("location", "section"),
    [
        ((), Settings),
        (("limits",), Limits),
        (("events",), EventSettings),
        (("events", 3), EventSettings),
        (("events", 3, "renditions", 0), RenditionSettings),
        (("workers",), None),
        (("nothing",), None),
        (("nothing", "below"), None),
        (("workers", "below"), None),
    ],
)
def test_section_is_found_by_location(location: Location, section: object) -> None:
    assert section_at(Settings, location) is section


@pytest.mark.parametrize(
    ("location", "description"),
    [
        (("limits", "holds"), "Requests held at once; those beyond are refused."),
        (("events", 0, "renditions", 1, "bandwidth"), "Bits per second."),
        (("limits", "nothing"), None),
        (("workers", "below"), None),
        (("events", 0), None),
    ],
)
def test_declaration_is_found_by_location(location: Location, description: str | None) -> None:
    field = field_at(Settings, location)
    assert (field.description if field is not None else None) == description


@pytest.mark.parametrize(
    ("location", "is_a_list", "section"),
    [(("limits",), False, Limits), (("events",), True, EventSettings), (("workers",), False, None)],
)
def test_lists_and_sections_are_told_apart(location: Location, is_a_list: bool, section: object) -> None:
    field = field_at(Settings, location)
    assert field is not None
    assert is_list(field) is is_a_list
    assert section_of(field) is section


@pytest.mark.parametrize(
    ("location", "type_", "value", "text"),
    [
        (("limits", "hold"), int, 8_000, "8s"),
        (("storage", "ram"), int, 1024**3, "1GiB"),
        (("storage", "path"), Path, Path("data"), "data"),
        (("log", "requests"), bool, True, "true"),
        (("events", 0, "hold_ahead"), int, 2_920, "2920ms"),
        (("events", 0, "start"), int, 0, "1970-01-01T00:00:00Z"),
        (("events", 0, "start"), int, None, "null"),
        (("events", 0, "segment_duration"), Fraction, Fraction(1001, 30_000), "1001/30000"),
        (("events", 0, "renditions", 0, "kind"), Kind, Kind.AUDIO, "audio"),
        (("events", 0, "renditions", 0, "width"), int, 1280, "1280"),
        (("events", 0, "renditions", 0, "media"), str, "x", "x"),
    ],
)
def test_value_is_written_as_the_file_spells_it(location: Location, type_: Any, value: object, text: str) -> None:
    field = field_at(Settings, location)
    assert field is not None
    assert value_type(field) is type_
    assert written(field, value) == text

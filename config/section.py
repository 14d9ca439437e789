"""What a group of settings is, and how its declarations are read back.

Every setting is declared once: type, unit, bounds, default and text. Validation, messages, the names of
environment variables and the settings table all come from that one place, through the functions below.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.fields import FieldInfo

from config.problems import Location


@dataclass(frozen=True, slots=True)
class Documented:
    """What the settings table says where type and default cannot: a default that is computed, bounds in words."""

    default: str = ""
    bounds: str = ""


class Section(BaseModel):
    """A group of settings: frozen, and without room for a key that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """Return the declarations under the names that the file uses."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


def is_list(field: FieldInfo) -> bool:
    """Tell whether a setting is a list of sections."""
    return get_origin(field.annotation) is tuple


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the section a setting is, or is a list of; None for a single value."""
    inner = get_args(field.annotation)[0] if is_list(field) else field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def section_at(root: type[Section], location: Location) -> type[Section] | None:
    """Return the section at a location (of the entries, for a list), or None if there is none."""
    section: type[Section] | None = root
    for key in location:
        if isinstance(key, int):
            continue
        field = section.fields_by_key().get(key) if section is not None else None
        section = section_of(field) if field is not None else None
    return section


def field_at(root: type[Section], location: Location) -> FieldInfo | None:
    """Return the declaration of a setting, or None for a list's entry or a key that nobody knows."""
    section, key = section_at(root, location[:-1]), location[-1]
    return section.fields_by_key().get(key) if section is not None and isinstance(key, str) else None


def value_type(field: FieldInfo) -> Any:
    """Return the type of a setting's value, without None and annotations."""
    annotation: Any = field.annotation
    if NoneType in get_args(annotation):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def marks(field: FieldInfo) -> Iterator[object]:
    """Yield what a declaration says beside type and default, the outermost first."""
    yield from field.metadata
    for part in get_args(field.annotation):
        yield from getattr(part, "__metadata__", ())


def written(field: FieldInfo, value: object) -> str:
    """Return a setting's value as the file would spell it."""
    if value is None:
        return "null"
    for mark in marks(field):
        if isinstance(mark, PlainSerializer):
            return str(cast("Callable[[Any], Any]", mark.func)(value))
    return str(value).lower() if isinstance(value, bool) else str(value)

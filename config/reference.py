"""The list of all settings, and the Markdown table of them. Both are read off the models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from config.model import Settings
from config.problems import Location
from config.section import Documented, Section, is_list, marks, section_of, value_type, written

ENVIRONMENT_PREFIX = "LIVE_ORIGIN_"
_HEAD = ("| setting | default | bounds | meaning |", "|---|---|---|---|")


@dataclass(frozen=True, slots=True)
class Setting:
    """One single value that can be set.

    Args:
        key: As in the file; `[]` stands for each entry of a list: `events[].renditions[].id`.
    """

    key: str
    field: FieldInfo

    @property
    def location(self) -> Location | None:
        """Where it stands; None for a setting of a list's entries, which stands in many places."""
        return None if "[]" in self.key else tuple(self.key.split("."))

    @property
    def environment_name(self) -> str | None:
        """The variable that overrides it, or None for a setting of a list's entries."""
        return None if self.location is None else ENVIRONMENT_PREFIX + self.key.replace(".", "__").upper()


def iterate_settings(section: type[Section] = Settings, prefix: str = "") -> Iterator[Setting]:
    """Yield every setting, in the order of declaration."""
    for name, field in section.fields_by_key().items():
        inner = section_of(field)
        if inner is None:
            yield Setting(prefix + name, field)
        else:
            yield from iterate_settings(inner, f"{prefix}{name}{'[]' if is_list(field) else ''}.")


def default_text(field: FieldInfo) -> str:
    """Return a setting's default as Markdown."""
    documented = next((mark.default for mark in marks(field) if isinstance(mark, Documented) and mark.default), "")
    if documented:
        return documented
    if field.is_required():
        return "required"
    value = field.default.value if isinstance(field.default, Enum) else field.default
    return "none" if value is None else f"`{written(field, value)}`"


def choices(field: FieldInfo) -> Sequence[str]:
    """Return what a setting can be, if that is a short list of words."""
    type_ = value_type(field)
    if get_origin(type_) is Literal:
        return [str(choice) for choice in get_args(type_)]
    if isinstance(type_, type) and issubclass(type_, Enum):
        return [str(choice.value) for choice in type_]
    return ("true", "false") if type_ is bool else ()


def limit(field: FieldInfo, side: str) -> str | None:
    """Return a bound as the file would spell it: the least value for `ge`, the greatest for `le`, None for none."""
    bound = next((getattr(mark, side) for mark in marks(field) if hasattr(mark, side)), None)
    return None if bound is None else written(field, bound)


def bounds_text(field: FieldInfo) -> str:
    """Return what a setting can be, as Markdown."""
    documented = next((mark.bounds for mark in marks(field) if isinstance(mark, Documented) and mark.bounds), "")
    if documented:
        return documented
    words = choices(field)
    if words:
        return ", ".join(f"`{word}`" for word in words)
    lowest, highest = limit(field, "ge"), limit(field, "le")
    if lowest is None:
        return ""
    return f"from `{lowest}`" if highest is None else f"`{lowest}` to `{highest}`"


def settings_table() -> str:
    """Return the Markdown table of all settings."""
    rows = [
        (f"`{setting.key}`", default_text(setting.field), bounds_text(setting.field), setting.field.description or "")
        for setting in iterate_settings()
    ]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([*_HEAD, *lines])

"""What is wrong with one value, from what pydantic says of it, in the reader's words."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from config.problems import SettingError, shown
from config.reference import choices, iterate_settings, limit
from config.section import marks


class Explanation(NamedTuple):
    """What was wrong, and what would be right."""

    message: str
    remedy: str


class Value(NamedTuple):
    """What an error is about.

    Args:
        raw: As it was written.
        key: Its last key, or an empty text for a list's entry.
        field: Its declaration; None for a list's entry or an unknown key.
        keys: The keys known at this place: of the section it should be, or for an unknown key, is in.
    """

    raw: Any
    key: str
    field: FieldInfo | None
    keys: Sequence[str]


def explain(error: ErrorDetails, value: Value) -> Explanation:
    """Return what to tell the reader about one of pydantic's errors."""
    kind = error["type"]
    if kind == "missing":
        return _missing(value)
    if kind == "extra_forbidden":
        return unknown_key(value.key, value.keys)
    if value.raw is None:
        return _no_value(value.field)
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, SettingError):
        return Explanation(cause.message, cause.remedy)
    describe = _BY_KIND.get(kind)
    if describe is None:
        return Explanation(f"{shown(value.raw)} cannot be used", "see the settings table for what can")
    complaint, remedy = describe(value)
    return Explanation(f"{shown(value.raw)} {complaint}", remedy)


def unknown_key(key: str, known: Sequence[str]) -> Explanation:
    """Return what to say of a key that nobody knows: where it belongs, or which was meant."""
    elsewhere = [setting.key for setting in iterate_settings() if setting.key.rpartition(".")[2] == key]
    likely = likely_key(key, known)
    if elsewhere:
        remedy = f"it belongs to {elsewhere[0].rpartition('.')[0] or 'the top level'}; move it there"
    elif likely is not None:
        remedy = f"did you mean {likely}?"
    else:
        remedy = f"known here: {', '.join(known)}"
    return Explanation("is not a known key", remedy)


def likely_key(key: str, known: Sequence[str]) -> str | None:
    """Return the known key that was probably meant, or None. A unit at its end is not needed: `hold_ms`."""
    spelled = key.lower().replace("-", "_")
    if spelled.rpartition("_")[0] in known:
        return spelled.rpartition("_")[0]
    return next(iter(get_close_matches(spelled, known, n=1)), None)


def _missing(value: Value) -> Explanation:
    field = value.field
    assert field is not None and field.examples, "every setting without a default has an example"
    example = field.examples[0]
    if isinstance(example, list):
        return Explanation("is missing", f"add {value.key}: with at least one entry")
    return Explanation("is missing", f"add it, such as {value.key}: {example}")


def _no_value(field: FieldInfo | None) -> Explanation:
    if field is None:
        return Explanation("is an empty entry", "write its keys, or take the '-' out")
    if field.is_required():
        return Explanation("has no value", "give it one")
    return Explanation("has no value", "give it one, or take the key out for its default")


def _range(field: FieldInfo | None) -> str:
    assert field is not None, "only settings have bounds"
    lowest, highest = limit(field, "ge"), limit(field, "le")
    if highest is None or lowest == highest:
        return f"{lowest}" if highest else f"{lowest} or more"
    return f"{lowest} to {highest}"


def _either(field: FieldInfo | None) -> str:
    assert field is not None, "only settings have choices"
    words = choices(field)
    return " or ".join([", ".join(words[:-1]), words[-1]])


def _entries_count_max(field: FieldInfo | None) -> int:
    assert field is not None, "only settings have bounds"
    return next(int(mark.max_length) for mark in marks(field) if hasattr(mark, "max_length"))


def _as_text(value: Value) -> str:
    return f"put it into quotes: '{value.raw}'" if isinstance(value.raw, bool | int) else "write a single text"


# What the value is not, and the remedy, by pydantic's name of the error.
_BY_KIND: Final[dict[str, Callable[[Value], tuple[str, str]]]] = {
    "string_type": lambda value: ("is not text", _as_text(value)),
    "int_type": lambda value: ("is not a whole number", f"write digits only, {_range(value.field)}"),
    "greater_than_equal": lambda value: ("is below what is possible", f"write {_range(value.field)}"),
    "less_than_equal": lambda value: ("is beyond what is possible", f"write {_range(value.field)}"),
    "bool_type": lambda value: ("is not one of the choices", f"write {_either(value.field)}"),
    "enum": lambda value: ("is not one of the choices", f"write {_either(value.field)}"),
    "literal_error": lambda value: ("is not one of the choices", f"write {_either(value.field)}"),
    "tuple_type": lambda value: ("is not a list", "begin each entry with '- ' on a line of its own"),
    "too_long": lambda value: ("has too many entries", f"keep at most {_entries_count_max(value.field)}"),
    "too_short": lambda value: ("is not enough", "add at least one entry"),
    "model_type": lambda value: ("is not a section of keys", f"write keys below it: {', '.join(value.keys)}"),
}

"""Conditional and Range requests: RFC 9110, sections 13 and 14, as one pure function.

Only single byte ranges are served in part; for several the whole is sent, which RFC 9110, 14.2 allows and
which no cache of ours asks for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

# The request headers that `evaluate` looks at.
FIELDS: Final = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range")

_RANGE: Final = re.compile(r"bytes=\s*([0-9]{0,19})-([0-9]{0,19})\s*\Z", re.IGNORECASE)
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@dataclass(frozen=True, slots=True)
class Whole:
    """Answer 200 with everything."""


@dataclass(frozen=True, slots=True)
class Part:
    """Answer 206 with the bytes from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class NotModified:
    """Answer 304."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Answer 412."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Answer 416."""


Evaluation = Whole | Part | NotModified | Failed | Unsatisfiable


@dataclass(frozen=True, slots=True)
class Representation:
    """What the request is about.

    Args:
        etag: Strong, with its quotes.
        modified_s: Last-Modified in whole seconds since 1970.
    """

    etag: str
    modified_s: int
    size_bytes: int


def evaluate(headers: Mapping[str, str], selected: Representation, *, is_head: bool = False) -> Evaluation:
    """Return how to answer a GET or HEAD. `headers` holds `FIELDS`, lists that came in several lines joined.

    Source: order of evaluation in RFC 9110, 13.2.2. Only GET has ranges (14.2).
    """
    if_match = headers.get("If-Match")
    if if_match is not None:
        if not _matches(if_match, selected.etag, weak=False):
            return Failed()
    else:
        unmodified_since_s = _seconds(headers.get("If-Unmodified-Since"))
        if unmodified_since_s is not None and selected.modified_s > unmodified_since_s:
            return Failed()
    if_none_match = headers.get("If-None-Match")
    if if_none_match is not None:
        if _matches(if_none_match, selected.etag, weak=True):
            return NotModified()
    else:
        modified_since_s = _seconds(headers.get("If-Modified-Since"))
        if modified_since_s is not None and selected.modified_s <= modified_since_s:
            return NotModified()
    byte_range = headers.get("Range")
    if byte_range is None or is_head or not _range_applies(headers.get("If-Range"), selected):
        return Whole()
    return _evaluate_range(byte_range, selected.size_bytes)


def _matches(field: str, etag: str, *, weak: bool) -> bool:
    """Compare an entity-tag list with a strong tag (RFC 9110, 8.8.3.2)."""
    if field.strip() == "*":
        return True
    tags = _ENTITY_TAG.findall(field)
    return etag in tags or (weak and f"W/{etag}" in tags)


def _range_applies(if_range: str | None, selected: Representation) -> bool:
    """RFC 9110, 13.1.5: a strong tag or an exact date, else the whole is sent."""
    if if_range is None:
        return True
    if '"' in if_range:
        return if_range.strip() == selected.etag
    return _seconds(if_range) == selected.modified_s


def _evaluate_range(field: str, size_bytes: int) -> Evaluation:
    """RFC 9110, 14.2: a field that is not understood is ignored; a range with nothing in it is refused."""
    match = _RANGE.match(field.strip())
    if match is None or match.group(1, 2) == ("", ""):
        return Whole()
    first_text, last_text = match.groups()
    if not first_text:
        suffix_bytes = min(int(last_text), size_bytes)
        return Part(size_bytes - suffix_bytes, size_bytes - 1) if suffix_bytes else Unsatisfiable()
    first = int(first_text)
    last = min(int(last_text), size_bytes - 1) if last_text else size_bytes - 1
    if last_text and int(last_text) < first:
        return Whole()  # not a valid range at all (RFC 9110, 14.1.1)
    return Part(first, last) if first < size_bytes else Unsatisfiable()


def _seconds(date: str | None) -> int | None:
    """Return an HTTP date in seconds since 1970, or None for a missing or invalid one (which is ignored)."""
    if date is None:
        return None
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())

"""What a packager may say about its upload in headers, parsed and checked (RFC 9651, RFC 9530)."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import http_sf

from selection.model import Defect
from selection.rank import SCORE_MAX
from storage.base import Body

DEFECTS_MAX: Final = 16
_DEFECTS: Final = "Live-Origin-Defects"
_SCORE: Final = "Live-Origin-Score"
_DIGEST: Final = "Content-Digest"
_DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
# What media comes as; senders that know no better say octet-stream or nothing at all (measured).
_MEDIA_TYPES: Final = ("video/", "audio/", "text/vtt", "image/")
_APPLICATION_TYPES: Final = frozenset(
    f"application/{subtype}"
    for subtype in ("octet-stream", "mp4", "dash+xml", "vnd.apple.mpegurl", "x-mpegurl", "ttml+xml", "xml")
)


class HeaderLines(Protocol):
    """Request headers, whose names may come in several lines."""

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: str, /) -> str: ...

    def getall(self, key: str, default: list[str], /) -> list[str]: ...


class BadHeader(ValueError):
    """A header that cannot be used; the text says which and what would be right."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the packager said.

    Args:
        digests: Algorithm and value of each supported digest of the body.
    """

    defects: tuple[Defect, ...] = ()
    score: int | None = None
    digests: tuple[tuple[str, bytes], ...] = ()

    def digests_match(self, body: Body) -> bool:
        """Tell whether the body is the one the packager sent."""
        return all(_DIGESTS[algorithm](body).digest() == value for algorithm, value in self.digests)


_NOTHING_DECLARED: Final = Declared()


def parse_declared(headers: HeaderLines) -> Declared:
    """Return what the headers say. `headers` must look names up regardless of case.

    Raises:
        BadHeader: Not understood; ignoring a packager's warning would deliver what it warned of.
    """
    if not (_DEFECTS in headers or _SCORE in headers or _DIGEST in headers):  # as with nearly all packagers
        return _NOTHING_DECLARED
    return Declared(
        defects=_defects(_field(headers, _DEFECTS)),
        score=_score(_field(headers, _SCORE)),
        digests=_digests(_field(headers, _DIGEST)),
    )


def _field(headers: HeaderLines, name: str) -> str | None:
    """Return a field's value; lines of the same name are one list (RFC 9110, 5.3)."""
    lines = headers.getall(name, [])
    return ", ".join(lines) if lines else None


def is_media_type(content_type: str) -> bool:
    """Tell whether a Content-Type may be media or a manifest."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence == "" or essence.startswith(_MEDIA_TYPES) or essence in _APPLICATION_TYPES


def _defects(field: str | None) -> tuple[Defect, ...]:
    if field is None:
        return ()
    right = "a list such as: short;missing_ms=120, discontinuity"
    items = _parse(field, "list", _DEFECTS, right)
    if len(items) > DEFECTS_MAX:
        raise BadHeader(f"Live-Origin-Defects names {len(items)} defects; send the {DEFECTS_MAX} worst")
    return tuple(_defect(item, right) for item in items)


def _defect(item: Any, right: str) -> Defect:
    name, parameters = item
    if not isinstance(name, http_sf.Token):
        raise BadHeader(f"Live-Origin-Defects: {name!r} is not a token; send {right}")
    return Defect(str(name), tuple((key, _plain(key, value)) for key, value in parameters.items()))


def _plain(key: str, value: Any) -> str | int | float | bool:
    """Return a parameter as a plain value. Display strings may hold line feeds and would split our own header."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, http_sf.Token):
        return str(value)
    if isinstance(value, bool | int | str):
        return value
    raise BadHeader(f"Live-Origin-Defects: {key} is neither number, string, token nor boolean; send one of these")


def _score(field: str | None) -> int | None:
    if field is None:
        return None
    text = field.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= SCORE_MAX):
        raise BadHeader(f"Live-Origin-Score is {field!r}; send a whole number from 0 to {SCORE_MAX}")
    return int(text)


def _digests(field: str | None) -> tuple[tuple[str, bytes], ...]:
    """Unknown algorithms are ignored (RFC 9530, 2)."""
    if field is None:
        return ()
    right = "a dictionary such as: sha-256=:base64:"
    digests = _parse(field, "dictionary", _DIGEST, right)
    known = []
    for algorithm, member in digests.items():
        if algorithm in _DIGESTS:
            if not isinstance(member, tuple) or not isinstance(member[0], bytes):
                raise BadHeader(f"Content-Digest: {algorithm} is not a byte sequence; send {right}")
            known.append((algorithm, member[0]))
    return tuple(known)


def _parse(field: str, kind: str, name: str, right: str) -> Any:
    try:
        return http_sf.parse(field.encode("ascii"), tltype=kind)
    except ValueError as exc:  # UnicodeEncodeError and StructuredFieldError both are
        raise BadHeader(f"{name} is not a structured field ({exc}); send {right}") from exc

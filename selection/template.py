"""Names of segments: DASH SegmentTemplate identifiers, both ways.

Supported: `$RepresentationID$`, `$Number$`, `$Number%0Nd$`, `$Time$`, `$Time%0Nd$` and `$$` for a dollar.
A name parses only if formatting the result gives the same name again: a number or a time has one spelling,
so that a cache never holds it twice. (Which times stand for one segment, the timeline says.)

Source: ISO/IEC 23009-1, 5.3.9.4.4 (template-based segment URL construction).
"""

import re
from dataclasses import dataclass, field
from typing import Final

# Nineteen digits hold every 64-bit tfdt; a longer run of digits is never a segment.
DIGITS_MAX: Final = 19
WIDTH_MAX: Final = 18

_IDENTIFIER = re.compile(r"\$(?:(?P<name>[A-Za-z]+)(?:%0(?P<width>[0-9]+)d)?)?\$")
_NAME_CHARACTERS = re.compile(r"[A-Za-z0-9._~!&'()*+,;=:@/-]*\Z")


class TemplateError(ValueError):
    """A template that cannot name segments; the text says what would."""


@dataclass(frozen=True, slots=True)
class NameMatch:
    """What a name says: a number or a time in ticks, or neither for a template without either."""

    number: int | None = None
    time_ticks: int | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """One rendition's names, with `$RepresentationID$` already filled in.

    Args:
        text: The template as written, for messages.
        prefix, suffix: Literal text around the one variable.
        variable: `Number`, `Time`, or None for a constant name (an init segment).
        width: Minimum digits of the variable, padded with zeros.
    """

    text: str
    prefix: str
    suffix: str = ""
    variable: str | None = None
    width: int = 1
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digits = f"([0-9]{{{self.width},{DIGITS_MAX}}})" if self.variable else ""
        object.__setattr__(self, "_pattern", re.compile(re.escape(self.prefix) + digits + re.escape(self.suffix)))

    def format(self, number: int, time_ticks: int) -> str:
        """Return the name of the segment with this number and decode time; only the one it uses matters.

        >>> compile_template("$RepresentationID$/$Number%05d$.m4s", "v720").format(number=7, time_ticks=0)
        'v720/00007.m4s'
        """
        if self.variable is None:
            return self.prefix
        value = number if self.variable == "Number" else time_ticks
        assert value >= 0, "numbers and times in names are never negative"
        return f"{self.prefix}{value:0{self.width}d}{self.suffix}"

    def parse(self, name: str) -> NameMatch | None:
        """Return what `name` says, or None if this template does not make it.

        >>> compile_template("$RepresentationID$-$Time$.m4s", "a128").parse("a128-92160.m4s")
        NameMatch(number=None, time_ticks=92160)
        >>> compile_template("$Number$.ts", "v").parse("007.ts") is None
        True
        """
        match = self._pattern.fullmatch(name)
        if match is None:
            return None
        if self.variable is None:
            return NameMatch()
        digits = match[1]
        if len(digits) > self.width and digits[0] == "0":
            return None  # more zeros than the template writes: another spelling of the same segment
        value = int(digits)
        return NameMatch(number=value) if self.variable == "Number" else NameMatch(time_ticks=value)

    def overlaps(self, other: "Template") -> bool:
        """Tell whether some name is made by both templates.

        Literals beside a number end and begin with a non-digit (`compile_template` sees to it). So with equal
        prefixes the suffixes decide; with different ones the shorter template's number must lie in the longer
        one's prefix: `a-$Number$-5.ts` and `a-3-$Number$.ts` both make `a-3-5.ts`.
        """
        if self.variable is None:
            return other.parse(self.prefix) is not None
        if other.variable is None:
            return self.parse(other.prefix) is not None
        if self.prefix == other.prefix:
            return self.suffix == other.suffix
        short, long = sorted((self, other), key=lambda template: len(template.prefix))
        if not long.prefix.startswith(short.prefix):
            return False
        between = long.prefix[len(short.prefix) :]
        digits = between[: len(between) - len(between.lstrip("0123456789"))]
        name = short.prefix + digits + short.suffix  # the only name both could make
        return short.parse(name) is not None and long.parse(name) is not None


def compile_template(text: str, representation_id: str) -> Template:
    """Return `text` as the template of one rendition.

    Raises:
        TemplateError: Unknown or repeated identifier, unbalanced `$`, a width that cannot be, or characters
            that would need escaping in a URL path.
    """
    literals: list[str] = [""]
    variable, width, position = None, 1, 0
    for match in _IDENTIFIER.finditer(text):
        literals[-1] += _literal(text[position : match.start()], text)
        position = match.end()
        name, digits = match["name"], match["width"]
        if name is None:
            literals[-1] += "$"
        elif name == "RepresentationID" and digits is None:
            literals[-1] += representation_id
        elif name in ("Number", "Time"):
            if variable is not None:
                raise TemplateError(f"{text!r} has more than one of $Number$ and $Time$; keep one")
            variable, width = name, _width(digits, text)
            literals.append("")
        else:
            raise TemplateError(
                f"{text!r}: {match[0]} is not known; use $RepresentationID$, $Number$, $Number%05d$ or $Time$"
            )
    literals[-1] += _literal(text[position:], text)
    suffix = literals[1] if variable else ""
    if suffix[:1].isdigit() or (variable and literals[0][-1:].isdigit()):
        # DASH-IF Live Media Ingest, naming 5: the number stands after a character that is not a digit.
        raise TemplateError(f"{text!r}: put a character that is not a digit beside ${variable}$")
    _check_path(literals[0] + ("0" if variable else "") + suffix, text)
    return Template(text=text, prefix=literals[0], suffix=suffix, variable=variable, width=width)


def _literal(text: str, template: str) -> str:
    if "$" in text:
        raise TemplateError(f"{template!r} has an unbalanced $; write $$ for a dollar sign")
    if not _NAME_CHARACTERS.match(text):
        raise TemplateError(f"{template!r} has characters that a URL path needs escaped; use letters, digits and ._-~/")
    return text


def _check_path(name: str, template: str) -> None:
    """Refuse a template whose names are no plain relative path. `name` is one of them."""
    if name.startswith("/"):
        raise TemplateError(f"{template!r} starts with a slash; names are relative to the event")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise TemplateError(f"{template!r} has an empty or dot path segment; write each folder once")


def _width(digits: str | None, template: str) -> int:
    width = int(digits) if digits else 1
    if not 1 <= width <= WIDTH_MAX:
        raise TemplateError(f"{template!r}: a width of {width} digits is not possible; use 1 to {WIDTH_MAX}")
    return width

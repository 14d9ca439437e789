"""Walks the boxes of ISO base media files, and never more of them than the limit.

Only named boxes are entered, so the depth is that of the caller's code: a body of boxes in boxes costs no more
than one of boxes side by side.

Source: ISO/IEC 14496-12, 4.2 (object structure).
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from selection.media import BOXES_COUNT_MAX, Body, MediaError, MediaFault

HEADER_BYTES: Final = 8
_LARGE_HEADER_BYTES: Final = 16
_HEADER: Final = Struct(">I4s")
_LARGE_SIZE: Final = Struct(">Q")
# Types are shown to people, on terminals too: whatever is not a printable ASCII character becomes a dot.
_PRINTABLE: Final = bytes(code if 0x20 <= code <= 0x7E else ord(".") for code in range(256))

# What `Boxes.within` yields: type, start of the box, start of its content, end.
Box = tuple[bytes, int, int, int]


class Boxes:
    """The boxes of one body; counts every one it passes."""

    __slots__ = ("body", "count")

    def __init__(self, body: Body) -> None:
        self.body = body
        self.count = 0

    def within(self, begin: int, end: int) -> Iterator[Box]:
        """Yield the boxes side by side from `begin` to `end`; from 0 on, they are the outermost ones.

        Raises:
            MediaError: Sizes that do not add up, or too many boxes.
        """
        body = self.body
        unpack = _HEADER.unpack_from
        is_outermost = begin == 0
        while begin < end:
            content = begin + HEADER_BYTES
            if content > end:
                raise _too_long(begin, end, HEADER_BYTES, "a box header", is_outermost)
            size, kind = unpack(body, begin)
            if size < HEADER_BYTES:
                size, content = self._unusual_size(begin, end, is_outermost)
            box_end = begin + size
            if box_end > end:
                raise _too_long(begin, end, size, fourcc(kind), is_outermost)
            self.count = count = self.count + 1
            if count > BOXES_COUNT_MAX:
                raise MediaError(MediaFault.TOO_MANY, begin, f"more than {BOXES_COUNT_MAX} boxes")
            yield kind, begin, content, box_end
            begin = box_end

    def find(self, begin: int, end: int, *path: bytes) -> tuple[int, int] | None:
        """Return content and end of the first box of each type in `path`, each within the one before, or None."""
        for wanted in path:
            for kind, _, content, box_end in self.within(begin, end):
                if kind == wanted:
                    begin, end = content, box_end
                    break
            else:
                return None
        return begin, end

    def _unusual_size(self, begin: int, end: int, is_outermost: bool) -> tuple[int, int]:
        """Return the real size and where the content begins, for a size of 0 (to the end) or 1 (64 bits)."""
        size, kind = _HEADER.unpack_from(self.body, begin)
        if size == 0 and kind == b"mdat" and is_outermost:
            return end - begin, begin + HEADER_BYTES
        if size == 1:
            if end - begin < _LARGE_HEADER_BYTES:
                raise _too_long(begin, end, _LARGE_HEADER_BYTES, "a large box header", is_outermost)
            (size,) = _LARGE_SIZE.unpack_from(self.body, begin + HEADER_BYTES)
            if size >= _LARGE_HEADER_BYTES:
                return size, begin + _LARGE_HEADER_BYTES
        raise MediaError(MediaFault.BAD_SIZE, begin, f"{fourcc(kind)} cannot have a size of {size} bytes")


def _too_long(begin: int, end: int, size: int, what: str, is_outermost: bool) -> MediaError:
    if is_outermost:
        return MediaError(MediaFault.TRUNCATED, begin, f"{what} of {size} bytes, of which {end - begin} are there")
    return MediaError(MediaFault.BAD_SIZE, begin, f"{what} of {size} bytes, where its parent has {end - begin} left")


def need(what: str, begin: int, end: int, size: int) -> None:
    """Refuse a box with less content than its fields take.

    Args:
        begin, end: Where the content lies.
        size: How many bytes the fields take.
    """
    if end - begin < size:
        raise too_short(what, begin, end, size)


def too_short(what: str, begin: int, end: int, size: int) -> MediaError:
    """Return what `need` raises: asking first saves the call, in what every fragment has."""
    return MediaError(MediaFault.BAD_SIZE, begin, f"{what} has {end - begin} bytes of content, its fields {size}")


def is_long_form(what: str, body: Body, content: int) -> bool:
    """Tell whether a box with content holds its times in 64 bits (version 1), not 32 (version 0)."""
    version = body[content]
    if version > 1:
        raise MediaError(MediaFault.BAD_FIELD, content, f"{what} of version {version}; 0 and 1 are known")
    return version == 1


def missing(what: str, offset: int) -> MediaError:
    """Return the error for a box that had to be in the one at `offset`, or in the body (0)."""
    return MediaError(MediaFault.MISSING_PART, offset, f"there is no {what} box")


def fourcc(code: Body) -> str:
    r"""Return a box type, brand or codec as text that is safe to show.

    >>> fourcc(b"moof"), fourcc(b"\x1b[2J")
    ('moof', '.[2J')
    """
    return bytes(code).translate(_PRINTABLE).decode()

"""The walk over boxes: every way to write a size, and every way to write a wrong one."""

import struct

import pytest

from selection.boxes import Boxes, fourcc
from selection.media import BOXES_COUNT_MAX, MediaError, MediaFault
from tests.support.mp4 import box

FREE = box("free", bytes(4))


def to_the_end(kind: str, *content: bytes) -> bytes:
    """Return a box that says it goes on to the end of the body."""
    return struct.pack(">I4s", 0, kind.encode()) + b"".join(content)


def sized(size: int, kind: str, content: bytes = b"", large: int | None = None) -> bytes:
    """Return a box with any size in its header."""
    return struct.pack(">I4s", size, kind.encode()) + (b"" if large is None else struct.pack(">Q", large)) + content


def walk(body: bytes) -> list[tuple[bytes, int, int, int]]:
    return list(Boxes(body).within(0, len(body)))


WHOLE = [
    ("nothing", b"", []),
    ("empty-box", box("free"), [(b"free", 0, 8, 8)]),
    ("two-boxes", FREE + box("mdat", b"abc"), [(b"free", 0, 8, 12), (b"mdat", 12, 20, 23)]),
    ("64-bit-size", box("mdat", b"abc", large=True), [(b"mdat", 0, 16, 19)]),
    ("64-bit-size-of-nothing", box("mdat", large=True) + FREE, [(b"mdat", 0, 16, 16), (b"free", 16, 24, 28)]),
    ("mdat-to-the-end", FREE + to_the_end("mdat", b"abc"), [(b"free", 0, 8, 12), (b"mdat", 12, 20, 23)]),
    ("empty-mdat-to-the-end", to_the_end("mdat"), [(b"mdat", 0, 8, 8)]),
]


@pytest.mark.parametrize(("body", "expected"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_boxes_side_by_side_are_found(body: bytes, expected: list[tuple[bytes, int, int, int]]) -> None:
    assert walk(body) == expected


DAMAGED = [
    ("one-byte", b"\0", MediaFault.TRUNCATED, 0),
    ("seven-bytes", box("free")[:7], MediaFault.TRUNCATED, 0),
    ("seven-bytes-behind-a-box", FREE + bytes(7), MediaFault.TRUNCATED, 12),
    ("one-byte-missing", FREE[:-1], MediaFault.TRUNCATED, 0),
    ("one-byte-missing-at-the-end", FREE + FREE[:-1], MediaFault.TRUNCATED, 12),
    ("largest-size", sized(0xFFFF_FFFF, "mdat", bytes(99)), MediaFault.TRUNCATED, 0),
    ("size-2", sized(2, "free"), MediaFault.BAD_SIZE, 0),
    ("size-7", FREE + sized(7, "free"), MediaFault.BAD_SIZE, 12),
    ("to-the-end-but-not-media-data", FREE + to_the_end("free", bytes(4)), MediaFault.BAD_SIZE, 12),
    ("zeros", bytes(64), MediaFault.BAD_SIZE, 0),
    ("half-a-64-bit-size", sized(1, "mdat", bytes(7)), MediaFault.TRUNCATED, 0),
    ("half-a-64-bit-size-behind-a-box", FREE + sized(1, "mdat", bytes(7)), MediaFault.TRUNCATED, 12),
    ("64-bit-size-of-15", sized(1, "mdat", bytes(8), large=15), MediaFault.BAD_SIZE, 0),
    ("64-bit-size-of-0", sized(1, "mdat", bytes(8), large=0), MediaFault.BAD_SIZE, 0),
    ("64-bit-size-one-too-long", sized(1, "mdat", bytes(8), large=25), MediaFault.TRUNCATED, 0),
    ("64-bit-size-at-its-greatest", sized(1, "mdat", bytes(8), large=2**64 - 1), MediaFault.TRUNCATED, 0),
]


@pytest.mark.parametrize(
    ("body", "reason", "offset"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_a_size_that_cannot_be_is_refused_with_its_place(body: bytes, reason: MediaFault, offset: int) -> None:
    with pytest.raises(MediaError) as caught:
        walk(body)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize("inner", [sized(9, "free"), sized(7, "free"), sized(1, "mdat"), sized(0, "mdat"), b"\0"])
def test_a_box_that_does_not_fit_its_parent_has_a_bad_size(inner: bytes) -> None:
    body = box("moof", FREE, inner) + FREE
    boxes = Boxes(body)
    with pytest.raises(MediaError) as caught:
        list(boxes.within(8, len(body) - len(FREE)))
    assert (caught.value.reason, caught.value.offset) == (MediaFault.BAD_SIZE, 8 + len(FREE))


def test_the_last_box_of_the_last_parent_has_a_bad_size_too() -> None:
    body = box("moof", sized(9, "free"))
    with pytest.raises(MediaError) as caught:
        list(Boxes(body).within(8, len(body)))
    assert caught.value.reason is MediaFault.BAD_SIZE


def test_a_path_is_followed_through_the_first_box_of_each_type() -> None:
    body = FREE + box("moov", box("trak"), box("mvex", box("trex", b"yes"))) + box("moov", box("mvex", box("trex")))
    boxes = Boxes(body)
    found = boxes.find(0, len(body), b"moov", b"mvex", b"trex")
    assert found is not None
    assert body[slice(*found)] == b"yes"
    assert boxes.find(0, len(body), b"moov", b"trak", b"trex") is None
    assert boxes.find(0, len(body), b"moof") is None


def test_as_many_boxes_as_the_limit_are_walked_and_not_one_more() -> None:
    assert len(walk(box("free") * BOXES_COUNT_MAX)) == BOXES_COUNT_MAX
    with pytest.raises(MediaError) as caught:
        walk(box("free") * (BOXES_COUNT_MAX + 1))
    assert (caught.value.reason, caught.value.offset) == (MediaFault.TOO_MANY, 8 * BOXES_COUNT_MAX)


@pytest.mark.parametrize("code", [b"\0\x1f\x7f\xff", b"\r\n\t\b"])
def test_what_is_not_printable_is_not_shown(code: bytes) -> None:
    assert fourcc(code) == "...."

"""Damages media bodies where it hurts: in sizes, types, counts and the order of boxes and packets.

Every change is a function of a random generator, the body, and another whole body to take parts from. Hypothesis
plays the generator in tests, and can then make an example smaller; a seeded one plays it in long runs.
"""

import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from tests.support.mp4 import Place, places
from tests.support.ts import PACKET_BYTES

Damage = Callable[[Random, bytes, bytes], bytes]

CHANGES_MAX: Final = 4
INTERESTING: Final = (0, 1, 2, 7, 8, 9, 15, 16, 0x7F, 0xFF, 0x1_0000, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
KINDS: Final = (
    *(b"styp", b"ftyp", b"sidx", b"prft", b"emsg", b"moof", b"mfhd", b"traf", b"tfhd", b"tfdt", b"trun", b"mdat"),
    *(b"mfra", b"free", b"moov", b"trak", b"tkhd", b"mdia", b"mdhd", b"hdlr", b"minf", b"stbl", b"stsd", b"edts"),
    *(b"elst", b"mvex", b"trex", b"\0\0\0\0", b"\xff\xff\xff\xff"),
)


def damaged(random: Random, body: bytes, other: bytes, changes: Sequence[Damage]) -> bytes:
    """Return a body after one to four changes."""
    for _ in range(random.randint(1, CHANGES_MAX)):
        body = random.choice(changes)(random, body, other)
    return body


def replaced(body: bytes, begin: int, end: int, by: bytes) -> bytes:
    return body[:begin] + by + body[end:]


# -- any bytes


def cut(random: Random, body: bytes, _other: bytes) -> bytes:
    """Keep the beginning."""
    return body[: random.randint(0, len(body))]


def cut_beginning(random: Random, body: bytes, _other: bytes) -> bytes:
    """Keep the end."""
    return body[random.randint(0, len(body)) :]


def zero(random: Random, body: bytes, _other: bytes) -> bytes:
    """Fill a range with zeros, as a hole in a file has."""
    begin = random.randint(0, len(body))
    end = min(len(body), begin + random.choice((1, 4, 8, 64, 512, 4096)))
    return replaced(body, begin, end, bytes(end - begin))


def flip(random: Random, body: bytes, _other: bytes) -> bytes:
    """Flip one bit."""
    if not body:
        return body
    at = random.randrange(len(body))
    return replaced(body, at, at + 1, bytes([body[at] ^ 1 << random.randrange(8)]))


def splice(random: Random, body: bytes, other: bytes) -> bytes:
    """Go on with another body, anywhere."""
    return body[: random.randint(0, len(body))] + other[random.randint(0, len(other)) :]


ANY: Final[tuple[Damage, ...]] = (cut, cut_beginning, zero, flip, splice)


# -- boxes


def _some_place(random: Random, body: bytes) -> Place | None:
    found = list(places(body))
    return random.choice(found) if found else None


def _refitted(body: bytes, parents: Sequence[Place], difference: int) -> bytes:
    """Return the body with the sizes of these boxes changed, so that they fit again what is in them."""
    for parent in parents:
        (size,) = struct.unpack_from(">I", body, parent.begin)
        fitted = struct.pack(">I", max(0, min(size + difference, 2**32 - 1)))
        body = replaced(body, parent.begin, parent.begin + 4, fitted)
    return body


def resize(random: Random, body: bytes, _other: bytes) -> bytes:
    """Let a box say another size."""
    place = _some_place(random, body)
    if place is None:
        return body
    size = place.end - place.begin
    near = [max(0, size + difference) for difference in (-8, -4, -1, 1, 4, 8)]
    chosen = random.choice((*INTERESTING, *near, len(body), len(body) - place.begin))
    return replaced(body, place.begin, place.begin + 4, struct.pack(">I", chosen))


def enlarge(random: Random, body: bytes, _other: bytes) -> bytes:
    """Let a box say its size in 64 bits, right or wrong."""
    place = _some_place(random, body)
    if place is None:
        return body
    right = 8 + place.end - place.begin
    size = random.choice((right, right, *INTERESTING, 2**63, 2**64 - 1))
    header = struct.pack(">I4sQ", 1, place.kind, size)
    return _refitted(replaced(body, place.begin, place.content, header), place.parents, 8)


def retype(random: Random, body: bytes, _other: bytes) -> bytes:
    """Let a box be another."""
    place = _some_place(random, body)
    if place is None:
        return body
    return replaced(body, place.begin + 4, place.begin + 8, random.choice(KINDS))


def drop(random: Random, body: bytes, _other: bytes) -> bytes:
    """Leave out a box; the boxes around it know of it, or not."""
    place = _some_place(random, body)
    if place is None:
        return body
    parents = place.parents if random.randrange(4) else ()
    without = replaced(body, place.begin, place.end, b"")
    return _refitted(without, parents, place.begin - place.end)


def insert(random: Random, body: bytes, other: bytes) -> bytes:
    """Put in a box of this body or another one, before any box: doubled, moved into another one, or out of it."""
    target, source = _some_place(random, body), random.choice((body, other))
    place = _some_place(random, source)
    if target is None or place is None:
        return body
    taken = source[place.begin : place.end]
    parents = target.parents if random.randrange(4) else ()
    return _refitted(replaced(body, target.begin, target.begin, taken), parents, len(taken))


def swap(random: Random, body: bytes, _other: bytes) -> bytes:
    """Let two neighbours change places."""
    place = _some_place(random, body)
    if place is None:
        return body
    after = [each for each in places(body) if each.begin == place.end and each.parents == place.parents]
    if not after:
        return body
    (neighbour,) = after
    turned = body[neighbour.begin : neighbour.end] + body[place.begin : place.end]
    return replaced(body, place.begin, neighbour.end, turned)


def overwrite(random: Random, body: bytes, _other: bytes) -> bytes:
    """Put an interesting number into a field: flags, counts, offsets lie at the beginning of a box's content."""
    place = _some_place(random, body)
    if place is None or place.end - place.content < 4:
        return body
    words_count = min((place.end - place.content) // 4, 8)
    begin = place.content + 4 * random.randrange(words_count)
    value = random.choice((*INTERESTING, len(body), random.getrandbits(32)))
    return replaced(body, begin, begin + 4, struct.pack(">I", value))


def splice_boxes(random: Random, body: bytes, other: bytes) -> bytes:
    """Go on with another body, from box to box."""
    ends = [place.end for place in places(body) if not place.parents]
    begins = [place.begin for place in places(other) if not place.parents]
    if not ends or not begins:
        return body
    return body[: random.choice(ends)] + other[random.choice(begins) :]


BOXES: Final[tuple[Damage, ...]] = (
    *(resize, enlarge, retype, drop, insert, swap, overwrite, overwrite, splice_boxes),
    *ANY,
)


# -- packets


def _some_packet(random: Random, body: bytes) -> int | None:
    count = len(body) // PACKET_BYTES
    if not count:
        return None
    # Half of the time one of the first, where the tables and the beginning of the first frame are.
    return PACKET_BYTES * random.randrange(min(count, 6) if random.randrange(2) else count)


def drop_packet(random: Random, body: bytes, _other: bytes) -> bytes:
    """Lose a packet."""
    at = _some_packet(random, body)
    return body if at is None else replaced(body, at, at + PACKET_BYTES, b"")


def insert_packet(random: Random, body: bytes, other: bytes) -> bytes:
    """Put in a packet of this body or another one."""
    at, source = _some_packet(random, body), random.choice((body, other))
    taken = _some_packet(random, source)
    if at is None or taken is None:
        return body
    return replaced(body, at, at, source[taken : taken + PACKET_BYTES])


def overwrite_packet(random: Random, body: bytes, _other: bytes) -> bytes:
    """Change a byte of a packet's first ones: header, adaptation field, table or PES header."""
    at = _some_packet(random, body)
    if at is None:
        return body
    at += random.randrange(1, 48)
    return replaced(
        body, at, at + 1, bytes([random.choice((0, 1, 0x47, 0x7F, 0xB7, 0xB8, 0xFF, random.randrange(256)))])
    )


def splice_packets(random: Random, body: bytes, other: bytes) -> bytes:
    """Go on with another body, from packet to packet."""
    at, begin = _some_packet(random, body), _some_packet(random, other)
    return body if at is None or begin is None else body[:at] + other[begin:]


PACKETS: Final[tuple[Damage, ...]] = (
    *(drop_packet, insert_packet, overwrite_packet, overwrite_packet, overwrite_packet, splice_packets),
    *ANY,
)

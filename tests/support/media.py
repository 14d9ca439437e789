"""What a decoder says of delivered bytes, and the times written in them."""

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.packagers import FFMPEG

_CONTAINERS: Final = frozenset({b"moof", b"traf"})


async def decode(path: Path) -> str:
    """Decode a whole file and return every line ffmpeg had to say about it, empty if it is fine."""
    process = await asyncio.create_subprocess_exec(
        *(*FFMPEG, "-i", str(path), "-map", "0", "-f", "null", "-"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode() if process.returncode == 0 else f"{said.decode()}\nexit status {process.returncode}"


async def count_frames(path: Path) -> list[tuple[int, int]]:
    """Return of each stream how many packets it has and how many frames they decode to."""
    process = await asyncio.create_subprocess_exec(
        *("ffprobe", "-v", "error", "-count_packets", "-count_frames"),
        *("-show_entries", "stream=index,nb_read_packets,nb_read_frames", "-of", "json", str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    report, _ = await process.communicate()
    streams = sorted(json.loads(report)["streams"], key=lambda stream: int(stream["index"]))
    return [(int(stream["nb_read_packets"]), int(stream["nb_read_frames"])) for stream in streams]


def decode_times(segment: bytes) -> list[int]:
    """Return the base media decode time of every track fragment, in the order of the file.

    >>> decode_times(bytes.fromhex("00000020 6d6f6f66 00000018 74726166 00000010 74666474 00000000 00000007"))
    [7]
    """
    times = []
    for kind, content in _boxes(segment):
        if kind == b"tfdt":
            times.append(struct.unpack(">Q" if content[0] else ">I", content[4:])[0])
    return times


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of all boxes, those inside movie fragments too."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size < 8:
            return
        content = data[position + 8 : position + size]
        yield kind, content
        if kind in _CONTAINERS:
            yield from _boxes(content)
        position += size

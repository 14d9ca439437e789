"""What inspection of media bytes says when they are damaged, and the limits that keep it short.

`selection.cmaf` and `selection.mpegts` read structure only; nothing is decoded. A body comes from the network,
so their work is bounded by these limits and otherwise grows no faster than the body.
"""

from enum import StrEnum
from typing import Final

# Bytes to be looked into; not always `bytes`, whose methods a view does not have. Slices of a view copy nothing.
Body = bytes | bytearray | memoryview

# Boxes looked at in one body. 10 s of 60 frames/s with a chunk for every frame, sound and picture in one file, prft,
# senc, saiz and saio with each, make 10,800. 64 MiB of empty boxes would make 8 million. The worst body takes 20 ms.
BOXES_COUNT_MAX: Final = 16_384
# Frames in one body, over all tracks. PCM may count every sound sample: 131,072 are 2.7 s of it at 48 kHz.
# Opus frames of 2.5 ms in a 60 s segment make 24,000.
SAMPLES_COUNT_MAX: Final = 131_072
# Tracks in one body. A rendition has one, or two with sound and picture in one file.
TRACKS_COUNT_MAX: Final = 32
# Brands in one body. shaka-packager writes seven.
BRANDS_COUNT_MAX: Final = 64
# Entries of an edit list up to the first that shows media. ffmpeg writes at most two.
EDITS_COUNT_MAX: Final = 16
# Elementary streams in a transport stream: picture, sound in several languages, captions, cues, ID3.
STREAMS_COUNT_MAX: Final = 32


class MediaFault(StrEnum):
    """What is wrong with a body."""

    NOT_MEDIA = "not-media"  # begins like nothing that is inspected here
    TRUNCATED = "truncated"  # a box or packet goes beyond the body
    BAD_SIZE = "bad-size"  # a size that cannot be: below its own header, or beyond its parent
    BAD_FIELD = "bad-field"  # a value that the format excludes
    MISSING_PART = "missing-part"  # a box or table without which the rest means nothing
    SIZES_DISAGREE = "sizes-disagree"  # samples lie outside of the media data
    LOST_SYNC = "lost-sync"  # a transport stream packet does not begin where it should
    TOO_MANY = "too-many"  # more than the limits above


class MediaError(ValueError):
    """A body is damaged, or is not what it should be.

    Args:
        reason: What is wrong.
        offset: Where in the body, in bytes: the start of the box or packet that is at fault.
        detail: The same for people, with what would be right.
    """

    def __init__(self, reason: MediaFault, offset: int, detail: str) -> None:
        super().__init__(reason, offset, detail)
        self.reason = reason
        self.offset = offset
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason} at byte {self.offset}: {self.detail}"

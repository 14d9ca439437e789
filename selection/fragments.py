"""Reads movie fragments: how many samples, how long, how big, and whether the media data behind holds them.

Source: ISO/IEC 14496-12, 8.8 (movie fragments); ISO/IEC 23000-19, 7.5 (`tfdt` is always there).
"""

from struct import Struct, unpack_from
from typing import Final

from selection.boxes import Boxes, is_long_form, missing, need, too_short
from selection.init_segment import NO_DEFAULTS, Init
from selection.media import SAMPLES_COUNT_MAX, Body, MediaError, MediaFault

_U32: Final = Struct(">I")
_U64: Final = Struct(">Q")
_U32X2: Final = Struct(">2I")

# Flags of tfhd. The first four say which fields follow, in this order.
_BASE_OFFSET, _DESCRIPTION, _DURATION, _SIZE, _FLAGS = 0x1, 0x2, 0x8, 0x10, 0x20
_ANY_FIELD: Final = _BASE_OFFSET | _DESCRIPTION | _DURATION | _SIZE | _FLAGS
_IS_EMPTY, _BASE_IS_MOOF = 0x10000, 0x20000
# Flags of trun, for the run and for each sample.
_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_EACH_DURATION, _EACH_SIZE, _EACH_FLAGS, _EACH_COMPOSITION = 0x100, 0x200, 0x400, 0x800
# How many words lie before the table of samples.
_COMMON_WORDS: Final = {0: 0, _DATA_OFFSET: 1, _FIRST_FLAGS: 1, _DATA_OFFSET | _FIRST_FLAGS: 2}
_NOT_SYNC: Final = 0x10000


# What one `traf` says: track id, decode time of its first sample, duration, count of samples, their bytes, from decode
# time to composition time of its first sample, whether that one is a sync sample (false without samples).
TrackFragment = tuple[int, int, int, int, int, int, bool]
# `tfhd`, with what it leaves out taken from `trex`: track id, flags, and of each sample duration, bytes and flags.
_Header = tuple[int, int, int, int, int]
# `trun`, samples that lie one behind the other: where they do, from the base (None: behind the run before), duration,
# count of samples, their bytes, and of the first one composition offset and flags.
_Run = tuple[int | None, int, int, int, int, int]
# Plain tuples, as a named one takes eight times as long to make, and each fragment makes all three.


class MediaData:
    """Where the samples of one `moof` should lie, and the `mdat` behind it."""

    __slots__ = ("_base", "_begin", "_bytes", "_end", "_moof", "_next_run", "_runs_begin", "_runs_bytes", "_runs_end")

    def __init__(self, moof: int) -> None:
        self._moof = moof
        self._begin = self._end = self._bytes = 0
        self._runs_begin: int | None = None
        self._runs_end = self._runs_bytes = 0
        self._base: int | None = None
        self._next_run: int | None = None

    def begin_traf(self, flags: int) -> None:
        """Note what the offsets of the runs to come count from.

        From the moof, or, for a further `traf` of a file in the old style, from the end of the data before. With an
        explicit base they count from the beginning of some other file: then only sizes are known.
        """
        if flags & _BASE_OFFSET:
            self._base = self._next_run = None
        elif flags & _BASE_IS_MOOF or not self._runs_bytes:
            self._base, self._next_run = self._moof, None
        else:
            self._base = self._next_run

    def add_run(self, data_offset: int | None, size: int) -> None:
        """Note a run of samples; without an offset it lies behind the one before."""
        self._runs_bytes += size
        begin = self._next_run
        if data_offset is not None:
            begin = None if self._base is None else self._base + data_offset
        if begin is not None and size:
            if self._runs_begin is None or begin < self._runs_begin:
                self._runs_begin = begin
            begin += size
            self._runs_end = max(self._runs_end, begin)
        self._next_run = begin

    def add_mdat(self, begin: int, end: int) -> None:
        """Note an `mdat`."""
        self._begin = self._begin or begin
        self._end = end
        self._bytes += end - begin

    def unreferenced_bytes(self) -> int:
        """Return how much of the media data no sample refers to. Raises MediaError if samples lie outside of it."""
        if self._runs_bytes and not self._begin:
            raise missing("mdat", self._moof)
        is_placed = self._runs_begin is not None
        is_inside = self._runs_begin is None or self._begin <= self._runs_begin <= self._runs_end <= self._end
        if not is_inside or self._runs_bytes > self._bytes:
            lie = f" and lie from {self._runs_begin} to {self._runs_end}" if is_placed else ""
            raise MediaError(
                MediaFault.SIZES_DISAGREE,
                self._moof,
                f"samples have {self._runs_bytes} bytes{lie};"
                f" media data has {self._bytes} and lies from {self._begin} to {self._end}",
            )
        return self._bytes - self._runs_bytes


def read_traf(boxes: Boxes, traf: tuple[int, int, int], init: Init | None, data: MediaData) -> TrackFragment:
    """Return what a `traf` says, and note in `data` where its samples should lie.

    Args:
        traf: Its start, start of content, and end.
    """
    header = decode_time = None
    truns: list[tuple[int, int]] = []
    body = boxes.body
    for kind, _, content, end in boxes.within(traf[1], traf[2]):
        if kind == b"trun":
            truns.append((content, end))
        elif kind == b"tfhd":
            header = _read_tfhd(body, content, end, init)
        elif kind == b"tfdt":
            decode_time = _read_tfdt(body, content, end)
    if header is None:
        raise missing("tfhd", traf[0])
    if decode_time is None:
        raise missing("tfdt", traf[0])
    track_id, flags, default_duration, _, _ = header
    data.begin_traf(flags)
    duration = samples_count = samples_bytes = composition_offset = 0
    starts_with_sync = False
    for content, end in truns:
        data_offset, run_duration, count, size, first_offset, first_flags = _read_trun(body, content, end, header)
        data.add_run(data_offset, size)
        if count and not samples_count:
            composition_offset = first_offset
            starts_with_sync = not first_flags & _NOT_SYNC
        duration += run_duration
        samples_count += count
        samples_bytes += size
    if not truns and flags & _IS_EMPTY:
        duration = default_duration
    return track_id, decode_time, duration, samples_count, samples_bytes, composition_offset, starts_with_sync


def _read_tfhd(body: Body, content: int, end: int, init: Init | None) -> _Header:
    if end - content < 8:
        raise too_short("tfhd", content, end, 8)
    flags, track_id = _U32X2.unpack_from(body, content)
    track = init.track(track_id) if init is not None else None
    duration, size, sample_flags = NO_DEFAULTS if track is None else track.defaults
    if flags & _ANY_FIELD:
        position = content + 8 + (8 if flags & _BASE_OFFSET else 0) + (4 if flags & _DESCRIPTION else 0)
        fields_count = (flags & (_DURATION | _SIZE | _FLAGS)).bit_count()
        need("tfhd", content, end, position + 4 * fields_count - content)
        if flags & _DURATION:
            (duration,) = _U32.unpack_from(body, position)
            position += 4
        if flags & _SIZE:
            (size,) = _U32.unpack_from(body, position)
            position += 4
        if flags & _FLAGS:
            (sample_flags,) = _U32.unpack_from(body, position)
    return track_id, flags, duration, size, sample_flags


def _read_tfdt(body: Body, content: int, end: int) -> int:
    if end - content < 8:
        raise too_short("tfdt", content, end, 8)
    is_long = is_long_form("tfdt", body, content)
    if is_long and end - content < 12:
        raise too_short("tfdt", content, end, 12)
    decode_time: int = (_U64 if is_long else _U32).unpack_from(body, content + 4)[0]
    return decode_time


def _read_trun(body: Body, content: int, end: int, defaults: _Header) -> _Run:
    """Return a `trun`. What its samples leave out is taken from `defaults`.

    Composition offsets are taken as signed in version 0, too, as ffmpeg does: there are packagers that write
    negative ones so, and an unsigned one beyond 2^31 ticks makes no sense.
    """
    if end - content < 8:
        raise too_short("trun", content, end, 8)
    flags, count = _U32X2.unpack_from(body, content)
    width = (flags >> 8 & 15).bit_count()
    table = _COMMON_WORDS[flags & (_DATA_OFFSET | _FIRST_FLAGS)]
    words_count = table + width * count
    if end - content < 8 + 4 * words_count:
        raise too_short("trun", content, end, 8 + 4 * words_count)
    if count > SAMPLES_COUNT_MAX:
        raise MediaError(MediaFault.TOO_MANY, content, f"{count} samples in one run, more than {SAMPLES_COUNT_MAX}")
    words = unpack_from(f">{words_count}I", body, content + 8)
    _, _, duration, size, sample_flags = defaults
    duration, size = count * duration, count * size
    composition_offset = 0
    column = table
    if flags & _EACH_DURATION:
        duration = sum(words[column::width])
        column += 1
    if flags & _EACH_SIZE:
        size = sum(words[column::width])
        column += 1
    if flags & _EACH_FLAGS and count:
        sample_flags = words[column]
        column += 1
    if flags & _EACH_COMPOSITION and count:
        composition_offset = _signed(words[column])
    if flags & _FIRST_FLAGS:
        sample_flags = words[table - 1]
    data_offset = _signed(words[0]) if flags & _DATA_OFFSET else None
    return data_offset, duration, count, size, composition_offset, sample_flags


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word

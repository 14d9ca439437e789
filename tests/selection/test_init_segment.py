"""Init segments: the tracks, their defaults, and what must not be missing."""

import struct

import pytest

from selection.cmaf import parse_init
from selection.init_segment import SampleDefaults
from selection.media import (
    BOXES_COUNT_MAX,
    BRANDS_COUNT_MAX,
    EDITS_COUNT_MAX,
    TRACKS_COUNT_MAX,
    MediaError,
    MediaFault,
)
from tests.support.mp4 import (
    audio_entry,
    box,
    elst,
    fragment,
    full_box,
    init_segment,
    places,
    styp,
    trak,
    trex,
    visual_entry,
    words,
)
from tests.support.steps import counted_steps


def refusal(body: bytes) -> tuple[MediaFault, int]:
    with pytest.raises(MediaError) as caught:
        parse_init(body)
    return caught.value.reason, caught.value.offset


def test_a_track_is_told_with_all_its_fields() -> None:
    track = trak(track_id=7, timescale=12_800, edits=elst((0, 1024)))
    init = parse_init(init_segment(track, defaults=[trex(7, duration=512, size=3, flags=0x10000)]))
    assert init.brands == ("cmfc", "iso6")
    (found,) = init.tracks
    assert (found.track_id, found.handler, found.timescale, found.codec) == (7, "vide", 12_800, "avc1.64001f")
    assert (found.width, found.height, found.edit_media_time) == (1280, 720, 1024)
    assert found.defaults == SampleDefaults(duration=512, size=3, flags=0x10000)


@pytest.mark.parametrize("version", [0, 1])
def test_both_versions_of_headers_are_read(version: int) -> None:
    (track,) = parse_init(init_segment(trak(track_id=3, timescale=48_000, version=version))).tracks
    assert (track.track_id, track.timescale) == (3, 48_000)


def test_tracks_keep_their_order_and_their_own_defaults() -> None:
    sound = trak(audio_entry("Opus"), track_id=1, handler="soun", timescale=48_000)
    init = parse_init(init_segment(trak(track_id=2), sound, defaults=[trex(1, duration=960), trex(2, duration=3_600)]))
    assert [(track.track_id, track.defaults.duration) for track in init.tracks] == [(2, 3_600), (1, 960)]
    assert init.track(1) is init.tracks[1]
    assert init.track(3) is None


def test_a_track_without_defaults_has_zeros() -> None:
    (track,) = parse_init(init_segment(trak(track_id=2), defaults=[trex(1, duration=5)])).tracks
    assert track.defaults == SampleDefaults(0, 0, 0)


EDITS = [
    ("none", b"", None),
    ("empty-list", elst(), None),
    ("from-zero", elst((0, 0)), 0),
    ("from-1024", elst((0, 1024)), 1024),
    ("64-bit", elst((0, 1 << 40), version=1), 1 << 40),
    ("delay-first", elst((500, -1), (0, 1024)), 1024),
    ("delay-first-in-64-bit", elst((500, -1), (0, 1024), version=1), 1024),
    ("delay-only", elst((500, -1)), None),
    ("as-many-delays-as-the-limit", elst(*[(1, -1)] * EDITS_COUNT_MAX), None),
]


@pytest.mark.parametrize(("edits", "media_time"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_the_first_edit_that_shows_media_counts(edits: bytes, media_time: int | None) -> None:
    (track,) = parse_init(init_segment(trak(edits=edits))).tracks
    assert track.edit_media_time == media_time


def test_the_moov_may_be_anywhere_and_fragments_may_follow() -> None:
    body = styp("mp41", "iso5", kind="ftyp") + box("free", bytes(99)) + init_segment() + fragment([])
    init = parse_init(body)
    assert init.brands == ("mp41", "iso5", "cmfc", "iso6")
    assert len(init.tracks) == 1


def without(kind: bytes) -> bytes:
    """Return an init segment in which the first box of this type is of another."""
    body = init_segment()
    (begin, *_) = [place.begin for place in places(body) if place.kind == kind]
    return body[: begin + 4] + b"free" + body[begin + 8 :]


INNER = [b"trak", b"mvex", b"tkhd", b"mdia", b"mdhd", b"hdlr", b"minf", b"stbl", b"stsd"]


@pytest.mark.parametrize("kind", INNER)
def test_what_must_be_there_is_missed(kind: bytes) -> None:
    reason, offset = refusal(without(kind))
    body = init_segment()
    parent = b"moov" if kind in (b"trak", b"mvex") else b"trak"
    assert reason is MediaFault.MISSING_PART
    assert offset == next(place.begin for place in places(body) if place.kind == parent)


def test_a_media_segment_is_no_init_segment() -> None:
    assert refusal(styp("msdh") + fragment([])) == (MediaFault.MISSING_PART, 0)


def test_every_cut_is_noticed() -> None:
    body = init_segment(trak(edits=elst((0, 1024))))
    moov = len(styp("cmfc", "iso6"))
    for length in range(8, len(body)):
        if length == moov:
            assert refusal(body[:length]) == (MediaFault.MISSING_PART, 0)
        else:
            assert refusal(body[:length]) == (MediaFault.TRUNCATED, moov if length > moov else 0)


def with_field(kind: bytes, position: int, value: bytes) -> bytes:
    """Return an init segment with a field changed; `position` counts from the content of the first such box."""
    body = init_segment()
    content = next(place.content for place in places(body) if place.kind == kind) + position
    return body[:content] + value + body[content + len(value) :]


BAD_FIELDS = [
    ("timescale-0", with_field(b"mdhd", 12, words(0))),
    ("track-id-0", with_field(b"tkhd", 12, words(0))),
    ("track-id-twice", init_segment(trak(), trak())),
    ("version-2-of-tkhd", with_field(b"tkhd", 0, b"\2")),
    ("version-255-of-mdhd", with_field(b"mdhd", 0, b"\xff")),
    ("version-2-of-elst", init_segment(trak(edits=elst((0, 0))[:8] + b"\2" + elst((0, 0))[9:]))),
]


@pytest.mark.parametrize("body", [case[1] for case in BAD_FIELDS], ids=[case[0] for case in BAD_FIELDS])
def test_values_that_cannot_be_are_refused(body: bytes) -> None:
    assert refusal(body)[0] is MediaFault.BAD_FIELD


SHORT = [
    ("brands", box("ftyp", b"cmfc") + init_segment()),
    ("trex", init_segment(defaults=[trex()[:3] + b"\x1f" + trex()[4:-1]])),
    ("visual-entry", init_segment(trak(box("avc1", bytes(77))))),
    ("audio-entry", init_segment(trak(box("mp4a", bytes(27)), handler="soun"))),
    ("sample-table", init_segment(trak(b"\0"))),
    ("edit-list-without-count", init_segment(trak(edits=full_box("elst", 0, 0)))),
    ("edit-list-with-too-few", init_segment(trak(edits=full_box("elst", 0, 0, words(2), bytes(12))))),
]


@pytest.mark.parametrize("body", [case[1] for case in SHORT], ids=[case[0] for case in SHORT])
def test_boxes_too_short_for_their_fields_are_refused(body: bytes) -> None:
    assert refusal(body)[0] is MediaFault.BAD_SIZE


def test_a_sample_table_without_an_entry_is_refused() -> None:
    assert refusal(init_segment(trak(b"")))[0] is MediaFault.MISSING_PART


def test_the_first_sample_entry_counts() -> None:
    entries = visual_entry("hvc1", width=640, height=360) + visual_entry("avc1")
    (track,) = parse_init(init_segment(trak(entries))).tracks
    assert (track.codec, track.width, track.height) == ("hvc1", 640, 360)


NOT_MEDIA = [
    b"",
    b"\0" * 8,
    b"<!DOCTYPE html>",
    b"#EXTM3U\n#EXT-X-VERSION:7\n",
    b"\x47\x40\x00\x10" + bytes(184),
    b"moov",
]


@pytest.mark.parametrize("body", NOT_MEDIA)
def test_what_is_no_media_is_refused_at_once(body: bytes) -> None:
    assert refusal(body) == (MediaFault.NOT_MEDIA, 0)


MANY = [
    ("tracks", init_segment(*(trak(track_id=1 + number) for number in range(TRACKS_COUNT_MAX + 1)))),
    ("brands", init_segment(brands=["cmfc"] * (BRANDS_COUNT_MAX + 1))),
    ("edits", init_segment(trak(edits=elst(*[(1, -1)] * (EDITS_COUNT_MAX + 1))))),
    ("boxes", init_segment() + box("free") * BOXES_COUNT_MAX),
    ("boxes-in-a-track", init_segment(trak() + box("trak", box("free") * BOXES_COUNT_MAX))),
]


@pytest.mark.parametrize("body", [case[1] for case in MANY], ids=[case[0] for case in MANY])
def test_more_than_the_limits_is_refused(body: bytes) -> None:
    assert refusal(body)[0] is MediaFault.TOO_MANY


def test_as_many_tracks_as_the_limit_are_read() -> None:
    body = init_segment(*(trak(track_id=1 + number) for number in range(TRACKS_COUNT_MAX)))
    assert len(parse_init(body).tracks) == TRACKS_COUNT_MAX


def test_as_many_brands_as_the_limit_are_read() -> None:
    brands = [f"{number:04}" for number in range(BRANDS_COUNT_MAX)]
    assert parse_init(init_segment(brands=brands)).brands == tuple(brands)


def test_work_is_bounded_however_boxes_are_heaped_up() -> None:
    million = 1_000_000
    heaps = [
        styp("cmfc", kind="ftyp") + box("free") * million,
        box("moov", box("trak") * million),
        box("moov", box("mvex", trex() * (million // 4)), trak()),
        box("moov", box("trak", box("mdia", box("free") * million)), box("mvex")),
        box("ftyp", b"cmfc" * million) + init_segment(),
        init_segment(trak(edits=full_box("elst", 0, 0, words(million), struct.pack(">Iii", 1, -1, 0) * million))),
    ]
    for heap in heaps:
        with counted_steps() as steps, pytest.raises(MediaError):
            parse_init(heap)
        assert steps.count < 30 * BOXES_COUNT_MAX

"""Whole media segments: brands, wall clock, counts, several fragments, cuts, limits."""

from contextlib import suppress

import pytest

from selection.cmaf import ProducerTime, Segment, parse_init, parse_segment
from selection.media import (
    BOXES_COUNT_MAX,
    BRANDS_COUNT_MAX,
    SAMPLES_COUNT_MAX,
    TRACKS_COUNT_MAX,
    MediaError,
    MediaFault,
)
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    box,
    fragment,
    init_segment,
    moof,
    prft,
    styp,
    tfdt,
    tfhd,
    traf,
    trak,
    trex,
    trun,
)
from tests.support.steps import counted_steps

INIT = parse_init(init_segment(trak(), defaults=[trex(duration=512)]))
FRAME = Sample(size=10, flags=NOT_SYNC)
KEY_FRAME = Sample(size=100, flags=SYNC)
GROUP = [KEY_FRAME, FRAME, FRAME]
GROUP_TICKS = 3 * 512
MFRA = box("mfra", box("mfro", bytes(8)))


def parse(body: bytes) -> Segment:
    return parse_segment(body, INIT)


def refusal(body: bytes) -> tuple[MediaFault, int]:
    with pytest.raises(MediaError) as caught:
        parse(body)
    return caught.value.reason, caught.value.offset


def test_a_segment_of_one_fragment_is_told() -> None:
    segment = parse(styp("msdh", "msix") + box("sidx", bytes(36)) + fragment(GROUP, 90_000, sequence=7))
    assert segment.brands == ("msdh", "msix")
    assert (segment.moofs_count, segment.sequence_first, segment.sequence_last) == (1, 7, 7)
    assert (segment.sidx_count, segment.emsg_count, segment.unreferenced_bytes) == (1, 0, 0)
    assert segment.producer_time is None
    (track,) = segment.tracks
    assert track.track is INIT.tracks[0]
    assert (track.track_id, track.decode_time, track.end_time) == (1, 90_000, 90_000 + GROUP_TICKS)
    assert (track.duration, track.samples_count, track.samples_bytes) == (GROUP_TICKS, 3, 120)
    assert (track.starts_with_sync, track.fragments_count, track.gaps_count) == (True, 1, 0)


def test_fragments_of_a_segment_add_up() -> None:
    chunks = [fragment(GROUP if n == 0 else [FRAME], n and GROUP_TICKS + (n - 1) * 512, sequence=n) for n in range(25)]
    segment = parse(styp("msdh") + b"".join(chunks))
    assert (segment.moofs_count, segment.sequence_first, segment.sequence_last) == (25, 0, 24)
    (track,) = segment.tracks
    assert (track.decode_time, track.duration, track.samples_count) == (0, GROUP_TICKS + 24 * 512, 27)
    assert (track.samples_bytes, track.fragments_count, track.gaps_count) == (120 + 240, 25, 0)
    assert track.starts_with_sync


def test_a_segment_that_starts_without_sync_is_told_so_even_if_one_follows() -> None:
    (track,) = parse(fragment([FRAME]) + fragment(GROUP, 512)).tracks
    assert not track.starts_with_sync


def test_an_empty_fragment_before_does_not_hide_the_first_sample() -> None:
    first = Sample(size=1, flags=SYNC, composition_offset=1_024)
    (track,) = parse(fragment([], 512) + fragment([first], 512)).tracks
    assert (track.starts_with_sync, track.composition_time, track.gaps_count) == (True, 1_536, 0)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_hole_or_an_overlap_between_fragments_is_counted(shift: int) -> None:
    body = fragment(GROUP, 0) + fragment([FRAME], GROUP_TICKS + shift) + fragment([FRAME], GROUP_TICKS + shift + 512)
    (track,) = parse(body).tracks
    assert track.gaps_count == 1
    assert (track.duration, track.end_time) == (GROUP_TICKS + 1_024, GROUP_TICKS + shift + 1_024)


def test_tracks_may_take_turns() -> None:
    first, second = fragment([FRAME], 0), fragment([Sample(duration=9, size=3)], 70, track_id=2)
    again = fragment([FRAME], 512) + fragment([Sample(duration=9, size=3)], 79, track_id=2)
    segment = parse(first + second + again)
    assert [(each.track_id, each.samples_count, each.gaps_count) for each in segment.tracks] == [(1, 2, 0), (2, 2, 0)]


BRANDS = [
    ("none", b"", (), False, False),
    ("ordinary", styp("cmfs", "cmff"), ("cmfs", "cmff"), False, False),
    ("several", styp("msdh", "msix", "cmfs", "dash"), ("msdh", "msix", "cmfs", "dash"), False, False),
    ("odd-length", box("styp", b"msdh\0\0\0\0msixcm"), ("msdh", "msix"), False, False),
    ("filler", styp("msdh", "slat"), ("msdh", "slat"), True, False),
    ("filler-as-major-brand", styp("slat"), ("slat",), True, False),
    ("last", styp("msdh", "lmsg"), ("msdh", "lmsg"), False, True),
    ("repeated", styp("msdh", "msdh", "msix"), ("msdh", "msix"), False, False),
    ("not-printable", styp("\x1b[2J"), (".[2J",), False, False),
]


@pytest.mark.parametrize(
    ("head", "brands", "is_filler", "is_last"), [case[1:] for case in BRANDS], ids=[case[0] for case in BRANDS]
)
def test_brands_are_told(head: bytes, brands: tuple[str, ...], is_filler: bool, is_last: bool) -> None:
    segment = parse(head + fragment(GROUP))
    assert (segment.brands, segment.is_filler, segment.is_last) == (brands, is_filler, is_last)


def test_brands_of_a_later_chunk_count_too() -> None:
    segment = parse(styp("msdh") + fragment(GROUP) + styp("msdh", "lmsg") + fragment([FRAME], GROUP_TICKS))
    assert (segment.brands, segment.is_last) == (("msdh", "lmsg"), True)


CLOCKS = [
    ("1970", 2_208_988_800 << 32, 0),
    ("half-a-second-later", (2_208_988_800 << 32) + (1 << 31), 500),
    ("last-moment-of-a-ms", (2_208_988_800 << 32) + (1 << 32) // 1000, 0),
    ("end-of-the-era", (1 << 64) - 1, 2_085_978_495_999),
    ("next-era", 0, 2_085_978_496_000),
    ("before-1970-is-the-next-era", (2_208_988_800 << 32) - 1, 4_294_967_295_999),
]


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("ntp", "wall_ms"), [case[1:] for case in CLOCKS], ids=[case[0] for case in CLOCKS])
def test_the_producer_s_wall_clock_is_read(ntp: int, wall_ms: int, version: int) -> None:
    segment = parse(prft(ntp, 77, version=version, track_id=3) + fragment(GROUP))
    assert segment.producer_time == ProducerTime(track_id=3, wall_ms=wall_ms, media_time=77)


def test_the_first_wall_clock_counts() -> None:
    second = prft((2_208_988_800 + 9) << 32, 2)
    segment = parse(prft(2_208_988_800 << 32, 1) + fragment(GROUP) + second + fragment([FRAME], GROUP_TICKS))
    assert segment.producer_time == ProducerTime(track_id=1, wall_ms=0, media_time=1)


def test_a_short_wall_clock_is_refused() -> None:
    whole = prft(2_208_988_800 << 32, 1)
    short = (len(whole) - 1).to_bytes(4, "big") + whole[4:-1]
    assert refusal(short + fragment(GROUP))[0] is MediaFault.BAD_SIZE
    assert refusal(box("prft", b"\2" + bytes(40)) + fragment(GROUP))[0] is MediaFault.BAD_FIELD


def test_event_messages_and_indexes_are_counted() -> None:
    segment = parse(box("emsg", bytes(40)) * 3 + box("sidx") * 2 + fragment(GROUP) + box("emsg"))
    assert (segment.emsg_count, segment.sidx_count) == (4, 2)


@pytest.mark.parametrize("extra", [MFRA, box("free", bytes(9)), box("uuid", bytes(24)), box("xyz "), init_segment()])
def test_other_boxes_are_passed_over_wherever_they_are(extra: bytes) -> None:
    plain = parse(styp("msdh") + fragment(GROUP))
    around = parse(styp("msdh") + extra + fragment(GROUP) + extra)
    assert (around.tracks, around.moofs_count, around.unreferenced_bytes) == (plain.tracks, 1, 0)


def test_unknown_boxes_inside_a_fragment_are_passed_over() -> None:
    boxes = box("senc", bytes(20))
    inner = traf(boxes, tfhd(), boxes, tfdt(4), trun([Sample(size=3)]), boxes)
    (track,) = parse(moof(boxes, inner, boxes) + box("mdat", bytes(3))).tracks
    assert (track.decode_time, track.samples_count) == (4, 1)


def test_media_data_that_nothing_refers_to_is_told() -> None:
    assert parse(fragment(GROUP) + box("mdat", bytes(7))).unreferenced_bytes == 7
    assert parse(box("free") + box("mdat", bytes(5)) + fragment(GROUP)).unreferenced_bytes == 5
    assert parse(fragment(GROUP) + box("mdat") + fragment([FRAME], GROUP_TICKS)).unreferenced_bytes == 0


def test_a_body_without_fragments_is_refused() -> None:
    for body in (styp("msdh"), init_segment(), styp("msdh") + MFRA, styp("msdh") + box("mdat", b"abc")):
        assert refusal(body) == (MediaFault.MISSING_PART, 0)


@pytest.mark.parametrize("body", [b"", b"RIFF\0\0\0\0AVI ", b"{}", MFRA, box("mdat", b"abc"), b"\x47" * 188])
def test_what_is_no_media_is_refused_at_once(body: bytes) -> None:
    assert refusal(body) == (MediaFault.NOT_MEDIA, 0)


def test_every_cut_is_noticed_but_those_between_chunks() -> None:
    chunks = [styp("msdh"), fragment(GROUP), prft(0, 0), fragment([FRAME], GROUP_TICKS), MFRA]
    body = b"".join(chunks)
    ends = {len(b"".join(chunks[: count + 1])) for count in range(1, len(chunks))}
    cut_before_data = 0
    for length in range(8, len(body)):
        if length in ends:
            parse(body[:length])
            continue
        reason, offset = refusal(body[:length])
        assert offset < length
        cut_before_data += reason is MediaFault.MISSING_PART
        assert reason in (MediaFault.TRUNCATED, MediaFault.MISSING_PART)
    # Right behind styp, and right behind each moof.
    assert cut_before_data == 3


def test_a_cut_is_placed_at_the_box_that_is_cut() -> None:
    body = styp("msdh") + fragment(GROUP)
    data = len(body) - 8 - 120
    assert refusal(body[:-1]) == (MediaFault.TRUNCATED, data)


MANY = [
    ("boxes", fragment(GROUP) + box("free") * BOXES_COUNT_MAX),
    ("brands", styp(*["msdh"] * (BRANDS_COUNT_MAX + 1)) + fragment(GROUP)),
    ("brands-in-all", b"".join(styp(f"{n:04}", f"{n + 1000:04}") for n in range(BRANDS_COUNT_MAX)) + fragment(GROUP)),
    ("tracks", b"".join(fragment([FRAME], track_id=1 + n) for n in range(TRACKS_COUNT_MAX + 1))),
]


@pytest.mark.parametrize("body", [case[1] for case in MANY], ids=[case[0] for case in MANY])
def test_more_than_the_limits_is_refused(body: bytes) -> None:
    assert refusal(body)[0] is MediaFault.TOO_MANY


def test_as_many_tracks_as_the_limit_are_read() -> None:
    body = b"".join(fragment([FRAME], track_id=1 + n) for n in range(TRACKS_COUNT_MAX))
    assert len(parse(body).tracks) == TRACKS_COUNT_MAX


def nested(kind: str, depth: int) -> bytes:
    """Return boxes within boxes, as a stack of headers."""
    return b"".join((8 * (depth - level)).to_bytes(4, "big") + kind.encode() for level in range(depth))


def test_work_is_bounded_however_boxes_are_heaped_up() -> None:
    mebibyte = 1 << 20
    per_body = 64 * mebibyte
    tiny_moof = moof(traf(tfhd(), tfdt(0, version=0)))
    heaps = [
        box("free") * (per_body // 8),
        box("moof") * mebibyte,
        tiny_moof * mebibyte,
        moof(traf(tfhd(), tfdt(0), trun([]) * mebibyte)),
        moof(traf(tfhd(), tfdt(0)) * mebibyte),
        box("moof", box("traf", box("tfhd") * mebibyte)),
        box("emsg") * mebibyte,
    ]
    for heap in heaps:
        with counted_steps() as steps, pytest.raises(MediaError):
            parse(heap)
        assert steps.count < 100 * BOXES_COUNT_MAX


@pytest.mark.parametrize("kind", ["moof", "traf", "moov", "trak", "mdia"])
def test_boxes_within_boxes_are_not_followed_down(kind: str) -> None:
    body = styp("msdh") + fragment(GROUP) + nested(kind, depth=1 << 20)
    with counted_steps() as steps, suppress(MediaError):
        parse(body)
    assert steps.count < 1_000


def test_work_grows_no_faster_than_the_body() -> None:
    def steps_for(count: int) -> int:
        body = b"".join(fragment([FRAME], 512 * n) for n in range(count))
        with counted_steps() as steps:
            parse(body)
        return steps.count

    base, few, many = steps_for(1), steps_for(10), steps_for(1_000)
    assert many - base <= (few - base) * 999 // 9 + 999


def test_a_run_of_as_many_samples_as_the_limit_takes_no_more_steps_than_one() -> None:
    with counted_steps() as one:
        parse(fragment([FRAME]))
    body = fragment([Sample(duration=1, size=0, flags=SYNC, composition_offset=0)] * SAMPLES_COUNT_MAX)
    with counted_steps() as most:
        parse(body)
    assert most.count <= one.count + 10

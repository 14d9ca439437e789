"""Where the samples of a fragment may lie: in its media data, all of them, once."""

import pytest

from selection.cmaf import TrackSegment, parse_init, parse_segment
from selection.media import MediaError, MediaFault
from tests.support.mp4 import Sample, box, fragment, init_segment, moof, tfdt, tfhd, traf, trun

INIT = parse_init(init_segment())


def one_track(body: bytes) -> TrackSegment:
    (track,) = parse_segment(body, INIT).tracks
    return track


def refusal(body: bytes) -> tuple[MediaFault, int]:
    with pytest.raises(MediaError) as caught:
        parse_segment(body, INIT)
    return caught.value.reason, caught.value.offset


def placed(*offsets: int, sizes: int = 10, flags: int = 0x20000, data_bytes: int = 20) -> bytes:
    """Return a fragment with a traf of one sample for each offset, counted from the begin of the media data."""

    def made(base: int) -> bytes:
        trafs = [
            traf(tfhd(flags=flags), tfdt(0), trun([Sample(size=sizes)], data_offset=base + offset))
            for offset in offsets
        ]
        return moof(*trafs)

    return made(len(made(0)) + 8) + box("mdat", bytes(data_bytes))


PLACES = [
    ("exactly", placed(0, 10), True),
    ("the-other-way-round", placed(10, 0), True),
    ("with-room-behind", placed(0, 10, data_bytes=21), True),
    ("twice-the-same-but-there-is-room", placed(0, 0), True),
    ("twice-the-same-without-room", placed(0, 0, 0), False),
    ("one-byte-too-early", placed(-1, 10), False),
    ("one-byte-too-late", placed(0, 11), False),
    ("behind-the-body", placed(0, 2**31 - 200), False),
    ("before-the-body", placed(0, -(2**31) + 200), False),
    ("all-before-the-body", placed(-(2**31) + 200), False),
    ("data-one-byte-short", placed(0, 10, data_bytes=19), False),
    ("no-bytes-anywhere", placed(10_000, sizes=0), True),
    ("old-style-counts-on-from-the-data-before", placed(0, flags=0), True),
]


@pytest.mark.parametrize(("body", "fits"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_samples_must_lie_in_the_media_data(body: bytes, fits: bool) -> None:
    if fits:
        parse_segment(body, INIT)
    else:
        assert refusal(body) == (MediaFault.SIZES_DISAGREE, 0)


def in_old_style(second_offset: int | None) -> bytes:
    """Return two trafs without `default-base-is-moof`: the second counts from the end of the first one's data."""

    def made(base: int) -> bytes:
        first = traf(tfhd(flags=0), tfdt(0), trun([Sample(size=10)], data_offset=base))
        return moof(first, traf(tfhd(flags=0), tfdt(0), trun([Sample(size=10)], data_offset=second_offset)))

    return made(len(made(0)) + 8) + box("mdat", bytes(20))


@pytest.mark.parametrize(("second_offset", "fits"), [(None, True), (0, True), (-10, True), (1, False), (-11, False)])
def test_a_second_track_in_the_old_style_counts_from_the_end_of_the_first(
    second_offset: int | None, fits: bool
) -> None:
    if fits:
        parse_segment(in_old_style(second_offset), INIT)
    else:
        assert refusal(in_old_style(second_offset))[0] is MediaFault.SIZES_DISAGREE


def test_with_an_offset_into_another_file_only_sizes_are_compared() -> None:
    def made(data_bytes: int) -> bytes:
        run = trun([Sample(size=10)], data_offset=1 << 30)
        return moof(traf(tfhd(base_offset=1 << 40), tfdt(0), run)) + box("mdat", bytes(data_bytes))

    assert one_track(made(10)).samples_bytes == 10
    assert refusal(made(9)) == (MediaFault.SIZES_DISAGREE, 0)


def test_a_run_without_an_offset_lies_behind_the_one_before() -> None:
    def made(base: int, data_bytes: int) -> bytes:
        runs = [trun([Sample(size=10)], data_offset=base), trun([Sample(size=10)])]
        return moof(traf(tfhd(), tfdt(0), *runs)) + box("mdat", bytes(data_bytes))

    base = len(made(0, 0))
    assert one_track(made(base, 20)).samples_bytes == 20
    assert refusal(made(base, 19)) == (MediaFault.SIZES_DISAGREE, 0)
    assert refusal(made(base + 1, 20)) == (MediaFault.SIZES_DISAGREE, 0)
    assert one_track(made(base + 1, 21)).samples_bytes == 20


def test_media_data_may_come_in_several_boxes() -> None:
    body = placed(0, 10, data_bytes=15) + box("mdat", bytes(5))
    assert parse_segment(body, INIT).unreferenced_bytes == 0


def test_the_size_of_the_last_media_data_may_be_left_open() -> None:
    body = placed(0, 10)
    assert one_track(body[:-28] + bytes(4) + body[-24:]).samples_bytes == 20


def test_fragments_as_ffmpeg_makes_them_leave_no_byte_over() -> None:
    body = fragment([Sample(size=4), Sample(size=6)])
    assert parse_segment(body, INIT).unreferenced_bytes == 0

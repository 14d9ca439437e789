"""Movie fragments: every combination of what headers and runs may leave out, and where samples may lie."""

from itertools import product

import pytest

from selection.cmaf import Init, TrackSegment, parse_init, parse_segment
from selection.media import SAMPLES_COUNT_MAX, MediaError, MediaFault
from tests.support.mp4 import (
    NOT_SYNC,
    SYNC,
    Sample,
    box,
    init_segment,
    mfhd,
    moof,
    styp,
    tfdt,
    tfhd,
    traf,
    trak,
    trex,
    trun,
)

INIT = parse_init(init_segment(defaults=[trex(1, duration=10, size=100, flags=NOT_SYNC)]))
EITHER = [False, True]


def one_track(body: bytes, init: Init | None = INIT) -> TrackSegment:
    (track,) = parse_segment(body, init).tracks
    return track


def refusal(body: bytes) -> tuple[MediaFault, int]:
    with pytest.raises(MediaError) as caught:
        parse_segment(body, INIT)
    return caught.value.reason, caught.value.offset


def with_data(header: bytes, run_of: bytes, decode: bytes, data_bytes: int) -> bytes:
    return moof(traf(header, decode, run_of)) + box("mdat", bytes(data_bytes))


@pytest.mark.parametrize("base_offset", [None, 99])
@pytest.mark.parametrize("description", [None, 1])
@pytest.mark.parametrize(("has_duration", "has_size", "has_flags"), list(product(EITHER, EITHER, EITHER)))
def test_a_fragment_header_stands_before_the_track_s_defaults(
    base_offset: int | None, description: int | None, has_duration: bool, has_size: bool, has_flags: bool
) -> None:
    header = tfhd(
        base_offset=base_offset,
        description=description,
        duration=20 if has_duration else None,
        size=200 if has_size else None,
        sample_flags=SYNC if has_flags else None,
    )
    size = 200 if has_size else 100
    track = one_track(with_data(header, trun([Sample()] * 3), tfdt(7), 3 * size))
    assert track.duration == 3 * (20 if has_duration else 10)
    assert track.samples_bytes == 3 * size
    assert track.starts_with_sync is has_flags
    assert (track.decode_time, track.samples_count) == (7, 3)


RUNS = list(product(EITHER, repeat=6))


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("has_offset", "has_first", "has_duration", "has_size", "has_flags", "has_composition"), RUNS)
def test_a_run_stands_before_the_fragment_s_defaults(
    version: int,
    has_offset: bool,
    has_first: bool,
    has_duration: bool,
    has_size: bool,
    has_flags: bool,
    has_composition: bool,
) -> None:
    samples = [
        Sample(
            duration=1_000 + number if has_duration else None,
            size=50 + number if has_size else None,
            flags=(NOT_SYNC if number else SYNC) if has_flags else None,
            composition_offset=300 - number if has_composition else None,
        )
        for number in range(4)
    ]
    header = tfhd(duration=20, size=30, sample_flags=NOT_SYNC)
    total = 50 + 51 + 52 + 53 if has_size else 4 * 30

    def made(data_offset: int) -> bytes:
        run = trun(
            samples,
            data_offset=data_offset if has_offset else None,
            first_flags=SYNC if has_first else None,
            version=version,
        )
        return moof(traf(header, tfdt(5), run))

    track = one_track(made(len(made(0)) + 8) + box("mdat", bytes(total)))
    assert track.samples_count == 4
    assert track.samples_bytes == total
    assert track.duration == (1_000 + 1_001 + 1_002 + 1_003 if has_duration else 4 * 20)
    assert track.composition_time == 5 + (300 if has_composition else 0)
    assert track.starts_with_sync is (has_first or has_flags)


def test_the_flags_of_the_first_sample_stand_before_all_others() -> None:
    samples = [Sample(size=1, flags=SYNC), Sample(size=1, flags=SYNC)]
    body = with_data(tfhd(sample_flags=SYNC), trun(samples, first_flags=NOT_SYNC), tfdt(0), 2)
    assert not one_track(body).starts_with_sync


@pytest.mark.parametrize("version", [0, 1])
def test_a_composition_offset_may_be_negative_in_either_version(version: int) -> None:
    body = with_data(tfhd(), trun([Sample(composition_offset=-512)], version=version), tfdt(1_000), 100)
    assert one_track(body).composition_time == 488


DECODE_TIMES = [
    (tfdt(0, version=0), 0),
    (tfdt(2**32 - 1, version=0), 2**32 - 1),
    (tfdt(0), 0),
    (tfdt(2**32), 2**32),
    (tfdt(2**64 - 1), 2**64 - 1),
]


@pytest.mark.parametrize(("decode", "expected"), DECODE_TIMES)
def test_decode_times_of_both_versions_are_read(decode: bytes, expected: int) -> None:
    assert one_track(with_data(tfhd(), trun([Sample()]), decode, 100)).decode_time == expected


def test_without_an_init_segment_what_only_it_could_tell_is_zero() -> None:
    body = with_data(tfhd(), trun([Sample(duration=4)] * 2), tfdt(0), 200)
    track = one_track(body, init=None)
    assert (track.track, track.duration, track.samples_count, track.samples_bytes) == (None, 8, 2, 0)
    assert parse_segment(body, None).unreferenced_bytes == 200


def test_a_track_that_the_init_segment_does_not_know_is_told_without_one() -> None:
    track = one_track(with_data(tfhd(9, size=5), trun([Sample()]), tfdt(0), 5))
    assert (track.track_id, track.track) == (9, None)


def test_runs_of_a_track_add_up_and_the_first_sample_counts() -> None:
    runs = [trun([]), trun([Sample(size=3, flags=SYNC)]), trun([Sample(size=4, flags=NOT_SYNC)] * 2)]
    track = one_track(moof(traf(tfhd(), tfdt(0), *runs)) + box("mdat", bytes(11)))
    assert (track.samples_count, track.samples_bytes, track.duration) == (3, 11, 30)
    assert track.starts_with_sync


def test_order_within_a_fragment_does_not_matter() -> None:
    body = box("moof", traf(trun([Sample(size=3)]), tfdt(8), tfhd(duration=2)), mfhd(5)) + box("mdat", bytes(3))
    track = one_track(body)
    assert (track.decode_time, track.duration, track.samples_bytes) == (8, 2, 3)


def test_a_fragment_may_say_that_it_is_empty_and_how_long() -> None:
    track = one_track(moof(traf(tfhd(flags=0x30000, duration=960), tfdt(0))))
    assert (track.samples_count, track.duration, track.end_time, track.starts_with_sync) == (0, 960, 960, False)
    assert one_track(moof(traf(tfhd(duration=960), tfdt(0)))).duration == 0


# -- what is wrong


def test_what_must_be_there_is_missed() -> None:
    run, data = trun([Sample(size=1)]), box("mdat", b"x")
    start = len(styp("msdh"))
    moof_at, traf_at = start, start + 8 + len(mfhd(1))
    for body, offset in [
        (box("moof", traf(tfhd(), tfdt(0), run)) + data, moof_at),
        (moof(traf(tfdt(0), run)) + data, traf_at),
        (moof(traf(tfhd(), run)) + data, traf_at),
        (moof(traf(tfhd(), tfdt(0), run)), moof_at),
        (moof(traf(tfhd(), tfdt(0), run)) + moof(), moof_at),
    ]:
        assert refusal(styp("msdh") + body) == (MediaFault.MISSING_PART, offset)


def shortened(child: bytes) -> bytes:
    """Return a box with a byte less at its end, and a size that says so."""
    return (len(child) - 1).to_bytes(4, "big") + child[4:-1]


SHORT = [
    ("mfhd", box("moof", shortened(mfhd(1)))),
    ("tfhd", moof(traf(shortened(tfhd(duration=1)), tfdt(0)))),
    ("tfhd-with-all", moof(traf(shortened(tfhd(base_offset=1, description=1, duration=1, size=1, sample_flags=1))))),
    ("tfhd-empty", moof(traf(box("tfhd"), tfdt(0)))),
    ("tfdt-32", moof(traf(tfhd(), shortened(tfdt(0, version=0))))),
    ("tfdt-64", moof(traf(tfhd(), shortened(tfdt(0))))),
    ("tfdt-empty", moof(traf(tfhd(), box("tfdt")))),
    ("trun", moof(traf(tfhd(), tfdt(0), shortened(trun([Sample(size=1)] * 2))))),
    ("trun-without-count", moof(traf(tfhd(), tfdt(0), box("trun", bytes(4))))),
    ("trun-with-offset", moof(traf(tfhd(), tfdt(0), shortened(trun([], data_offset=1))))),
]


@pytest.mark.parametrize("body", [case[1] for case in SHORT], ids=[case[0] for case in SHORT])
def test_boxes_too_short_for_their_fields_are_refused(body: bytes) -> None:
    # What follows must not be read in their stead.
    assert refusal(body + box("mdat", bytes(64)))[0] is MediaFault.BAD_SIZE


def test_an_unknown_version_of_the_decode_time_is_refused() -> None:
    assert refusal(with_data(tfhd(), trun([]), tfdt(0, version=2), 0))[0] is MediaFault.BAD_FIELD


def test_samples_are_counted_up_to_the_limit() -> None:
    def made(count: int) -> bytes:
        run = bytearray(trun([]))
        run[12:16] = count.to_bytes(4, "big")
        return moof(traf(tfhd(size=0), tfdt(0), bytes(run)))

    assert one_track(made(SAMPLES_COUNT_MAX)).samples_count == SAMPLES_COUNT_MAX
    for body in (made(SAMPLES_COUNT_MAX + 1), made(2**32 - 1), made(SAMPLES_COUNT_MAX) + made(1)):
        assert refusal(body)[0] is MediaFault.TOO_MANY


def test_a_count_that_the_run_has_no_room_for_is_refused() -> None:
    run = bytearray(trun([Sample(size=1)]))
    run[12:16] = (2**32 - 1).to_bytes(4, "big")
    assert refusal(with_data(tfhd(), bytes(run), tfdt(0), 1))[0] is MediaFault.BAD_SIZE


def test_both_tracks_of_a_muxed_fragment_are_told() -> None:
    init = parse_init(init_segment(trak(), trak(track_id=2, timescale=48_000)))
    first = traf(tfhd(1, duration=512), tfdt(1_000), trun([Sample(size=5)] * 2))
    second = traf(tfhd(2, duration=1_024), tfdt(9_000), trun([Sample(size=1)] * 3))
    segment = parse_segment(moof(first, second) + box("mdat", bytes(13)), init)
    assert [(each.track_id, each.decode_time, each.duration) for each in segment.tracks] == [
        (1, 1_000, 1_024),
        (2, 9_000, 3_072),
    ]
    assert [each.track for each in segment.tracks] == list(init.tracks)

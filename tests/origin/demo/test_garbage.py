"""Garbage is garbage: each kind is another body, and inspection can tell it from a good one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin.demo.garbage import KINDS, Garbage, garble, kind_of
from selection.cmaf import parse_segment
from selection.media import MediaError
from tests.support.mp4 import SYNC, Sample, fragment, styp

NUMBERS = st.integers(min_value=0, max_value=2**40)
SOUND = b"sound"
BY_STRUCTURE = [kind for kind in KINDS if kind is not Garbage.OTHER]
for_each_kind = pytest.mark.parametrize("kind", BY_STRUCTURE)


def _segment(number: int) -> bytes:
    """Return what ffmpeg's DASH muxer makes: brands, one `moof`, one `mdat`."""
    samples = [Sample(512, 700, SYNC), *[Sample(512, 90, 0)] * 47]
    return styp("msdh", "msdh", "msix") + fragment(samples, number * 24_576)


def test_a_good_segment_can_be_read() -> None:
    assert parse_segment(_segment(7), None).tracks[0].samples_count == 48


@for_each_kind
@given(number=NUMBERS)
def test_inspection_cannot_read_it(kind: Garbage, number: int) -> None:
    body = _segment(number)
    sent_kind, garbage = garble(kind, body, number, SOUND)
    assert sent_kind is kind
    assert garbage != body
    with pytest.raises(MediaError):
        parse_segment(garbage, None)


@for_each_kind
def test_it_is_the_same_in_every_run_and_as_long_as_the_segment_unless_it_was_cut(kind: Garbage) -> None:
    body = _segment(7)
    _, garbage = garble(kind, body, 7, SOUND)
    assert garble(kind, body, 7, SOUND) == (kind, garbage)
    assert len(garbage) == (len(body) // 2 if kind is Garbage.CUT else len(body))


@pytest.mark.parametrize("bit", range(32))
def test_whichever_bit_of_the_size_is_flipped_it_shows(bit: int) -> None:
    _, garbage = garble(Garbage.SIZE, _segment(bit), bit, None)
    assert sum(one != two for one, two in zip(garbage, _segment(bit), strict=True)) == 1
    with pytest.raises(MediaError):
        parse_segment(garbage, None)


def test_another_track_is_sent_as_it_is() -> None:
    assert garble(Garbage.OTHER, _segment(7), 7, SOUND) == (Garbage.OTHER, SOUND)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_the_kind_becomes_noise(kind: Garbage) -> None:
    sent_kind, garbage = garble(kind, b"x", 7, None)
    assert sent_kind is Garbage.NOISE
    assert len(garbage) == 1


@given(NUMBERS)
def test_three_segments_of_two_tracks_see_every_kind(first: int) -> None:
    kinds = {kind_of(number, track_index) for number in range(first, first + 4) for track_index in range(2)}
    assert kinds == set(KINDS)

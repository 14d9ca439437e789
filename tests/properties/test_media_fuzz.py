"""Damaged media: whatever happens to a body on its way, inspection ends soon and with an answer.

`python -m tests.benchmarks.inspection --fuzz 20000` tries many more.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.media_checks import (
    Whole,
    check_damaged_init,
    check_damaged_segment,
    check_damaged_ts,
    check_init,
    check_segment,
    check_ts,
    record_whole,
)
from tests.support.ts import PMT_PID, Muxer, pat, section

EXAMPLES = 500


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Bodies of real packagers."""
    return record_whole(tmp_path_factory.mktemp("whole"))


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=False))
def test_damaged_cmaf_segments_are_refused_or_told(whole: Whole, random: Random) -> None:
    check_damaged_segment(random, whole)


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=False))
def test_damaged_init_segments_are_refused_or_told(whole: Whole, random: Random) -> None:
    check_damaged_init(random, whole)


@settings(max_examples=EXAMPLES)
@given(random=st.randoms(use_true_random=False))
def test_damaged_transport_streams_are_refused_or_told(whole: Whole, random: Random) -> None:
    check_damaged_ts(random, whole)


@given(st.binary(max_size=2_000))
def test_any_bytes_behind_a_plausible_beginning_are_refused_or_told(tail: bytes) -> None:
    for head in (b"\0\0\0\x10ftypcmfc\0\0\0\0", b"\0\0\0\x80moov"):
        check_init(head + tail)
    for head in (b"\0\0\0\x10stypmsdh\0\0\0\0", b"\0\0\0\x80moof", b"\0\0\0\x80moof\0\0\0\x78traf"):
        check_segment(head + tail, None)


@given(st.lists(st.binary(min_size=187, max_size=187), max_size=8))
def test_any_packets_behind_whole_tables_are_refused_or_told(packets: list[bytes]) -> None:
    check_ts(Muxer().add_tables().body + b"".join(b"\x47" + packet for packet in packets), None)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_tables_are_refused_or_told(of_programs: bytes, of_streams: bytes) -> None:
    check_ts(Muxer().add_section(0, section(0, of_programs)).body, None)
    programs = Muxer().add_section(0, pat({1: PMT_PID}))
    check_ts(programs.add_section(PMT_PID, section(2, of_streams)).body, None)

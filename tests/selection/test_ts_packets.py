"""Packets: which are missing, repeated, or marked as damaged."""

import pytest

from selection.mpegts import TsSegment, parse_ts
from tests.support.ts import H264, PACKET_BYTES, PMT_PID, VIDEO_PID, Muxer, pat, pes, pmt

STREAMS = [(VIDEO_PID, H264)]


def with_a_frame() -> Muxer:
    """Return three packets: the tables and a frame of video."""
    return Muxer().add_tables(STREAMS).add_pes(VIDEO_PID, pes(0))


def parse(muxer: Muxer) -> TsSegment:
    return parse_ts(muxer.body, None)


def video_packets(*steps: str) -> TsSegment:
    """Return what is told of a video stream that goes on by these steps."""
    muxer = Muxer({VIDEO_PID: 9}).add_tables([(VIDEO_PID, H264)]).add_pes(VIDEO_PID, pes(0))
    for step in steps:
        if step == "next":
            muxer.add(VIDEO_PID, bytes(184))
        elif step == "again":
            muxer.packets.append(muxer.packets[-1])
        elif step == "lost":
            muxer.skip(VIDEO_PID)
        elif step == "reset":
            muxer.skip(VIDEO_PID, 5).add(VIDEO_PID, bytes(100), adaptation=0x80)
        elif step == "no-payload":
            muxer.add(VIDEO_PID, None)
        elif step == "other":
            muxer.add(0x555, bytes(184))
    return parse(muxer)


COUNTERS = [
    ("steady-over-the-wrap", ["next"] * 40, []),
    ("lost-one", ["next", "lost", "next"], [4]),
    ("lost-the-first-after-the-start", ["lost", "next"], [3]),
    ("lost-sixteen-cannot-be-seen", ["lost"] * 16 + ["next"], []),
    ("lost-fifteen-looks-like-a-repetition", ["lost"] * 15 + ["next"], []),
    ("lost-twice", ["lost", "next", "next", "lost", "lost", "next"], [3, 5]),
    ("repeated", ["next", "again", "next"], []),
    ("repeated-twice", ["next", "again", "again", "next"], [5]),
    ("repeated-again-later", ["next", "again", "next", "again"], []),
    ("announced", ["next", "reset", "next"], []),
    ("without-payload-the-counter-stands", ["next", "no-payload", "no-payload", "next"], []),
    ("others-between", ["other", "next", "other", "lost", "next"], [6]),
]


@pytest.mark.parametrize(("steps", "places"), [case[1:] for case in COUNTERS], ids=[case[0] for case in COUNTERS])
def test_missing_packets_are_found(steps: list[str], places: list[int]) -> None:
    segment = video_packets(*steps)
    assert list(segment.streams[0].continuity_errors) == places
    assert segment.continuity_errors_count == len(places)
    assert segment.first_error_offset == (places[0] * PACKET_BYTES if places else None)


def test_missing_packets_of_tables_are_found_too() -> None:
    muxer = Muxer().add_tables().skip(0).add_section(0, pat({1: PMT_PID}))
    muxer.skip(PMT_PID).add_section(PMT_PID, pmt(STREAMS))
    segment = parse(muxer)
    assert (segment.continuity_errors_count, segment.first_error_offset) == (2, 2 * PACKET_BYTES)


def test_packets_marked_as_damaged_are_counted() -> None:
    muxer = (
        Muxer()
        .add_tables(STREAMS)
        .add_pes(VIDEO_PID, pes(0))
        .add(VIDEO_PID, bytes(184), has_error=True)
        .add(0x555, bytes(184), has_error=True)
    )
    segment = parse(muxer)
    assert (segment.transport_errors_count, segment.continuity_errors_count) == (2, 0)
    assert segment.first_error_offset == 3 * PACKET_BYTES


def test_the_first_of_both_kinds_of_errors_is_told() -> None:
    muxer = (
        Muxer()
        .add_tables(STREAMS)
        .add_pes(VIDEO_PID, pes(0))
        .skip(VIDEO_PID)
        .add(VIDEO_PID, bytes(184))
        .add(VIDEO_PID, bytes(184), has_error=True)
    )
    assert parse(muxer).first_error_offset == 3 * PACKET_BYTES


@pytest.mark.parametrize("payload_bytes", [183, 184])
def test_payload_is_not_taken_for_the_flags_of_an_adaptation_field(payload_bytes: int) -> None:
    muxer = with_a_frame().skip(VIDEO_PID).add(VIDEO_PID, b"\xff" * payload_bytes)
    assert muxer.packets[-1][5] == 0xFF
    assert parse(muxer).continuity_errors_count == 1


def test_a_unit_does_not_start_where_there_is_no_payload() -> None:
    muxer = with_a_frame().add(VIDEO_PID, None, is_start=True).add(VIDEO_PID, bytes(184))
    assert parse(muxer).streams[0].frames_count == 1

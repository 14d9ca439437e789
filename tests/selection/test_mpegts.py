"""Transport stream segments: frames and times, counters, tables, and what is wrong."""

import pytest

from selection.media import SAMPLES_COUNT_MAX, STREAMS_COUNT_MAX, MediaError, MediaFault
from selection.mpegts import StreamKind, TsSegment, is_transport_stream, parse_ts
from tests.support.steps import counted_steps
from tests.support.ts import AAC, AUDIO_PID, H264, PACKET_BYTES, PMT_PID, VIDEO_PID, Muxer, pat, pes, pmt, section

FRAME_TICKS = 3_600
WRAP = 1 << 33
BOTH = ((VIDEO_PID, H264), (AUDIO_PID, AAC))


def with_video(*times: tuple[int | None, int | None], payload: bytes = b"frame") -> Muxer:
    """Return tables and video frames of (PTS, DTS), the first with random access."""
    muxer = Muxer().add_tables([(VIDEO_PID, H264)])
    for number, (pts, dts) in enumerate(times):
        muxer.add_pes(VIDEO_PID, pes(pts, dts, payload), random_access=number == 0)
    return muxer


def at_rate(count: int, begin: int = 0) -> list[tuple[int | None, int | None]]:
    return [(begin + number * FRAME_TICKS, None) for number in range(count)]


def refusal(body: bytes) -> tuple[MediaFault, int]:
    with pytest.raises(MediaError) as caught:
        parse_ts(body, None)
    return caught.value.reason, caught.value.offset


def parse(muxer: Muxer, expected_ticks: int | None = None) -> TsSegment:
    return parse_ts(muxer.body, expected_ticks)


def test_a_segment_of_video_is_told() -> None:
    segment = parse(with_video(*at_rate(48, begin=90_000), payload=bytes(500)))
    assert (segment.packets_count, segment.program_number) == (2 + 48 * 3, 1)
    assert segment.starts_with_tables
    assert (segment.continuity_errors_count, segment.transport_errors_count, segment.first_error_offset) == (0, 0, None)
    (video,) = segment.streams
    assert segment.leader is video
    assert (video.pid, video.stream_type, video.kind, video.codec) == (VIDEO_PID, H264, StreamKind.VIDEO, "h264")
    assert (video.frames_count, video.duration) == (48, 48 * FRAME_TICKS)
    assert video.times is not None
    assert (video.times.first_pts, video.times.last_dts) == (90_000, 90_000 + 47 * FRAME_TICKS)
    assert video.starts_with_random_access


# -- which streams there are


def test_the_stream_that_leads_is_video_then_sound_then_any() -> None:
    data = (0x102, 0x15)
    for streams, stamped, leader in [
        ((data, BOTH[1], BOTH[0]), (AUDIO_PID, VIDEO_PID), VIDEO_PID),
        ((data, BOTH[1], BOTH[0]), (AUDIO_PID,), AUDIO_PID),
        ((data, BOTH[0]), (), 0x102),
    ]:
        muxer = Muxer().add_tables(streams)
        for pid in stamped:
            muxer.add_pes(pid, pes(0))
        assert parse(muxer).leader.pid == leader


def test_streams_keep_the_order_of_the_table_and_unknown_types_are_data() -> None:
    segment = parse(Muxer().add_tables([(0x30, 0x24), (0x31, 0x86), (0x32, 0x99), (0x33, 0x81)]))
    assert [(each.pid, each.kind.value, each.codec) for each in segment.streams] == [
        (0x30, "video", "h265"),
        (0x31, "data", "scte35"),
        (0x32, "data", "type-99"),
        (0x33, "audio", "ac-3"),
    ]
    assert all(each.frames_count == 0 and each.times is None and each.duration is None for each in segment.streams)
    assert not any(each.starts_with_random_access for each in segment.streams)


def test_sections_in_a_data_stream_are_no_frames() -> None:
    muxer = Muxer().add_tables([(VIDEO_PID, H264), (0x102, 0x86)]).add_pes(VIDEO_PID, pes(0))
    muxer.add_section(0x102, section(0xFC, bytes(20)))
    assert [each.frames_count for each in parse(muxer).streams] == [1, 0]


def test_metadata_in_frames_is_counted() -> None:
    muxer = Muxer().add_tables([(0x102, 0x15)]).add_pes(0x102, pes(900, stream_id=0xBD))
    (metadata,) = parse(muxer).streams
    assert (metadata.frames_count, metadata.codec) == (1, "metadata")


def test_a_table_may_span_packets_and_have_descriptors() -> None:
    streams = [(0x200 + number, H264) for number in range(STREAMS_COUNT_MAX)]
    table = pmt(streams, descriptors=b"\x09\x04abcd", stream_descriptors=b"\x0a\x04eng\0" * 2)
    assert len(table) > 2 * PACKET_BYTES
    muxer = Muxer().add_section(0, pat({0: 0x10, 7: PMT_PID, 8: 0x1001})).add_section(PMT_PID, table)
    segment = parse(muxer)
    assert segment.program_number == 7
    assert [each.pid for each in segment.streams] == [pid for pid, _ in streams]


@pytest.mark.parametrize("pointer", [1, 100, 181])
def test_a_table_may_begin_later_in_its_packet(pointer: int) -> None:
    muxer = Muxer().add_section(0, pat({1: PMT_PID}), pointer).add_section(PMT_PID, pmt(BOTH), pointer)
    assert len(parse(muxer).streams) == 2


def test_a_table_ends_where_the_next_one_begins() -> None:
    whole = pmt([(0x200 + number, H264) for number in range(STREAMS_COUNT_MAX)], stream_descriptors=b"\x0a\x02en")
    muxer = Muxer().add_section(0, pat({1: PMT_PID})).add(PMT_PID, b"\0" + whole[:183], is_start=True)
    rest = whole[183:]
    muxer.add(PMT_PID, (bytes([len(rest)]) + rest + pmt(BOTH)).ljust(184, b"\xff"), is_start=True)
    assert len(parse(muxer).streams) == STREAMS_COUNT_MAX


def test_other_tables_on_the_same_packets_are_passed_over() -> None:
    other = section(0x42, bytes(8))
    muxer = Muxer().add_section(0, other).add_section(0, pat({1: PMT_PID}))
    muxer.add_section(PMT_PID, other).add_section(PMT_PID, pmt(BOTH))
    assert len(parse(muxer).streams) == 2


def test_packets_of_no_stream_do_not_matter() -> None:
    muxer = Muxer().add_section(0x11, section(0x42, bytes(8))).add_tables().add_pes(VIDEO_PID, pes(0))
    muxer.add(0x1FFF, bytes(184)).skip(0x1FFF, 3).add(0x1FFF, bytes(184))
    segment = parse(muxer)
    assert (segment.starts_with_tables, segment.continuity_errors_count) == (True, 0)


def test_tables_that_come_late_are_told() -> None:
    early = Muxer().add_pes(VIDEO_PID, pes(0), random_access=True).add_tables()
    between = Muxer().add_section(0, pat({1: PMT_PID})).add_pes(VIDEO_PID, pes(0)).add_section(PMT_PID, pmt(BOTH))
    assert not parse(early).starts_with_tables
    assert parse(early).streams[0].starts_with_random_access
    assert not parse(between).starts_with_tables


def test_random_access_must_be_at_the_very_start() -> None:
    for random_access_at, cut, expected in (
        (0, False, True),
        (1, False, False),
        (None, False, False),
        (0, True, False),
    ):
        muxer = Muxer().add_tables([(VIDEO_PID, H264)])
        if cut:
            muxer.add(VIDEO_PID, bytes(184))  # the end of a frame of the segment before
        for number in range(2):
            muxer.add_pes(VIDEO_PID, pes(number * FRAME_TICKS), random_access=number == random_access_at)
        (video,) = parse(muxer).streams
        assert video.starts_with_random_access is expected


# -- what is wrong

WHOLE = with_video(*at_rate(3), payload=bytes(300)).body


def changed(offset: int, value: bytes) -> bytes:
    return WHOLE[:offset] + value + WHOLE[offset + len(value) :]


FIRST_FRAME = 2 * PACKET_BYTES
# Behind an adaptation field of two bytes.
PES_HEADER = FIRST_FRAME + 6
DAMAGED = [
    ("empty", b"", MediaFault.NOT_MEDIA, 0),
    ("something-else", b"\0\0\0\x18styp", MediaFault.NOT_MEDIA, 0),
    ("one-byte", b"\x47", MediaFault.TRUNCATED, 0),
    ("one-byte-short", WHOLE[:-1], MediaFault.TRUNCATED, len(WHOLE) - PACKET_BYTES),
    ("one-byte-long", WHOLE + b"\x47", MediaFault.TRUNCATED, len(WHOLE)),
    ("garbage-behind", WHOLE + b"\0", MediaFault.LOST_SYNC, len(WHOLE)),
    ("sync-byte", changed(4 * PACKET_BYTES, b"\x46"), MediaFault.LOST_SYNC, 4 * PACKET_BYTES),
    ("byte-lost", WHOLE[:600] + WHOLE[601:], MediaFault.LOST_SYNC, 4 * PACKET_BYTES),
    ("zeros", changed(1_000, bytes(400)), MediaFault.LOST_SYNC, 6 * PACKET_BYTES),
    ("checksum-of-the-pat", changed(15, b"\xff"), MediaFault.BAD_FIELD, 0),
    ("checksum-of-the-pmt", changed(PACKET_BYTES + 20, b"\xff"), MediaFault.BAD_FIELD, PACKET_BYTES),
    ("no-pat", WHOLE[PACKET_BYTES:], MediaFault.MISSING_PART, 0),
    ("no-pmt", WHOLE[:PACKET_BYTES] + WHOLE[FIRST_FRAME:], MediaFault.MISSING_PART, 0),
    ("no-start-code", changed(PES_HEADER, b"\0\0\0"), MediaFault.BAD_FIELD, FIRST_FRAME),
    ("no-marker-bit-1", changed(PES_HEADER + 9, b"\x20"), MediaFault.BAD_FIELD, FIRST_FRAME),
    ("no-marker-bit-2", changed(PES_HEADER + 11, b"\0"), MediaFault.BAD_FIELD, FIRST_FRAME),
    ("no-marker-bit-3", changed(PES_HEADER + 13, b"\0"), MediaFault.BAD_FIELD, FIRST_FRAME),
    ("adaptation-too-long", changed(FIRST_FRAME + 4, b"\xb8"), MediaFault.BAD_SIZE, FIRST_FRAME),
    ("adaptation-is-all-there-is", changed(FIRST_FRAME + 4, b"\xb7"), MediaFault.BAD_FIELD, FIRST_FRAME),
    (
        "table-begins-behind-its-packet",
        Muxer().add(0, b"\xb7" + bytes(183), is_start=True).body,
        MediaFault.MISSING_PART,
        0,
    ),
    ("table-begins-far-behind", Muxer().add(0, b"\xff" + bytes(183), is_start=True).body, MediaFault.MISSING_PART, 0),
    ("no-program", Muxer().add_section(0, pat({0: 0x10})).body, MediaFault.MISSING_PART, 0),
    ("no-stream", Muxer().add_tables([]).body, MediaFault.MISSING_PART, PACKET_BYTES),
    (
        "lengths-in-the-pmt",
        Muxer().add_section(0, pat({1: PMT_PID})).add_section(PMT_PID, pmt(BOTH, b"ab")[:12] + bytes(9)).body,
        MediaFault.BAD_FIELD,
        PACKET_BYTES,
    ),
    (
        "endless-pmt",
        Muxer().add_section(0, pat({1: PMT_PID})).add_section(PMT_PID, pmt(BOTH, bytes(900))[:184]).body,
        MediaFault.TRUNCATED,
        PACKET_BYTES,
    ),
    (
        "pmt-that-does-not-add-up",
        Muxer().add_section(0, pat({1: PMT_PID})).add_section(PMT_PID, section(2, b"\0\1\xc1\0\0\xe1\0\xf0\1")).body,
        MediaFault.BAD_SIZE,
        PACKET_BYTES,
    ),
    (
        "too-many-streams",
        Muxer().add_tables([(0x200 + number, H264) for number in range(STREAMS_COUNT_MAX + 1)]).body,
        MediaFault.TOO_MANY,
        PACKET_BYTES,
    ),
]


@pytest.mark.parametrize(
    ("body", "reason", "offset"), [case[1:] for case in DAMAGED], ids=[case[0] for case in DAMAGED]
)
def test_damage_is_told_with_its_place(body: bytes, reason: MediaFault, offset: int) -> None:
    assert refusal(body) == (reason, offset)


def test_every_cut_within_a_packet_is_noticed() -> None:
    for length in range(1, len(WHOLE)):
        if length % PACKET_BYTES:
            assert refusal(WHOLE[:length]) == (MediaFault.TRUNCATED, length - length % PACKET_BYTES)


def test_a_stream_named_twice_is_told_once() -> None:
    assert len(parse(Muxer().add_tables([*BOTH, *BOTH])).streams) == 2


def test_transport_streams_are_known_by_their_first_byte() -> None:
    assert is_transport_stream(WHOLE)
    assert not is_transport_stream(b"")
    assert not is_transport_stream(b"\0\0\0\x18styp")


def test_frames_are_counted_up_to_the_limit() -> None:
    head = Muxer().add_tables([(VIDEO_PID, H264)])
    frame = Muxer().add(VIDEO_PID, pes(None)[:9], is_start=True).body
    assert refusal(head.body + frame * (SAMPLES_COUNT_MAX + 1))[0] is MediaFault.TOO_MANY


def test_work_grows_no_faster_than_the_body() -> None:
    lost = Muxer().add(VIDEO_PID, pes(1)[:14], is_start=True).body
    for unit in (lost, lost * 2, Muxer().add(0, b"\0", is_start=True).body, Muxer().add(AUDIO_PID, b"").body):

        def steps_for(count: int, unit: bytes = unit) -> int:
            body = Muxer().add_tables([(VIDEO_PID, H264)]).body + unit * count
            with counted_steps() as steps:
                parse_ts(body, None)
            return steps.count

        base, few, many = steps_for(1), steps_for(11), steps_for(1_001)
        assert many - base <= (few - base) * 100 + 500


def test_as_many_streams_as_may_be_do_not_multiply_the_work() -> None:
    streams = [(0x200 + number, H264) for number in range(STREAMS_COUNT_MAX)]
    tables = Muxer().add_tables(streams).body
    unit = b"".join(Muxer().add(pid, pes(1)[:14], is_start=True).body for pid, _ in streams)
    with counted_steps() as steps:
        parse_ts(tables + unit * 100, None)
    packets_count = len(unit) // PACKET_BYTES * 100
    assert steps.count < 60 * packets_count + 10_000

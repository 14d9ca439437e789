"""What is said over the feed, and what is not believed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from origin.feed.wire import (
    HEADER,
    FeedFault,
    Frame,
    FrameReader,
    FrameType,
    Heartbeat,
    Hello,
    Join,
    Lost,
    LostDone,
    Message,
    SnapshotEnd,
    Status,
    decode_message,
    decode_records,
    encode_frame,
    encode_message,
    encode_records,
)
from selection.model import SegmentKey

MESSAGES: list[Message] = [
    Hello("0123", 17),
    SnapshotEnd(17, 0xFFFFFFFF),
    Heartbeat(17, 1_000),
    Join(1, "w0", 4711),
    Status(17, 1_000),
    Lost(1, "derby", "v720", 10, "a", "0" * 32),
    Lost(2, "derby", "v720", None, "a", "0" * 32),
    LostDone(1),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode_message(type(message), encode_message(message)) == message


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"7",
        b"[1,2]",
        b'{"sequence":1}',
        b'{"sequence":1,"sent_ms":2,"more":3}',
        b'{"sequence":"1","sent_ms":2}',
        b'{"sequence":null,"sent_ms":2}',
    ],
)
def test_what_is_no_message_is_a_fault(payload: bytes) -> None:
    with pytest.raises(FeedFault, match="not a Heartbeat"):
        decode_message(Heartbeat, payload)


def test_a_loss_names_its_segment() -> None:
    assert Lost(1, "derby", "v720", None, "a", "0").key == SegmentKey("derby", "v720", None)


@given(
    st.lists(st.tuples(st.sampled_from(FrameType), st.binary(max_size=20), st.integers(0, 255)), max_size=8),
    st.lists(st.integers(0, 250), max_size=8),
)
def test_frames_are_read_however_their_bytes_arrive(
    frames: list[tuple[FrameType, bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    reader = FrameReader()
    pieces = [data[begin:end] for begin, end in pairwise(places)]
    assert [frame for piece in pieces for frame in reader.feed(piece)] == [Frame(*frame) for frame in frames]


def test_a_frame_of_a_type_that_is_not_known_is_a_fault() -> None:
    with pytest.raises(FeedFault, match="type 99"):
        list(FrameReader().feed(HEADER.pack(0, 99, 0)))


def test_a_frame_that_claims_to_be_very_long_is_a_fault_before_it_is_there() -> None:
    reader = FrameReader(frame_bytes_max=10)
    assert len(list(reader.feed(encode_frame(FrameType.PLACED, bytes(10))))) == 1
    with pytest.raises(FeedFault, match="11 bytes"):
        list(reader.feed(HEADER.pack(11, FrameType.PLACED, 0)))


def test_records_are_lines() -> None:
    texts = ["1 2 withdrawn derby v720 3", "2 2 withdrawn derby v720 4"]
    assert decode_records(encode_records(texts)) == texts
    with pytest.raises(FeedFault, match="ASCII"):
        decode_records(b"\xff")

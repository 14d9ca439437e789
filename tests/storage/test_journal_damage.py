"""What a crash or a bad disk did to the journal costs the records it hit, and no others."""

from pathlib import Path

import pytest

from storage.journal import Replay
from tests.storage.journals import RECORDS, append_all, masks_told, opened, write_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.log"


def test_a_torn_tail_is_cut_off_and_reported_wherever_it_was_torn(path: Path) -> None:
    lines = write_lines(path)
    whole, last = b"".join(lines[:-1]), lines[-1]
    for torn_bytes in range(1, len(last)):
        path.write_bytes(whole + last[:torn_bytes])
        with opened(path) as (_, told, replay):
            assert replay == Replay(entries_count=4, damaged_count=0, torn_bytes=torn_bytes)
            assert masks_told(told) == ["m1", "m2", "m3", "m4"]
        assert path.read_bytes() == whole


def test_a_record_after_a_torn_tail_is_kept(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join(lines)[:-5])
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m1"]
        assert replay == Replay(entries_count=5, damaged_count=0, torn_bytes=0)


def test_a_damaged_byte_in_the_middle_costs_one_record_wherever_it_is(path: Path) -> None:
    lines = write_lines(path)
    separator = 8  # carries nothing: that it is a space is not checked
    for position in set(range(len(lines[2]) - 1)) - {separator}:
        damaged = bytearray(lines[2])
        damaged[position] ^= 0x01
        path.write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
        with opened(path) as (_, told, replay):
            assert masks_told(told) == ["m1", "m2", "m4", "m5"]
            assert replay == Replay(entries_count=4, damaged_count=1, torn_bytes=0)


DAMAGED_LINES = [
    ("empty", b"\n"),
    ("short", b"12\n"),
    ("zeros", b"\0" * 40 + b"\n"),
    ("not-hex", b"zzzzzzzz {}\n"),
    ("unknown-type", b'8f2e8a0c {"sequence":3,"at_ms":1,"type":"notified"}\n'),
    ("not-ascii", b"\xff\xfe\xfd\n"),
]


@pytest.mark.parametrize("line", [case[1] for case in DAMAGED_LINES], ids=[case[0] for case in DAMAGED_LINES])
def test_a_line_that_is_no_record_is_left_out_and_counted(path: Path, line: bytes) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    with opened(path) as (journal, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, damaged_count=1, torn_bytes=0)
        assert journal.next_moment(0).sequence == 6
    assert line in path.read_bytes(), "damage is left for whoever wants to look at it"


def test_a_lost_line_feed_costs_the_two_records_beside_it(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b"\n", b"\x0b"), *lines[3:]]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m5"]
        assert replay.damaged_count == 1


def test_places_in_the_journal_are_not_given_twice_after_damage(path: Path) -> None:
    lines = write_lines(path)
    path.write_bytes(b"".join([b"damage\n", *lines[1:4], b"damage\n"]))
    with opened(path) as (journal, told, _):
        assert journal.next_moment(0).sequence > max(entry.moment.sequence for entry in told)

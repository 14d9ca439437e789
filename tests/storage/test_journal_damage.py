"""What a crash or a bad disk did to the journal costs the records it hit, and no others."""

import zlib
from pathlib import Path

import pytest

from storage.journal_files import Replay
from tests.storage.journals import RECORDS, append_all, files_in, masks_told, only_file, opened, write_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def test_a_torn_tail_is_cut_off_and_reported_wherever_it_was_torn(path: Path) -> None:
    lines = write_lines(path)
    whole, last = b"".join(lines[:-1]), lines[-1]
    for torn_bytes in range(1, len(last)):
        only_file(path).write_bytes(whole + last[:torn_bytes])
        with opened(path) as (_, told, replay):
            assert replay == Replay(entries_count=4, torn_bytes=torn_bytes, files_count=1)
            assert masks_told(told) == ["m1", "m2", "m3", "m4"]
        assert only_file(path).read_bytes() == whole


def test_a_record_after_a_torn_tail_is_kept(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join(lines)[:-5])
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m1"]
        assert replay == Replay(entries_count=5, files_count=1)


def test_a_damaged_byte_in_the_middle_costs_one_record_wherever_it_is(path: Path) -> None:
    lines = write_lines(path)
    separator = 8  # carries nothing: that it is a space is not checked
    for position in set(range(len(lines[2]) - 1)) - {separator}:
        damaged = bytearray(lines[2])
        damaged[position] ^= 0x01
        only_file(path).write_bytes(b"".join([*lines[:2], damaged, *lines[3:]]))
        with opened(path) as (_, told, replay):
            assert masks_told(told) == ["m1", "m2", "m4", "m5"]
            assert replay == Replay(entries_count=4, damaged_count=1, missing_count=1, files_count=1)


DAMAGED_LINES = [
    ("empty", b"\n"),
    ("short", b"12\n"),
    ("zeros", b"\0" * 40 + b"\n"),
    ("not-hex", b"zzzzzzzz {}\n"),
    ("unknown-type", b"%08x 3 1 notified derby\n" % zlib.crc32(b"3 1 notified derby")),
    ("not-ascii", b"\xff\xfe\xfd\n"),
]


@pytest.mark.parametrize("line", [case[1] for case in DAMAGED_LINES], ids=[case[0] for case in DAMAGED_LINES])
def test_a_line_that_is_no_record_is_left_out_and_counted(path: Path, line: bytes) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    with opened(path) as (journal, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, damaged_count=1, files_count=1)
        assert journal.next_moment(0).sequence == 6
    assert line in only_file(path).read_bytes(), "damage is left for whoever wants to look at it"


def test_a_lost_line_feed_costs_the_two_records_beside_it(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([*lines[:2], lines[2].replace(b"\n", b"\x0b"), *lines[3:]]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m5"]
        assert (replay.damaged_count, replay.missing_count) == (1, 2)


def test_places_in_the_journal_are_not_given_twice_after_damage(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([b"damage\n", *lines[1:4], b"damage\n"]))
    with opened(path) as (journal, told, _):
        assert journal.next_moment(0).sequence > max(entry.moment.sequence for entry in told)


def test_a_place_that_nothing_is_known_of_any_more_is_missing(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([*lines[:1], *lines[3:]]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m4", "m5"]
        assert replay == Replay(entries_count=3, missing_count=2, files_count=1)


def test_what_was_damaged_at_the_end_is_missing_once_something_comes_after_it(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([*lines[:3], b"damage\n", b"damage\n"]))
    with opened(path) as (journal, _, replay):
        assert replay == Replay(entries_count=3, damaged_count=2, files_count=1)
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, _, replay):
        assert replay == Replay(entries_count=4, damaged_count=2, missing_count=2, files_count=1)


def test_a_line_written_twice_is_told_once(path: Path) -> None:
    """A flush that failed has records written again, to a new file."""
    lines = write_lines(path)
    (path / f"{6:016d}.log").write_bytes(b"".join(lines[3:]))
    with opened(path) as (journal, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, files_count=2)
        assert journal.next_moment(0).sequence == 6


@pytest.mark.parametrize("line_feed", [b"", b"\n"])
def test_what_was_written_again_is_taken_from_there_and_not_from_where_it_was_damaged(
    path: Path, line_feed: bytes
) -> None:
    """A flush that fails may lose one page, while those behind it reach the disk."""
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join([*lines[:1], b"\0" * len(lines[1]) + line_feed, *lines[2:4]]))
    (path / f"{5:016d}.log").write_bytes(b"".join(lines[1:]))
    with opened(path) as (journal, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, files_count=2)
        assert journal.next_moment(0).sequence == 6


@pytest.mark.parametrize("left_bytes", [0, 10])
def test_what_a_kill_kept_from_being_written_again_is_taken_from_where_it_was(path: Path, left_bytes: int) -> None:
    lines = write_lines(path)
    (path / f"{6:016d}.log").write_bytes(lines[2] + lines[3][:left_bytes])
    for _ in range(2):
        with opened(path) as (journal, told, replay):
            assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
            assert (replay.damaged_count, replay.missing_count, replay.files_count) == (0, 0, 2)
            assert journal.next_moment(0).sequence == 6
    with opened(path) as (journal, _, _):
        append_all(journal, RECORDS[:1])
    with opened(path) as (_, told, _):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5", "m1"]


def test_damage_in_what_was_written_again_is_made_good_from_where_it_was(path: Path) -> None:
    lines = write_lines(path)
    (path / f"{6:016d}.log").write_bytes(b"".join([lines[2], b"damage\n", lines[4]]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m3", "m4", "m5"]
        assert replay == Replay(entries_count=5, damaged_count=1, files_count=2)


def test_a_torn_line_in_an_older_file_is_damage_and_left_where_it_is(path: Path) -> None:
    lines = write_lines(path)
    torn = b"".join(lines[:3])[:-5]
    only_file(path).write_bytes(torn)
    (path / f"{4:016d}.log").write_bytes(b"".join(lines[3:]))
    with opened(path) as (_, told, replay):
        assert masks_told(told) == ["m1", "m2", "m4", "m5"]
        assert replay == Replay(entries_count=4, damaged_count=1, missing_count=1, files_count=2)
    assert files_in(path)[0].read_bytes() == torn


def test_an_empty_last_file_keeps_its_place(path: Path) -> None:
    lines = write_lines(path)
    only_file(path).write_bytes(b"".join(lines[:3]))
    (path / f"{6:016d}.log").touch()
    with opened(path) as (journal, _, _):
        assert journal.next_moment(0).sequence == 6


def test_other_files_in_the_folder_are_left_alone(path: Path) -> None:
    write_lines(path)
    for name in ("1.log", "0000000000000009.log.bak", "notes.txt"):
        (path / name).write_bytes(b"something else")
    with opened(path) as (_, _, replay):
        assert replay == Replay(entries_count=5, files_count=1)
    assert (path / "notes.txt").read_bytes() == b"something else"

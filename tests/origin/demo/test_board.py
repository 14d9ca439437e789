"""What a row says as its segment goes through its life."""

from collections.abc import Iterable

import pytest

from origin.demo import media
from origin.demo.board import ROWS_KEPT, Board, Cell, Line, Mood
from origin.demo.reports import Dropped, Killed, PackagerEnded, Report, Requested
from tests.origin.demo.samples import (
    AUDIO,
    FIRST,
    SMALL,
    VIDEO,
    A,
    B,
    chosen,
    delivered,
    garbled,
    missed,
    published,
    started,
    stopping,
    whole_number,
)

ALL = (VIDEO, SMALL, AUDIO)
REQUESTED = [Requested(each, FIRST) for each in ALL]
END_MS, DUE_MS = media.end_ms(FIRST), media.due_ms(FIRST)


def _board(reports: Iterable[Report]) -> Board:
    board = Board()
    for report in (started(), *reports):
        board.note(report)
    return board


def _line(reports: Iterable[Report], at_ms: int = END_MS + 300) -> Line:
    (line,) = _board([*REQUESTED, *reports]).lines(1, at_ms)
    return line


def test_a_segment_asked_for_is_waited_for() -> None:
    line = _line([], at_ms=END_MS + 300)
    assert line.number == FIRST
    assert line.media_time == "19:25:11.040"
    assert line.copies == {A: Cell(".", Mood.PENDING), B: Cell(".", Mood.PENDING)}
    assert (line.chosen.text, line.rule, line.losses, line.decision) == (".", "", "", "")
    assert line.delivered == Cell("waiting x3, 0.3 s", Mood.PENDING)
    assert not line.is_settled


COPIES = [
    (
        "the-latest-of-all",
        [published(A, each, late_ms=ms) for each, ms in zip(ALL, (-9, -8, -7), strict=True)],
        Cell("-7 ms"),
    ),
    ("due-is-not-late", [published(A, each, late_ms=0) for each in ALL], Cell("+0 ms")),
    ("late", [published(A, each, late_ms=1) for each in ALL], Cell("+1 ms", Mood.DOUBTFUL)),
    ("not-all-yet", [published(A, VIDEO, late_ms=-9)], Cell("-9 ms 1/3", Mood.DOUBTFUL)),
    ("dropped", [Dropped(A, VIDEO, FIRST)], Cell("dropped", Mood.BAD)),
    ("garbled", [garbled(A, VIDEO), published(A, VIDEO, late_ms=-9)], Cell("garbled", Mood.BAD)),
    ("not-there-before-due", [], Cell(".", Mood.PENDING)),
]


@pytest.mark.parametrize(("reports", "expected"), [case[1:] for case in COPIES], ids=[case[0] for case in COPIES])
def test_a_copy_tells_when_it_came(reports: list[Report], expected: Cell) -> None:
    assert _line(reports, at_ms=DUE_MS).copies[A] == expected


def test_a_copy_that_is_not_there_after_due_is_missing() -> None:
    assert _line([], at_ms=DUE_MS + 1).copies[A] == Cell("-", Mood.BAD)


def test_equal_choices_are_told_once() -> None:
    line = _line([chosen(A, each, decision_ms=ms) for each, ms in zip(ALL, (0, 7, 3), strict=True)])
    assert (line.chosen, line.rule, line.losses, line.decision) == (Cell("a"), "first-in-order", ", b: absent", "7 ms")


def test_different_choices_are_told_in_the_order_of_the_renditions() -> None:
    line = _line([chosen(B, AUDIO, rule="prefer-wait-over"), chosen(A, VIDEO, loss="order")])
    assert line.chosen == Cell("a . b", Mood.PENDING)
    assert line.rule == "first-in-order/prefer-wait-over"
    assert line.losses == ", a: absent, b: order"


ANSWERS = [
    ("held", [delivered(each, wait_ms=ms) for each, ms in zip(ALL, (5, 9, 7), strict=True)], Cell("200 x3, held 9 ms")),
    ("at-once", [delivered(each, held=False, wait_ms=4) for each in ALL], Cell("200 x3, in 4 ms")),
    ("late", [delivered(each, late_ms=1) for each in ALL], Cell("200 x3, held 200 ms", Mood.DOUBTFUL)),
    ("two-of-three", [delivered(VIDEO), delivered(SMALL)], Cell("waiting x1, 0.3 s", Mood.PENDING)),
    ("gone", [delivered(VIDEO), missed(SMALL), missed(AUDIO)], Cell("200 x1, 410 x2", Mood.BAD)),
    ("no-answer", [missed(each, status=0) for each in ALL], Cell("no answer x3", Mood.BAD)),
    (
        "garbage",
        [garbled(rendition=SMALL), *(delivered(each, digest="bad" if each == SMALL else "good") for each in ALL)],
        Cell("damaged", Mood.BAD),
    ),
    (
        "garbage-of-another-rendition",
        [garbled(rendition=SMALL, digest="good"), delivered(VIDEO), delivered(SMALL, digest="b's"), delivered(AUDIO)],
        Cell("200 x3, held 200 ms"),
    ),
    ("damaged", [delivered(each, intact=each != SMALL) for each in ALL], Cell("damaged", Mood.BAD)),
]


@pytest.mark.parametrize(("reports", "expected"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_a_delivery_tells_how_it_went(reports: list[Report], expected: Cell) -> None:
    assert _line(reports).delivered == expected


def test_the_newest_number_is_on_top_and_what_comes_after_the_end_is_left_out() -> None:
    numbers = range(FIRST, FIRST + 5)
    board = _board([*(report for number in numbers for report in whole_number(number)), stopping(FIRST + 3)])
    assert [line.number for line in board.lines(3, END_MS)] == [FIRST + 3, FIRST + 2, FIRST + 1]
    assert all(line.is_settled for line in board.lines(3, END_MS))


def test_old_rows_are_forgotten() -> None:
    board = _board(published(A, VIDEO, number) for number in range(FIRST, FIRST + ROWS_KEPT + 5))
    assert len(board.rows) == ROWS_KEPT
    assert min(board.rows) == FIRST + 5


def test_the_packagers_states_are_told() -> None:
    board = _board([Killed(A, 11), PackagerEnded(B, 12, 1, "Broken pipe")])
    assert _board([]).states == {A: Cell("ffmpeg 11 on air"), B: Cell("ffmpeg 12 on air")}
    assert board.states[A] == Cell("ffmpeg 11 killed", Mood.BAD)
    assert board.states[B] == Cell("ffmpeg 12 ended by itself, status 1", Mood.BAD)
    assert not board.rows

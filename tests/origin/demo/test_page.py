"""What stands on the page, in a wide terminal and in a small one."""

import io

import pytest
from rich.console import Console, ConsoleDimensions

from origin.demo import media
from origin.demo.board import Board
from origin.demo.outlet import Outlet
from origin.demo.page import Page, render, summary_text
from origin.demo.reports import Chosen, Dropped, PackagerEnded, Report
from origin.demo.tally import Tally
from tests.origin.demo.samples import FIRST, B, delivered, garbled, inits, missed, started, stopping, whole_number

AT_MS = media.due_ms(FIRST) + 5_000
WIDE, SMALL = ConsoleDimensions(150, 40), ConsoleDimensions(80, 24)


def _shown(reports: list[Report], size: ConsoleDimensions) -> list[str]:
    board, tally = Board(), Tally()
    for report in reports:
        board.note(report)
        tally.note(report)
    console = Console(file=io.StringIO(), width=size.width, height=size.height, force_terminal=False)
    with console.capture() as captured:
        console.print(render(board, tally, size, AT_MS))
    return captured.get().splitlines()


def _run(numbers: int) -> list[Report]:
    return [started(), *inits(), *(each for n in range(numbers) for each in whole_number(FIRST + n))]


def test_before_the_start_it_says_so() -> None:
    assert _shown([], WIDE) == ["Live Origin demo: starting origin, packagers and reader ..."]


def test_a_wide_page_has_everything() -> None:
    faulty = started(faults=("kill a@20", "drop a:30%"))
    choice = Chosen(B, "v360", FIRST, "prefer-wait-over", 100, {"a": "absent"})
    shown = _shown([*_run(1), faulty, choice, Dropped("a", "v360", FIRST)], WIDE)
    text = "\n".join(shown)
    for part in (
        "http://127.0.0.1:1001/demo/",
        "http://127.0.0.1:1002/demo/",
        "http://127.0.0.1:1003/metrics",
        "a ffmpeg 11 on air",
        "faults on purpose: kill a@20, drop a:30%",
        "prefer-wait-over/first-in-order, a: absent",
        "100 ms",
        "200 x3, held 200 ms",
        "delivered 3   from a 3   from b 0   late 0   missing 0",
        "ffplay http://127.0.0.1:1002/demo/master.m3u8",
        "%{time_total}",
        "/tmp/demo/origin.log",
    ):
        assert part in text
    assert "up 0:07" in shown[0]
    assert "Ctrl-C stops" in shown[0]


@pytest.mark.parametrize(("digest", "shown"), [("good", "garbage 0/2"), ("bad", "garbage 1/2")])
def test_garbage_is_shown_and_how_much_of_it_was_delivered(digest: str, shown: str) -> None:
    garbage: list[Report] = [garbled(), garbled(number=FIRST + 1)]
    lines = _shown([started(), *garbage, delivered(digest=digest)], SMALL)
    (row,) = (line for line in lines if line.startswith(str(FIRST)))
    assert "garbled" in row.split()
    assert any(line.endswith(shown) for line in lines)
    assert not any("garbage" in line for line in _shown(_run(1), WIDE))


@pytest.mark.parametrize("size", [WIDE, SMALL], ids=["wide", "small"])
def test_it_fits_and_shows_the_newest_rows_first(size: ConsoleDimensions) -> None:
    shown = _shown([*_run(30), missed(number=FIRST + 29)], size)
    assert len(shown) <= size.height
    assert max(len(line) for line in shown) <= size.width
    numbers = [int(line.split()[0]) for line in shown if line.startswith("9350")]
    assert numbers == list(range(FIRST + 29, FIRST + 29 - len(numbers), -1))
    assert len(numbers) == (12 if size is WIDE else 6)


def test_a_small_page_still_tells_who_was_chosen_and_by_which_rule() -> None:
    (row,) = (line for line in _shown(_run(1), SMALL) if line.startswith(str(FIRST)))
    assert row.split() == f"{FIRST} 19:25:11 -800 ms - a first-in-order 200 x3, held 200 ms".split()


@pytest.mark.parametrize("size", [WIDE, SMALL], ids=["wide", "small"])
def test_it_ends_with_an_empty_line_where_the_terminal_may_echo(size: ConsoleDimensions) -> None:
    assert _shown(_run(1), size)[-1] == ""


def test_the_end_is_told() -> None:
    assert "stopping (Ctrl-C), last segments" in _shown([*_run(1), stopping()], WIDE)[0]


def test_the_summary_is_green_or_red() -> None:
    good, bad = Tally(), Tally()
    for report in [*_run(1), stopping()]:
        good.note(report)
    assert str(summary_text(good.summary(None)).spans[0].style) == "bold green"
    assert str(summary_text(bad.summary("It broke.")).spans[0].style) == "bold red"


async def test_a_run_on_a_terminal_ends_with_the_summary_and_the_last_words_of_who_ended() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=150, height=40, force_terminal=True, highlight=False)
    tally = Tally()
    ended = PackagerEnded("a", 11, 1, "Conversion [failed]")
    async with Page(console, Outlet(on_broken=lambda: None)) as page:
        for report in [*_run(1), ended, stopping()]:
            tally.note(report)
            page.note(report)
        page.note(tally.summary(None))
    shown = screen.getvalue()
    assert "packager a ended by itself with status 1:" in shown
    assert "Conversion [failed]" in shown
    assert "Nothing is missing: 3 of 3 segments" in shown.rpartition("Conversion")[2]

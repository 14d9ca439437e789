"""The demo without a terminal: plain lines, hints and the summary for people."""

import pytest

from origin.demo import lines, media
from origin.demo.lines import PlainLines, hints, started_lines, summary_lines
from origin.demo.outlet import Outlet
from origin.demo.reports import Killed, PackagerEnded, Published
from origin.demo.tally import Tally
from tests.origin.demo.samples import FIRST, A, B, garbled, inits, published, started, stopping, whole_number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The wall clock; set `now_ms`."""
    time = {"now_ms": media.end_ms(FIRST)}
    monkeypatch.setattr(lines, "now_ms", lambda: time["now_ms"])
    return time


@pytest.fixture
async def outlet() -> Outlet:
    return Outlet(on_broken=lambda: None)


async def test_a_number_gets_its_line_when_it_is_delivered_and_due(
    clock: dict[str, int], outlet: Outlet, capsys: pytest.CaptureFixture[str]
) -> None:
    async with PlainLines(outlet) as show:
        show.note(started())
        for report in whole_number():
            show.note(report)
        show.note(stopping())
        clock["now_ms"] = media.due_ms(FIRST) + 1
        show.note(published(B))
    *_, stop, segment = capsys.readouterr().out.splitlines()
    assert stop == f"stopping (Ctrl-C); segments up to {FIRST} are waited for"
    assert segment == (
        f"{FIRST}  19:25:11.040  a -800 ms  b -800 ms 1/3  chosen a by first-in-order in 0 ms"
        "  delivered 200 x3, held 200 ms"
    )


async def test_the_last_numbers_get_their_lines_before_the_summary(
    clock: dict[str, int], outlet: Outlet, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally()
    reports = [started(), *inits(), *whole_number(), *whole_number(FIRST + 1), stopping(FIRST + 1)]
    async with PlainLines(outlet) as show:
        for report in reports:
            tally.note(report)
            show.note(report)
        show.note(tally.summary(None))
    written = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in written[-9:]] == [
        "stopping",
        str(FIRST),
        str(FIRST + 1),
        "Nothing",
        "due",
        "delivered",
        "missing",
        "packager",
        "packager",
    ]


async def test_what_is_out_of_the_ordinary_is_told_at_once(outlet: Outlet, capsys: pytest.CaptureFixture[str]) -> None:
    async with PlainLines(outlet) as show:
        show.note(Killed(A, 11))
        show.note(PackagerEnded(B, 12, 1, "first line\nsecond line"))
    assert capsys.readouterr().out.splitlines() == [
        "packager a (ffmpeg 11) was killed, as ordered",
        "packager b (ffmpeg 12) ended by itself with status 1",
        "  first line",
        "  second line",
    ]


def test_the_start_tells_where_everything_is() -> None:
    text = "\n".join(started_lines(started(faults=("kill a@20",))))
    for part in (
        "http://127.0.0.1:1001/demo/a/ and http://127.0.0.1:1001/demo/b/",
        "http://127.0.0.1:1002/demo/",
        "http://127.0.0.1:1003/metrics",
        "/tmp/demo/live-origin.yaml",
        "/tmp/demo/origin.log",
        "kill a@20",
    ):
        assert part in text
    assert "origin.log" not in "\n".join(started_lines(started(log=None)))


def test_the_hints_ask_for_names_that_exist() -> None:
    commands = dict(hints(started()))
    assert commands["watch"] == "ffplay http://127.0.0.1:1002/demo/master.m3u8"
    assert commands["see the headers"].endswith(f"http://127.0.0.1:1002/demo/{media.TRACKS[0].media_name(FIRST)}")
    assert "r0-t$(($(date +%s%3N) / 1920 * 24576)).m4s" in commands["be held"]


def test_the_summary_for_people_has_every_count() -> None:
    tally = Tally()
    for report in [started(), *inits(), *whole_number(), stopping(), Published(B, "v360", FIRST, 1, 5)]:
        tally.note(report)
    assert list(summary_lines(tally.summary(None))) == [
        "Nothing is missing: 3 of 3 segments were delivered, 3 from a and 0 from b.",
        f"  due        3: 1 x 3 renditions, numbers {FIRST} to {FIRST}",
        "  delivered  3: 3 from a, 0 from b; 3 held, 0 late",
        "  missing    0: v360 0, v180 0, a64 0",
        "  packager a 3 published, 0 late",
        "  packager b 1 published, 1 late",
    ]
    tally.note(garbled(A))
    assert "  packager a 3 published, 0 late, 1 garbled" in summary_lines(tally.summary(None))
    assert list(summary_lines(Tally().summary("It broke."))) == ["It broke."]

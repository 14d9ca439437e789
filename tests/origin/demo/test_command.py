"""The command line of the demo, as `live-origin` declares it."""

import argparse

import pytest

from origin.demo.command import add_demo_arguments, run_demo


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live-origin demo")
    add_demo_arguments(parser)
    return parser


def test_without_options_it_runs_until_a_signal(parser: argparse.ArgumentParser) -> None:
    parsed = parser.parse_args([])
    assert parsed.seconds is None
    assert (parsed.kill, parsed.drop, parsed.late, parsed.garble, parsed.json) == ([], [], [], [], False)


def test_faults_may_be_repeated(parser: argparse.ArgumentParser) -> None:
    kills, garbles = ["--kill", "a@20", "--kill", "b@30.5"], ["--garble", "a:10%", "--garble", "b:5%"]
    parsed = parser.parse_args([*kills, "--drop", "a:30%", "--late", "b:800ms", *garbles])
    assert parsed.kill == [("a", 20_000), ("b", 30_500)]
    assert (parsed.drop, parsed.late) == ([("a", 30)], [("b", 800)])
    assert parsed.garble == [("a", 10), ("b", 5)]


def test_the_help_shows_each_option_as_it_is_written(parser: argparse.ArgumentParser) -> None:
    text = parser.format_help()
    faults = ("--kill a@20", "--drop a:30%", "--late b:800ms", "--garble a:10%")
    for example in ("--seconds N", *faults, "--folder DIR", "--ffmpeg PATH"):
        assert example in text
    assert "of kinds that show without decoding" in " ".join(text.split())
    assert "%%" not in text


BAD = [
    (["--kill", "c@20"], "argument --kill: 'c@20': there is no pipeline 'c'; write a or b, such as a@20"),
    (["--drop", "a:30"], "argument --drop: 'a:30' has no unit; write a:30%"),
    (["--garble", "a:101%"], "argument --garble: 'a:101%': '101%' is not a share; write 0% to 100%, such as a:30%"),
    (["--seconds", "5", "--kill", "a@6"], "error: --kill a@6 would come after the end; make it less than --seconds 5"),
    (["--late", "a:1s", "--late", "a:2s"], "error: --late is there twice for pipeline a; keep one of them"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=["pipeline", "unit", "share", "too-late", "twice"])
def test_a_wrong_option_ends_with_status_2_and_what_would_be_right(
    parser: argparse.ArgumentParser, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_demo(parser.parse_args(arguments))
    assert end.value.code == 2
    assert message in capsys.readouterr().err

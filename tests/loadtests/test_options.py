"""The options and the configuration that is made of them."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from config.load import load_settings
from loadtests.options import add_options, grid_of, late_of, limits_of, plan_of
from loadtests.origin_process import document


def parse(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_options(parser)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ((), 120),
        (("--shape", "all"), 120),
        (("--shape", "failover"), 30),
        (("--shape", "failover", "--seconds", "7"), 7),
    ],
)
def test_the_tour_takes_two_minutes_and_one_shape_half_a_minute(arguments: tuple[str, ...], seconds: float) -> None:
    assert plan_of(parse(*arguments)).seconds == pytest.approx(seconds)


def test_limits_and_late_pipelines_are_options() -> None:
    options = parse("--late-p99-ms-max", "7", "--late", "b:800", "--start-number", "3")
    assert limits_of(options).late_p99_ms == 7
    assert late_of(options) == {"b": 800}
    assert late_of(parse()) == {}
    assert grid_of(options).start_number == 3


@pytest.mark.parametrize(
    "arguments", [(), ("--start-number", "9", "--workers", "0", "--init", "", "--segment-ms", "400")]
)
def test_its_origin_has_the_event_that_it_counts_by(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    options = parse(*arguments)
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(document(options, tmp_path)))
    (event,) = load_settings(file, {}, ()).events
    grid = grid_of(options)
    timeline = event.to_event().timeline
    assert [timeline.end_ms(number) for number in (9, 1_000)] == [grid.end_ms(number) for number in (9, 1_000)]

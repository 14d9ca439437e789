"""`live-origin demo`: its options, and which way it shows itself."""

import argparse
import sys
from pathlib import Path

import uvloop
from rich.console import Console

from origin.demo.lines import JsonLines, PlainLines, Show
from origin.demo.options import (
    DemoOptions,
    UnfitOptions,
    fit,
    parse_kill,
    parse_late,
    parse_seconds_ms,
    parse_share,
)
from origin.demo.outlet import Outlet
from origin.demo.page import Page
from origin.demo.reports import Summary
from origin.demo.stage import Stage
from origin.demo.stop import Stop

EXIT_INTERRUPTED = 130


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the demo's options."""
    parser.description = (
        "Run an origin with two epoch-locked ffmpeg packagers, a and b, and a reader that asks for every segment as a"
        " CDN cache would. Break something and watch who is chosen. Exit status 0 if nothing was missing or damaged,"
        " else 1."
    )
    add = parser.add_argument
    add(
        "--seconds",
        type=parse_seconds_ms,
        metavar="N",
        help="stop after N seconds of media (default: run until Ctrl-C)",
    )
    add(
        "--kill",
        type=parse_kill,
        action="append",
        default=[],
        metavar="a@20",
        help="kill packager a 20 s after its media began; repeatable",
    )
    add(
        "--drop",
        type=parse_share,
        action="append",
        default=[],
        metavar="a:30%",
        help="lose 30%% of a's segments on their way; repeatable",
    )
    add(
        "--late",
        type=parse_late,
        action="append",
        default=[],
        metavar="b:800ms",
        help="let all that b sends arrive 800 ms later; repeatable",
    )
    add(
        "--garble",
        type=parse_share,
        action="append",
        default=[],
        metavar="a:10%",
        help="let 10%% of a's segments arrive as silent garbage, of kinds that show without decoding; repeatable",
    )
    add(
        "--json", action="store_true", help="print one line of JSON for each thing that happens; the log goes to stderr"
    )
    add(
        "--folder",
        type=Path,
        metavar="DIR",
        help="keep configuration, log and data in DIR (default: a temporary folder)",
    )
    add("--ffmpeg", type=Path, metavar="PATH", help="use this ffmpeg (default: the one that comes with imageio-ffmpeg)")
    parser.set_defaults(usage_error=parser.error)


def run_demo(parsed: argparse.Namespace) -> int:
    """Run the demo; returns the exit status: 0, or 1 if anything was missing or damaged, or it could not start."""
    try:
        options = fit(parsed)
    except UnfitOptions as exc:
        parsed.usage_error(str(exc))
        raise AssertionError("argparse exits") from exc
    try:
        return uvloop.run(_run(options)).exit_status
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # before anything had started


async def _run(options: DemoOptions) -> Summary:
    stop = Stop()
    outlet = Outlet(on_broken=lambda: stop.ask("its output was closed"))
    async with _show(options, outlet) as show:
        return await Stage(options, stop, show).run()


def _show(options: DemoOptions, outlet: Outlet) -> Show:
    if options.as_json:
        return JsonLines(outlet)
    return Page(Console(highlight=False), outlet) if sys.stdout.isatty() else PlainLines(outlet)

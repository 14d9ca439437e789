"""The command line: `live-origin serve | restart | reload | check | settings | inspect | gc | demo`."""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from config.load import ConfigError, load_settings
from config.model import Settings
from config.reference import settings_table
from origin.app import Origin
from origin.demo.command import add_demo_arguments, run_demo
from origin.gc_command import add_gc_arguments, run_gc
from origin.inspect import add_inspect_arguments, run_inspect
from origin.logs import LogWriter
from origin.pid_file import AlreadyRunning, add_control_arguments, run_reload, run_restart
from origin.supervised import run_supervised
from storage.errors import StorageError

EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status: 0, or 1 when it failed (2 for wrong arguments, by argparse)."""
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except (ConfigError, StorageError) as exc:
        print(exc, file=sys.stderr)
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live-origin", description="A live-streaming origin server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the origin until SIGTERM or Ctrl-C")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="configuration (YAML)")
    _add_override(serve)
    serve.set_defaults(command=_serve)
    check = commands.add_parser("check", help="check a configuration; exit status 0 or 1, all problems printed")
    check.add_argument("config", type=Path, metavar="FILE")
    _add_override(check)
    check.set_defaults(command=_check)
    settings = commands.add_parser("settings", help="print every setting with default, bounds and meaning")
    settings.set_defaults(command=_print_settings)
    inspect = commands.add_parser("inspect", help="tell what segments on disk hold: init segment first")
    add_inspect_arguments(inspect)
    inspect.set_defaults(command=run_inspect)
    gc = commands.add_parser("gc", help="explain what would be deleted now, and why")
    add_gc_arguments(gc)
    _add_override(gc)
    gc.set_defaults(command=run_gc)
    for name, help_text, command in (
        ("restart", "have a running origin replace its processes one by one", run_restart),
        ("reload", "have a running origin read its configuration again", run_reload),
    ):
        control = commands.add_parser(name, help=help_text)
        add_control_arguments(control)
        _add_override(control)
        control.set_defaults(command=command)
    demo = commands.add_parser("demo", help="run an origin with two ffmpeg packagers and a reader, and watch it")
    add_demo_arguments(demo)
    demo.set_defaults(command=run_demo)
    return parser


def _add_override(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting, such as listen.deliver=0.0.0.0:8080; repeatable",
    )


def _serve(parsed: argparse.Namespace) -> int:
    def load() -> Settings:
        return load_settings(parsed.config, os.environ, parsed.set)

    settings = load()
    if settings.workers:
        try:
            return run_supervised(settings, load)
        except (AlreadyRunning, OSError) as exc:
            print(f"live-origin cannot run: {exc}", file=sys.stderr)
            return EXIT_FAILED
    writer = LogWriter(settings.log.level)
    writer.start()
    try:
        try:
            uvloop.run(_serve_until_signal(settings))
        finally:
            writer.stop()  # the reason is told below what led to it
    except (StorageError, OSError) as exc:
        print(f"live-origin cannot run: {exc}", file=sys.stderr)
        return EXIT_FAILED
    return 0


async def _serve_until_signal(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    origin = Origin(settings)
    await origin.start()
    # What recovery made stays for hours. Looking through it for garbage would stop the event loop for as long as a
    # tenth of a second with a million copies (17 ms with 200,000, measured).
    gc.collect()
    gc.freeze()
    await stop.wait()
    await origin.stop()


def _check(parsed: argparse.Namespace) -> int:
    settings = load_settings(parsed.config, os.environ, parsed.set)
    for event in settings.to_events():
        renditions = ", ".join(rendition.id for rendition in event.renditions)
        pipelines = ", ".join(pipeline.id for pipeline in event.pipelines)
        print(f"{event.id}: renditions {renditions}; pipelines {pipelines} in this order")
    print(f"{parsed.config}: no problems")
    return 0


def _print_settings(_: argparse.Namespace) -> int:
    print(settings_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())

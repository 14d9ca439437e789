"""What locust runs; `python -m loadtests` starts it, with an origin of its own if none is named.

Every wait is for a moment on the grid, never for the answer before, and lateness is measured from that moment: a
stalled server cannot look fast by being asked less often. Every body is checked: a fast wrong answer fails.
"""

from argparse import ArgumentParser
from threading import Thread
from typing import Any

from locust import events

from loadtests.client import Client
from loadtests.load import Load
from loadtests.options import add_options
from loadtests.packager import Packager
from loadtests.shapes import Shape
from loadtests.users import LoadUser

__all__ = ["Client", "Packager", "Shape"]


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    """Know the same options as the command."""
    add_options(parser)


@events.init.add_listener
def begin(environment: Any, **_: object) -> None:
    """Make what all users share, before there is one."""
    LoadUser.load = Load(environment.parsed_options)
    Packager.fixed_count = LoadUser.load.packagers
    # A greenlet: locust has patched threads.
    Thread(target=LoadUser.load.watch_itself, args=(environment,), daemon=True).start()


@events.quitting.add_listener
def end(environment: Any, **_: object) -> None:
    """The exit status is that of the thresholds, not of every answer that locust calls a failure."""
    errors = sum(int(each["count"]) for each in environment.runner.exceptions.values())
    checks = LoadUser.load.verdict(generator_errors=errors)
    environment.process_exit_code = int(any(check.is_crossed for check in checks))

"""How a running supervisor is found, and the commands that tell it something."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import yaml

from origin.pid_file import (
    PID_FILE,
    AlreadyRunning,
    PidFile,
    add_control_arguments,
    find_supervisor,
    run_reload,
    run_restart,
    signal_supervisor,
)
from tests.support.origins import EVENT

# Holds the file until it is told something, and tells what it was.
HOLDER = """
import signal, sys
from pathlib import Path
from origin.pid_file import PidFile
numbers = {signal.SIGUSR2, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
with PidFile(Path(sys.argv[1])):
    print("held", flush=True)
    print(signal.Signals(signal.sigwait(numbers)).name, flush=True)
"""


@contextmanager
def holder(folder: Path) -> Iterator[Popen[str]]:
    """Another process that has the file."""
    with Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def told(process: "Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_supervisor_is_found_while_it_lives(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert find_supervisor(folder) is None
    with holder(folder) as process:
        assert find_supervisor(folder) == process.pid
        assert (folder / PID_FILE).read_text() == f"{process.pid}\n"
        process.kill()
        process.wait()
        # What a crash leaves names a process that may be anybody by now.
        assert (folder / PID_FILE).read_text() == f"{process.pid}\n"
        assert find_supervisor(folder) is None
        assert signal_supervisor(folder, signal.SIGUSR2) is None


def test_a_folder_has_one_supervisor_and_another_one_after_it(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    taken = pytest.raises(AlreadyRunning, match=f"another live-origin runs in {tmp_path}")
    with holder(tmp_path), taken, PidFile(tmp_path):
        pass
    with PidFile(tmp_path):
        assert (tmp_path / PID_FILE).read_text() == f"{os.getpid()}\n"
    assert (tmp_path / PID_FILE).read_text() == ""
    assert os.listdir("/proc/self/fd") == before


def test_a_supervisor_that_ends_between_two_questions_is_not_signalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(tmp_path) as process:

        def open_late(pid: int) -> int:
            process.kill()
            process.wait()
            raise ProcessLookupError(pid)

        monkeypatch.setattr(os, "pidfd_open", open_late)
        assert signal_supervisor(tmp_path, signal.SIGUSR2) is None


def test_its_number_given_to_another_process_is_not_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_process = os.pidfd_open
    with holder(tmp_path) as process:

        def open_another(_: int) -> int:
            process.kill()
            process.wait()
            return open_process(os.getpid())

        monkeypatch.setattr(os, "pidfd_open", open_another)
        assert signal_supervisor(tmp_path, signal.SIGUSR2) is None  # by which this process would have ended


# -- commands


def parsed(folder: Path) -> argparse.Namespace:
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump({"storage": {"path": str(folder / "data")}, "events": [EVENT]}))
    parser = argparse.ArgumentParser()
    add_control_arguments(parser)
    parser.set_defaults(set=[])
    return parser.parse_args(["--config", str(config)])


def test_a_restart_and_a_reload_are_told_to_the_supervisor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, number in ((run_restart, "SIGUSR2"), (run_reload, "SIGHUP")):
        with holder(tmp_path / "data") as process:
            assert command(parsed(tmp_path)) == 0
            assert told(process) == number
        assert f"live-origin (process {process.pid}) re" in capsys.readouterr().out


def test_without_a_supervisor_the_command_fails_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_restart(parsed(tmp_path)) == 1
    assert f"no live-origin with workers runs in {tmp_path / 'data'}" in capsys.readouterr().err


def test_somebody_elses_supervisor_cannot_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with holder(tmp_path / "data"):
        assert run_restart(parsed(tmp_path)) == 1
    assert "cannot be told: Operation not permitted" in capsys.readouterr().err

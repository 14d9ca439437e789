"""The commands: their exit statuses and what they print. Real processes and signals are in `tests/integration`."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import origin.__main__
from config.reference import iterate_settings
from origin.__main__ import main
from origin.app import Origin
from tests.support.origins import EVENT


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Give the root logger back to whoever had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def write_config(folder: Path, **sections: Any) -> Path:
    path = folder / "live-origin.yaml"
    document: dict[str, Any] = {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "64MiB", "ssd": "1GiB"},
        "workers": 0,
        "events": [EVENT],
    }
    path.write_text(yaml.safe_dump(document | sections))
    return path


# -- check


def test_a_good_configuration_is_told_what_it_describes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path)
    assert main(["check", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"derby: renditions v720, a128; pipelines a, b in this order\n{path}: no problems\n"
    assert err == ""
    assert not (tmp_path / "data").exists(), "checking touches nothing"


def test_all_problems_of_a_bad_configuration_are_printed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, limits={"hold": "forever", "holdz": 3}, stop_timeout="-1s")
    assert main(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}: 3 problems\n")
    for key in ("limits.hold", "limits.holdz", "stop_timeout"):
        assert key in err


def test_problems_of_environment_and_flags_are_printed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVE_ORIGIN_LIMITS__HOLDS", "many")
    path = write_config(tmp_path)
    assert main(["check", str(path), "--set", "storage.ram=lots"]) == 1
    err = capsys.readouterr().err
    assert "2 problems" in err
    assert "LIVE_ORIGIN_LIMITS__HOLDS" in err
    assert "storage.ram" in err


def test_a_flag_mends_a_file(tmp_path: Path) -> None:
    path = write_config(tmp_path, limits={"hold": "forever"})
    assert main(["check", str(path)]) == 1
    assert main(["check", str(path), "--set", "limits.hold=8s"]) == 0


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


# -- settings


def test_the_settings_table_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("| setting |")
    for setting in iterate_settings():
        assert f"| `{setting.key}` |" in out


# -- Wrong arguments

WRONG = [[], ["publish"], ["serve"], ["check"], ["serve", "--port", "1"]]


@pytest.mark.parametrize("arguments", WRONG, ids=[" ".join(arguments) or "none" for arguments in WRONG])
def test_wrong_arguments_are_told_how_it_goes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: live-origin")


# -- serve


def test_a_bad_configuration_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--config", str(write_config(tmp_path, stop_timeout="soon"))]) == 1
    assert "stop_timeout" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["serve", "--config", str(write_config(tmp_path)), "--set", f"listen.deliver={address}"]
        assert main(arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("live-origin cannot run: ")]
    assert len(errors) == 1
    assert "in use" in errors[0]


def test_a_folder_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    assert main(["serve", "--config", str(write_config(tmp_path))]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("live-origin cannot run: ")]
    assert len(errors) == 1
    assert "File exists" in errors[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_ends_with_a_signal_and_status_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    states: list[str] = []

    class SignalledOrigin(Origin):
        async def start(self) -> None:
            await super().start()
            states.append(self.health.state)
            os.kill(os.getpid(), number)

        async def stop(self) -> None:
            await super().stop()
            states.append(self.health.state)

    monkeypatch.setattr(origin.__main__, "Origin", SignalledOrigin)
    assert main(["serve", "--config", str(write_config(tmp_path))]) == 0
    assert states == ["ready", "stopping"]
    assert (tmp_path / "data" / "journal").is_dir()


@pytest.mark.parametrize("command", ["restart", "reload"])
def test_an_origin_that_does_not_run_cannot_be_told_anything(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--config", str(write_config(tmp_path))]) == 1
    assert "no live-origin with workers runs" in capsys.readouterr().err


@pytest.mark.parametrize("listener", ["publish", "deliver", "admin"])
def test_with_workers_a_port_in_use_is_said_before_anything_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], listener: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = write_config(tmp_path, workers=2)
        assert main(["serve", "--config", str(path), "--set", f"listen.{listener}={address}"]) == 1
    err = capsys.readouterr().err
    assert "live-origin cannot run: " in err and "in use" in err
    assert "process started" not in err


def test_with_workers_a_folder_that_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    assert main(["serve", "--config", str(write_config(tmp_path, workers=2))]) == 1
    assert "live-origin cannot run: " in capsys.readouterr().err

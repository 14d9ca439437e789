"""What README.md tells a stranger to type works, and what it says of the settings is what they are."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

from config.reference import settings_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PORTS = {"8080": "DELIVER", "8081": "PUBLISH", "8082": "ADMIN"}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_settings_table_is_the_generated_one() -> None:
    _, _, rest = README.partition("<!-- settings: begin (live-origin settings) -->\n")
    table, _, _ = rest.partition("<!-- settings: end -->")
    assert table.strip() == settings_table().strip(), "put the output of `live-origin settings` into README.md"


def test_every_make_target_it_names_exists_and_every_demo_option_is_known() -> None:
    """What the targets do is run by CI itself (`make test`, `make run`) and by the demo's own tests."""
    makefile = (ROOT / "Makefile").read_text()
    commands = [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines() if line]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "make", command
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), command
        for argument in words[2:]:
            options = shlex.split(argument.removeprefix("ARGS="))
            demo_help = subprocess.run(
                [sys.executable, "-m", "origin", "demo", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            assert all(option in demo_help.stdout for option in options if option.startswith("--")), command


def test_ffmpeg_and_curl_connect_as_it_says(tmp_path: Path) -> None:
    """The shell block, word for word but for the ports and the place of the commands."""
    (script,) = _blocks("bash")
    environment = dict(os.environ)
    for port, name in PORTS.items():
        free = str(_free_port())
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        environment[f"LIVE_ORIGIN_LISTEN__{name}"] = f"127.0.0.1:{free}"
    environment["LIVE_ORIGIN_STORAGE__PATH"] = str(tmp_path / "data")
    script = script.replace(".venv/bin/live-origin", f"{shlex.quote(sys.executable)} -m origin")
    script = script.replace("config/examples", str(ROOT / "config/examples"))
    environment["PYTHONPATH"] = str(ROOT)
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            # The shell ends after its last curl; origin and ffmpeg hold the pipe open, so do not read to its end.
            status = shell.wait(timeout=60)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
        assert shell.stdout is not None
        output = shell.stdout.read()
    assert status == 0, output
    assert "no problems" in output
    assert "HTTP/1.1 200 OK" in output
    assert "Live-Origin-Pipeline: a" in output
    assert "#EXTM3U" in output
    assert (tmp_path / "segment.ts").read_bytes()[:1] == b"\x47"

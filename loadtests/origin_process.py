"""An origin to load: the command `live-origin serve`, with a configuration made for the run."""

import ctypes
import json
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
START_S_MAX: Final = 30
STOP_S_MAX: Final = 20
_PR_SET_PDEATHSIG: Final = 1


def document(options: Namespace, folder: Path) -> dict[str, Any]:
    """Return the configuration of an origin that has the event of `options`, with its data below `folder`.

    Memory is small, so that rewinds reach the disk.
    """
    event = {
        "id": options.event,
        "segment_duration": f"{options.segment_ms}ms",
        "start_number": options.start_number,
        "publish_delay": f"{options.publish_delay_ms}ms",
        "dvr_window": f"{options.dvr_ms}ms",
        "retention": "10s",
        "media": _template(options.media),
        "init": _template(options.init) or None,
        "renditions": [
            {"id": each, "kind": "video", "bandwidth": 1_000_000, "codecs": "avc1.64001f"}
            for each in options.renditions.split(",")
        ],
        "pipelines": [{"id": each} for each in options.pipelines.split(",")],
    }
    return {
        "listen": dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"),
        "storage": {"path": str(folder / "data"), "ram": "8MiB", "ssd": "4GiB"},
        "workers": options.workers,
        "limits": {"segment_bytes": "4MiB"},
        "log": {"requests": False},
        "events": [event],
    }


def _template(name: str) -> str:
    return name.replace("{rendition}", "$RepresentationID$").replace("{number}", "$Number$")


class StartError(Exception):
    """The origin did not start; the text is its log."""


class OriginProcess:
    """A running origin. Its log goes to a file; `deliver` and `publish` are base URLs.

    Raises:
        StartError
    """

    def __init__(self, options: Namespace, folder: Path, log: Path) -> None:
        config = folder / "config.yaml"
        # JSON is YAML.
        config.write_text(json.dumps(document(options, folder)))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "origin", "serve", "--config", str(config)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            # Ctrl-C is for the generator first; and an origin does not outlive who started it.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread has been started yet
        )
        self._ready: dict[str, Any] = {}
        self._told = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()
        self._told.wait(START_S_MAX)
        if not self._ready:
            self.stop()
            raise StartError(log.read_text())
        self.deliver, self.publish = str(self._ready["deliver"]), str(self._ready["publish"])

    def stop(self) -> int:
        """Stop it as an operator does; returns its exit status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        return status

    def _read(self, log: Path) -> None:
        assert self._process.stderr is not None
        with log.open("wb") as file, self._process.stderr as lines:
            for line in lines:
                file.write(line)
                file.flush()
                if not self._told.is_set() and b'"ready"' in line:
                    self._ready = json.loads(line)
                    self._told.set()
        self._told.set()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

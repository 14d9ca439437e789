"""`make load` for two minutes beside the other tests: it begins when they do, and is judged last of all."""

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 120
# Of its own time, what starting, stopping and a machine under load may add.
WAIT_S_MAX: Final = SECONDS + 90
# How late it may be says nothing here, as other tests have the machine; that nothing is wrong does.
_LATE: Final = "15000"
_OPTIONS: Final = ("--late-p50-ms-max", _LATE, "--late-p99-ms-max", _LATE, "--put-p99-ms-max", _LATE)
FIXTURE: Final = "tour"


class Tour:
    """One run of `python -m loadtests` with an origin of its own. Its report is in `folder`."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="live-origin-tour-")
        self.folder = Path(self._folder.name)
        command = (sys.executable, "-m", "loadtests", "--seconds", str(SECONDS), "--report", self._folder.name)
        with (self.folder / "output.txt").open("wb") as output:
            self._process = subprocess.Popen(
                [*command, *_OPTIONS], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def wait(self) -> tuple[int, str]:
        """Return exit status and output."""
        status = self._process.wait(WAIT_S_MAX)
        return status, (self.folder / "output.txt").read_text()

    def close(self) -> None:
        """End it, if it still runs, and remove its report."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(WAIT_S_MAX)
        self._folder.cleanup()


TOUR: Final = pytest.StashKey[Tour]()


def needs_tour(item: pytest.Item) -> bool:
    """Return whether a test looks at the tour."""
    return FIXTURE in getattr(item, "fixturenames", ())

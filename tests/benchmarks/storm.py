"""Readers who never pause: `wrk` in a process of its own, which costs a tenth of what a client in Python does."""

import resource
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.benchmarks.client import Address
from tests.benchmarks.served import PATIENCE_S, WrongAnswerError

# Every connection asks for one path after the other; what came of it is told as numbers.
_SCRIPT: Final = """
local requests, at = {}, 0
function init()
  for line in io.lines("%s") do requests[#requests + 1] = wrk.format("GET", line) end
  at = math.random(#requests)
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary)
  local errors, wrong = summary.errors, ""
  for kind, count in pairs(errors) do
    if count > 0 then wrong = wrong .. " " .. kind .. " " .. count end
  end
  print(string.format("TOLD %%d %%d %%d%%s", summary.requests, summary.bytes, summary.duration, wrong))
end
"""


@dataclass(frozen=True)
class Tally:
    """What a storm has got.

    Args:
        cpu_s: What the readers themselves have used.
    """

    requests: int
    body_bytes: int
    seconds: float
    cpu_s: float

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds


@dataclass
class Storm:
    """Readers at work."""

    _process: subprocess.Popen[str]
    _cpu_begin_s: float

    def end(self) -> Tally:
        """Wait until the time is up.

        Raises:
            WrongAnswerError: A connection broke, or an answer was not 2xx.
        """
        told, complaint = self._process.communicate(timeout=PATIENCE_S + 60)
        line = next((line for line in told.splitlines() if line.startswith("TOLD ")), None)
        if line is None:
            raise RuntimeError(f"wrk has failed: {told}{complaint}")
        _, *figures, wrong = f"{line} ".split(" ", 4)
        requests, body_bytes, duration_us = map(int, figures)
        if wrong or not requests:
            raise WrongAnswerError(f"of {requests} requests some were answered wrong, or not at all: {wrong}")
        return Tally(requests, body_bytes, duration_us / 1e6, _children_cpu_s() - self._cpu_begin_s)


@contextmanager
def storm(
    address: Address, paths: Sequence[str], connections: int, seconds: float, prefix: Sequence[str] = ()
) -> Iterator[Storm]:
    """Ask for paths on so many connections, each as soon as it has its answer, for so long.

    Args:
        prefix: Commands that wrk is started with, to pin it or to have it stand back.
    """
    with tempfile.TemporaryDirectory() as folder:
        names, script = Path(folder) / "paths", Path(folder) / "storm.lua"
        names.write_text("".join(f"{path}\n" for path in paths), encoding="ascii")
        script.write_text(_SCRIPT % names, encoding="ascii")
        timing = ["--threads", "1", "--connections", str(connections), "--duration", f"{max(round(seconds), 1)}s"]
        command = [*prefix, "wrk", *timing, "--timeout", "30s", "--script", str(script)]
        url = f"http://{address[0]}:{address[1]}"
        pipe = subprocess.PIPE
        process = subprocess.Popen([*command, url], stdout=pipe, stderr=pipe, text=True)
        try:
            yield Storm(process, _children_cpu_s())
        finally:
            process.kill()
            process.communicate()


def _children_cpu_s() -> float:
    """Return the processor time of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

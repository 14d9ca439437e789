"""All tests, in two runs of pytest side by side: most of one is arithmetic, most of the other is waiting for real time.

python -m tests            # everything; what `make test` runs
python -m tests -k journal # with arguments: one run of pytest with these
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parent
# Real daemons, real packagers, real time: about half of a processor.
WAITING: Final = ("edge", "faults", "integration")
PYTEST: Final = (sys.executable, "-m", "pytest")


def halves() -> tuple[list[str], list[str]]:
    """Return what is to be run: that which mostly waits, and all other folders and files with tests."""
    others = [
        path
        for path in sorted(TESTS.iterdir())
        if path.name not in WAITING and (path.match("test_*.py") or any(path.rglob("test_*.py")))
    ]
    return [str(TESTS / name) for name in WAITING], [str(path) for path in others]


def main(arguments: list[str]) -> int:
    """Run them and return the exit status of the run that fails; 0 if both end well."""
    if arguments:
        return subprocess.run([*PYTEST, *arguments], check=False).returncode
    waiting, others = halves()
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen([*PYTEST, *others], stdout=output, stderr=subprocess.STDOUT)
        try:
            status = subprocess.run([*PYTEST, *waiting], check=False).returncode
            beside.wait()
        finally:
            beside.terminate()
            beside.wait()
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
        sys.stdout.buffer.flush()
    return status or beside.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

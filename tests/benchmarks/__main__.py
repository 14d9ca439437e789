"""All benches, one after the other, and the file that shows what they measured.

    python -m tests.benchmarks [--only nginx,puts] [--record] [--list]

Each bench is a process of its own and prints what it measures as Markdown tables. With `--record` each table replaces
the one in BENCHMARKS.md, with machine, date and command. A bench that fails leaves its block as it was, the
others go on, and the exit status is 1.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tests.benchmarks.record import NoBlockError, block, machine, replaced

ROOT: Final = Path(__file__).resolve().parent.parent.parent
REPORT: Final = ROOT / "BENCHMARKS.md"


class Bench(NamedTuple):
    """One command, below `tests.benchmarks`."""

    name: str
    arguments: tuple[str, ...]
    what: str

    @property
    def command(self) -> list[str]:
        """What is handed to Python."""
        return ["-m", f"tests.benchmarks.{self.arguments[0]}", *self.arguments[1:]]


BENCHES: Final = (
    Bench("nginx", ("against_nginx",), "GET beside nginx"),
    Bench("puts", ("puts_against_nginx",), "PUT beside nginx"),
    Bench("held", ("held_release", "--workers", "0,1,2"), "from the PUT to the requests held for it"),
    Bench("live", ("live_edge",), "readers at the live edge"),
    Bench("storm", ("storm_404",), "impossible requests beside live traffic"),
    Bench("overload", ("overload",), "more rewinds than the SSD tier serves"),
    Bench("hostile", ("hostile",), "slow clients"),
    Bench("workers", ("workers",), "deliver processes"),
    Bench("cost", ("request_cost",), "the deliver side's own code for each kind of request"),
    Bench("memory", ("memory_each",), "memory of a connection, a held request, a candidate"),
    Bench("inspection", ("inspection",), "looking into uploads"),
    Bench("recovery", ("recovery",), "replaying a journal"),
)


class UnknownBenchError(Exception):
    """A name that no bench has."""


def chosen(names: str | None) -> list[Bench]:
    """Return the benches with these names, comma-separated, in the order of the table; all for None.

    >>> [bench.name for bench in chosen("puts,nginx")]
    ['nginx', 'puts']

    Raises:
        UnknownBenchError: One of them is none.
    """
    if names is None:
        return list(BENCHES)
    wanted = set(names.split(","))
    known = {bench.name for bench in BENCHES}
    if unknown := wanted - known:
        raise UnknownBenchError(
            f"no bench is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    return [bench for bench in BENCHES if bench.name in wanted]


def run(bench: Bench) -> str | None:
    """Run a bench and show what it prints while it does; returns that, or None if it failed."""
    print(f"\n# {bench.name}: python {' '.join(bench.command)}", flush=True)
    printed = []
    with subprocess.Popen([sys.executable, *bench.command], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            printed.append(line)
    return None if process.returncode else "".join(printed)


def record(report: Path, bench: Bench, printed: str) -> None:
    """Write what a bench has printed into its block.

    Raises:
        NoBlockError: The file has none.
    """
    command = f"python {' '.join(bench.command)}"
    content = block(printed, command, machine(), datetime.now(UTC).date())
    report.write_text(replaced(report.read_text(encoding="utf-8"), bench.name, content), encoding="utf-8")


def measure(benches: Sequence[Bench], report: Path | None, runner: Callable[[Bench], str | None] = run) -> list[str]:
    """Run benches, and record them unless `report` is None; returns what went wrong."""
    problems = []
    for bench in benches:
        printed = runner(bench)
        if printed is None:
            problems.append(f"{bench.name} has failed")
        elif report is not None:
            try:
                record(report, bench, printed)
            except NoBlockError as exc:
                problems.append(f"{bench.name} is not recorded in {report.name}: {exc}")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="All benches.")
    parser.add_argument("--only", metavar="NAMES", help="which ones, comma-separated")
    parser.add_argument("--record", action="store_true", help=f"write what they measure into {REPORT.name}")
    parser.add_argument("--list", action="store_true", help="tell what there is, and run nothing")
    arguments = parser.parse_args()
    try:
        benches = chosen(arguments.only)
    except UnknownBenchError as exc:
        sys.exit(str(exc))
    if arguments.list:
        for bench in benches:
            print(f"{bench.name:<12}{bench.what}: python {' '.join(bench.command)}")
        return
    problems = measure(benches, REPORT if arguments.record else None)
    if problems:
        sys.exit("\n".join(["", *problems]))


if __name__ == "__main__":
    main()

"""What all users of one run share: the plan and the clock, who has which role, what was sent, seen and measured."""

import csv
import time
from argparse import Namespace
from typing import Any

from loadtests import options as chosen
from loadtests.judge import Check, Count, Quantity, Tally, judge, summary
from loadtests.lag import Lag
from loadtests.ledger import Ledger
from loadtests.stages import Role

# How often the generator looks at its own clock.
_PULSE_MS = 5.0


def now_ms() -> float:
    """Return the wall clock."""
    return time.time() * 1_000


def sleep_until(moment_ms: float) -> None:
    """Let others go on until then."""
    time.sleep(max(moment_ms - now_ms(), 0) / 1_000)


class Load:
    """One run."""

    def __init__(self, options: Namespace) -> None:
        options.host, options.publish = options.host.rstrip("/"), options.publish.rstrip("/")
        self.options = options
        self.grid = chosen.grid_of(options)
        self.plan = chosen.plan_of(options)
        self.renditions: list[str] = options.renditions.split(",")
        self.pipelines: list[str] = options.pipelines.split(",") if options.publish else []
        self.late_ms = chosen.late_of(options)
        self.ledger = Ledger(knows_all=bool(self.pipelines))
        self.tally = Tally()
        self.lag = Lag()
        self.first_number = 0  # the oldest one that every packager has sent
        self.preparing = len(self.pipelines) * len(self.renditions)
        self._clients: list[object] = []
        self._begun_ms: float | None = None
        self._born = time.monotonic()

    @property
    def packagers(self) -> int:
        """How many of them there are."""
        return len(self.pipelines) * len(self.renditions)

    def elapsed_ms(self) -> float:
        """Return how long ago the first stage began; the first who asks when packagers are ready begins it."""
        if self._begun_ms is None:
            if self.preparing > 0:
                return 0
            self._begun_ms = now_ms()
        return now_ms() - self._begun_ms

    def is_dead(self, pipeline: str) -> bool:
        """Return whether the stage has killed a pipeline."""
        begun = self._begun_ms is not None
        return begun and pipeline == self.pipelines[0] and self.plan.is_first_dead(self.elapsed_ms())

    def join(self, client: object) -> int:
        """A client comes; returns a number that is its own for now."""
        self._clients.append(client)
        return len(self._clients) - 1

    def leave(self, client: object) -> None:
        """A client goes."""
        if client in self._clients:
            self._clients.remove(client)

    def role_of(self, client: object) -> Role | None:
        """Return what a client does now."""
        found = self.plan.at(self.elapsed_ms())
        return None if found is None else found[0].role_of(self._clients.index(client))

    def count(self, what: Count) -> None:
        """Count one."""
        self.tally.counts[what] += 1

    def measure(self, what: Quantity, value_ms: float) -> None:
        """Take one value."""
        self.tally.times[what].add(max(value_ms, 0))

    def watch_itself(self, environment: Any) -> None:
        """Measure the generator's own lag for ever; once a second the worst is a row of the report."""
        worst_ms, until_ms, newest = 0.0, now_ms() + 1_000, 0
        while True:
            self.lag.plan(now_ms() + _PULSE_MS)
            time.sleep(_PULSE_MS / 1_000)
            late_ms = self.lag.woke(now_ms())
            self.measure(Quantity.LAG, late_ms)
            worst_ms = max(worst_ms, late_ms)
            if now_ms() >= until_ms:
                report(environment, "LAG", "generator, worst of a second", worst_ms)
                worst_ms, until_ms = 0.0, now_ms() + 1_000
                kept = self.grid.first_kept(int(now_ms()))
                if kept > newest:
                    self.ledger.forget_before(kept - 10)
                    newest = kept

    def verdict(self, generator_errors: int) -> list[Check]:
        """Judge, and write the summary and the thresholds beside the report."""
        self.tally.generator_errors = generator_errors
        self.tally.cpu_percent = 100 * time.process_time() / max(time.monotonic() - self._born, 1)
        limits = chosen.limits_of(self.options)
        checks = judge(self.tally, limits)
        lines = list(summary(self.tally, limits))
        chosen.report_file(self.options, "summary.txt").write_text("\n".join([*lines, ""]))
        with chosen.report_file(self.options, "load_thresholds.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("threshold", "measured", "allowed", "bound", "crossed"))
            for each in checks:
                bound = "least" if each.is_least else "most"
                rows.writerow((each.name, each.measured, each.allowed, bound, "yes" if each.is_crossed else "no"))
        return checks


def report(environment: Any, kind: str, name: str, value_ms: float, problem: str | None = None) -> None:
    """Put a row of one's own into locust's report."""
    environment.events.request.fire(
        request_type=kind,
        name=name,
        response_time=max(value_ms, 0),
        response_length=0,
        exception=None if problem is None else RuntimeError(problem),
        context={},
    )

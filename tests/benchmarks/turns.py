"""Two servers that are measured in turns, round by round, and what the rounds come to: medians, spreads, ratios."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.figures import Row

# A side that uses this share of its processor cannot go faster.
BUSY: Final = 0.9


@dataclass(frozen=True)
class Turn:
    """What one server did in one round.

    Args:
        count: Requests answered.
        amount: What the cost is told for: bytes, or requests.
        server_cpu_s: Of the process that serves.
        client_cpu_s: Of the generator, on the other processor.
        others_s: Processor time that the rest of the machine used.
    """

    count: int
    amount: float
    seconds: float
    server_cpu_s: float
    client_cpu_s: float
    others_s: float = 0.0

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.count / self.seconds

    @property
    def cost(self) -> float:
        """Processor seconds of the server for one unit of `amount`."""
        return self.server_cpu_s / self.amount

    @property
    def server_busy(self) -> float:
        """Share of its processor that the server used."""
        return self.server_cpu_s / self.seconds

    @property
    def client_busy(self) -> float:
        """Share of its processor that the generator used."""
        return self.client_cpu_s / self.seconds


@dataclass(frozen=True)
class Duel:
    """All rounds of both; turns at one place are of one round."""

    ours: Sequence[Turn]
    theirs: Sequence[Turn]

    @property
    def ratios(self) -> list[float]:
        """Requests a second of ours for one of theirs, round by round."""
        return [our.per_s / their.per_s for our, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def cost_ratios(self) -> list[float]:
        """Processor time of ours for one second of theirs, of the rounds long enough for theirs to be seen."""
        return [our.cost / their.cost for our, their in zip(self.ours, self.theirs, strict=True) if their.cost]

    def cells(self, noun: str, cost: str) -> Row:
        """Return the cells of a row. Ratios are of the medians; those of single rounds stand in brackets.

        Args:
            noun: What is counted, as `requests`.
            cost: What the processor time is for, as `CPU s/GB`.
        """
        ours, theirs = [turn.per_s for turn in self.ours], [turn.per_s for turn in self.theirs]
        others = [turn.others_s / turn.seconds for turn in (*self.ours, *self.theirs)]
        our_cost, their_cost = (statistics.median(turn.cost for turn in turns) for turns in (self.ours, self.theirs))
        return {
            f"origin {noun}/s": whole(ours),
            f"nginx {noun}/s": whole(theirs),
            "**ratio**": ratio(statistics.median(ours) / statistics.median(theirs), self.ratios),
            f"origin {cost}": our_cost,
            f"nginx {cost}": their_cost,
            f"**{cost} ratio**": ratio(our_cost / their_cost if their_cost else float("nan"), self.cost_ratios),
            "busy: origin, its client": shares(self.ours),
            "busy: nginx, its client": shares(self.theirs),
            "others": f"{statistics.median(others):.2f}, {max(others):.2f}",
        }


def whole(values: Sequence[float]) -> str:
    """Return a median with least and most, in whole numbers.

    >>> whole([12_000.4, 9_000, 15_000])
    '12,000 (9,000 to 15,000)'
    """
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def ratio(of_medians: float, by_round: Sequence[float]) -> str:
    """Return a ratio with the least and the most of a single round.

    >>> ratio(1.234, [1.1, 1.3])
    '**1.23** (1.10 to 1.30)'
    """
    around = f" ({min(by_round):.2f} to {max(by_round):.2f})" if by_round else ""
    return f"**{of_medians:.2f}**{around}"


def shares(turns: Sequence[Turn]) -> str:
    """Return how busy server and generator were, and which of them was the bottleneck: the one that was always busy.

    >>> shares([Turn(1, 1, 2.0, 1.96, 1.0)]), shares([Turn(1, 1, 2.0, 0.5, 1.98)]), shares([Turn(1, 1, 2.0, 1.0, 1.0)])
    ('98 %, 50 %: server', '25 %, 99 %: client', '50 %, 50 %: neither')
    """
    server = statistics.median(turn.server_busy for turn in turns)
    client = statistics.median(turn.client_busy for turn in turns)
    bound = "neither" if max(server, client) < BUSY else "server" if server >= client else "client"
    return f"{server * 100:.0f} %, {client * 100:.0f} %: {bound}"


def take_turns(rounds: int, ours: Callable[[], Turn], theirs: Callable[[], Turn]) -> Duel:
    """Measure both in each round; who is first changes from round to round."""
    our_turns: list[Turn] = []
    their_turns: list[Turn] = []
    for sides in _orders(rounds):
        for is_ours in sides:
            if is_ours:
                our_turns.append(ours())
            else:
                their_turns.append(theirs())
    return Duel(our_turns, their_turns)


def _orders(rounds: int) -> Iterator[tuple[bool, bool]]:
    """Yield who is first and who is second.

    >>> list(_orders(3))
    [(True, False), (False, True), (True, False)]
    """
    for index in range(rounds):
        yield (True, False) if index % 2 == 0 else (False, True)

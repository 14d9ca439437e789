"""Small worlds of copies, and two ways to see what is chosen in them.

`referee` walks through a world ms by ms and applies the rules as the design tells them, to what had happened by
then. It shares no code with `selection.decide`: it keeps no list of moments, it just looks at every one of them.
`play` is how an origin runs: the rules are asked when a copy is recorded, and when they asked to be asked again,
or any time later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from hypothesis import strategies as st

from selection.decide import Choose, Situation, Wait, decide
from selection.model import Candidate, Choice, Event, Mask, Rule, ScoreMode
from tests.properties.strategies import exact_end_ms, numbers_of_event
from tests.support.events import candidate, make_event, make_key

# No copy of a world is published later, and no wait for one begins later.
END_MS: Final = 150
# Later than any copy, wait or due segment of a world can be.
LONG_AFTER_MS: Final = 10_000
DEFECTS: Final = {"corrupt": 8, "slate": 5, "short": 2, "other": 1}


@dataclass(frozen=True)
class World:
    """Everything that was published, and the segment to be decided.

    Args:
        number: The segment to be decided, or None for the init segment.
        copies: In the order of the journal, each with the number it is a copy of.
        masked: Pipelines that are masked for the segment.
    """

    event: Event
    number: int | None
    copies: tuple[tuple[int | None, Candidate], ...]
    masked: tuple[str, ...]

    def situation(self, known_count: int | None = None, current: Choice | None = None) -> Situation:
        """Return what is known once the first `known_count` copies are recorded, or all of them."""
        known = self.copies[:known_count]

        def neighbours(number: int) -> Sequence[Candidate]:
            return [copy for its_number, copy in known if its_number == number]

        candidates = [copy for its_number, copy in known if its_number == self.number]
        masks = [Mask(f"m-{pipeline_id}", pipeline_id, 0) for pipeline_id in self.masked]
        return Situation(self.event, make_key(self.number), candidates, neighbours, masks, current)


@st.composite
def small_events(draw: st.DrawFn) -> Event:
    """Events whose segments last some ms, so that a world fits into a tenth of a second."""
    duration_ms = draw(st.sampled_from([Fraction(5), Fraction(8), Fraction(10, 3), Fraction(1001, 150)]))
    return make_event(
        epoch_ms=draw(st.integers(-3, 3)),
        duration=duration_ms / 1000,
        start_number=draw(st.integers(0, 2)),
        pipelines=["a", "b", "c", "d"][: draw(st.sampled_from([2, 3, 2, 4, 1]))],
        publish_delay_ms=draw(st.integers(0, 4)),
        retry_deadline_ms=draw(st.integers(0, 25)),
        start_ms=draw(st.none() | st.integers(3, 20)),
        end_ms=draw(st.none() | st.integers(30, 60)),
        prefer_wait_ms=draw(st.integers(0, 20)),
        grace_ms=draw(st.integers(0, 20)),
        score=draw(st.sampled_from(ScoreMode)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds around one segment: its copies and those of its neighbours, each about when it is due."""
    event = draw(small_events())
    middle = event.first_number + draw(st.integers(0, 4))
    number = draw(st.sampled_from([middle, middle, middle, None]))
    pipeline_ids = [*(pipeline.id for pipeline in event.pipelines), "z"]
    drawn = {
        (its_number, pipeline_id): draw(_facts(int(due_ms(event, middle if its_number is None else its_number))))
        for its_number in dict.fromkeys([number, *range(middle - 2, middle + 2)])
        for pipeline_id in pipeline_ids
        if draw(st.integers(0, 7)) < (6 if its_number == number else 3)
    }
    by_time = sorted(draw(st.permutations(list(drawn.items()))), key=lambda item: item[1][0])
    copies = tuple(
        (its_number, candidate(pipeline_id, ms, *defects, sequence=sequence, score=score))
        for sequence, ((its_number, pipeline_id), (ms, defects, score)) in enumerate(by_time, start=1)
    )
    masked = [pipeline_id for pipeline_id in pipeline_ids if draw(st.integers(0, 9)) == 9]
    return World(event, number, copies, tuple(masked))


def _facts(due_ms: int) -> st.SearchStrategy[tuple[int, tuple[str, ...], int | None]]:
    defects = st.sampled_from([(), (), ("short",), ("slate",), ("short", "other"), ("corrupt",), ("corrupt",)])
    return st.tuples(st.integers(due_ms - 12, due_ms + 20), defects, st.sampled_from([None, 0, 50, 100]))


def due_ms(event: Event, number: int) -> Fraction:
    """Return when a segment is due, exactly."""
    return exact_end_ms(event, number) + event.publish_delay_ms


@dataclass(frozen=True)
class Step:
    """One choice as the referee makes it."""

    copy: Candidate
    rule: Rule
    decided_ms: int


def referee(world: World) -> list[Step]:
    """Return every choice of the segment, first to last: the first one, then its upgrades."""
    steps: list[Step] = []
    due = [(number, due_ms(world.event, number)) for number in numbers_of_event(world.event, below=60)]
    times = [copy.published_ms for _, copy in world.copies]
    # The last copy may come long before its segment is due; no wait is longer than 20 ms.
    for now_ms in range(min(times, default=0), max(times, default=0) + 100):
        before = [pair for pair in world.copies if pair[1].published_ms < now_ms]
        within = [pair for pair in world.copies if pair[1].published_ms == now_ms]
        for count in range(len(within) + 1):  # a timer of this ms, then each copy recorded in it
            seen = _Seen(world, due, [*before, *within[:count]], now_ms)
            if not steps:
                steps += seen.first_choice()
            elif count and seen.is_upgrade(within[count - 1], steps[-1].copy):
                steps.append(Step(within[count - 1][1], Rule.UPGRADE, now_ms))
    return steps


@dataclass(frozen=True)
class _Seen:
    """What had happened at one instant."""

    world: World
    due: list[tuple[int, Fraction]]
    copies: list[tuple[int | None, Candidate]]
    now_ms: int

    def first_choice(self) -> list[Step]:
        event, usable = self.world.event, self._usable()
        if not usable:
            return []
        best = min(usable, key=self._place)
        rivals = [pipeline.id for pipeline in event.pipelines if self._may_come(pipeline.id)]
        if not any(self._could_beat(rival, best) for rival in rivals):
            return [Step(best, Rule.FIRST_IN_ORDER, self.now_ms)]
        good_since = [copy.published_ms for copy in usable if not copy.defects]
        if good_since:
            is_over = self.now_ms - min(good_since) >= event.policy.prefer_wait_ms
        else:
            is_over = self.now_ms - self._due_ms(usable) >= event.policy.grace_ms
        if is_over:
            rule = Rule.PREFER_WAIT_OVER if good_since else Rule.GRACE_OVER
            return [Step(best, rule, self.now_ms)]
        # By now requests are told that there is none: what is here is taken, whatever was waited for.
        is_overdue = self.world.number is not None and self.now_ms - self._due_ms(usable) >= event.retry_deadline_ms
        return [Step(best, Rule.OVERDUE, self.now_ms)] if is_overdue else []

    def is_upgrade(self, arrival: tuple[int | None, Candidate], chosen: Candidate) -> bool:
        number, copy = arrival
        return number == self.world.number and copy in self._usable() and self._flaws(copy) < self._flaws(chosen)

    def _usable(self) -> list[Candidate]:
        return [
            copy
            for number, copy in self.copies
            if number == self.world.number
            and "corrupt" not in self._names(copy)
            and not self._is_masked(copy.pipeline_id)
        ]

    def _is_masked(self, pipeline_id: str) -> bool:
        return self.world.number is not None and pipeline_id in self.world.masked

    def _due_ms(self, usable: list[Candidate]) -> Fraction:
        if self.world.number is None:
            return Fraction(min(copy.published_ms for copy in usable))
        # Whole ms: a segment is due in the first ms that begins after its media has ended.
        return Fraction(-(-due_ms(self.world.event, self.world.number) // 1))

    def _may_come(self, pipeline_id: str) -> bool:
        sent = any(number == self.world.number and copy.pipeline_id == pipeline_id for number, copy in self.copies)
        return not sent and not self._is_masked(pipeline_id) and not self._is_down(pipeline_id)

    def _is_down(self, pipeline_id: str) -> bool:
        due = [number for number, its_due_ms in self.due if its_due_ms <= self.now_ms]
        if self.world.number is not None:
            due = [number for number in due if number < self.world.number]
        if len(due) < 2:
            return False
        return not any(number in due[-2:] and copy.pipeline_id == pipeline_id for number, copy in self.copies)

    def _could_beat(self, rival: str, best: Candidate) -> bool:
        if best.defects:
            return True
        if self.world.event.policy.score is ScoreMode.RANK and (best.score or 0) < 100:
            return True
        return self._order(rival) < self._order(best.pipeline_id)

    def _place(self, copy: Candidate) -> tuple[tuple[int, int], int, int]:
        score = (copy.score or 0) if self.world.event.policy.score is ScoreMode.RANK else 0
        return (self._flaws(copy), -score, self._order(copy.pipeline_id))

    def _order(self, pipeline_id: str) -> int:
        return "abcdz".index(pipeline_id)

    def _flaws(self, copy: Candidate) -> tuple[int, int]:
        names = self._names(copy)
        return (max((DEFECTS[name] for name in names), default=0), len(names))

    def _names(self, copy: Candidate) -> list[str]:
        return [defect.name for defect in copy.defects]


def play(world: World, lags_ms: Sequence[int]) -> list[Choice]:
    """Return the choices that an origin commits, whose n-th call of the rules is `lags_ms[n]` late.

    A call that is late sees every copy that was recorded meanwhile; one that a copy causes is done before the
    next one is recorded.
    """
    committed: list[Choice] = []
    lags = iter([*lags_ms, *[0] * 1_000])
    wake_ms: int | None = None

    def ask(known_count: int, now_ms: int) -> None:
        nonlocal wake_ms
        while True:
            decision = decide(world.situation(known_count, committed[-1] if committed else None), now_ms)
            if not isinstance(decision, Choose):
                break
            committed.append(decision.choice)
            assert len(committed) <= len(world.copies), "one choice a copy at most"
        assert isinstance(decision, Wait), "nothing was masked after it had been chosen"
        assert decision.until_ms is None or decision.until_ms > now_ms, "asked again in the future"
        wake_ms = None if decision.until_ms is None else decision.until_ms + next(lags)

    for index, (number, copy) in enumerate(world.copies):
        while wake_ms is not None and wake_ms < copy.published_ms:
            ask(index, wake_ms)
        if number == world.number:
            following_ms = [later.published_ms for _, later in world.copies[index + 1 :]]
            ask(index + 1, min([copy.published_ms + next(lags), *following_ms]))
    while wake_ms is not None:
        ask(len(world.copies), wake_ms)
    return committed


def settle(situation: Situation, now_ms: int) -> list[Choice]:
    """Return the choices committed when the rules are asked once, and again after each choice, until they rest."""
    committed: list[Choice] = []
    while isinstance(decision := decide(situation, now_ms), Choose):
        committed.append(decision.choice)
        assert len(committed) <= len(situation.candidates) + 1, "the rules do not come to rest"
        situation = replace(situation, current=decision.choice)
    return committed

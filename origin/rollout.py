"""Replacing all processes one by one, as a generator: it yields when it has to wait, and until when at most."""

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from origin.children import Child
from origin.crew import Crew, Slot
from origin.logs import fields

log = logging.getLogger(__name__)

# What it waits for comes with a signal or over a pipe, and is bounded elsewhere.
FOR_EVER_MS = 2**62

# Yields moments of the monotonic clock, in ms; returns what went wrong, or None.
Rollout = Generator[int, None, str | None]

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Step:
    """The replacement in one slot."""

    crew: Crew
    slot: Slot
    child: Child
    ready_ms: int
    clock: Clock


def replace_all(crew: Crew, children: Sequence[Child], ready_ms: int, clock: Clock) -> Rollout:
    """Replace every process by one of `children`, which are in the order of the slots.

    Those that can be replaced beside the old one come first: where one of them does not get ready, the old one goes on
    and the rest stays as it is, before anything was interrupted.

    Args:
        ready_ms: How long a new process may take to become ready.
        clock: Monotonic, in ms.
    """
    pairs = list(zip(crew.slots, children, strict=True))
    for slot, child in sorted(pairs, key=lambda pair: not pair[1].is_replaced_beside):
        replace = _replace_beside if child.is_replaced_beside else _replace_after
        failure = yield from replace(Step(crew, slot, child, ready_ms, clock))
        if failure is not None:
            log.error("replacing processes given up", extra=fields(child=child.name, reason=failure))
            return f"{child.name} {failure}"
        log.info("process replaced", extra=fields(child=child.name))
    return None


def _replace_beside(step: Step) -> Rollout:
    """Start the new process beside the old one; that one ends when the new one is ready."""
    crew, slot = step.crew, step.slot
    successor = crew.start_successor(slot, step.child)
    if successor is None:
        return "could not be started"
    deadline_ms = step.clock() + step.ready_ms
    while not successor.is_ready and not successor.has_ended:
        if step.clock() >= deadline_ms:
            # If the old one died meanwhile, this one serves as well as it can.
            crew.give_up_successor(slot, step.clock())
            return "was not ready in time"
        yield deadline_ms
    if successor.has_ended:
        return "died before it was in place"
    crew.promote(slot, step.clock())
    while slot.leaving:
        yield FOR_EVER_MS  # it is killed when it takes too long
    return None


def _replace_after(step: Step) -> Rollout:
    """End the old process, then start the new one. Connections wait in the backlog meanwhile."""
    slot = step.slot
    old = slot.process
    step.crew.replace_after(slot, step.child, step.clock())
    while slot.process is old and old is not None:
        yield FOR_EVER_MS
    deadline_ms = step.clock() + step.ready_ms
    while slot.process is None or not slot.process.is_ready:
        if slot.child is not step.child:
            return "died before it was ready; the one before is started again"
        if step.clock() >= deadline_ms:
            return "was not ready in time; it goes on trying"
        yield deadline_ms
    return None if slot.child is step.child else "died before it was ready; the one before is started again"

"""How processes are replaced one by one."""

from signal import SIGTERM

import pytest

from origin.children import Child
from origin.rollout import FOR_EVER_MS, Rollout, replace_all
from tests.origin.paper_crew import Stage, child


def replacing(stage: Stage, ready_ms: int, children: list[Child] | None = None) -> Rollout:
    return replace_all(stage.crew, children or stage.children, ready_ms, lambda: stage.now_ms)


def outcome(rollout: Rollout) -> str | None:
    with pytest.raises(StopIteration) as end:
        next(rollout)
    result = end.value.value
    assert result is None or isinstance(result, str)
    return result


def test_the_old_process_serves_until_the_new_one_is_ready() -> None:
    stage = Stage("deliver-0")
    (old,) = stage.started
    stage.make_ready(old)
    rollout = replacing(stage, 60_000)
    assert next(rollout) < FOR_EVER_MS
    new = stage.started[1]
    assert (old.signals, stage.crew.slots[0].process) == ([], old)
    stage.make_ready(new)
    assert next(rollout) == FOR_EVER_MS
    assert (old.signals, new.signals, stage.crew.slots[0].process) == ([SIGTERM], [], new)
    stage.die(old, 0)
    assert outcome(rollout) is None
    assert stage.crew.processes == [new]


def test_the_old_process_goes_on_when_the_new_one_is_late() -> None:
    stage = Stage("deliver-0")
    (old,) = stage.started
    assert outcome(replacing(stage, 0)) == "deliver-0 was not ready in time"
    assert (old.signals, stage.started[1].signals) == ([], [SIGTERM])
    assert stage.crew.slots[0].process is old


def test_the_old_process_goes_on_when_no_new_one_can_be_started() -> None:
    stage = Stage("deliver-0")
    stage.has_no_memory = True
    assert outcome(replacing(stage, 60_000)) == "deliver-0 could not be started"
    assert stage.crew.processes == stage.started


def test_the_rest_is_left_alone_when_one_fails() -> None:
    stage = Stage("deliver-0", "deliver-1")
    rollout = replacing(stage, 60_000)
    next(rollout)
    stage.die(stage.started[2])
    assert outcome(rollout) == "deliver-0 died before it was in place"
    assert stage.crew.processes == stage.started[:2]


def test_a_successor_takes_over_at_once_from_one_that_dies() -> None:
    stage = Stage("deliver-0")
    changed = child("deliver-0")
    rollout = replacing(stage, 60_000, [changed])
    next(rollout)
    stage.die(stage.started[0])
    slot, new = stage.crew.slots[0], stage.started[1]
    assert (slot.process, slot.successor, slot.fallback) == (new, None, stage.children[0])
    stage.make_ready(new)
    assert outcome(rollout) is None
    assert (slot.child, slot.fallback) == (changed, None)


def test_a_successor_that_dies_in_its_turn_gives_way_to_what_was_there_before() -> None:
    stage = Stage("deliver-0")
    rollout = replacing(stage, 60_000, [child("deliver-0")])
    next(rollout)
    for process in stage.started[:2]:
        stage.die(process)
    assert outcome(rollout) == "deliver-0 died before it was in place"
    assert stage.crew.slots[0].child is stage.children[0]
    stage.advance(400)
    assert stage.started[2].child is stage.children[0]


def test_one_that_cannot_have_another_beside_it_ends_first() -> None:
    stage = Stage("publish", beside=False)
    (old,) = stage.started
    rollout = replacing(stage, 60_000)
    assert next(rollout) == FOR_EVER_MS
    assert (old.signals, len(stage.started)) == ([SIGTERM], 1)
    stage.die(old, 0)
    assert next(rollout) < FOR_EVER_MS
    stage.advance(0)  # not after a wait: it did not die
    stage.make_ready(stage.started[1])
    assert outcome(rollout) is None


def test_one_that_is_down_is_started_without_its_wait() -> None:
    stage = Stage("publish", beside=False)
    for count in range(3):
        stage.die(stage.started[count])
        stage.advance(0 if count == 0 else 100)
    assert len(stage.started) == 3
    assert list(stage.crew.deadlines()) == [stage.now_ms + 100]
    rollout = replacing(stage, 60_000)
    next(rollout)
    stage.advance(0)
    assert len(stage.started) == 4


def test_an_old_process_that_gets_ready_late_proves_nothing_about_the_new_one() -> None:
    stage = Stage("publish", beside=False)
    rollout = replacing(stage, 60_000, [child("publish", beside=False)])
    next(rollout)
    stage.make_ready(stage.started[0])
    assert stage.crew.slots[0].fallback is stage.children[0]

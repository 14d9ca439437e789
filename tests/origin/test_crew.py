"""Who is started and ended when."""

from signal import SIGKILL, SIGTERM, SIGUSR1

import pytest

from origin.children import EXIT_REFUSED
from tests.origin.paper_crew import STOP_MS, Stage

REFUSED = EXIT_REFUSED << 8


def test_all_are_started_in_their_order() -> None:
    stage = Stage("publish", "deliver-0")
    assert [process.child.name for process in stage.started] == ["publish", "deliver-0"]
    assert stage.crew.missing == ["publish", "deliver-0"]
    assert list(stage.crew.deadlines()) == []


def test_nobody_listens_to_who_has_died() -> None:
    stage = Stage("publish")
    stage.die(stage.started[0])
    assert stage.started[0].has_ended
    assert stage.started[0].ready_descriptor is None


def test_who_dies_is_started_again_at_once_then_after_a_wait() -> None:
    stage = Stage("publish")
    stage.die(stage.started[0])
    assert list(stage.crew.deadlines()) == [stage.now_ms]
    stage.advance(0)
    stage.die(stage.started[1])
    assert list(stage.crew.deadlines()) == [stage.now_ms + 100]
    stage.advance(99)
    assert len(stage.started) == 2
    stage.advance(1)
    assert len(stage.started) == 3


def test_a_process_that_cannot_be_started_is_tried_again_later() -> None:
    stage = Stage("publish")
    stage.has_no_memory = True
    stage.die(stage.started[0])
    stage.advance(0)
    assert list(stage.crew.deadlines()) == [stage.now_ms + 100]
    stage.has_no_memory = False
    stage.advance(100)
    assert len(stage.started) == 2


def test_a_process_of_somebody_else_is_nobodys_business() -> None:
    stage = Stage("publish")
    stage.crew.note_end(7, 0, stage.now_ms)
    assert stage.crew.processes == stage.started


def test_a_stop_tells_each_once_and_kills_who_takes_too_long() -> None:
    stage = Stage("publish", "deliver-0")
    publish, deliver = stage.started
    stage.crew.stop(stage.now_ms)
    stage.crew.stop(stage.now_ms)
    stage.die(deliver, 0)
    assert list(stage.crew.deadlines()) == [stage.now_ms + STOP_MS]
    stage.advance(STOP_MS)
    assert (publish.signals, deliver.signals) == ([SIGTERM, SIGKILL], [SIGTERM])
    stage.die(publish, SIGKILL)
    assert (stage.crew.processes, list(stage.crew.deadlines())) == ([], [])


def test_to_kill_is_to_end_all_for_good() -> None:
    stage = Stage("publish")
    stage.crew.kill(stage.now_ms)
    assert stage.started[0].signals == [SIGKILL]
    stage.die(stage.started[0], SIGKILL)
    stage.advance(0)
    assert len(stage.started) == 1


@pytest.mark.parametrize("was_ready", [False, True])
def test_a_refusal_counts_until_the_origin_was_ready(was_ready: bool) -> None:
    stage = Stage("publish")
    if was_ready:
        stage.make_ready(stage.started[0])
    stage.die(stage.started[0], REFUSED)
    assert stage.crew.refused == (None if was_ready else "publish")


# -- draining


def test_who_is_replaced_is_told_to_drain() -> None:
    stage = Stage("deliver-0", drain_signal=SIGUSR1)
    (old,) = stage.started
    stage.make_ready(old)
    stage.crew.start_successor(stage.crew.slots[0], stage.children[0])
    stage.crew.promote(stage.crew.slots[0], stage.now_ms)
    assert old.signals == [SIGUSR1]
    assert list(stage.crew.deadlines()) == [stage.now_ms + STOP_MS]


def test_who_was_never_ready_is_told_to_end_as_it_may_not_listen_for_more() -> None:
    stage = Stage("deliver-0", drain_signal=SIGUSR1)
    (old,) = stage.started
    stage.crew.start_successor(stage.crew.slots[0], stage.children[0])
    stage.crew.promote(stage.crew.slots[0], stage.now_ms)
    assert old.signals == [SIGTERM]


def test_a_stop_tells_who_drains_to_hurry() -> None:
    stage = Stage("deliver-0", drain_signal=SIGUSR1)
    (old,) = stage.started
    stage.make_ready(old)
    stage.crew.start_successor(stage.crew.slots[0], stage.children[0])
    stage.crew.promote(stage.crew.slots[0], stage.now_ms)
    stage.advance(1_000)
    stage.crew.stop(stage.now_ms)
    assert old.signals == [SIGUSR1, SIGTERM]
    assert stage.started[1].signals == [SIGTERM]
    # Its time is not longer for that.
    assert min(stage.crew.deadlines()) == stage.now_ms - 1_000 + STOP_MS

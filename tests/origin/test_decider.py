"""The decider asks the rules at the right moments, and records what they say whatever happens to process or disk."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from origin.decider import RETRY_MS, Decider
from selection.model import Candidate, Choice, Mask, Rule, SegmentKey
from storage.errors import StorageError, StorageFull
from storage.records import Chosen, Masked, Published, Unmasked, Withdrawn
from tests.origin.parts import DUE_MS, Node, running_node
from tests.support.clock import FakeClock, FakeTimer
from tests.support.events import candidate, make_defect, make_event, make_key

EVENT = make_event(pipelines=("a", "b"))
PREFER_WAIT_MS, GRACE_MS = EVENT.policy.prefer_wait_ms, EVENT.policy.grace_ms
SHORT = make_defect("short")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


def chosen(choice: Choice | None) -> tuple[str, Rule, int]:
    """Return what was chosen, why, and when that was certain."""
    assert choice is not None
    return choice.candidate.pipeline_id, choice.rule, choice.decided_ms


async def test_the_first_pipelines_good_copy_is_chosen_at_once(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("a")
    assert chosen(node.choice()) == ("a", Rule.FIRST_IN_ORDER, DUE_MS)
    assert node.clock.pending == []


async def test_a_copy_is_recorded_before_its_choice(node: Node) -> None:
    await node.publish("a")
    assert [type(record) for record in node.records] == [Published, Chosen]


async def test_a_lower_pipelines_copy_waits_for_a_higher_one_that_is_well(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("b")
    assert node.choice() is None
    assert node.clock.pending == [DUE_MS + PREFER_WAIT_MS]
    node.clock.move_to(DUE_MS + PREFER_WAIT_MS - 1)
    assert node.choice() is None
    node.clock.move_to(DUE_MS + PREFER_WAIT_MS)
    assert chosen(node.choice()) == ("b", Rule.PREFER_WAIT_OVER, DUE_MS + PREFER_WAIT_MS)


async def test_a_higher_copy_that_comes_in_time_is_chosen_and_the_timer_forgotten(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("b")
    node.clock.move_to(DUE_MS + PREFER_WAIT_MS - 1)
    await node.publish("a")
    assert chosen(node.choice()) == ("a", Rule.FIRST_IN_ORDER, DUE_MS + PREFER_WAIT_MS - 1)
    assert node.clock.pending == []


async def test_a_pipeline_that_is_down_costs_no_wait(node: Node) -> None:
    await node.make_healthy("b")
    await node.publish("b")
    assert chosen(node.choice()) == ("b", Rule.FIRST_IN_ORDER, DUE_MS)


async def test_flawed_copies_wait_for_the_end_of_the_grace(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("a", 10, b"flawed", SHORT)
    assert node.clock.pending == [DUE_MS + GRACE_MS]
    node.clock.move_to(DUE_MS + GRACE_MS)
    assert chosen(node.choice()) == ("a", Rule.GRACE_OVER, DUE_MS + GRACE_MS)


async def test_a_flawed_choice_is_upgraded_by_a_better_copy(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("a", 10, b"flawed", SHORT)
    node.clock.move_to(DUE_MS + GRACE_MS)
    await node.publish("b", 10, b"good")
    assert chosen(node.choice()) == ("b", Rule.UPGRADE, DUE_MS + GRACE_MS)


async def test_a_segment_has_one_timer_however_many_copies_come(node: Node) -> None:
    await node.make_healthy("a", "b")
    for text in (b"1", b"2", b"3"):
        await node.publish("b", 10, text, SHORT)
    assert node.clock.pending == [DUE_MS + GRACE_MS]


async def test_each_segment_has_a_timer_of_its_own(node: Node) -> None:
    node.clock.move_to(DUE_MS - 500)
    await node.make_healthy("a", "b")
    await node.publish("b", 10)
    await node.publish("b", 11)
    assert len(node.clock.pending) == 2
    node.clock.move_to(DUE_MS - 500 + PREFER_WAIT_MS)
    assert (chosen(node.choice(10))[0], chosen(node.choice(11))[0]) == ("b", "b")


async def test_a_mask_on_the_chosen_copy_decides_anew(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("a", 10, b"one")
    await node.publish("b", 10, b"two")
    node.record(Masked("derby", Mask("m1", "a", 10, 10)))
    node.clock.move_to(DUE_MS + 7)
    node.decider.consider(make_key(10))
    assert chosen(node.choice()) == ("b", Rule.MASK, DUE_MS + 7)


async def test_a_choice_with_nothing_to_take_its_place_is_withdrawn_until_the_mask_is_lifted(node: Node) -> None:
    await node.publish("a")
    node.record(Masked("derby", Mask("m1", "a", 10, 10)))
    node.decider.consider(make_key(10))
    assert node.choice() is None
    assert node.records[-1] == Withdrawn(make_key(10))
    node.record(Unmasked("derby", "m1"))
    node.decider.consider(make_key(10))
    assert chosen(node.choice())[0] == "a"


class UnpunctualClock(FakeClock):
    """Sets timers as told to instead of as asked to."""

    def __init__(self, clock: FakeClock, when: Callable[[int], int]) -> None:
        super().__init__()
        self._clock = clock
        self._when = when

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> FakeTimer:
        return self._clock.call_at(self._when(at_ms), callback)


async def test_a_timer_that_fires_late_makes_the_same_choice_as_one_in_time(tmp_path: Path) -> None:
    clock = FakeClock(DUE_MS)
    late = UnpunctualClock(clock, lambda at_ms: at_ms + 5_000)
    with running_node(tmp_path, EVENT, clock, late) as node:
        await node.make_healthy("a", "b")
        await node.publish("b")
        clock.move_to(DUE_MS + 1_000)
        assert node.choice() is None
        clock.move_to(DUE_MS + PREFER_WAIT_MS + 5_000)
        assert chosen(node.choice()) == ("b", Rule.PREFER_WAIT_OVER, DUE_MS + PREFER_WAIT_MS)


async def test_a_copy_that_comes_between_a_moment_and_its_late_timer_changes_nothing(tmp_path: Path) -> None:
    clock = FakeClock(DUE_MS)
    late = UnpunctualClock(clock, lambda at_ms: at_ms + 5_000)
    with running_node(tmp_path, EVENT, clock, late) as node:
        await node.make_healthy("a", "b")
        await node.publish("b", 10, b"two")
        clock.move_to(DUE_MS + PREFER_WAIT_MS)
        await node.publish("a", 10, b"one")
        assert chosen(node.choice()) == ("b", Rule.PREFER_WAIT_OVER, DUE_MS + PREFER_WAIT_MS)


async def test_a_timer_that_fires_early_is_set_again(tmp_path: Path) -> None:
    clock = FakeClock(DUE_MS)
    moments = iter([DUE_MS + 1])
    early = UnpunctualClock(clock, lambda at_ms: next(moments, at_ms))
    with running_node(tmp_path, EVENT, clock, early) as node:
        await node.make_healthy("a", "b")
        await node.publish("b")
        clock.move_to(DUE_MS + 1)
        assert node.choice() is None
        assert clock.pending == [DUE_MS + PREFER_WAIT_MS]
        clock.move_to(DUE_MS + PREFER_WAIT_MS)
        assert chosen(node.choice()) == ("b", Rule.PREFER_WAIT_OVER, DUE_MS + PREFER_WAIT_MS)


async def test_a_clock_that_goes_back_does_not_make_a_copy_wait_for_its_own_moment(node: Node) -> None:
    await node.make_healthy("a", "b")
    node.clock.move_to(DUE_MS - 600)
    await node.publish("a")
    assert chosen(node.choice())[:2] == ("a", Rule.FIRST_IN_ORDER)


FULL = StorageFull("journal-append", "No space left on device")


def put_copy(node: Node, copy: Candidate) -> None:
    """Record a copy as the journal would have it, without asking the rules: a kill came before that."""
    moment = node.journal.next_moment(copy.published_ms)
    recorded = candidate(copy.pipeline_id, moment.ms, *copy.defects, sequence=moment.sequence, digest=copy.digest)
    node.journal.append(Published(make_key(10), recorded), moment)


async def test_a_choice_that_cannot_be_recorded_is_tried_again_until_it_can(node: Node) -> None:
    put_copy(node, candidate("a", DUE_MS))
    node.journal.append_fault = FULL
    node.decider.consider(make_key(10))
    assert node.choice() is None
    for attempt in (1, 2, 3):
        assert node.faults == [FULL] * attempt
        assert node.clock.pending == [DUE_MS + attempt * RETRY_MS]
        if attempt == 3:
            node.journal.append_fault = None
        node.clock.move_to(DUE_MS + attempt * RETRY_MS)
    assert chosen(node.choice()) == ("a", Rule.FIRST_IN_ORDER, DUE_MS)
    assert node.clock.pending == []


async def test_a_withdrawal_that_cannot_be_recorded_is_tried_again(node: Node) -> None:
    await node.publish("a")
    node.record(Masked("derby", Mask("m1", "a", 10, 10)))
    node.journal.append_fault = StorageError("journal-append", "Input/output error")
    node.decider.consider(make_key(10))
    assert node.choice() is not None
    node.journal.append_fault = None
    node.clock.move_to(DUE_MS + RETRY_MS)
    assert node.choice() is None


# -- After a restart


async def test_what_a_kill_left_undecided_is_decided_at_the_next_start_as_if_there_had_been_none(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path, EVENT) as before:
        put_copy(before, candidate("a", DUE_MS))
    with running_node(tmp_path, EVENT, FakeClock(DUE_MS + 8_000)) as after:
        after.decider.resume()
        assert chosen(after.choice()) == ("a", Rule.FIRST_IN_ORDER, DUE_MS)


async def test_a_wait_goes_on_after_a_restart(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as before:
        await before.make_healthy("a", "b")
        await before.publish("b")
    with running_node(tmp_path, EVENT, FakeClock(DUE_MS + 30)) as after:
        after.decider.resume()
        assert after.clock.pending == [DUE_MS + PREFER_WAIT_MS]
        after.clock.move_to(DUE_MS + PREFER_WAIT_MS)
        assert chosen(after.choice()) == ("b", Rule.PREFER_WAIT_OVER, DUE_MS + PREFER_WAIT_MS)


async def test_an_upgrade_that_a_kill_prevented_is_made_at_the_next_start(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as before:
        await before.publish("a", 10, b"flawed", SHORT)
        before.clock.move_to(DUE_MS + GRACE_MS)
        assert chosen(before.choice())[0] == "a"
        put_copy(before, candidate("b", DUE_MS + 600))
    with running_node(tmp_path, EVENT, FakeClock(DUE_MS + 8_000)) as after:
        after.decider.resume()
        assert chosen(after.choice()) == ("b", Rule.UPGRADE, DUE_MS + 600)


async def test_what_was_decided_is_not_decided_again(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as before:
        await before.publish("a", 10, b"one")
        await before.publish("b", 10, b"two")
        choice = before.choice()
    with running_node(tmp_path, EVENT) as after:
        after.decider.resume()
        assert after.choice() == choice
        assert after.entries == []


STRANGERS = [SegmentKey("ascot", "v720", 10), SegmentKey("derby", "v999", 10)]


@pytest.mark.parametrize("key", STRANGERS, ids=["event", "rendition"])
async def test_what_left_the_configuration_is_left_alone(node: Node, key: SegmentKey) -> None:
    node.record(Published(key, candidate("a", DUE_MS, sequence=1)))
    node.decider.resume()
    assert node.catalog.choice(key) is None


async def test_stopping_cancels_every_timer(node: Node) -> None:
    await node.make_healthy("a", "b")
    await node.publish("b", 10)
    node.decider.stop()
    assert node.clock.pending == []
    node.clock.move_to(DUE_MS + PREFER_WAIT_MS)
    assert node.choice() is None


async def test_every_reader_of_the_journal_sees_the_same_choices(tmp_path: Path) -> None:
    """One history, replayed: the catalog of the next run equals that of this one."""
    with running_node(tmp_path, EVENT) as before:
        await before.make_healthy("a", "b")
        await before.publish("b", 10, b"two", SHORT)
        before.clock.move_to(DUE_MS + GRACE_MS)
        await before.publish("a", 10, b"one")
        await before.publish("a", None, b"init")
        await before.publish("a", None, b"init, renewed")
        choices = [before.choice(number) for number in (8, 9, 10, None)]
    with running_node(tmp_path, EVENT) as after:
        assert [after.choice(number) for number in (8, 9, 10, None)] == choices
        assert None not in choices


def test_a_decider_without_anything_to_decide_resumes_and_stops(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as node:
        decider = Decider({}, node.stores, node.clock, node.faults.append)
        decider.resume()
        decider.stop()
    assert node.faults == []

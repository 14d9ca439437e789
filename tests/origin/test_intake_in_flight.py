"""What ends, fails or is decided while a body is being written: between the two checks of an upload."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from origin.decider import RETRY_MS
from origin.intake import Conflict, Outcome, OutsideWindow, Stored, Unchanged
from selection.window import WindowClass, expires_ms
from storage.base import body_key, digest_of
from storage.errors import StorageError, StorageFull
from storage.records import Chosen, Entry, Published
from tests.origin.parts import BODY, DUE_MS, Node, running_node, turn
from tests.support.bodies import NO_FAULTS, Faults
from tests.support.events import make_defect, make_event, make_key

# Segments 5 to 99 exist.
EVENT = make_event(pipelines=("a", "b"), start_ms=10_000, end_ms=200_000)
GRACE_OVER_MS = DUE_MS + EVENT.policy.grace_ms
SHORT = make_defect("short", missing_ms=120)
FULL = StorageFull("journal-append", "No space left on device")
ONE, TWO = b"the one", b"the other"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


@pytest.fixture
async def waiting(node: Node) -> Node:
    """A node whose pipelines are well: a flawed copy, or one of the second pipeline, is not chosen at once."""
    await node.make_healthy("a", "b")
    return node


def kept(node: Node, number: int | None = 10) -> set[str]:
    """Return where bytes of this segment lie."""
    name = "init" if number is None else str(number)
    return {key for key in node.held.held if f"~{name}~" in key}


def address(body: bytes, pipeline_id: str = "a", number: int | None = 10) -> str:
    return body_key(make_key(number), pipeline_id, digest_of(body))


def start(node: Node, *upload: object) -> "asyncio.Task[Outcome]":
    return asyncio.create_task(node.publish(*upload))  # type: ignore[arg-type]  # as `Node.publish` takes them


async def test_body_then_record_then_announcement(node: Node) -> None:
    there: list[tuple[type, bool]] = []

    def follower(entry: Entry) -> None:
        there.append((type(entry.record), address(BODY) in node.held.held))

    node.journal.follow(follower)
    with node.bodies.gate("write") as gate:
        publishing = start(node)
        await gate.reached()
        await turn()
        assert there == []
    await publishing
    assert there == [(Published, True), (Chosen, True)]


async def test_uploads_of_different_pipelines_do_not_wait_for_each_other(node: Node) -> None:
    with node.bodies.gate("write", "~a~") as gate:
        slow = start(node, "a")
        await gate.reached()
        assert isinstance(await node.publish("b"), Stored)
        assert not slow.done()
    assert isinstance(await slow, Stored)


async def test_uploads_of_different_segments_do_not_wait_for_each_other(node: Node) -> None:
    with node.bodies.gate("write", "~10~") as gate:
        slow = start(node, "a", 10)
        await gate.reached()
        assert isinstance(await node.publish("a", 9), Stored)
        assert not slow.done()
    assert isinstance(await slow, Stored)


async def test_two_uploads_of_one_copy_in_flight_leave_the_bytes_of_the_last_one(waiting: Node) -> None:
    with waiting.bodies.gate("write") as gate:
        first, second = start(waiting, "b", 10, ONE, SHORT), start(waiting, "b", 10, TWO, SHORT)
        await gate.reached()
        await turn()
    outcomes = await asyncio.gather(first, second)
    assert [isinstance(outcome, Stored) and outcome.replaced for outcome in outcomes] == [False, True]
    assert [copy.digest for copy in waiting.copies()] == [digest_of(TWO)]
    assert kept(waiting) == {address(TWO, "b")}


async def test_two_uploads_of_one_copy_in_flight_with_the_same_bytes_are_one(node: Node) -> None:
    with node.bodies.gate("write") as gate:
        uploads = [start(node) for _ in range(5)]
        await gate.reached()
        await turn()
    outcomes = await asyncio.gather(*uploads)
    assert [type(outcome) for outcome in outcomes] == [Stored, Unchanged, Unchanged, Unchanged, Unchanged]
    assert sum(isinstance(record, Published) for record in node.records) == 1
    assert kept(node) == {address(BODY)}


async def test_a_copy_that_is_chosen_while_its_replacement_is_being_written_stays(waiting: Node) -> None:
    await waiting.publish("a", 10, ONE, SHORT)
    with waiting.bodies.gate("write") as gate:
        replacement = start(waiting, "a", 10, TWO, SHORT)
        await gate.reached()
        waiting.clock.move_to(GRACE_OVER_MS)
        choice = waiting.choice()
        assert choice is not None
    assert await replacement == Conflict(choice)
    assert waiting.choice() == choice
    assert address(ONE) in waiting.held.held
    assert address(TWO) not in waiting.held.held


async def test_a_window_that_ends_while_the_body_is_being_written_is_over(node: Node) -> None:
    with node.bodies.gate("write") as gate:
        upload = start(node)
        await gate.reached()
        node.clock.move_to(expires_ms(EVENT, 10))
    assert await upload == OutsideWindow(WindowClass.EXPIRED)
    assert node.entries == []
    assert node.held.held == {}


async def test_a_moment_is_taken_when_the_body_is_written_and_not_when_it_came(node: Node) -> None:
    with node.bodies.gate("write") as gate:
        upload = start(node)
        await gate.reached()
        node.clock.move_to(DUE_MS + 700)
    outcome = await upload
    assert isinstance(outcome, Stored)
    assert (outcome.candidate.received_ms, outcome.candidate.published_ms) == (DUE_MS, DUE_MS + 700)


async def test_bytes_that_come_back_while_they_are_being_deleted_stay(waiting: Node) -> None:
    """Addresses are digests: the deletion of the former copy must not hit the one that just came again."""
    await waiting.publish("b", 10, ONE, SHORT)
    with waiting.bodies.gate("delete") as gate:
        replacing = start(waiting, "b", 10, TWO, SHORT)
        await gate.reached()
        coming_back = start(waiting, "b", 10, ONE, SHORT)
        await turn()
    await asyncio.gather(replacing, coming_back)
    assert [copy.digest for copy in waiting.copies()] == [digest_of(ONE)]
    assert kept(waiting) == {address(ONE, "b")}


async def test_an_upload_that_is_cancelled_lets_the_next_one_in(node: Node) -> None:
    with node.bodies.gate("write") as gate:
        upload = start(node)
        await gate.reached()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    assert isinstance(await node.publish(), Stored)


@pytest.mark.parametrize(("faults", "fault"), [(Faults(errors=1), StorageError), (Faults(full=1), StorageFull)])
async def test_a_body_that_cannot_be_written_is_never_recorded(
    node: Node, faults: Faults, fault: type[StorageError]
) -> None:
    node.bodies.faults = faults
    with pytest.raises(fault):
        await node.publish()
    assert node.entries == []
    node.bodies.faults = NO_FAULTS
    assert isinstance(await node.publish(), Stored)


async def test_a_body_whose_record_cannot_be_written_is_discarded(node: Node) -> None:
    node.journal.append_fault = FULL
    with pytest.raises(StorageFull):
        await node.publish()
    assert node.held.held == {}
    assert node.copies() == []
    node.journal.append_fault = None
    assert isinstance(await node.publish(), Stored)
    assert node.choice() is not None


async def test_a_replacement_whose_record_cannot_be_written_leaves_the_former_copy(waiting: Node) -> None:
    await waiting.publish("b", 10, ONE, SHORT)
    waiting.journal.append_fault = FULL
    with pytest.raises(StorageFull):
        await waiting.publish("b", 10, TWO, SHORT)
    assert [copy.digest for copy in waiting.copies()] == [digest_of(ONE)]
    assert kept(waiting) == {address(ONE, "b")}


async def test_a_former_body_that_cannot_be_deleted_fails_nothing_and_is_told(waiting: Node) -> None:
    await waiting.publish("b", 10, ONE, SHORT)
    with waiting.bodies.gate("delete") as gate:
        replacing = start(waiting, "b", 10, TWO, SHORT)
        await gate.reached()
        waiting.bodies.faults = Faults(errors=1)
    assert isinstance(await replacing, Stored)
    assert [fault.operation for fault in waiting.faults] == ["body-delete"]


async def test_a_chosen_init_segment_stays_readable_until_the_choice_of_its_renewal_is_recorded(node: Node) -> None:
    await node.publish("a", None, ONE)
    former = node.choice(None)
    with node.bodies.gate("write") as gate:
        renewing = start(node, "a", None, TWO)
        await gate.reached()
        node.journal.follow(lambda _: setattr(node.journal, "append_fault", FULL))
    assert isinstance(await renewing, Stored)
    assert node.choice(None) == former
    assert await node.bodies.read(body_key(make_key(None), "a", digest_of(ONE))) == ONE
    node.journal.append_fault = None
    node.clock.move_to(DUE_MS + RETRY_MS)
    choice = node.choice(None)
    assert choice is not None
    assert choice.candidate.digest == digest_of(TWO)


async def test_a_record_that_could_not_be_flushed_is_promised_to_nobody(node: Node) -> None:
    node.journal.sync_fault = StorageError("journal-sync", "Input/output error")
    for _ in range(2):
        with pytest.raises(StorageError, match="journal-sync"):
            await node.publish()
    node.journal.sync_fault = None
    assert isinstance(await node.publish(), Unchanged)


async def test_the_same_bytes_are_promised_only_once_their_record_is_flushed(node: Node) -> None:
    node.journal.flushed.clear()
    first, second = start(node), start(node)
    await turn()
    assert node.choice() is not None
    assert not first.done() and not second.done()
    node.journal.flushed.set()
    assert [type(outcome) for outcome in await asyncio.gather(first, second)] == [Stored, Unchanged]

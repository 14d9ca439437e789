"""A body that a reader missed: looked for once more, in turn with uploads of it, and only then recorded as lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from origin.intake import Unchanged
from selection.model import Rule
from storage.base import body_key
from storage.records import Chosen, Lost
from tests.origin.parts import DUE_MS, Node, running_node, turn
from tests.support.bodies import NO_FAULTS, Faults
from tests.support.events import make_event, make_key

KEY = make_key(10)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, make_event(pipelines=("a", "b"))) as node:
        yield node


async def publish_both(node: Node) -> None:
    await node.make_healthy("a", "b")
    for pipeline_id in ("a", "b"):
        await node.publish(pipeline_id)
    node.entries.clear()


def lose_body(node: Node, pipeline_id: str = "a") -> None:
    (copy,) = (copy for copy in node.copies() if copy.pipeline_id == pipeline_id)
    del node.held.held[body_key(KEY, pipeline_id, copy.digest)]


async def check(node: Node, pipeline_id: str = "a") -> None:
    (copy,) = (copy for copy in node.copies() if copy.pipeline_id == pipeline_id)
    await node.intake.check_lost(KEY, copy)


async def test_a_body_that_is_there_after_all_is_not_lost(node: Node) -> None:
    await publish_both(node)
    await check(node)
    assert node.records == []


async def test_a_body_that_is_not_there_is_lost_and_the_next_best_copy_takes_over(node: Node) -> None:
    await publish_both(node)
    lose_body(node)
    await check(node)
    assert [type(record) for record in node.records] == [Lost, Chosen]
    choice = node.choice()
    assert choice is not None
    assert (choice.candidate.pipeline_id, choice.rule) == ("b", Rule.LOST)


async def test_a_body_that_an_upload_heals_meanwhile_is_not_lost(node: Node) -> None:
    """The upload was told that it is kept; nobody may take that back."""
    await publish_both(node)
    lose_body(node)
    with node.bodies.gate("write") as gate:
        healing = asyncio.create_task(node.publish("a"))
        await gate.reached()
        checking = asyncio.create_task(check(node))
        await turn()
        gate.open()
        outcome, _ = await asyncio.gather(healing, checking)
    assert isinstance(outcome, Unchanged)
    assert node.records == []


async def test_a_disk_that_fails_is_a_fault_and_no_loss(node: Node) -> None:
    await publish_both(node)
    node.bodies.faults = Faults(errors=1)
    await check(node)
    node.bodies.faults = NO_FAULTS
    assert node.records == []
    assert [fault.operation for fault in node.faults] == ["body-read"]


async def test_a_wall_clock_that_goes_back_does_not_lengthen_a_wait(node: Node) -> None:
    """Its wait is over after as many ms as it is long, by a clock that nobody sets."""
    await node.make_healthy("a", "b")
    await node.publish("a", 9, b"another")
    node.clock.step(-1_000)
    await node.publish("b")
    assert node.choice() is None, "b waits for a"
    node.clock.move_to(DUE_MS - 1_000 + 99)
    assert node.choice() is None
    node.clock.move_to(DUE_MS - 1_000 + 100)
    choice = node.choice()
    assert choice is not None
    assert (choice.candidate.pipeline_id, choice.rule) == ("b", Rule.PREFER_WAIT_OVER)

"""Which init segment is delivered while encoders are changed, and what the journal tells of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from selection.model import Checks, Choice, Rule
from storage.base import digest_of
from storage.records import Chosen
from tests.origin.parts import DUE_MS, Node, running_node
from tests.origin.segments import INIT, LIKE_INIT, LIKE_OTHER_INIT, OTHER_INIT, make_segment
from tests.support.clock import FakeClock
from tests.support.events import make_event

EVENT = make_event(pipelines=("a", "b"), checks=Checks.ALL)
SEGMENT_MS = 2_000
GRACE_MS = EVENT.policy.grace_ms


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose pipelines made segments 8 and 9 for one init segment, that of `a`."""
    with running_node(tmp_path, EVENT) as node:
        for pipeline_id in ("a", "b"):
            await node.publish(pipeline_id, None, INIT)
        await publish(node, 8, "a", "b")
        await publish(node, 9, "a", "b")
        node.entries.clear()
        yield node


async def publish(node: Node, number: int, *pipeline_ids: str) -> None:
    """Let these pipelines publish a segment."""
    for pipeline_id in pipeline_ids:
        await node.publish(pipeline_id, number, make_segment(number))


def told(choice: Choice | None) -> tuple[str, Rule, str]:
    assert choice is not None
    return choice.candidate.pipeline_id, choice.rule, choice.candidate.digest


def choices(node: Node) -> list[tuple[int | None, str, Rule, int]]:
    """Return what was chosen since the clock of the journal began: number, pipeline, rule, moment."""
    records = [record for record in node.records if isinstance(record, Chosen)]
    return [(record.key.number, record.pipeline_id, record.rule, record.decided_ms) for record in records]


async def test_an_init_segment_that_can_stand_in_for_the_delivered_one_changes_nothing(node: Node) -> None:
    for pipeline_id in ("a", "b"):
        await node.publish(pipeline_id, None, LIKE_INIT)
    assert told(node.choice(None)) == ("a", Rule.FIRST_IN_ORDER, digest_of(INIT))
    assert choices(node) == []
    await publish(node, 10, "a")
    assert choices(node) == [(10, "a", Rule.FIRST_IN_ORDER, DUE_MS)]


async def test_the_delivered_init_segment_stays_readable_when_its_pipeline_has_another(node: Node) -> None:
    await node.publish("a", None, LIKE_INIT)
    choice = node.choice(None)
    assert choice is not None
    (kept,) = [
        body for address, body in node.held.held.items() if choice.candidate.digest in address and "~a~" in address
    ]
    assert kept == INIT


async def test_while_one_pipeline_makes_segments_for_it_an_init_segment_stays_and_the_others_lose(node: Node) -> None:
    await node.publish("a", None, OTHER_INIT)
    await publish(node, 10, "a", "b")
    assert told(node.choice(None))[2] == digest_of(INIT)
    assert choices(node) == [(10, "b", Rule.FIRST_IN_ORDER, DUE_MS)]
    assert [defect.name for defect in node.copy_of("a").defects] == ["mismatched-init"]


async def test_when_all_have_changed_theirs_the_best_of_the_new_ones_is_delivered(node: Node) -> None:
    await node.publish("b", None, OTHER_INIT)
    assert choices(node) == []
    await node.publish("a", None, LIKE_OTHER_INIT)
    assert choices(node) == [(None, "a", Rule.NEW_GENERATION, DUE_MS)]
    assert told(node.choice(None))[2] == digest_of(LIKE_OTHER_INIT)
    await publish(node, 10, "b", "a")
    assert [copy.defects for copy in node.copies()] == [(), ()]


async def test_a_mismatched_segment_that_is_chosen_makes_the_init_segment_be_considered(node: Node) -> None:
    """`b` has the delivered one and dies; `a`, which has another, is all that is left."""
    await node.publish("a", None, OTHER_INIT)
    await publish(node, 10, "b")
    for number in (11, 12):
        node.clock.move_to(DUE_MS + (number - 10) * SEGMENT_MS)
        await publish(node, number, "a")
    node.clock.move_to(DUE_MS + 2 * SEGMENT_MS + GRACE_MS)
    assert choices(node) == [
        (10, "b", Rule.PREFER_WAIT_OVER, DUE_MS + EVENT.policy.prefer_wait_ms),
        (11, "a", Rule.GRACE_OVER, DUE_MS + SEGMENT_MS + GRACE_MS),
        (12, "a", Rule.GRACE_OVER, DUE_MS + 2 * SEGMENT_MS + GRACE_MS),
        (None, "a", Rule.NEW_GENERATION, DUE_MS + 2 * SEGMENT_MS + GRACE_MS),
    ]
    assert told(node.choice(None))[2] == digest_of(OTHER_INIT)
    await publish(node, 13, "a")
    assert node.copy_of("a", 13).defects == ()


async def test_a_restart_comes_to_the_same_init_segment(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as before:
        await before.publish("a", None, INIT)
        await publish(before, 8, "a")
        await publish(before, 9, "a")
        await before.publish("a", None, OTHER_INIT)
        choice = before.choice(None)
        assert told(choice) == ("a", Rule.NEW_GENERATION, digest_of(OTHER_INIT))
    with running_node(tmp_path, EVENT, FakeClock(DUE_MS + 60_000)) as after:
        after.decider.resume()
        assert after.choice(None) == choice
        assert after.entries == []

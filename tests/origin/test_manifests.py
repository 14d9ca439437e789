"""Which copy of a packager's manifest is delivered, and what happens where its body cannot be had."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from origin.manifests import LAG_SEGMENTS, fresh_manifests
from origin.reply import Reply
from selection.model import Mask
from storage.base import manifest_key
from storage.records import Masked
from tests.origin.parts import DUE_MS, Node, running_node
from tests.origin.test_deliver_races import EVENT, Desk
from tests.support.bodies import NO_FAULTS, Faults

NAME = "live.mpd"
LAG_MS = LAG_SEGMENTS * 2_000
# Segment 10 is due a second after its media has ended, so 11 is on air.
ON_AIR = 11


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


async def publish(node: Node, *pipeline_ids: str, body: bytes | None = None) -> None:
    for pipeline_id in pipeline_ids:
        await node.intake.publish_manifest("derby", pipeline_id, NAME, body or pipeline_id.encode())


def fresh(node: Node, name: str = NAME) -> list[str]:
    """Return the pipelines of the copies that may be delivered, in their order."""
    return [copy.pipeline_id for copy in fresh_manifests(node.catalog, EVENT, name, node.clock.now_ms())]


def lose(node: Node, pipeline_id: str) -> None:
    """Take away the body of a manifest."""
    (copy,) = (copy for copy in node.catalog.manifests("derby", NAME) if copy.pipeline_id == pipeline_id)
    del node.held.held[manifest_key("derby", NAME, pipeline_id, copy.digest)]


def told(reply: Reply) -> tuple[int, str, bytes]:
    return reply.status, reply.outcome, bytes(reply.body) if reply.status == 200 else b""


# -- Which copies keep up


async def test_without_copies_there_are_none(node: Node) -> None:
    await publish(node, "a")
    assert fresh(node, "other.mpd") == []


async def test_the_order_is_that_of_the_pipelines_and_not_of_arrival(node: Node) -> None:
    await publish(node, "b", "a")
    assert fresh(node) == ["a", "b"]


@pytest.mark.parametrize(("late_ms", "expected"), [(LAG_MS, ["a", "b"]), (LAG_MS + 1, ["b"])], ids=["just", "too-old"])
async def test_a_copy_may_be_some_segments_older_than_the_newest(node: Node, late_ms: int, expected: list[str]) -> None:
    await publish(node, "a")
    node.clock.move_to(DUE_MS + late_ms)
    await publish(node, "b")
    assert fresh(node) == expected
    node.clock.move_to(DUE_MS + 3_600_000)
    assert fresh(node) == expected, "a clock alone makes none older"


MASKS = [
    ("all", Mask("m", "a", 0), ["b"]),
    ("from-now-on", Mask("m", "a", ON_AIR), ["b"]),
    ("until-now", Mask("m", "a", 0, ON_AIR), ["b"]),
    ("over", Mask("m", "a", 0, ON_AIR - 1), ["a", "b"]),
    ("to-come", Mask("m", "a", ON_AIR + 1), ["a", "b"]),
    ("one-rendition", Mask("m", "a", 0, None, "v720"), ["a", "b"]),
    ("the-other", Mask("m", "b", 0), ["a"]),
]


@pytest.mark.parametrize(("mask", "expected"), [case[1:] for case in MASKS], ids=[case[0] for case in MASKS])
async def test_a_pipeline_that_is_masked_now_and_as_a_whole_is_left_out(
    node: Node, mask: Mask, expected: list[str]
) -> None:
    await publish(node, "a", "b")
    node.record(Masked("derby", mask))
    assert fresh(node) == expected


async def test_a_masked_copy_makes_no_other_one_old(node: Node) -> None:
    await publish(node, "a")
    node.clock.move_to(DUE_MS + LAG_MS + 1)
    await publish(node, "b")
    node.record(Masked("derby", Mask("m", "b", 0)))
    assert fresh(node) == ["a"]


# -- What is answered


async def test_what_nobody_published_is_told_for_a_moment(node: Node) -> None:
    reply = await Desk(node).get(NAME)
    assert told(reply) == (404, "not-published-yet", b"")
    assert reply.headers["Live-Origin-TTL"] == "250ms"
    assert reply.facts == {"event": "derby", "kind": "manifest"}


async def test_the_first_fresh_copy_is_delivered(node: Node) -> None:
    await publish(node, "b", "a")
    reply = await Desk(node).get(NAME)
    assert told(reply) == (200, "served", b"a")
    assert (reply.headers["Live-Origin-Pipeline"], reply.headers["Content-Type"]) == ("a", "application/dash+xml")
    assert reply.facts == {"event": "derby", "kind": "manifest"}


async def test_a_lost_copy_gives_way_to_the_next_and_the_last_one_is_a_fault(node: Node) -> None:
    desk = Desk(node)
    await publish(node, "a", "b")
    lose(node, "a")
    assert told(await desk.get(NAME)) == (200, "served", b"b")
    lose(node, "b")
    reply = await desk.get(NAME)
    assert told(reply) == (503, "storage", b"")
    assert reply.facts == {"event": "derby", "kind": "manifest"}


async def test_a_disk_that_fails_is_a_fault_and_no_reason_to_take_another_copy(node: Node) -> None:
    desk = Desk(node)
    await publish(node, "a", "b")
    node.bodies.faults = Faults(errors=1)
    assert told(await desk.get(NAME)) == (503, "storage", b"")
    node.bodies.faults = NO_FAULTS
    assert told(await desk.get(NAME)) == (200, "served", b"a")


async def test_a_copy_that_is_renewed_while_it_is_read_is_delivered_as_renewed(node: Node) -> None:
    desk = Desk(node)
    await publish(node, "a")
    with node.bodies.gate("read") as gate:
        reading = asyncio.create_task(desk.get(NAME))
        await gate.reached()
        await publish(node, "a", body=b"new")
        gate.open()
        assert told(await reading) == (200, "served", b"new")

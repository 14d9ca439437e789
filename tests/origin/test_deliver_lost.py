"""Delivering where the body of a choice is lost: another copy takes over within the request, or arithmetic refuses."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from origin.reply import Reply
from selection.model import Rule
from storage.base import BodyKey, body_key, digest_of
from storage.errors import StorageError, StorageFull
from storage.records import Chosen, Lost, Published
from tests.origin.parts import DUE_MS, Node, running_node, turn
from tests.origin.test_deliver_races import EVENT, Desk
from tests.support.bodies import Faults
from tests.support.events import make_defect, make_key

ONE, TWO, THREE = b"the one", b"the other", b"one more"
GIVEN_UP_MS = DUE_MS + 10_000
SEGMENT, INIT = "v720/10.m4s", "v720/init.mp4"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


def address(body: bytes, pipeline_id: str, number: int | None = 10) -> BodyKey:
    return body_key(make_key(number), pipeline_id, digest_of(body))


def remove(node: Node, key: BodyKey) -> None:
    del node.held.held[key]


def told(reply: Reply) -> tuple[int, str, object]:
    """Return status, outcome, and which rule had chosen what was served."""
    return reply.status, reply.outcome, reply.facts.get("rule")


async def publish_both(node: Node, number: int | None = 10) -> None:
    await node.publish("a", number, ONE)
    await node.publish("b", number, TWO)
    node.entries.clear()


# -- Another copy takes over


@pytest.mark.parametrize(("name", "number"), [(SEGMENT, 10), (INIT, None)], ids=["segment", "init"])
async def test_the_other_pipelines_copy_takes_over_within_the_same_request(
    node: Node, name: str, number: int | None
) -> None:
    desk = Desk(node)
    await publish_both(node, number)
    lost = node.copy_of("a", number)
    assert (await desk.get(name)).body == ONE
    remove(node, address(ONE, "a", number))
    reply = await desk.get(name)
    assert (told(reply), reply.body) == ((200, "served", "lost"), TWO)
    assert reply.headers["Live-Origin-Pipeline"] == "b"
    assert reply.headers["Live-Origin-Choice"].startswith("b;rule=lost")
    assert reply.headers["ETag"] == f'"{digest_of(TWO)}"'
    loss, chosen = node.records
    assert loss == Lost(make_key(number), "a", lost.sequence)
    assert isinstance(chosen, Chosen)
    assert (chosen.pipeline_id, chosen.rule) == ("b", Rule.LOST)


async def test_what_took_over_stays_for_all_who_ask_later(node: Node) -> None:
    """The loss is recorded once: a copy that comes and goes would give caches two answers."""
    desk = Desk(node)
    await publish_both(node)
    remove(node, address(ONE, "a"))
    for _ in range(3):
        assert (await desk.get()).body == TWO
    node.held.held[address(ONE, "a")] = ONE
    assert (await desk.get()).body == TWO
    assert len(node.records) == 2


async def test_the_best_of_what_is_left_takes_over(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as node:
        desk = Desk(node)
        await node.publish("a", 10, ONE)
        await node.publish("b", 10, TWO, make_defect("short"))
        remove(node, address(ONE, "a"))
        reply = await desk.get()
        assert (told(reply), reply.body) == ((200, "served", "lost"), TWO)
        assert reply.headers["Live-Origin-Defects"] == "short"


async def test_a_better_copy_that_comes_later_upgrades_what_took_over(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", 10, ONE)
    await node.publish("b", 10, TWO, make_defect("short"))
    remove(node, address(ONE, "a"))
    assert (await desk.get()).body == TWO
    await node.publish("a", 10, THREE)
    reply = await desk.get()
    assert (told(reply), reply.body) == ((200, "served", "upgrade"), THREE)


async def test_all_who_read_the_lost_body_together_get_the_other_and_it_is_lost_once(node: Node) -> None:
    desk = Desk(node)
    await publish_both(node)
    with node.bodies.gate("read", matching="~a~") as gate:
        asking = [asyncio.create_task(desk.get()) for _ in range(20)]
        await gate.reached()
        remove(node, address(ONE, "a"))
    replies = await asyncio.gather(*asking)
    assert {(reply.status, reply.body) for reply in replies} == {(200, TWO)}
    assert [type(record) for record in node.records] == [Lost, Chosen]


async def test_a_copy_that_was_replaced_while_it_was_read_is_not_lost(node: Node) -> None:
    """Its body is gone because nothing speaks of it any more."""
    desk = Desk(node)
    await node.publish("a", None, ONE)
    with node.bodies.gate("read") as gate:
        asking = asyncio.create_task(desk.get(INIT))
        await gate.reached()
        await node.publish("a", None, TWO)
    assert (await asking).body == TWO
    assert not [record for record in node.records if isinstance(record, Lost)]


async def test_what_was_replaced_or_lost_before_is_not_recorded_as_lost(node: Node) -> None:
    """However late somebody notices."""
    await node.publish("a", None, ONE)
    former = node.copy_of("a", None)
    await node.publish("a", None, TWO)
    node.entries.clear()
    node.decider.lose(make_key(None), former)
    assert node.records == []
    newer = node.copy_of("a", None)
    for _ in range(2):
        node.decider.lose(make_key(None), newer)
    assert node.records == [Lost(make_key(None), "a", newer.sequence)]


async def test_a_copy_that_is_being_sent_again_is_looked_for_once_more_and_not_lost(node: Node) -> None:
    """Its packager is about to be told that it is kept."""
    desk = Desk(node)
    await node.publish("a", 10, ONE)
    node.held.held.clear()
    node.entries.clear()
    with node.bodies.gate("write") as gate:
        sending = asyncio.create_task(node.publish("a", 10, ONE))
        await gate.reached()
        asking = asyncio.create_task(desk.get())
        await turn()
        assert not asking.done()
    await sending
    assert told(await asking)[:2] == (503, "storage"), "to be asked again at once"
    assert node.records == []
    assert (await desk.get()).body == ONE


async def test_a_disk_that_fails_at_the_second_look_is_a_fault_and_no_loss(node: Node) -> None:
    desk = Desk(node)
    await publish_both(node)
    remove(node, address(ONE, "a"))
    with node.bodies.gate("read") as gate:
        asking = asyncio.create_task(desk.get())
        await gate.reached()
        in_turn = node.intake._turns.turn(make_key(10), "a")
        async with in_turn:
            gate.open()
            await turn()
            node.bodies.faults = Faults(errors=1)
    assert told(await asking)[:2] == (503, "storage")
    assert node.records == []
    assert [fault.operation for fault in node.faults] == ["body-read"]


# -- There is no other


# (id, when it is asked for, status, outcome)
REFUSED = [
    ("while-it-is-due", DUE_MS, 404, "not-published-yet"),
    ("last-ms-before-it-is-given-up", GIVEN_UP_MS - 1, 404, "not-published-yet"),
    ("given-up", GIVEN_UP_MS, 410, "never-published"),
]


@pytest.mark.parametrize(
    ("now_ms", "status", "outcome"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
@pytest.mark.parametrize("pipelines", ["a", "ab"])
async def test_where_all_copies_are_lost_the_segment_is_refused_by_arithmetic(
    node: Node, pipelines: str, now_ms: int, status: int, outcome: str
) -> None:
    desk = Desk(node)
    for pipeline_id in pipelines:
        await node.publish(pipeline_id, 10, ONE)
    node.held.held.clear()
    node.clock.move_to(now_ms)
    reply = await desk.get()
    assert told(reply) == (status, outcome, None)
    assert not reply.headers.keys() & {"ETag", "Live-Origin-Pipeline"}
    assert node.copies() == []
    losses = [record for record in node.records if isinstance(record, Lost)]
    assert [loss.pipeline_id for loss in losses] == list(pipelines)


async def test_an_init_segment_that_is_lost_may_come_again_at_any_time(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", None, ONE)
    node.held.held.clear()
    reply = await desk.get(INIT)
    assert told(reply) == (404, "not-published-yet", None)
    assert reply.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"


async def test_who_asks_after_the_loss_is_held_until_somebody_sends_it_again(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", 10, ONE)
    node.held.held.clear()
    assert (await desk.get()).status == 404
    asking = asyncio.create_task(desk.get())
    await turn()
    assert desk.waiters.count == 1
    await node.publish("a", 10, TWO)
    reply = await asking
    assert (told(reply), reply.body) == ((200, "served", "first-in-order"), TWO)


async def test_the_same_bytes_sent_again_heal_the_loss(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", 10, ONE)
    node.held.held.clear()
    assert (await desk.get()).status == 404
    node.entries.clear()
    await node.publish("a", 10, ONE)
    assert [type(record) for record in node.records] == [Published, Chosen]
    assert (await desk.get()).body == ONE


# -- Manifests


async def publish_manifests(node: Node) -> None:
    for pipeline_id, body in (("a", ONE), ("b", TWO)):
        await node.intake.publish_manifest("derby", pipeline_id, "live.mpd", body)


async def test_where_a_manifest_is_missing_the_next_pipelines_is_delivered(node: Node) -> None:
    desk = Desk(node)
    await publish_manifests(node)
    node.entries.clear()
    assert (await desk.get("live.mpd")).body == ONE
    (lost,) = [key for key, body in node.held.held.items() if body == ONE]
    remove(node, lost)
    reply = await desk.get("live.mpd")
    assert (reply.status, reply.body, reply.headers["Live-Origin-Pipeline"]) == (200, TWO, "b")
    assert node.records == [], "the next one comes within seconds"
    await node.intake.publish_manifest("derby", "a", "live.mpd", THREE)
    assert (await desk.get("live.mpd")).body == THREE


async def test_where_all_manifests_are_missing_it_is_a_fault(node: Node) -> None:
    desk = Desk(node)
    await publish_manifests(node)
    node.held.held.clear()
    assert told(await desk.get("live.mpd"))[:2] == (503, "storage")


# -- What is no loss


async def test_a_disk_that_fails_is_a_fault_and_no_loss(node: Node) -> None:
    """A whole disk that has vanished fails in the same way: everything would be lost, for good, in a second."""
    desk = Desk(node)
    await publish_both(node)
    node.bodies.faults = Faults(errors=1)
    for _ in range(3):
        assert told(await desk.get())[:2] == (503, "storage")
    assert node.records == []


FAULTS: list[tuple[str, Callable[[], StorageError]]] = [
    ("full", lambda: StorageFull("journal-append", "No space left on device")),
    ("broken", lambda: StorageError("journal-append", "Input/output error")),
]


@pytest.mark.parametrize("fault", [case[1] for case in FAULTS], ids=[case[0] for case in FAULTS])
async def test_a_loss_that_cannot_be_recorded_is_a_fault_until_it_can(
    node: Node, fault: Callable[[], StorageError]
) -> None:
    """What is not on record would be forgotten by a restart, and caches told two things."""
    desk = Desk(node)
    await publish_both(node)
    remove(node, address(ONE, "a"))
    node.journal.append_fault = fault()
    assert told(await desk.get())[:2] == (503, "storage")
    assert node.records == []
    node.journal.append_fault = None
    assert (await desk.get()).body == TWO


async def test_a_body_is_not_read_for_whom_it_is_not_sent_so_its_loss_is_not_noticed(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", 10, ONE)
    etag = (await desk.get()).headers["ETag"]
    node.held.held.clear()
    assert (await desk.get(If_None_Match=etag)).status == 304
    assert not [record for record in node.records if isinstance(record, Lost)]


async def test_losses_and_faults_are_counted(node: Node) -> None:
    desk = Desk(node)
    node.journal.follow(desk.metrics.observe_entry)
    await publish_both(node)
    remove(node, address(ONE, "a"))
    await desk.get()
    sample = desk.metrics.registry.get_sample_value
    assert sample("origin_bodies_lost_total", {"event": "derby"}) == 1
    assert sample("origin_storage_errors_total", {"operation": "body-read"}) == 1
    labels = {"event": "derby", "pipeline": "b", "rule": "lost"}
    assert sample("origin_selection_total", labels) == 1

"""What may happen between the steps of one GET: a choice before the wait, a renewal before the read."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from origin.backup import Backups
from origin.deliver import Deliverer
from origin.metrics import Metrics
from origin.reply import Reply
from origin.serving import Gates, Sources
from origin.steps import DeliverRequest
from origin.target import Programmes
from origin.waiters import HoldLimits, Waiters
from selection.model import Choice, Mask, SegmentKey
from storage.base import Stores
from storage.records import Chosen, Entry, Masked, Published, Unmasked
from tests.origin.parts import BODY, DUE_MS, Node, make_admission, running_node, turn, unbuffered
from tests.support.bodies import NO_FAULTS, Faults
from tests.support.events import make_defect, make_event, make_key

EVENT = make_event(pipelines=("a", "b"))
HOLD_MS = 60_000
ONE, TWO = b"the one", b"the other"


class Desk:
    """The deliver side of a node, wired as in `origin.app`."""

    def __init__(self, node: Node, stores: Stores | None = None, hold_ms_max: int = HOLD_MS) -> None:
        self.metrics = Metrics(CollectorRegistry(), [EVENT], node.clock.now_ms, node.catalog.newest_number)
        self.waiters = Waiters(HoldLimits(hold_ms_max, 100, 100, 100), self.metrics.holds_in_progress.set)
        stores = stores or node.stores
        self._deliverer = Deliverer(
            Programmes((EVENT,)),
            Sources(stores.catalog, unbuffered(stores.bodies), node.intake.check_lost),
            Gates(self.waiters, make_admission(), Backups(())),
            node.clock,
            self.metrics,
        )
        node.journal.follow(self._wake)

    def _wake(self, entry: Entry) -> None:
        if isinstance(entry.record, Chosen):
            self.waiters.wake(entry.record.key)

    async def get(self, name: str = "v720/10.m4s", **headers: str) -> Reply:
        fields = CIMultiDict({field.replace("_", "-"): value for field, value in headers.items()})
        path = f"/derby/{name}"
        return await self._deliverer.answer(DeliverRequest("GET", path, path, fields))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


class PublishingCatalog:
    """A catalog in which, right after each look-up that finds nothing, a publication is next on the event loop."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.publications: list[asyncio.Task[object]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._node.catalog, name)

    def choice(self, key: SegmentKey) -> Choice | None:
        found = self._node.catalog.choice(key)
        if found is None:
            self.publications.append(asyncio.create_task(self._node.publish("a", key.number)))
        return found


@pytest.mark.parametrize("number", [10, None], ids=["segment", "init"])
async def test_a_choice_made_between_look_up_and_wait_is_not_missed(node: Node, number: int | None) -> None:
    """If anything were awaited in between, the wake would find nobody, and the request wait for nothing."""
    catalog = PublishingCatalog(node)
    desk = Desk(node, Stores(node.bodies, node.journal, catalog))  # type: ignore[arg-type]  # the rest is delegated
    async with asyncio.timeout(5):
        reply = await desk.get("v720/init.mp4" if number is None else "v720/10.m4s")
    assert (reply.status, reply.body) == (200, BODY)
    assert len(catalog.publications) == 1
    await asyncio.gather(*catalog.publications)


async def test_all_who_were_held_are_answered_with_the_choice_that_woke_them(node: Node) -> None:
    desk = Desk(node)
    asking = [asyncio.create_task(desk.get()) for _ in range(50)]
    await turn()
    assert desk.waiters.count == 50
    await node.publish()
    replies = await asyncio.gather(*asking)
    assert {(reply.status, reply.body, reply.headers["ETag"]) for reply in replies} == {
        (200, BODY, replies[0].headers["ETag"])
    }


async def test_a_choice_is_announced_only_once_it_can_be_looked_up(node: Node) -> None:
    """Catalog before wake: who is woken looks there."""
    seen: list[Choice | None] = []
    Desk(node)
    node.journal.follow(lambda entry: seen.append(node.catalog.choice(make_key(10))))
    await node.publish()
    assert [type(record) for record in node.records] == [Published, Chosen]
    assert seen[1] is not None


async def test_a_choice_withdrawn_before_the_woken_look_again_leaves_them_waiting(node: Node) -> None:
    desk = Desk(node)
    asking = asyncio.create_task(desk.get())
    await turn()
    desk.waiters.wake(make_key(10))
    await turn()
    assert not asking.done()
    assert desk.waiters.count == 1
    await node.publish()
    assert (await asking).status == 200


async def test_holds_add_up_to_no_more_than_the_limit(node: Node) -> None:
    desk = Desk(node, hold_ms_max=1_000)
    asking = asyncio.create_task(desk.get())
    await turn()
    for elapsed_ms in (400, 800):
        node.clock.move_to(DUE_MS + elapsed_ms)
        desk.waiters.wake(make_key(10))
        await turn()
        assert desk.waiters.count == 1
    node.clock.move_to(DUE_MS + 1_000)
    desk.waiters.wake(make_key(10))
    reply = await asking
    assert (reply.outcome, reply.facts["hold_ms"]) == ("not-published-yet", 1_000)


async def test_a_clock_that_goes_back_while_a_request_is_held_does_not_lengthen_what_it_waited(node: Node) -> None:
    desk = Desk(node)
    asking = asyncio.create_task(desk.get())
    await turn()
    node.clock.move_to(DUE_MS - 5_000)
    await node.publish()
    reply = await asking
    assert reply.status == 200
    assert "hold_ms" not in reply.facts


async def test_an_init_segment_renewed_while_it_is_being_read_is_delivered_as_renewed(node: Node) -> None:
    desk = Desk(node)
    await node.publish("a", None, ONE)
    with node.bodies.gate("read") as gate:
        asking = asyncio.create_task(desk.get("v720/init.mp4"))
        await gate.reached()
        await node.publish("a", None, TWO)
    reply = await asking
    assert (reply.status, reply.body) == (200, TWO)
    choice = node.choice(None)
    assert choice is not None
    assert reply.headers["ETag"] == f'"{choice.candidate.digest}"'


async def test_a_manifest_renewed_while_it_is_being_read_is_delivered_as_renewed(node: Node) -> None:
    desk = Desk(node)
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    with node.bodies.gate("read") as gate:
        asking = asyncio.create_task(desk.get("live.mpd"))
        await gate.reached()
        await node.intake.publish_manifest("derby", "a", "live.mpd", TWO)
    reply = await asking
    assert (reply.status, reply.body) == (200, TWO)


async def test_a_flawed_copy_upgraded_while_it_is_being_read_is_delivered_as_it_was_chosen(node: Node) -> None:
    """Its bytes are still there, and headers and body belong together."""
    desk = Desk(node)
    await node.publish("a", 10, ONE, make_defect("short"))
    with node.bodies.gate("read") as gate:
        asking = asyncio.create_task(desk.get())
        await gate.reached()
        await node.publish("b", 10, TWO)
    reply = await asking
    assert (reply.status, reply.body, reply.headers["Live-Origin-Defects"]) == (200, ONE, "short")
    assert (await desk.get()).body == TWO


async def test_a_manifest_whose_body_is_missing_is_a_fault_for_a_second_and_not_a_404(node: Node) -> None:
    """The next one comes within seconds, and a 404 would end a player."""
    desk = Desk(node)
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    node.held.held.clear()
    reply = await desk.get("live.mpd")
    assert (reply.status, reply.outcome) == (503, "storage")
    assert reply.headers["Cache-Control"] == "public, max-age=1, stale-while-revalidate=0"
    assert reply.headers["Retry-After"] == "1"
    assert not reply.headers.keys() & {"ETag", "Live-Origin-Pipeline"}


@pytest.mark.parametrize("name", ["v720/10.m4s", "v720/init.mp4", "live.mpd"])
async def test_a_body_that_cannot_be_read_is_a_fault_and_the_next_request_is_served(node: Node, name: str) -> None:
    desk = Desk(node)
    await node.publish("a", 10)
    await node.publish("a", None)
    await node.intake.publish_manifest("derby", "a", "live.mpd", BODY)
    node.bodies.faults = Faults(errors=1)
    assert (await desk.get(name)).status == 503
    node.bodies.faults = NO_FAULTS
    assert (await desk.get(name)).body == BODY


async def test_a_mask_moves_manifests_to_the_next_pipeline(node: Node) -> None:
    desk = Desk(node)
    for pipeline_id, body in (("a", ONE), ("b", TWO)):
        await node.intake.publish_manifest("derby", pipeline_id, "live.mpd", body)
    assert (await desk.get("live.mpd")).body == ONE
    node.record(Masked("derby", Mask("m1", "a", 0)))
    assert (await desk.get("live.mpd")).body == TWO
    node.record(Masked("derby", Mask("m2", "b", 0)))
    assert (await desk.get("live.mpd")).status == 404
    node.record(Unmasked("derby", "m1"))
    assert (await desk.get("live.mpd")).body == ONE

"""The publish process's desk for deliver processes: who is in sync, whose metrics are shown, what is looked into."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from origin import workers_desk
from origin.feed.hooks import ServerHooks, Worker
from origin.metrics_merge import export
from origin.workers_desk import BASELINE, BEHIND_MS_MAX, CURRENT, WorkersDesk, metrics_payload
from selection.model import Candidate, Choice, Rule, SegmentKey
from storage.arenas import ArenaMade, BodyPlaced
from storage.base import BodyKey, Journal
from storage.catalog import MemoryCatalog
from storage.journal import FileJournal
from storage.records import Chosen, Published
from storage.shared_ram import SharedRam
from tests.origin.feed.feeds import Following, following, listen, until
from tests.storage.strategies import recorded_at
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_key

NAMES = ("deliver-0", "deliver-1")
MIB = 1024**2
BEGIN_MS = 100_000
KEY = BodyKey("derby/0/v720~7~a~d1gest")


class PaperFeed:
    """A feed without sockets: keeps the hooks, and what is to be told."""

    last: "PaperFeed"

    def __init__(self, journal: Journal, catalog: MemoryCatalog, clock: FakeClock, hooks: ServerHooks) -> None:
        self.hooks = hooks
        PaperFeed.last = self

    def start(self, listener: object) -> None:
        """Let nobody in."""


class PaperDesk:
    """A desk whose feed is of paper, and what its deliver processes say."""

    def __init__(self, folder: Path, listener: object) -> None:
        self.clock = FakeClock(BEGIN_MS)
        self.lost: list[tuple[SegmentKey, Candidate]] = []
        self.catalog = MemoryCatalog()
        self.journal = FileJournal(folder / "journal", fsync=False, standing=self.catalog.standing)
        self.journal.follow(self.catalog.apply)
        self.journal.open()
        self.desk = WorkersDesk(listener, NAMES, self.clock)  # type: ignore[arg-type]
        self.desk.open(self.journal, self.catalog, SharedRam(MIB, lambda key: None), self._on_lost)
        self.hooks = PaperFeed.last.hooks
        self.registry = CollectorRegistry()

    async def _on_lost(self, key: SegmentKey, lost: Candidate) -> None:
        self.lost.append((key, lost))

    def say(self, name: str, process_id: int = 1, *, sequence: int = 5, lag_ms: int = 0) -> Worker:
        worker = Worker(name, process_id, sequence, lag_ms, BEGIN_MS)
        self.hooks.on_status(worker, sequence)
        return worker

    def count(self, worker: Worker, kind: bytes, requests: float, held: float) -> None:
        """Send what a deliver process has counted."""
        registry = CollectorRegistry()
        Counter("origin_deliver_requests", "Requests.", registry=registry).inc(requests)
        Gauge("origin_holds_in_progress", "Held.", registry=registry).set(held)
        self.hooks.on_metrics(worker, metrics_payload(kind, worker.process_id, export(registry)))

    def shown(self) -> dict[str, float]:
        page = self.desk.render(self.registry).decode()
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperDesk]:
    monkeypatch.setattr(workers_desk, "FeedServer", PaperFeed)
    desk = PaperDesk(tmp_path, None)
    yield desk
    desk.journal.close()


# -- How they are


def test_who_has_not_been_heard_of_is_not_in_sync(paper: PaperDesk) -> None:
    assert paper.desk.status() == [{"worker": name, "connected": False, "in_sync": False} for name in NAMES]
    assert paper.shown() == {"origin_worker_up deliver-0": 0, "origin_worker_up deliver-1": 0}


def test_who_follows_is_in_sync_and_says_how_far_it_is(paper: PaperDesk) -> None:
    paper.say("deliver-1", 4711, sequence=9, lag_ms=20)
    assert paper.desk.status()[1] == {
        "worker": "deliver-1",
        "connected": True,
        "in_sync": True,
        "behind_ms": 20,
        "applied_sequence": 9,
        "process_id": 4711,
    }
    shown = paper.shown()
    assert (shown["origin_worker_up deliver-0"], shown["origin_worker_up deliver-1"]) == (0, 1)
    assert shown["origin_worker_behind_seconds deliver-1"] == 0.02


@pytest.mark.parametrize(("passed_ms", "lag_ms"), [(BEHIND_MS_MAX, 0), (0, BEHIND_MS_MAX)])
def test_who_is_silent_or_slow_for_longer_than_a_second_is_behind(
    paper: PaperDesk, passed_ms: int, lag_ms: int
) -> None:
    paper.say("deliver-0", lag_ms=lag_ms)
    paper.clock.move_to(BEGIN_MS + passed_ms)
    assert paper.desk.status()[0]["in_sync"]
    paper.say("deliver-0", lag_ms=lag_ms + (lag_ms > 0))
    paper.clock.move_to(BEGIN_MS + 2 * passed_ms + (passed_ms > 0))
    status = paper.desk.status()[0]
    assert (status["connected"], status["in_sync"], status["behind_ms"]) == (True, False, BEHIND_MS_MAX + 1)


def test_who_has_left_is_no_longer_connected(paper: PaperDesk) -> None:
    paper.hooks.on_left(paper.say("deliver-0"))
    assert not paper.desk.status()[0]["connected"]


def test_a_replaced_process_that_leaves_takes_nothing_from_its_successor(paper: PaperDesk) -> None:
    old, new = paper.say("deliver-0", 1), paper.say("deliver-0", 2)
    for worker in (old, new):
        paper.count(worker, CURRENT, 1, worker.process_id)
    paper.say("deliver-0", 1)  # it still drains, and has the last word
    assert paper.desk.status()[0]["process_id"] == 2
    paper.hooks.on_left(old)
    assert (paper.desk.status()[0]["in_sync"], paper.desk.status()[0]["process_id"]) == (True, 2)
    assert paper.shown()["origin_holds_in_progress"] == 2
    paper.hooks.on_left(new)
    assert not paper.desk.status()[0]["connected"]
    assert "origin_holds_in_progress" not in paper.shown()


def test_a_process_that_left_before_it_said_anything_is_no_mistake(paper: PaperDesk) -> None:
    paper.hooks.on_left(Worker("deliver-0", 1, 0, 0, BEGIN_MS))
    assert not paper.desk.status()[0]["connected"]


# -- Metrics


def test_counts_of_all_are_summed_also_of_those_that_are_gone(paper: PaperDesk) -> None:
    Counter("origin_deliver_requests", "Requests.", registry=paper.registry).inc(1)
    first, second = paper.say("deliver-0", 1), paper.say("deliver-1", 2)
    paper.count(first, CURRENT, 10, 3)
    paper.count(second, CURRENT, 100, 4)
    assert (paper.shown()["origin_deliver_requests_total"], paper.shown()["origin_holds_in_progress"]) == (111, 7)
    paper.hooks.on_left(first)
    paper.count(paper.say("deliver-0", 3), CURRENT, 1_000, 5)
    assert (paper.shown()["origin_deliver_requests_total"], paper.shown()["origin_holds_in_progress"]) == (1_111, 9)


def test_what_a_former_publish_process_was_told_is_not_counted_again(paper: PaperDesk) -> None:
    worker = paper.say("deliver-0")
    paper.count(worker, BASELINE, 10, 3)
    paper.count(worker, CURRENT, 12, 3)
    assert paper.shown()["origin_deliver_requests_total"] == 2


async def test_what_comes_while_a_page_is_made_waits_for_the_next_one(paper: PaperDesk) -> None:
    """A page is made in a thread: half of a change on it would be a counter that goes back."""
    worker = paper.say("deliver-0")
    paper.count(worker, CURRENT, 5, 1)
    reached, go_on = threading.Event(), threading.Event()

    class Slow:
        def collect(self) -> list[Metric]:
            reached.set()
            assert go_on.wait(10)
            return []

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Slow())
    making = asyncio.create_task(asyncio.to_thread(paper.desk.render, registry))
    assert await asyncio.to_thread(reached.wait, 10)
    paper.count(worker, CURRENT, 7, 1)  # returns at once
    paper.hooks.on_left(worker)
    go_on.set()
    assert requests_on(await making) == 5
    assert requests_on(paper.desk.render(CollectorRegistry())) == 7


def test_metrics_that_are_none_change_no_page(paper: PaperDesk, caplog: pytest.LogCaptureFixture) -> None:
    worker = paper.say("deliver-0")
    paper.count(worker, CURRENT, 5, 1)
    paper.hooks.on_metrics(worker, metrics_payload(CURRENT, 1, b"no export"))
    assert requests_on(paper.desk.render(CollectorRegistry())) == 5
    assert [record.getMessage() for record in caplog.records] == ["metrics of a deliver process not understood"]


def requests_on(page: bytes) -> float:
    (value,) = (
        sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == "origin_deliver_requests_total"
    )
    return value


def test_metrics_of_who_is_not_one_of_ours_are_left_out(paper: PaperDesk) -> None:
    paper.count(Worker("deliver-9", 1, 0, 0, BEGIN_MS), CURRENT, 10, 3)
    assert "origin_deliver_requests_total" not in paper.shown()


# -- Losses


@pytest.mark.parametrize(
    ("number", "pipeline_id", "is_looked_into"), [(7, "a", True), (7, "b", False), (8, "a", False)]
)
async def test_only_the_loss_of_the_copy_that_is_chosen_is_looked_into(
    paper: PaperDesk, number: int, pipeline_id: str, is_looked_into: bool
) -> None:
    copy = candidate("a")
    for record in (Published(make_key(7), copy), Chosen(make_key(7), "a", 1, Rule.FIRST_IN_ORDER, 0)):
        moment = paper.journal.next_moment(1_000)
        paper.journal.append(recorded_at(record, moment), moment)
    choice: Choice | None = paper.catalog.choice(make_key(7))
    assert choice is not None
    await paper.hooks.on_lost(make_key(number), pipeline_id, choice.candidate.digest)
    await paper.hooks.on_lost(make_key(7), "a", "another copy's digest")
    assert paper.lost == ([(make_key(7), choice.candidate)] if is_looked_into else [])


# -- With a real feed


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[tuple[WorkersDesk, SharedRam, str]]:
    catalog = MemoryCatalog()
    journal = FileJournal(folder / "journal", fsync=False, standing=catalog.standing)
    journal.follow(catalog.apply)
    journal.open()

    async def on_lost(key: SegmentKey, lost: Candidate) -> None:
        """Look into nothing."""

    with closing(listen(folder / "feed.sock")) as listener:
        desk = WorkersDesk(listener, NAMES, FakeClock(BEGIN_MS))
        ram = SharedRam(16 * MIB, lambda key: None, desk.announce)
        ram.put(BodyKey("derby/0/before"), b"before anybody is let in")
        desk.open(journal, catalog, ram, on_lost)
        try:
            yield desk, ram, str(listener.getsockname())
        finally:
            await desk.close()
            journal.close()


async def test_a_deliver_process_is_told_of_all_memory_and_is_seen(tmp_path: Path) -> None:
    told = Following()
    async with open_desk(tmp_path) as (desk, ram, path), following(path, told, FakeClock(BEGIN_MS), NAMES[0]):
        await until(lambda: desk.status()[0]["connected"])
        assert [kind for kind, _ in told.told] == ["arena", "placed"]
        ram.put(KEY, b"after that")
        await until(lambda: len(told.told) == 3)
        assert told.told[-1][0] == "placed" and KEY.encode() in told.told[-1][1]
        assert [status["connected"] for status in desk.status()] == [True, False]
    for descriptor in told.descriptors:
        os.close(descriptor)


async def test_a_desk_that_was_never_opened_can_be_told_of_memory_and_closed(tmp_path: Path) -> None:
    with closing(listen(tmp_path / "feed.sock")) as listener:
        desk = WorkersDesk(listener, NAMES, FakeClock(BEGIN_MS))
        desk.announce(BodyPlaced(KEY, "g-1", 0, 1))
        desk.announce(ArenaMade("g-1", 4096, -1))
        await desk.close()
        assert [status["connected"] for status in desk.status()] == [False, False]


def test_a_payload_says_whose_metrics_it_is() -> None:
    assert metrics_payload(CURRENT, 258, b"rest") == b"C\0\0\0\0\0\0\1\2rest"

"""The intake: what becomes of an upload, whatever ends, fails or is decided while its body is being written."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from origin.inspector import INLINE_BYTES_MAX
from origin.intake import Conflict, Outcome, OutsideWindow, Stored, TooFarAhead, Unchanged, Upload
from selection.model import Defect, Mask, Rule
from selection.window import WindowClass, expires_ms, opens_ms
from storage.base import body_key, digest_of, manifest_key
from storage.errors import BodyMissing, StorageFull
from storage.records import ManifestPublished, Masked, Published
from tests.origin.parts import BODY, DUE_MS, Node, running_node, turn
from tests.support.bodies import Faults
from tests.support.clock import FakeClock
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


# -- Outcomes


async def test_a_first_copy_is_stored_with_what_is_known_of_it(node: Node) -> None:
    upload = Upload(make_key(10), "b", BODY, received_ms=DUE_MS - 40, defects=(SHORT,), score=70)
    outcome = await node.intake.publish(upload)
    assert isinstance(outcome, Stored)
    assert not outcome.replaced
    copy = outcome.candidate
    assert (copy.pipeline_id, copy.digest, copy.size_bytes) == ("b", digest_of(BODY), len(BODY))
    assert (copy.published_ms, copy.received_ms) == (DUE_MS, DUE_MS - 40)
    assert (copy.defects, copy.score) == ((SHORT,), 70)
    assert node.records[0] == Published(make_key(10), copy)
    assert node.copies() == [copy]
    assert await node.bodies.read(body_key(make_key(10), "b", copy.digest)) == BODY


async def test_the_same_bytes_again_change_nothing(node: Node) -> None:
    stored = await node.publish()
    assert isinstance(stored, Stored)
    entries = list(node.entries)
    node.clock.move_to(DUE_MS + 50)
    assert await node.publish() == Unchanged(stored.candidate)
    assert node.entries == entries


async def test_the_same_bytes_again_heal_a_body_that_was_lost(node: Node) -> None:
    stored = await node.publish()
    assert isinstance(stored, Stored)
    lost = body_key(make_key(10), "a", stored.candidate.digest)
    await node.bodies.delete(lost)
    assert await node.publish() == Unchanged(stored.candidate)
    assert await node.bodies.read(lost) == BODY


async def test_the_same_bytes_with_other_defects_are_another_copy_until_they_are_chosen(node: Node) -> None:
    await node.publish("a", 9)  # so `a` is up, and the copy of `b` waits for it
    await node.publish("b")
    warned = Upload(make_key(10), "b", BODY, received_ms=DUE_MS, defects=(SHORT,))
    outcome = await node.intake.publish(warned)
    assert isinstance(outcome, Stored) and outcome.replaced
    assert node.copies()[0].defects == (SHORT,)
    assert await node.bodies.read(body_key(make_key(10), "b", outcome.candidate.digest)) == BODY


async def test_a_less_flawed_copy_takes_the_place_of_a_chosen_one_of_the_same_pipeline(node: Node) -> None:
    flawed = Upload(make_key(10), "a", BODY, received_ms=DUE_MS, defects=(SHORT,))
    await node.intake.publish(flawed)
    node.clock.move_to(DUE_MS + 5_000)
    assert isinstance(await node.intake.publish(flawed._replace(body=BODY + b"!")), Conflict)
    assert isinstance(await node.intake.publish(flawed._replace(body=BODY + b"!", defects=())), Stored)
    choice = node.choice()
    assert choice is not None
    assert (choice.rule, choice.candidate.digest) == (Rule.UPGRADE, digest_of(BODY + b"!"))


async def test_the_chosen_init_body_stays_whatever_comes_after_it(node: Node) -> None:
    """Good bytes, then corrupt ones, then the good ones again, then corrupt ones: the good ones are delivered."""
    corrupt = (Defect("corrupt"),)
    for body, defects in ((BODY, ()), (b"y", corrupt), (BODY, ()), (b"w", corrupt)):
        await node.intake.publish(Upload(make_key(None), "a", body, received_ms=DUE_MS, defects=defects))
    choice = node.choice(None)
    assert choice is not None
    assert await node.bodies.read(body_key(make_key(None), "a", choice.candidate.digest)) == BODY


async def test_the_same_bytes_are_unchanged_even_when_the_window_is_over(node: Node) -> None:
    await node.publish()
    node.clock.move_to(expires_ms(EVENT, 10))
    assert isinstance(await node.publish(), Unchanged)


async def test_a_copy_that_was_not_chosen_is_replaced_and_its_bytes_deleted(waiting: Node) -> None:
    await waiting.publish("b", 10, ONE, SHORT)
    outcome = await waiting.publish("b", 10, TWO, SHORT)
    assert isinstance(outcome, Stored)
    assert outcome.replaced
    assert [copy.digest for copy in waiting.copies()] == [digest_of(TWO)]
    assert kept(waiting) == {address(TWO, "b")}


async def test_a_chosen_copy_cannot_be_replaced(node: Node) -> None:
    await node.publish("a", 10, ONE)
    choice = node.choice()
    assert choice is not None
    outcome = await node.publish("a", 10, TWO)
    assert outcome == Conflict(choice)
    assert node.choice() == choice
    assert kept(node) == {address(ONE)}


async def test_another_pipelines_copy_is_stored_beside_the_chosen_one(node: Node) -> None:
    await node.publish("a", 10, ONE)
    outcome = await node.publish("b", 10, TWO)
    assert isinstance(outcome, Stored)
    assert kept(node) == {address(ONE, "a"), address(TWO, "b")}


async def test_an_init_segment_is_renewed_although_it_was_chosen(node: Node) -> None:
    await node.publish("a", None, ONE)
    outcome = await node.publish("a", None, TWO)
    assert isinstance(outcome, Stored)
    assert outcome.replaced
    choice = node.choice(None)
    assert choice is not None
    assert (choice.candidate.digest, choice.rule) == (digest_of(TWO), Rule.RENEWED)
    assert kept(node, None) == {address(TWO, "a", None)}


CLOCKS = [
    ("before-the-start", 4, DUE_MS, OutsideWindow(WindowClass.BEFORE_START)),
    ("after-the-end", 100, DUE_MS, OutsideWindow(WindowClass.AFTER_END)),
    ("left-the-window", 10, expires_ms(EVENT, 10), OutsideWindow(WindowClass.EXPIRED)),
    ("long-gone", 5, 10**12, OutsideWindow(WindowClass.EXPIRED)),
    ("too-early", 10, opens_ms(EVENT, 10) - 1, TooFarAhead(opens_ms(EVENT, 10))),
    ("far-too-early", 99, DUE_MS, TooFarAhead(opens_ms(EVENT, 99))),
]
IN_TIME = [
    ("earliest", 10, opens_ms(EVENT, 10)),
    ("due", 10, DUE_MS),
    ("given-up-long-ago", 10, expires_ms(EVENT, 10) - 1),
    ("first", 5, 13_000),
    ("last", 99, 201_000),
    ("init-before-the-start", None, 0),
    ("init-after-the-end", None, 3_800_000),
]


@pytest.mark.parametrize(
    ("number", "now_ms", "refusal"), [case[1:] for case in CLOCKS], ids=[case[0] for case in CLOCKS]
)
async def test_what_the_clock_forbids_is_refused_without_storage(
    tmp_path: Path, number: int, now_ms: int, refusal: OutsideWindow | TooFarAhead
) -> None:
    with running_node(tmp_path, EVENT, FakeClock(now_ms)) as node:
        assert node.intake.refuse_by_clock(make_key(number)) == refusal
        assert await node.publish("a", number) == refusal
        assert not node.bodies.counts
        assert node.entries == []


@pytest.mark.parametrize(("number", "now_ms"), [case[1:] for case in IN_TIME], ids=[case[0] for case in IN_TIME])
async def test_what_the_clock_allows_is_stored(tmp_path: Path, number: int | None, now_ms: int) -> None:
    with running_node(tmp_path, EVENT, FakeClock(now_ms)) as node:
        assert node.intake.refuse_by_clock(make_key(number)) is None
        assert isinstance(await node.publish("a", number), Stored)


async def test_a_large_body_has_the_same_address_as_if_it_were_small(node: Node) -> None:
    body = b"x" * (INLINE_BYTES_MAX + 1)
    await node.publish("a", 10, body)
    assert kept(node) == {address(body)}


# -- Manifests


def manifest_address(body: bytes, pipeline_id: str = "a", name: str = "live.mpd") -> str:
    return manifest_key("derby", name, pipeline_id, digest_of(body))


async def test_a_manifest_is_stored_and_then_renewed(node: Node) -> None:
    assert await node.intake.publish_manifest("derby", "a", "live.mpd", ONE) is False
    node.clock.move_to(DUE_MS + 2_000)
    assert await node.intake.publish_manifest("derby", "a", "live.mpd", TWO) is True
    (copy,) = node.catalog.manifests("derby", "live.mpd")
    assert (copy.pipeline_id, copy.digest, copy.size_bytes) == ("a", digest_of(TWO), len(TWO))
    assert copy.published_ms == DUE_MS + 2_000
    assert set(node.held.held) == {manifest_address(TWO)}


async def test_a_manifest_that_did_not_change_is_renewed_all_the_same(node: Node) -> None:
    """It counts as fresh again, and its bytes stay."""
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    node.clock.move_to(DUE_MS + 2_000)
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    (copy,) = node.catalog.manifests("derby", "live.mpd")
    assert copy.published_ms == DUE_MS + 2_000
    assert set(node.held.held) == {manifest_address(ONE)}


async def test_each_pipeline_and_each_name_has_a_manifest_of_its_own(node: Node) -> None:
    for pipeline_id in ("a", "b"):
        for name in ("live.mpd", "hls/live.m3u8"):
            assert await node.intake.publish_manifest("derby", pipeline_id, name, ONE) is False
    assert len(node.held.held) == 4
    assert len(node.catalog.manifests("derby", "live.mpd")) == 2


async def test_a_manifest_whose_record_cannot_be_written_leaves_the_former_one_and_nothing_else(node: Node) -> None:
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    node.journal.append_fault = FULL
    for body in (TWO, ONE):
        with pytest.raises(StorageFull):
            await node.intake.publish_manifest("derby", "a", "live.mpd", body)
    (copy,) = node.catalog.manifests("derby", "live.mpd")
    assert copy.digest == digest_of(ONE)
    assert set(node.held.held) == {manifest_address(ONE)}


async def test_a_manifest_that_cannot_be_written_leaves_the_former_one(node: Node) -> None:
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    node.bodies.faults = Faults(full=1)
    with pytest.raises(StorageFull):
        await node.intake.publish_manifest("derby", "a", "live.mpd", TWO)
    assert [copy.digest for copy in node.catalog.manifests("derby", "live.mpd")] == [digest_of(ONE)]


async def test_manifests_in_flight_are_recorded_in_the_order_in_which_they_came(node: Node) -> None:
    """ffmpeg writes its MPD twice at each boundary, on two connections."""
    with node.bodies.gate("write") as gate:
        renewals = [
            asyncio.create_task(node.intake.publish_manifest("derby", "a", "live.mpd", body))
            for body in (ONE, TWO, ONE)
        ]
        await gate.reached()
        await turn()
    assert await asyncio.gather(*renewals) == [False, True, True]
    digests = [r.manifest.digest for r in node.records if isinstance(r, ManifestPublished)]
    assert digests == [digest_of(ONE), digest_of(TWO), digest_of(ONE)]
    assert set(node.held.held) == {manifest_address(ONE)}


async def test_a_manifest_that_comes_back_while_its_bytes_are_being_deleted_stays(node: Node) -> None:
    await node.intake.publish_manifest("derby", "a", "live.mpd", ONE)
    with node.bodies.gate("delete") as gate:
        renewing = asyncio.create_task(node.intake.publish_manifest("derby", "a", "live.mpd", TWO))
        await gate.reached()
        coming_back = asyncio.create_task(node.intake.publish_manifest("derby", "a", "live.mpd", ONE))
        await turn()
    await asyncio.gather(renewing, coming_back)
    assert [copy.digest for copy in node.catalog.manifests("derby", "live.mpd")] == [digest_of(ONE)]
    assert set(node.held.held) == {manifest_address(ONE)}


async def test_a_masked_pipelines_copies_are_taken_in_all_the_same(node: Node) -> None:
    """The mask may be lifted before the segment leaves the window."""
    node.record(Masked("derby", Mask("m1", "a", 0)))
    assert isinstance(await node.publish("a"), Stored)
    assert node.choice() is None


async def test_what_a_candidate_says_of_its_place_is_what_the_journal_says(node: Node) -> None:
    outcome = await node.publish()
    assert isinstance(outcome, Stored)
    assert outcome.candidate.moment == node.entries[0].moment
    assert replace(outcome.candidate) == node.copies()[0]


async def test_a_body_that_a_record_speaks_of_is_there(node: Node) -> None:
    for number in range(6, 12):
        for pipeline_id in ("a", "b"):
            for body in (ONE, TWO):
                await node.publish(pipeline_id, number, body)
    for number in range(6, 12):
        for copy in node.copies(number):
            try:
                await node.bodies.read(body_key(make_key(number), copy.pipeline_id, copy.digest))
            except BodyMissing:
                pytest.fail(f"the body of {copy} is missing")
    assert len(node.held.held) == sum(len(node.copies(number)) for number in range(6, 12))

"""What becomes of an upload that was looked into: what was found counts as what was declared, and for more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from origin.intake import Conflict, Stored, Unchanged
from selection.model import Candidate, Checks, Defect, Rule
from storage.base import body_key, digest_of
from tests.origin.parts import DUE_MS, Node, running_node
from tests.origin.segments import INIT, OTHER_INIT, make_segment
from tests.support.events import make_defect, make_event, make_key

EVENT = make_event(pipelines=("a", "b"), checks=Checks.ALL)
GOOD, ALSO_GOOD = make_segment(10), make_segment(10, brand="msix")
SHORT, SHORTER = make_segment(10, lost_count=1), make_segment(10, lost_count=2)
SLATE = make_segment(10, brand="slat")
FOUND_SHORT = make_defect("short", missing_ms=40, missing_frames=1)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that has init segments, and segments before the one in question."""
    with running_node(tmp_path, EVENT) as node:
        for pipeline_id in ("a", "b"):
            await node.publish(pipeline_id, None, INIT)
            for number in (8, 9):
                await node.publish(pipeline_id, number, make_segment(number))
        node.entries.clear()
        yield node


def chosen(node: Node) -> tuple[str, Rule, str]:
    choice = node.choice()
    assert choice is not None
    return choice.candidate.pipeline_id, choice.rule, choice.candidate.digest


def kept(node: Node) -> set[str]:
    return {key for key in node.held.held if "~10~" in key}


# (id, body, what the packager declares, what is recorded)
MERGED: list[tuple[str, bytes, list[Defect], list[Defect]]] = [
    ("found", SHORT, [], [FOUND_SHORT]),
    ("declared", GOOD, [make_defect("short", missing_ms=7)], [make_defect("short", missing_ms=7)]),
    ("both-measured-counts", SHORT, [make_defect("short", missing_ms=7)], [FOUND_SHORT]),
    (
        "different-ones-worst-first",
        SHORT,
        [Defect("odd"), Defect("slate"), Defect("alarm")],
        [Defect("slate"), FOUND_SHORT, Defect("alarm"), Defect("odd")],
    ),
    (
        "corrupt",
        b"x",
        [Defect("slate")],
        [make_defect("corrupt", reason="not-media", offset=0), Defect("slate")],
    ),
]


@pytest.mark.parametrize(
    ("body", "declared", "recorded"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED]
)
async def test_defects_are_those_found_and_those_declared(
    node: Node, body: bytes, declared: list[Defect], recorded: list[Defect]
) -> None:
    await node.publish("a", 10, body, *declared)
    assert list(node.copy_of("a").defects) == recorded


async def test_a_corrupt_copy_is_recorded_and_never_chosen(node: Node) -> None:
    outcome = await node.publish("a", 10, GOOD[:-1])
    assert isinstance(outcome, Stored)
    assert outcome.candidate.facts is None
    node.clock.move_to(DUE_MS + 9_000)
    assert node.choice() is None
    await node.publish("b", 10, SHORT)
    assert chosen(node)[0] == "b"


@pytest.mark.parametrize("body", [GOOD, SHORT, GOOD[:-1]], ids=["good", "short", "corrupt"])
@pytest.mark.parametrize("pipeline_id", ["a", "b"])
async def test_the_same_bytes_again_change_nothing(node: Node, body: bytes, pipeline_id: str) -> None:
    stored = await node.publish(pipeline_id, 10, body, Defect("odd"))
    assert isinstance(stored, Stored)
    entries = list(node.entries)
    assert await node.publish(pipeline_id, 10, body, Defect("odd")) == Unchanged(stored.candidate)
    assert node.entries == entries


async def test_the_same_init_segment_again_changes_nothing(node: Node) -> None:
    before = node.copies(None)
    assert isinstance(await node.publish("a", None, INIT), Unchanged)
    assert (node.copies(None), node.entries) == (before, [])


async def test_a_chosen_flawed_copy_is_replaced_by_a_good_one_of_the_same_pipeline(node: Node) -> None:
    await node.publish("a", 10, SHORT)
    node.clock.move_to(DUE_MS + EVENT.policy.grace_ms)
    assert chosen(node) == ("a", Rule.GRACE_OVER, digest_of(SHORT))
    outcome = await node.publish("a", 10, GOOD)
    assert isinstance(outcome, Stored) and outcome.replaced
    assert chosen(node) == ("a", Rule.UPGRADE, digest_of(GOOD))
    assert kept(node) == {body_key(make_key(10), "a", digest_of(GOOD))}


# (id, the chosen body, other bytes that come after it)
NO_BETTER = [
    ("good-for-good", GOOD, ALSO_GOOD),
    ("flawed-for-good", GOOD, SHORT),
    ("as-flawed", SLATE, make_segment(10, brand="slat", frame_bytes=11)),
    ("more-flawed", SHORT, SHORTER),
    ("corrupt-for-flawed", SHORT, SHORT[:-1]),
]


@pytest.mark.parametrize(("first", "second"), [case[1:] for case in NO_BETTER], ids=[case[0] for case in NO_BETTER])
async def test_other_bytes_that_are_no_better_than_the_chosen_ones_are_refused(
    node: Node, first: bytes, second: bytes
) -> None:
    await node.publish("a", 10, first)
    node.clock.move_to(DUE_MS + EVENT.policy.grace_ms)
    choice = node.choice()
    assert choice is not None
    assert await node.publish("a", 10, second) == Conflict(choice)
    assert chosen(node)[2] == digest_of(first)
    assert kept(node) == {body_key(make_key(10), "a", digest_of(first))}


async def test_a_copy_that_is_not_chosen_yet_is_looked_into_anew_when_it_comes_again(tmp_path: Path) -> None:
    """Its init segment has come in between, by which more can be told of it."""
    late = make_segment(10, late_count=2)
    with running_node(tmp_path, EVENT) as node:
        await node.publish("a", 9, make_segment(9))
        await node.publish("b", 9, make_segment(9))
        first = await node.publish("b", 10, late)
        await node.publish("b", None, INIT)
        again = await node.publish("b", 10, late)
    assert isinstance(first, Stored) and isinstance(again, Stored)
    assert told(first.candidate) == ((), 0, None)
    assert told(again.candidate) == ((make_defect("wrong-time", offset_ms=80),), 12_800, digest_of(INIT))


def told(copy: Candidate) -> tuple[tuple[Defect, ...], int, str | None]:
    assert copy.facts is not None
    return copy.defects, copy.facts.tracks[0].timescale, copy.facts.init_digest


async def test_a_chosen_copy_stays_as_it_was_known_when_it_comes_again(tmp_path: Path) -> None:
    with running_node(tmp_path, EVENT) as node:
        first = await node.publish("a", 10, GOOD)
        await node.publish("a", None, OTHER_INIT)
        assert isinstance(first, Stored)
        assert chosen(node)[2] == digest_of(GOOD)
        assert await node.publish("a", 10, GOOD) == Unchanged(first.candidate)
        assert node.copies() == [first.candidate]


async def test_an_init_segment_goes_that_was_delivered_on_after_a_corrupt_one_when_the_next_is_chosen(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path, make_event(pipelines=("a",), checks=Checks.ALL)) as node:
        await node.publish("a", None, INIT)
        await node.publish("a", None, INIT[:-1])
        both = {body_key(make_key(None), "a", digest_of(body)) for body in (INIT, INIT[:-1])}
        assert set(node.held.held) == both, "the one is delivered, the other is the newest copy"
        await node.publish("a", None, OTHER_INIT)
        choice = node.choice(None)
        assert choice is not None and choice.candidate.digest == digest_of(OTHER_INIT)
        assert set(node.held.held) == {body_key(make_key(None), "a", digest_of(OTHER_INIT))}

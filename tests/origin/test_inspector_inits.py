"""Inspection: for which init segment a segment was made, and what is done where that is not to be had."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from origin.inspector import Inspector
from selection.model import Checks, Defect, Facts, Kind, TrackFacts
from storage.base import BodyKey, body_key, digest_of
from tests.origin.parts import Node, running_node
from tests.origin.segments import (
    INIT,
    LIKE_INIT,
    LIKE_OTHER_INIT,
    OTHER_INIT,
    make_init,
    make_segment,
)
from tests.support.bodies import NO_FAULTS, Faults
from tests.support.events import make_defect, make_event, make_key, make_rendition
from tests.support.mp4 import NOT_SYNC, SYNC, Sample, box, fragment

EVENT = make_event(pipelines=("a", "b"), checks=Checks.ALL)
TS_EVENT = make_event(
    pipelines=("a", "b"),
    checks=Checks.ALL,
    renditions=[make_rendition(kind=Kind.MUXED, media="seg-$Number$.ts", init=None)],
)
PICTURE = TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800, 256_000, 256_000, 281_600, 25_600, 50, True)
UNTOLD = PICTURE._replace(codec="", timescale=0)  # what is known without an init segment


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_node(tmp_path, EVENT) as node:
        yield node


@pytest.fixture
async def told(node: Node) -> Node:
    """A node that has the init segment of `a`, which is delivered."""
    await node.publish("a", None, INIT)
    return node


def warnings(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.getMessage() == "init segment not readable"]
    assert all(record.levelname == "WARNING" for record in records)
    return [record.__dict__["fields"] for record in records]


# -- Which init segment


async def test_a_segment_made_for_another_init_segment_than_the_delivered_one_is_flawed(told: Node) -> None:
    await told.publish("b", None, OTHER_INIT)
    for pipeline_id in ("a", "b"):
        await told.publish(pipeline_id, 10, make_segment(10))
    assert told.copy_of("a").defects == ()
    assert told.copy_of("b").defects == (make_defect("mismatched-init", differs="picture-size"),)
    assert [told.facts_of(each).init_digest for each in "ab"] == [digest_of(INIT), digest_of(OTHER_INIT)]


async def test_an_init_segment_of_other_bytes_that_a_decoder_takes_for_the_same_does_no_harm(told: Node) -> None:
    await told.publish("b", None, LIKE_INIT)
    await told.publish("b", 10, make_segment(10))
    assert (told.copy_of("b").defects, told.facts_of("b").init_digest) == ((), digest_of(INIT))


async def test_a_pipeline_without_an_init_segment_makes_segments_for_the_delivered_one(told: Node) -> None:
    await told.publish("b", 10, make_segment(10, late_count=2))
    assert told.facts_of("b") == Facts(
        (PICTURE._replace(begin=257_024, presentation=257_024, end=282_624),), digest_of(INIT)
    )
    assert told.copy_of("b").defects == (make_defect("wrong-time", offset_ms=80),)


async def test_a_pipeline_whose_init_segment_is_corrupt_makes_segments_for_the_delivered_one(told: Node) -> None:
    await told.publish("b", None, OTHER_INIT[:-1])
    await told.publish("b", 10, make_segment(10, late_count=2))
    assert told.facts_of("b").init_digest == digest_of(INIT)
    assert told.copy_of("b").defects == (make_defect("wrong-time", offset_ms=80),)


async def test_the_own_init_segment_is_needed_while_none_is_delivered(tmp_path: Path) -> None:
    """`a` is up and may still send one, so that of `b` waits."""
    with running_node(tmp_path, EVENT) as node:
        await node.make_healthy("a", "b")
        await node.publish("b", None, LIKE_INIT)
        assert node.choice(None) is None
        await node.publish("b", 10, make_segment(10))
        assert node.facts_of("b") == Facts((PICTURE,), digest_of(LIKE_INIT))


async def test_before_any_init_segment_ticks_are_told_and_no_times(node: Node) -> None:
    found = await node.look_into(make_segment(10))
    assert (found.facts, found.defects) == (Facts((UNTOLD,)), ())
    assert (await node.look_into(make_segment(10, late_count=2, brand="slat"))).defects == (Defect("slate"),)


async def test_an_init_segment_that_was_not_looked_into_is_not_used(tmp_path: Path) -> None:
    """The event's checks were `none` when it came."""
    with running_node(tmp_path, make_event(checks=Checks.NONE)) as node:
        await node.publish("a", None, INIT)
        assert (await node.look_into(make_segment(10), event=EVENT)).facts == Facts((UNTOLD,), digest_of(INIT))


# (id, default duration of the delivered init segment, of the pipeline's own, whether its segment tells it, expected)
DEFAULTS: list[tuple[str, int, int, bool, list[Defect]]] = [
    ("equal", 512, 512, False, []),
    ("not-relied-on", 1_024, 512, True, []),
    (
        "read-otherwise",
        1_024,
        512,
        False,
        [make_defect("mismatched-init", differs="defaults")],
    ),
]


@pytest.mark.parametrize(
    ("delivered", "own", "tells_durations", "expected"),
    [case[1:] for case in DEFAULTS],
    ids=[case[0] for case in DEFAULTS],
)
async def test_defaults_that_differ_count_where_a_segment_relies_on_them(
    node: Node, delivered: int, own: int, tells_durations: bool, expected: list[Defect]
) -> None:
    await node.publish("a", None, make_init(default_duration=delivered))
    await node.publish("b", None, make_init(brand="dash", default_duration=own))
    found = await node.look_into(make_segment(10, tells_durations=tells_durations), pipeline_id="b")
    assert list(found.defects) == expected
    needed = make_init(brand="dash", default_duration=own) if expected else make_init(default_duration=delivered)
    assert found.facts == Facts((PICTURE,), digest_of(needed))


async def test_a_segment_that_cannot_be_read_behind_the_delivered_init_segment_relies_on_its_own(node: Node) -> None:
    await node.publish("a", None, make_init(default_size=1_000))
    await node.publish("b", None, make_init(default_size=10))
    data = box("mdat", bytes(50 * 10))
    samples = [Sample(512, None, flags) for flags in (SYNC, *[NOT_SYNC] * 49)]
    without_sizes = fragment(samples, 256_000)[:-8] + data
    found = await node.look_into(without_sizes, pipeline_id="b")
    assert found.defects == (make_defect("mismatched-init", differs="defaults"),)


# -- Generations

# (id, what came, in order, the generations they are of)
GENERATIONS: list[tuple[str, list[tuple[str, bytes]], list[bytes]]] = [
    ("first", [("a", INIT)], [INIT]),
    ("the-same-bytes", [("a", INIT), ("b", INIT)], [INIT, INIT]),
    ("like-it", [("a", INIT), ("b", LIKE_INIT)], [INIT, INIT]),
    ("unlike-it", [("a", INIT), ("b", OTHER_INIT)], [INIT, OTHER_INIT]),
    ("renewed-like-the-delivered-one", [("a", INIT), ("a", LIKE_INIT)], [INIT, INIT]),
    ("renewed-unlike-it", [("a", INIT), ("b", INIT), ("a", OTHER_INIT)], [INIT, INIT, OTHER_INIT]),
    (
        "like-another-that-is-not-delivered",
        [("a", INIT), ("b", OTHER_INIT), ("c", LIKE_OTHER_INIT)],
        [INIT, OTHER_INIT, OTHER_INIT],
    ),
    ("back-to-the-delivered-one", [("a", INIT), ("b", OTHER_INIT), ("b", LIKE_INIT)], [INIT, OTHER_INIT, INIT]),
    ("after-a-corrupt-one", [("a", INIT[:-1]), ("b", INIT), ("a", LIKE_INIT)], [b"", INIT, INIT]),
]


@pytest.mark.parametrize(
    ("steps", "expected"), [case[1:] for case in GENERATIONS], ids=[case[0] for case in GENERATIONS]
)
async def test_init_segments_that_can_stand_in_for_each_other_are_of_one_generation(
    tmp_path: Path, steps: list[tuple[str, bytes]], expected: list[bytes]
) -> None:
    found = []
    with running_node(tmp_path, make_event(pipelines=("a", "b", "c"), checks=Checks.ALL)) as node:
        for pipeline_id, body in steps:
            await node.publish(pipeline_id, None, body)
            facts = node.copy_of(pipeline_id, None).facts
            found.append(None if facts is None else facts.generation)
    assert found == [digest_of(body) if body else None for body in expected]


# -- After a restart


async def test_an_init_segment_is_read_back_from_its_body_once(told: Node) -> None:
    restarted = Inspector(told.stores)
    for number in (9, 10):
        found = await restarted.inspect(EVENT, make_key(number), "a", make_segment(number))
        assert found.facts is not None
        assert (found.facts.tracks[0].timescale, found.facts.init_digest) == (12_800, digest_of(INIT))
    assert told.bodies.counts["read"] == 1


async def test_after_a_restart_a_segment_is_held_against_the_same_init_segments(told: Node) -> None:
    await told.publish("b", None, OTHER_INIT)
    found = await told.look_into(make_segment(10), pipeline_id="b")
    assert found.defects == (make_defect("mismatched-init", differs="picture-size"),)
    assert found.facts == Facts((PICTURE,), digest_of(OTHER_INIT))


async def test_after_a_restart_an_init_segment_is_of_the_same_generation(told: Node) -> None:
    found = await told.look_into(LIKE_INIT, number=None, pipeline_id="b")
    assert found.facts is not None and found.facts.generation == digest_of(INIT)


def lose(node: Node, address: BodyKey) -> None:
    del node.held.held[address]


def spoil(node: Node, address: BodyKey) -> None:
    node.held.held[address] = INIT[:-1]


def fail(node: Node, _: BodyKey) -> None:
    node.bodies.faults = Faults(errors=1)


def cut_short(node: Node, _: BodyKey) -> None:
    node.bodies.faults = Faults(short=1)


DAMAGES = [("lost", lose), ("spoilt", spoil), ("disk-that-fails", fail), ("read-that-is-cut", cut_short)]


@pytest.mark.parametrize("damage", [case[1] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
async def test_an_init_segment_that_cannot_be_read_is_logged_and_done_without_until_it_can(
    told: Node, damage: Callable[[Node, BodyKey], None], caplog: pytest.LogCaptureFixture
) -> None:
    address = body_key(make_key(None), "a", digest_of(INIT))
    restarted = Inspector(told.stores)
    damage(told, address)
    found = await restarted.inspect(EVENT, make_key(10), "a", make_segment(10, late_count=2, brand="slat"))
    assert found.defects == (Defect("slate"),)
    assert found.facts is not None
    assert (found.facts.tracks[0].timescale, found.facts.init_digest) == (0, digest_of(INIT))
    told_of = warnings(caplog)
    assert told_of and all(line["body"] == address and line["error"] for line in told_of)
    told.bodies.faults = NO_FAULTS
    await told.bodies.write(address, INIT)
    caplog.clear()
    healed = await restarted.inspect(EVENT, make_key(10), "a", make_segment(10, late_count=2, brand="slat"))
    assert healed.defects == (Defect("slate"), make_defect("wrong-time", offset_ms=80))
    assert warnings(caplog) == []


async def test_uploads_of_several_pipelines_are_inspected_at_once(told: Node) -> None:
    restarted = Inspector(told.stores)
    with told.bodies.gate("read") as gate:
        inspecting = [
            asyncio.create_task(restarted.inspect(EVENT, make_key(10), each, make_segment(10))) for each in "ab"
        ]
        await gate.reached()
    assert {found.facts for found in await asyncio.gather(*inspecting)} == {Facts((PICTURE,), digest_of(INIT))}

"""Inspection: what is found in real bytes, for which init segment, and what is done where that is not to be had."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from origin import inspector
from origin.inspector import INLINE_BYTES_MAX, Inspected
from selection.model import Checks, Defect, Event, Facts, Kind, TrackFacts
from selection.reading import read_segment
from storage.base import digest_of
from tests.origin.parts import Node, running_node
from tests.origin.segments import (
    INIT,
    LIKE_INIT,
    OTHER_INIT,
    SOUND_INIT,
    make_segment,
    make_ts,
)
from tests.support.events import make_defect, make_event, make_rendition
from tests.support.mp4 import NOT_SYNC
from tests.support.origins import make_settings
from tests.support.ts import PACKET_BYTES, VIDEO_PID

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


# -- Facts and defects


async def test_what_a_segment_says_is_recorded_with_its_copy(told: Node) -> None:
    await told.publish("a", 10, make_segment(10))
    copy = told.copy_of("a")
    assert (copy.facts, copy.defects) == (Facts((PICTURE,), digest_of(INIT)), ())


async def test_what_an_init_segment_says_is_recorded_with_its_copy(told: Node) -> None:
    track = TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800)
    assert told.facts_of("a", None) == Facts((track,), digest_of(INIT), digest_of(INIT))


CUT = make_segment(10)[:-1]
MDAT = len(make_segment(10)) - 8 - 50 * 10
NO_MEDIA = b"<html>404</html>"


def corrupt(reason: str, offset: int) -> Defect:
    return make_defect("corrupt", reason=reason, offset=offset)


# (id, body, what is found without times, what is found of times)
BODIES: list[tuple[str, bytes, list[Defect], list[Defect]]] = [
    ("good", make_segment(10), [], []),
    ("cut", CUT, [corrupt("truncated", MDAT)], []),
    ("no-media", NO_MEDIA, [corrupt("not-media", 0)], []),
    ("empty", b"", [corrupt("not-media", 0)], []),
    ("init-segment", INIT, [corrupt("missing-part", 0)], []),
    (
        "another-track",
        make_segment(10, track_id=2),
        [make_defect("mismatched-init", differs="track")],
        [],
    ),
    ("filler", make_segment(10, brand="slat"), [Defect("slate")], []),
    ("no-keyframe", make_segment(10, first_flags=NOT_SYNC), [Defect("no-keyframe")], []),
    ("another-time", make_segment(10, late_count=2), [], [make_defect("wrong-time", offset_ms=80)]),
    ("a-frame-late", make_segment(10, late_count=1), [], []),
    ("short", make_segment(10, lost_count=3), [], [make_defect("short", missing_ms=120, missing_frames=3)]),
    ("long", make_segment(10, lost_count=-2), [], [make_defect("discontinuity", excess_ms=80)]),
    (
        "all-of-it",
        make_segment(10, brand="slat", first_flags=NOT_SYNC, late_count=-2, lost_count=1),
        [Defect("slate"), Defect("no-keyframe")],
        [make_defect("wrong-time", offset_ms=-80), make_defect("short", missing_ms=40, missing_frames=1)],
    ),
]


@pytest.mark.parametrize("checks", [Checks.ALL, Checks.STRUCTURE])
@pytest.mark.parametrize(
    ("body", "structural", "timing"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES]
)
async def test_defects_are_found_as_far_as_the_event_wants_them(
    told: Node, checks: Checks, body: bytes, structural: list[Defect], timing: list[Defect]
) -> None:
    found = await told.look_into(body, event=make_event(checks=checks))
    assert found.digest == digest_of(body)
    assert list(found.defects) == (structural + timing if checks is Checks.ALL else structural)
    is_read = not any(defect.name == "corrupt" for defect in structural)
    assert (found.facts is not None) == is_read


@pytest.mark.parametrize("body", [INIT, *(case[1] for case in BODIES)], ids=["init", *(case[0] for case in BODIES)])
async def test_what_is_found_in_a_view_is_what_is_found_in_its_bytes(told: Node, body: bytes) -> None:
    number = None if body is INIT else 10
    view = memoryview(bytearray(body)).toreadonly()
    assert await told.look_into(view, number=number) == await told.look_into(body, number=number)


OTHER = make_event(renditions=[make_rendition(kind=Kind.TEXT, media="$RepresentationID$/$Number$.vtt", init=None)])
NOT_LOOKED_INTO = [
    ("checks-none", make_event(checks=Checks.NONE), NO_MEDIA, 10),
    ("checks-none-init", make_event(checks=Checks.NONE), NO_MEDIA, None),
    ("checks-none-large", make_event(checks=Checks.NONE), bytes(INLINE_BYTES_MAX + 1), 10),
    ("subtitles", make_event(renditions=OTHER.renditions, checks=Checks.ALL), b"WEBVTT", 10),
]


@pytest.mark.parametrize(
    ("event", "body", "number"), [case[1:] for case in NOT_LOOKED_INTO], ids=[case[0] for case in NOT_LOOKED_INTO]
)
async def test_what_is_not_looked_into_has_a_digest_and_nothing_else(
    node: Node, event: Event, body: bytes, number: int | None
) -> None:
    assert await node.look_into(body, event=event, number=number) == Inspected(digest_of(body))


INITS: list[tuple[str, bytes, dict[str, str | int]]] = [
    ("cut", INIT[:-1], {"reason": "truncated", "offset": 20}),
    ("segment", make_segment(10), {"reason": "missing-part", "offset": 0}),
    ("sound", SOUND_INIT, {"differs": "kind"}),
    ("another-codec", INIT.replace(b"avc1", b"hvc1"), {"differs": "codec"}),
    ("another-size", OTHER_INIT, {"differs": "picture-size"}),
    ("as-configured", LIKE_INIT, {}),
]


@pytest.mark.parametrize(("body", "parameters"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
async def test_an_init_segment_is_held_against_the_configuration(
    tmp_path: Path, body: bytes, parameters: dict[str, str | int]
) -> None:
    (event,) = make_settings(tmp_path).to_events()
    with running_node(tmp_path, event) as node:
        found = await node.look_into(body, event=event, number=None)
    name = "corrupt" if "reason" in parameters else "mismatched-init"
    assert list(found.defects) == ([make_defect(name, **parameters)] if parameters else [])
    assert (found.facts is None) == (name == "corrupt" and bool(parameters))


async def test_a_segment_that_does_not_join_the_one_before_it_of_its_pipeline_is_a_jump(told: Node) -> None:
    await told.publish("b", 9, make_segment(9))
    await told.publish("a", 9, make_segment(9, late_count=1))
    found = await told.look_into(make_segment(10))
    assert found.defects == (make_defect("discontinuity", gap_ms=-40),)
    assert (await told.look_into(make_segment(10), pipeline_id="b")).defects == ()


# -- Transport streams


async def test_a_transport_stream_tells_its_facts_by_itself(tmp_path: Path) -> None:
    with running_node(tmp_path, TS_EVENT) as node:
        await node.publish("a", 10, make_ts(10))
        picture = TrackFacts(VIDEO_PID, Kind.VIDEO, "h264", 90_000, 1_800_000, 1_800_000, 1_980_000, 180_000, 50, True)
        assert (node.facts_of("a"), node.copy_of("a").defects) == (Facts((picture,)), ())
        assert node.bodies.counts["read"] == 0


TS_BODIES = [
    ("packets-missing", make_ts(10, lost_packets_count=1), [make_defect("discontinuity", holes=1)]),
    ("another-time", make_ts(11), [make_defect("wrong-time", offset_ms=2_000)]),
    ("cut", make_ts(10)[:-1], [corrupt("truncated", 52 * PACKET_BYTES - PACKET_BYTES)]),
    ("cmaf", make_segment(10), [corrupt("not-media", 0)]),
]


@pytest.mark.parametrize(("body", "expected"), [case[1:] for case in TS_BODIES], ids=[case[0] for case in TS_BODIES])
async def test_defects_of_a_transport_stream_are_found(tmp_path: Path, body: bytes, expected: list[Defect]) -> None:
    with running_node(tmp_path, TS_EVENT) as node:
        assert list((await node.look_into(body, event=TS_EVENT)).defects) == expected


# -- Large bodies


@pytest.mark.parametrize("body", [case[1] for case in BODIES], ids=[case[0] for case in BODIES])
async def test_what_is_found_in_a_thread_is_what_is_found_here(
    told: Node, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await told.look_into(body), await told.look_into(body, number=None)
    monkeypatch.setattr(inspector, "INLINE_BYTES_MAX", -1)
    assert (await told.look_into(body), await told.look_into(body, number=None)) == here


async def test_large_bodies_are_read_beside_the_event_loop_and_small_ones_on_it(
    told: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def read_here(*arguments: Any) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return read_segment(*arguments)

    monkeypatch.setattr(inspector, "read_segment", read_here)
    small, large = make_segment(10), make_segment(10, frame_bytes=INLINE_BYTES_MAX // 50)
    assert len(small) < INLINE_BYTES_MAX < len(large)
    assert (await told.look_into(small)).facts == (await told.look_into(large)).facts
    assert threads == [True, False]

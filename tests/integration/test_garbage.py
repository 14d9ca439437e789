"""Pipeline a sends silent garbage, a tenth or half of the time, and not one piece of it is delivered.

Real packagers push over lines that garble (`garbler`); a reader asks for every segment the moment its media has
ended. All events take place at once, on one origin.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import uvloop

from config.units import format_timestamp
from selection.model import SegmentKey
from tests.integration.garbler import IN_BOXES, IN_PACKETS, Place, Record, digest_of, line
from tests.support.media import count_frames, decode
from tests.support.origins import EVENT, Running, make_settings, running_origin
from tests.support.packagers import DASH, HLS_TS, Feed, Format, ffmpeg_command, number_now, pipeline, start_ms, until_ms
from tests.support.reader import Delivered, JournalWatch, Reader

# One in ten of them is a whole number; together they last 19.2 s.
SEGMENTS: Final = 10
# Generous, for a loaded machine. Longer than a may be later than b: its garbage is there when the choice is made. And
# longer than b may be late at all: garbage that can be read is a flaw, and taken when there is nothing else.
PREFER_WAIT_MS: Final = 1_900
PATIENT: Final = {"publish_delay": "4s", "hold_ahead": "8s"}
# From here to the first segment, so that the origin runs when it begins.
READY_MS: Final = 1_000


@dataclass(frozen=True)
class Cast:
    """An event and how much of what its pipeline a sends is garbage."""

    format: Format
    percent: int


CASTS: Final = {
    "tenth": Cast(DASH, 10),
    "half": Cast(DASH, 50),
    "half-ts": Cast(HLS_TS, 50),
}


@dataclass(frozen=True)
class Act:
    """What happened at one event.

    Args:
        delivered: By rendition and number. explained: the same segments, as the origin explains them.
        decoded: By rendition: what the decoder said of all of it, and (packets, frames) of each stream.
        sent: By pipeline: what went over its line.
    """

    cast: Cast
    numbers: Sequence[int]
    delivered: Mapping[Place, Delivered]
    explained: Mapping[Place, Any]
    decoded: Mapping[str, tuple[str, list[tuple[int, int]]]]
    sent: Mapping[str, Record]

    @property
    def places(self) -> set[Place]:
        """Every segment that was to be delivered."""
        return {(track.rendition_id, number) for track in self.cast.format.tracks for number in self.numbers}


def event_settings(event_id: str, cast: Cast, first_number: int) -> dict[str, Any]:
    """Return the event as the configuration has it. With a start, no pipeline counts as down before it began."""
    common = {key: EVENT[key] for key in ("segment_duration", "pipelines")}
    selection = {"prefer_wait": f"{PREFER_WAIT_MS}ms", "grace": "2s"}
    own = {"id": event_id, "start": format_timestamp(start_ms(first_number)), "selection": selection}
    return common | PATIENT | own | cast.format.event


async def perform(folder: Path) -> dict[str, Act]:
    """Put all events on air at once; returns what happened at each."""
    opening = number_now() + 1
    if start_ms(opening) - time.time_ns() // 1_000_000 < READY_MS:
        opening += 1
    events = [event_settings(event_id, cast, opening) for event_id, cast in CASTS.items()]
    settings = make_settings(folder, events=events)
    async with running_origin(settings) as running, aiohttp.ClientSession() as session:
        watch = JournalWatch(running.origin.journal)
        # One segment before the first that is asked for: processes may start as slowly as they like.
        numbers = range(opening + 1, opening + 1 + SEGMENTS)
        acts = await asyncio.gather(
            *(
                _play(event_id, cast, numbers, running, Reader(session, running.deliver), watch, folder)
                for event_id, cast in CASTS.items()
            )
        )
    return dict(zip(CASTS, acts, strict=True))


async def _play(
    event_id: str, cast: Cast, numbers: range, running: Running, reader: Reader, watch: JournalWatch, folder: Path
) -> Act:
    sent, feed = {}, Feed(numbers[0] - 1)
    async with AsyncExitStack() as stack:
        commands = []
        for pipeline_id, percent in (("a", cast.percent), ("b", 0)):
            url, sent[pipeline_id] = await stack.enter_async_context(
                line(running.publish, cast.format, numbers, percent)
            )
            packager = await stack.enter_async_context(pipeline(folder / f"{event_id}-{pipeline_id}.log"))
            more = cast.format.persistent if pipeline_id == "b" else ()
            base = f"{url}/{event_id}/{pipeline_id}"
            commands.append((packager, ffmpeg_command(feed, cast.format.output, base, *more)))
        await until_ms(start_ms(feed.first_number))
        await asyncio.gather(*(packager.start(command) for packager, command in commands))
        answers = await asyncio.gather(*(reader.watch(event_id, track, numbers) for track in cast.format.tracks))
        assert all(packager.running for packager, _ in commands), f"a packager of {event_id} ended by itself"
        delivered = {
            (track.rendition_id, number): answer
            for track, of_track in zip(cast.format.tracks, answers, strict=True)
            for number, answer in zip(numbers, of_track, strict=True)
        }
        # What came second may still be on its way.
        keys = {SegmentKey(event_id, *place) for place in delivered}
        await watch.until(lambda: all(keys <= watch.copies(event_id, each).keys() for each in "ab"))
        pages = f"{running.admin}/api/v1/events/{event_id}/segments"
        explained = {place: json.loads(await reader.get_url(f"{pages}/{place[0]}/{place[1]}")) for place in delivered}
        decoded = {}
        for track, of_track in zip(cast.format.tracks, answers, strict=True):
            init = b"" if track.init is None else (await reader.get(f"{event_id}/{track.init}")).body
            file = folder / f"{event_id}-{track.rendition_id}.bin"
            file.write_bytes(init + b"".join(answer.body for answer in of_track))
            decoded[track.rendition_id] = (await decode(file), await count_frames(file))
    return Act(cast, numbers, delivered, explained, decoded, sent)


@pytest.fixture(scope="module")
def acts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Act]:
    """What happened at each event."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(perform(tmp_path_factory.mktemp("garbage")))


@pytest.fixture
def act(acts: Mapping[str, Act], request: pytest.FixtureRequest) -> Act:
    """What happened at the event that the test is run for."""
    return acts[request.param]


for_every_event = pytest.mark.parametrize("act", CASTS, indirect=True)


@for_every_event
def test_as_much_as_was_asked_for_is_garbled_in_every_way_there_is(act: Act) -> None:
    garbled = act.sent["a"].garbled
    assert len(garbled) * 100 == len(act.places) * act.cast.percent
    assert len(garbled) > 0
    assert not act.sent["b"].garbled
    kinds = IN_PACKETS if act.cast.format is HLS_TS else IN_BOXES
    if act.cast.percent == 50:
        assert set(act.sent["a"].kinds.values()) == set(kinds)
    for place, digest in garbled.items():
        assert digest != act.sent["a"].genuine[place]


@for_every_event
def test_every_segment_is_delivered_as_a_or_b_made_it(act: Act, capsys: pytest.CaptureFixture[str]) -> None:
    assert {place for place, answer in act.delivered.items() if answer.status == 200} == act.places
    damaged = []
    for place, answer in act.delivered.items():
        digest = digest_of(answer.body)
        genuine = {record.genuine[place] for record in act.sent.values()}
        if digest not in genuine or digest == act.sent["a"].garbled.get(place):
            damaged.append((place, act.explained[place]))
    sources = Counter(answer.headers["Live-Origin-Pipeline"] for answer in act.delivered.values())
    with capsys.disabled():
        sys.stdout.write(
            f"\n{act.cast.percent} % of {len(act.places)} segments of a garbled: {len(act.sent['a'].garbled)}"
            f" ({', '.join(sorted(set(act.sent['a'].kinds.values())))}); delivered {len(act.delivered)},"
            f" {sources['a']} from a and {sources['b']} from b, garbage delivered: {len(damaged)}\n"
        )
    assert damaged == []


@for_every_event
def test_what_was_delivered_decodes_without_a_warning_and_without_a_frame_missing(act: Act) -> None:
    for track in act.cast.format.tracks:
        said, frames = act.decoded[track.rendition_id]
        assert said == ""
        assert frames == [(count * SEGMENTS, count * SEGMENTS) for count in track.frames]


@for_every_event
def test_the_choice_moves_to_b_for_exactly_those_that_are_garbled_and_tells_why(act: Act) -> None:
    for place in act.places:
        explained = act.explained[place]
        copies = {copy["pipeline"]: copy for copy in explained["candidates"]}
        assert copies.keys() == {"a", "b"}
        assert copies["b"]["defects"] == []
        if place in act.sent["a"].garbled:
            assert copies["a"]["etag"] == f'"{act.sent["a"].garbled[place][:32]}"'
            assert explained["choice"]["pipeline"] == "b", place
            names = [defect["name"] for defect in copies["a"]["defects"]]
            assert names, act.sent["a"].kinds[place]
            expected = "corrupt" if "corrupt" in names else "defects"
            assert (copies["a"]["lost"], explained["choice"]["lost"]["a"]) == (expected, expected)
        else:
            assert copies["a"]["defects"] == []
            # A good copy of a loses only on a machine so loaded that it came later than b waited for it.
            assert explained["choice"]["pipeline"] == "a" or copies["a"]["came_after_choice"], place
        assert act.delivered[place].headers["Live-Origin-Pipeline"] == explained["choice"]["pipeline"]


@for_every_event
def test_only_what_can_be_read_is_flawed_instead_of_corrupt(act: Act) -> None:
    for place, kind in act.sent["a"].kinds.items():
        (copy,) = (each for each in act.explained[place]["candidates"] if each["pipeline"] == "a")
        names = {defect["name"] for defect in copy["defects"]}
        assert ("corrupt" in names) is (kind not in ("other", "packets")), (kind, names)
        assert (copy["facts"] is None) is ("corrupt" in names)

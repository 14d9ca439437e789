"""Plays one cell of the fault matrix: two pipelines, one segment, and everything anybody is told about it.

Both pipelines have sent the two segments before, so that neither is down. All times are in ms from the moment when the
segment is due.
"""

import asyncio
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.origin.site import (
    FOR_A_SECOND,
    FOR_A_SEGMENT,
    OF_A_FLAWED_COPY,
    OF_A_GOOD_COPY,
    Answer,
    Site,
    due_ms,
    open_site,
)
from tests.support.faults import marked, untouched
from tests.support.origins import SEGMENT_MS
from tests.support.packagers import DASH, ffmpeg_command
from tests.support.recordings import COMMAND_S_MAX, FEED, FIRST_NUMBER, record

NUMBER: Final = FIRST_NUMBER + 2
DUE_MS: Final = due_ms(NUMBER)
PIPELINES: Final = ("a", "b")
NAME: Final = f"v90/{NUMBER}.m4s"
INIT: Final = "v90/init.mp4"
EVENT: Final[dict[str, Any]] = {
    "renditions": [
        {"id": "v90", "kind": "video", "bandwidth": 30_000, "codecs": "avc1.42c00b", "width": 160, "height": 90},
    ],
    "inspection": {"checks": "all"},
}
REGIONS: Final = {"a": ("a", "us-east-1"), "b": ("b", "us-west-2")}

# When copies come: the second one within `prefer_wait` of the first.
FIRST_MS: Final = -500
SECOND_MS: Final = -450
GRACE_MS: Final = 500
AFTER_GRACE_MS: Final = 2_000
GIVES_UP_MS: Final = 10_000


# An init segment, the two segments before, and the one in question, of each recording.
Recorded = Mapping[str, tuple[bytes, ...]]


def record_all(make_folder: Callable[[str], Path]) -> Recorded:
    """Return what ffmpeg makes of the same programme: picture, sound, and the picture in another size."""
    folder, resized = record("dash", make_folder("dash")), make_folder("resized")
    command = ffmpeg_command(FEED, DASH.output, str(resized), "-s", "320x180")
    subprocess.run(command, check=True, timeout=COMMAND_S_MAX)
    return {"picture": _bodies(folder, 0), "sound": _bodies(folder, 1), "resized": _bodies(resized, 0)}


def _bodies(folder: Path, index: int) -> tuple[bytes, ...]:
    segments = sorted(folder.glob(f"r{index}-*.m4s"))[:3]
    return tuple(path.read_bytes() for path in (folder / f"init-{index}.mp4", *segments))


@dataclass(frozen=True)
class Copy:
    """How a copy comes to be.

    Args:
        damage: What is done to the segment.
        recording: Which recording it is of.
        is_renewed: Whether the pipeline sends that recording's init segment first.
        declared: What the packager says of it.
    """

    damage: Callable[[bytes], bytes] = untouched
    recording: str = "picture"
    is_renewed: bool = False
    declared: str = ""


@dataclass(frozen=True)
class Arrival:
    """A copy that a pipeline sends.

    Args:
        found: Its defects, as a header field.
        is_second: Whether it takes the place of one that the pipeline has sent before.
    """

    at_ms: int
    pipeline: str
    copy: Copy
    found: str = ""
    is_second: bool = False


@dataclass(frozen=True)
class Outcome:
    """What comes of the segment.

    Args:
        choice: `Live-Origin-Choice`; None if nothing is ever delivered.
        decided_ms: When that was decided.
        before: What was delivered until then; None: nothing.
        init: The recording whose init segment is delivered.
    """

    choice: str | None
    decided_ms: int = 0
    before: "Outcome | None" = None
    init: str = "picture"

    @property
    def chosen(self) -> str | None:
        """The pipeline whose copy is delivered."""
        return None if self.choice is None else self.choice.partition(";")[0]

    @property
    def losses(self) -> dict[str, str]:
        """Why each other pipeline lost."""
        members = [] if self.choice is None else self.choice.split(", ")[1:]
        return dict(member.split(";lost=") for member in members)

    @property
    def explained(self) -> dict[str, Any] | None:
        """The choice as operators are told it."""
        if self.choice is None:
            return None
        rule = self.choice.partition(", ")[0].partition(";rule=")[2]
        return {"pipeline": self.chosen, "rule": rule, "decided_after_due_ms": self.decided_ms, "lost": self.losses}


NOTHING: Final = Outcome(None)


class Cell:
    """An origin at the moment when the first copy of the segment may come."""

    def __init__(self, site: Site, recorded: Recorded) -> None:
        self.site = site
        self.recorded = recorded
        # What each pipeline sent last.
        self.inits: dict[str, bytes] = {}
        self.sent: dict[str, tuple[Arrival, bytes]] = {}
        # A request of somebody who asks before anything is there.
        self.held: asyncio.Task[Answer] | None = None

    @property
    def now_ms(self) -> int:
        return self.site.clock.now_ms() - DUE_MS

    def move_to(self, at_ms: int) -> None:
        """Let the time pass; never backwards."""
        self.site.clock.move_to(max(DUE_MS + at_ms, self.site.clock.now_ms()))

    # -- what pipelines do

    async def begin(self) -> None:
        """Let both pipelines send an init segment and the two segments before, all good."""
        for pipeline in PIPELINES:
            await self.send_init(pipeline, "picture", 201)
        for distance, body in ((2, self.recorded["picture"][1]), (1, self.recorded["picture"][2])):
            self.move_to(FIRST_MS - distance * SEGMENT_MS)
            for pipeline in PIPELINES:
                answer = await self.site.put(f"v90/{NUMBER - distance}.m4s", pipeline, marked(body, pipeline))
                assert (answer.status, answer.document["defects"]) == (201, [])
        self.move_to(FIRST_MS - 1)

    async def play(self, arrivals: Sequence[Arrival], outcome: Outcome) -> None:
        """Let the copies come, and check what everybody is told in the last ms before the choice and in the end."""
        self.held = await self.site.hold(NAME)
        for arrival in sorted(arrivals, key=lambda each: each.at_ms):
            if outcome.choice is not None and self.now_ms < outcome.decided_ms <= arrival.at_ms:
                await self.check_before(outcome)
            self.move_to(arrival.at_ms)
            await self.send(arrival, outcome)
        if outcome.choice is None:
            await self.check_never(outcome)
            return
        if self.now_ms < outcome.decided_ms:
            await self.check_before(outcome)
            self.move_to(outcome.decided_ms)
        await self.check_delivered(outcome)

    async def send_init(self, pipeline: str, recording: str, status: int) -> None:
        self.inits[pipeline] = marked(self.recorded[recording][0], pipeline)
        assert (await self.site.put(INIT, pipeline, self.inits[pipeline])).status == status

    async def send(self, arrival: Arrival, outcome: Outcome) -> None:
        """Let a copy come and check what its pipeline is told."""
        copy, pipeline = arrival.copy, arrival.pipeline
        if copy.is_renewed:
            await self.send_init(pipeline, copy.recording, 200)
        # Each upload has bytes of its own, so that what is delivered tells whose it is.
        mark = pipeline.upper() if arrival.is_second else pipeline
        body = copy.damage(marked(self.recorded[copy.recording][-1], mark))
        headers = {"Live_Origin_Defects": copy.declared} if copy.declared else {}
        answer = await self.site.put(NAME, pipeline, body, **headers)
        assert answer.status == (200 if arrival.is_second else 201)
        assert field_of(answer.document["defects"]) == arrival.found
        # Nothing is chosen but by this very copy, or before it, or by a timer after it.
        assert answer.document["chosen"] is ((pipeline, arrival.at_ms) == (outcome.chosen, outcome.decided_ms))
        self.sent[pipeline] = arrival, body

    # -- what caches are told

    async def check_before(self, outcome: Outcome) -> None:
        """Check the last ms before a choice."""
        self.move_to(outcome.decided_ms - 1)
        if outcome.before is None:
            await self.check_refused()
        else:
            await self.check_delivered(outcome.before)

    async def check_never(self, outcome: Outcome) -> None:
        """Check that nothing is delivered, neither before the retry deadline nor after it."""
        for at_ms in (GRACE_MS, GIVES_UP_MS - 1, GIVES_UP_MS):
            self.move_to(at_ms)
            await self.check_refused()
        assert (await self.site.get(NAME)).status == 410
        assert self.held is not None and not self.held.done()
        await self.check_explained(outcome)
        await self.check_init(outcome)

    async def check_refused(self) -> None:
        """Check that there is nothing yet, or, after the retry deadline, that it is given up."""
        answer = await self.site.get(NAME, method="HEAD")
        expected = (404, FOR_A_SECOND) if self.now_ms < GIVES_UP_MS else (410, FOR_A_SEGMENT)
        assert (answer.status, answer.life_time) == expected
        assert answer.headers["Live-Origin-Due"] == str(DUE_MS)
        assert not {"ETag", "Live-Origin-Choice", "Live-Origin-Pipeline", "Live-Origin-Defects"} & set(answer.headers)
        assert (await self.explain())["choice"] is None

    async def check_delivered(self, outcome: Outcome) -> None:
        """Check what GET and HEAD are told now, and who was held until now."""
        assert outcome.chosen is not None
        arrival, body = self.sent[outcome.chosen]
        answers = [await self.site.get(NAME, method=method) for method in ("GET", "HEAD")]
        if self.held is not None:
            answers.append(await self.held)
            self.held = None
        assert [answer.body for answer in answers] == [body, b"", body][: len(answers)]
        for answer in answers:
            headers = answer.headers
            assert answer.status == 200
            assert headers["Content-Length"] == str(len(body))
            assert headers["ETag"] == tag_of(body)
            assert headers["Live-Origin-Choice"] == outcome.choice
            assert (headers["Live-Origin-Pipeline"], headers["Live-Origin-Region"]) == REGIONS[outcome.chosen]
            assert headers["Live-Origin-Init"] == tag_of(self.needed_init(outcome, arrival.found))
            assert headers.get("Live-Origin-Defects", "") == arrival.found
            assert answer.life_time == (OF_A_FLAWED_COPY if arrival.found else OF_A_GOOD_COPY)
        await self.check_explained(outcome)
        await self.check_init(outcome)

    def needed_init(self, outcome: Outcome, found: str) -> bytes:
        """The delivered init segment, unless the winner was made for another one."""
        assert outcome.chosen is not None
        if "mismatched-init" in found:
            return self.inits[outcome.chosen]
        return marked(self.recorded[outcome.init][0], "a")

    async def check_init(self, outcome: Outcome) -> None:
        """Check that the init segment is the one that the pipelines have in common."""
        answer = await self.site.get(INIT)
        assert (answer.status, answer.body) == (200, marked(self.recorded[outcome.init][0], "a"))

    # -- what operators are told

    async def explain(self) -> dict[str, Any]:
        """Return the explanation of the segment."""
        url = f"{self.site.running.admin}/api/v1/events/derby/segments/v90/{NUMBER}"
        answer = await self.site.ask("GET", url)
        assert answer.status == 200
        return answer.document

    async def check_explained(self, outcome: Outcome) -> None:
        """Check what is told of the choice and of every copy."""
        document = await self.explain()
        choice = document["choice"]
        if outcome.explained is None:
            assert (choice, document["waits_until_ms"]) == (None, None)
        else:
            assert {name: choice[name] for name in outcome.explained} == outcome.explained
        candidates = {candidate["pipeline"]: candidate for candidate in document["candidates"]}
        assert candidates.keys() == self.sent.keys()
        for pipeline, (arrival, body) in self.sent.items():
            candidate = candidates[pipeline]
            assert candidate["etag"] == tag_of(body)
            assert candidate["late_ms"] == arrival.at_ms
            assert field_of(candidate["defects"]) == arrival.found
            assert candidate["chosen"] is (pipeline == outcome.chosen)
            assert candidate["lost"] == outcome.losses.get(pipeline)
            assert candidate.get("came_after_choice", False) is (
                choice is not None and arrival.at_ms > outcome.decided_ms
            )
            assert (candidate["facts"] is None) is arrival.found.startswith("corrupt")
        absent = {each["pipeline"]: each["down"] for each in document["absent"]}
        assert absent == {pipeline: False for pipeline in PIPELINES if pipeline not in self.sent}


@asynccontextmanager
async def open_cell(folder: Path, recorded: Recorded) -> AsyncIterator[Cell]:
    """Run an origin to which both pipelines have sent everything before the segment."""
    begin_ms = DUE_MS + FIRST_MS - 3 * SEGMENT_MS
    # Holds run by the real clock: long enough that none runs out, however slow the machine.
    async with open_site(folder, now_ms=begin_ms, event=EVENT, limits={"hold": "2m"}) as site:
        cell = Cell(site, recorded)
        await cell.begin()
        try:
            yield cell
        finally:
            if cell.held is not None:
                cell.held.cancel()
                await asyncio.gather(cell.held, return_exceptions=True)


def tag_of(body: bytes) -> str:
    """Return the entity tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def field_of(defects: Sequence[Mapping[str, Any]]) -> str:
    """Return defects, as JSON tells them, in the form of a header field.

    >>> field_of([{"name": "short", "missing_ms": 40}, {"name": "corrupt", "reason": "truncated"}])
    'short;missing_ms=40, corrupt;reason="truncated"'
    """
    fields = []
    for defect in defects:
        parameters = {name: value for name, value in defect.items() if name != "name"}
        fields.append(
            ";".join([defect["name"], *(f"{name}={json.dumps(value)}" for name, value in parameters.items())])
        )
    return ", ".join(fields)

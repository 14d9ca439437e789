"""`live-origin demo` as its users start it: a process with real packagers, broken in every way it offers.

All runs take place at once, as each mostly waits for time to pass.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SEGMENT_MS: Final = 1_920
RENDITIONS: Final = 3
# A run of 14 s takes about 18 s here; the rest is for a loaded machine.
RUN_TIMEOUT_S: Final = 90

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One run that has ended.

    Args:
        text: All of stdout. reports: the same, where it was JSON.
        temporary: Where it made its temporary folders.
    """

    exit_status: int
    text: str
    stderr: str
    temporary: Path

    @property
    def reports(self) -> list[Report]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def summary(self) -> Report:
        return self.reports[-1]

    def of(self, kind: str) -> list[Report]:
        """Return the reports of one type about segments."""
        return [each for each in self.reports if each["type"] == kind and each.get("number", 0) is not None]

    @property
    def first_number(self) -> int:
        (started,) = self.of("started")
        number: int = started["first_number"]
        return number

    @property
    def pids(self) -> set[int]:
        """Process ids of the packagers."""
        on_page = re.findall(r"ffmpeg ([0-9]+) on air", self.text)
        in_report = re.search(r'"pids": \{"a": ([0-9]+), "b": ([0-9]+)\}', self.text)
        return {int(pid) for pid in (*on_page, *(in_report.groups() if in_report else ()))}


@dataclass(frozen=True)
class Plan:
    """What to run, and which signal to send once stdout matches a pattern."""

    options: tuple[str, ...]
    pattern: str | None = None
    signal: Signals = SIGINT
    in_terminal: bool = False


PLANS: Final = {
    "well": Plan(("--seconds", "12", "--json")),
    "killed": Plan(("--seconds", "14", "--json", "--kill", "a@6")),
    "bad-line": Plan(("--seconds", "12", "--json", "--drop", "a:50%", "--late", "b:300ms")),
    "garbled": Plan(("--seconds", "12", "--json", "--garble", "a:50%")),
    "only-garbage": Plan(("--seconds", "12", "--json", "--garble", "a:100%", "--kill", "b@0")),
    "terminated": Plan(("--json",), r'"delivered".*"number": [0-9]', SIGTERM),
    "terminal": Plan(("--kill", "b@1"), r"200 x3", SIGINT, in_terminal=True),
    "without-ffmpeg": Plan(("--json", "--ffmpeg", "/nowhere/ffmpeg")),
}


async def _perform(plan: Plan, temporary: Path) -> Run:
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "COLUMNS": "130", "LINES": "40"}
    command = (sys.executable, "-m", "origin", "demo", *plan.options)
    main_end, process_end = os.openpty() if plan.in_terminal else os.pipe()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=process_end, stderr=asyncio.subprocess.PIPE, env=environment, cwd=temporary.parent
    )
    os.close(process_end)
    assert process.stderr is not None
    listening = asyncio.create_task(process.stderr.read())
    text, signalled = "", plan.pattern is None
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            async for chunk in _chunks(main_end):
                text += chunk
                if not signalled and re.search(plan.pattern or "", text):
                    signalled = True
                    process.send_signal(plan.signal)
            exit_status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
    return Run(exit_status, text, (await listening).decode(), temporary)


async def _chunks(descriptor: int) -> AsyncIterator[str]:
    """Yield what comes out of a pipe or terminal until the other end is closed."""
    reader = asyncio.StreamReader()
    file = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    try:
        while chunk := await reader.read(65_536):
            yield chunk.decode(errors="replace")
    except OSError:
        pass  # a terminal ends with EIO
    finally:
        transport.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Run]:
    """Every plan, performed."""
    folders = {name: tmp_path_factory.mktemp(name, numbered=False) for name in PLANS}

    async def perform_all() -> dict[str, Run]:
        performed = await asyncio.gather(*(_perform(plan, folders[name]) for name, plan in PLANS.items()))
        return dict(zip(PLANS, performed, strict=True))

    return asyncio.run(perform_all())


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("name", PLANS)
def test_nothing_is_left_behind(runs: Mapping[str, Run], name: str) -> None:
    run = runs[name]
    assert list(run.temporary.iterdir()) == []
    assert len(run.pids) == (0 if name == "without-ffmpeg" else 2)
    assert not [pid for pid in run.pids if _is_running(pid)]


@pytest.mark.parametrize("name", [name for name in PLANS if name not in ("without-ffmpeg", "only-garbage")])
def test_a_run_without_holes_ends_with_status_0_and_a_quiet_log(runs: Mapping[str, Run], name: str) -> None:
    assert runs[name].stderr == ""
    assert runs[name].exit_status == 0


@pytest.mark.parametrize(("name", "numbers"), [("well", 6), ("killed", 7), ("bad-line", 6), ("garbled", 6)])
def test_every_segment_that_was_due_is_delivered_whole(runs: Mapping[str, Run], name: str, numbers: int) -> None:
    run = runs[name]
    asked = {(each["rendition"], each["number"]) for each in run.of("requested")}
    delivered = {(each["rendition"], each["number"]) for each in run.of("delivered") if each["intact"]}
    expected = range(run.first_number, run.first_number + numbers)
    assert asked == delivered
    assert {number for _, number in delivered} == set(expected)
    assert run.summary["due"] == run.summary["delivered"] == numbers * RENDITIONS
    assert run.summary["missing"] == run.summary["damaged"] == run.summary["unanswered"] == 0
    assert run.summary["text"].startswith("Nothing is missing")


def test_segments_are_asked_for_the_moment_their_media_has_ended(runs: Mapping[str, Run]) -> None:
    for each in runs["well"].of("requested"):
        assert each["at_ms"] >= (each["number"] + 1) * SEGMENT_MS - 1


def test_both_packagers_publish_every_segment(runs: Mapping[str, Run]) -> None:
    run = runs["well"]
    for pipeline in "ab":
        copies = {(each["rendition"], each["number"]) for each in run.of("published") if each["pipeline"] == pipeline}
        for rendition in ("v360", "v180", "a64"):
            assert {(rendition, run.first_number + offset) for offset in range(6)} <= copies


def test_after_the_kill_everything_comes_from_the_other_and_soon_without_waiting(runs: Mapping[str, Run]) -> None:
    run = runs["killed"]
    (killed,) = run.of("killed")
    assert killed["pipeline"] == "a"
    on_air = run.first_number + 3
    assert on_air * SEGMENT_MS < killed["at_ms"]
    assert {each["pipeline"] for each in run.of("delivered") if each["number"] >= on_air} == {"b"}
    assert not [each for each in run.of("published") if each["pipeline"] == "a" and each["number"] >= on_air]
    last = [each for each in run.of("chosen") if each["number"] == run.summary["last_number"]]
    assert {(each["rule"], each["losses"]["a"]) for each in last} == {("first-in-order", "down")}


def test_what_is_dropped_comes_from_the_other_and_what_is_late_is_late(runs: Mapping[str, Run]) -> None:
    run = runs["bad-line"]
    last_number = run.summary["last_number"]
    dropped = {(each["rendition"], each["number"]) for each in run.of("dropped") if each["number"] <= last_number}
    assert run.summary["dropped"] == {"a": len(dropped), "b": 0}
    assert 2 * RENDITIONS <= len(dropped) <= 4 * RENDITIONS
    sources = {(each["rendition"], each["number"]): each["pipeline"] for each in run.of("delivered")}
    assert {sources[key] for key in dropped} == {"b"}
    published_by_a = {(each["rendition"], each["number"]) for each in run.of("published") if each["pipeline"] == "a"}
    assert not published_by_a & dropped
    for each in run.of("published"):
        if each["pipeline"] == "b" and each["number"] <= last_number:
            assert each["late_ms"] >= 300 - 1_000


def test_what_is_garbled_comes_from_the_other_and_is_told_of(runs: Mapping[str, Run]) -> None:
    run = runs["garbled"]
    last_number = run.summary["last_number"]
    garbled = {(each["rendition"], each["number"]): each for each in run.of("garbled") if each["number"] <= last_number}
    assert run.summary["garbled"] == {"a": len(garbled), "b": 0}
    assert 2 * RENDITIONS <= len(garbled) <= 4 * RENDITIONS
    assert len({each["kind"] for each in garbled.values()}) > 1
    for each in run.of("delivered"):
        garbage = garbled.get((each["rendition"], each["number"]))
        assert garbage is None or (each["pipeline"] == "b" and each["digest"] != garbage["digest"])
    losses = {each["losses"]["a"] for each in run.of("chosen") if (each["rendition"], each["number"]) in garbled}
    # On a loaded machine some of it comes when b's copy has been chosen already.
    assert "corrupt" in losses
    assert losses <= {"corrupt", "defects", "absent"}
    assert run.summary["text"].endswith(f"Of {len(garbled)} garbled copies none was delivered.")


def test_garbage_that_can_be_played_is_delivered_if_there_is_nothing_else_and_counts_as_damaged(
    runs: Mapping[str, Run],
) -> None:
    """Sound where the picture should be is a flaw; everything else is corrupt, and then nothing is delivered."""
    run = runs["only-garbage"]
    due = {(each["rendition"], each["number"]) for each in run.of("requested")}
    kinds = {(each["rendition"], each["number"]): each["kind"] for each in run.of("garbled")}
    delivered = {(each["rendition"], each["number"]) for each in run.of("delivered")}
    assert delivered == {place for place in due if kinds[place] == "other"}
    assert delivered
    assert run.summary["damaged"] == run.summary["garbage_delivered"] == len(delivered)
    assert run.summary["missing"] == len(due) - len(delivered)
    assert run.summary["delivered"] == 0
    assert "are missing or damaged" in run.summary["text"]
    assert run.exit_status == run.summary["exit_status"] == 1
    assert run.stderr == ""


def test_a_signal_ends_it_after_the_last_segment(runs: Mapping[str, Run]) -> None:
    run = runs["terminated"]
    (stopping,) = run.of("stopping")
    assert stopping["reason"] == "SIGTERM"
    assert stopping["last_number"] == run.summary["last_number"] == max(each["number"] for each in run.of("delivered"))
    assert run.summary["unanswered"] == 0


SHOWN: Final[list[Callable[[str], bool]]] = [
    lambda text: "Live Origin demo: two epoch-locked packagers" in text,
    lambda text: "first-in-order" in text,
    lambda text: re.search(r"ffmpeg [0-9]+ killed", text) is not None,
    lambda text: "stopping (Ctrl-C)" in text,
    lambda text: '"level"' not in text,
    lambda text: text.index("Nothing is missing") > text.index("stopping (Ctrl-C)"),
]


def test_a_terminal_shows_the_page_and_at_last_the_summary(runs: Mapping[str, Run]) -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", runs["terminal"].text)
    assert [shown(text) for shown in SHOWN] == [True] * len(SHOWN)


def test_an_ffmpeg_that_cannot_be_run_is_one_sentence_and_status_1(runs: Mapping[str, Run]) -> None:
    run = runs["without-ffmpeg"]
    assert run.exit_status == run.summary["exit_status"] == 1
    assert run.summary["text"].startswith("/nowhere/ffmpeg cannot be run: No such file or directory.")
    assert run.stderr == ""

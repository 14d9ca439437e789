"""The desync watch: what metrics and the log say of pipelines that make different segments."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from origin.desync import DesyncWatch
from origin.metrics import Metrics
from origin.target import Programmes
from selection.model import Candidate, Choice, Defect, Facts, Kind, Moment, Rule, TrackFacts
from storage.catalog import MemoryCatalog
from storage.records import Chosen, Entry, Published, Record
from tests.origin.segments import INIT, LIKE_INIT, make_segment
from tests.origin.site import NUMBER, open_site
from tests.storage.strategies import recorded_at
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_event, make_key

EVENT = make_event(pipelines=("a", "b", "c"))
NAMES = ("time", "duration", "samples", "init")
GOOD = Facts((TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800, 256_000, 256_000, 281_600, 25_600, 50, True),), "i" * 32)
PAIR = ("derby", "v720", "a", "b")
NO_TIMES = Facts((GOOD.tracks[0]._replace(codec="", timescale=0),))


def changed(*, late: int = 0, **fields: Any) -> Facts:
    """Return facts of a copy that begins so many ticks later, and differs in these fields."""
    (track,) = GOOD.tracks
    moved = track._replace(begin=track.begin + late, presentation=track.presentation + late, end=track.end + late)
    return replace(GOOD, tracks=(moved._replace(**fields),))


class Watched:
    """A watch behind a catalog, and what it says."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._catalog = MemoryCatalog()
        self.metrics = Metrics(CollectorRegistry(), [EVENT], FakeClock().now_ms, self._catalog.newest_number)
        self._watch = DesyncWatch(Programmes((EVENT,)), self._catalog, self.metrics)
        self._caplog = caplog
        self._sequence = 0
        caplog.set_level("INFO", logger="origin.desync")

    def record(self, record: Record) -> None:
        self._sequence += 1
        moment = Moment(23_000, self._sequence)
        entry = Entry(moment, recorded_at(record, moment))
        self._catalog.apply(entry)
        self._watch.observe(entry)

    def publish(self, copy: Candidate, facts: Facts | None = GOOD, *, number: int | None = 10, **key: str) -> None:
        self.record(Published(make_key(number, **key), replace(copy, facts=facts)))

    @property
    def said(self) -> list[tuple[str, str, list[str]]]:
        """Level, message and differences of each line."""
        return [
            (record.levelname, record.getMessage(), record.__dict__["fields"]["differences"])
            for record in self._caplog.records
        ]

    def drift_s(self, *pair: str) -> float | None:
        return self._sample("origin_drift_seconds", pair)

    def differences(self, *pair: str) -> set[str]:
        found = {name: self._sample("origin_disagreement", pair, difference=name) for name in NAMES}
        return {name for name, value in found.items() if value == 1}

    def _sample(self, name: str, pair: tuple[str, ...], **more: str) -> float | None:
        labels = dict(zip(("event", "rendition", "reference", "pipeline"), pair, strict=True)) | more
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture) -> Watched:
    return Watched(caplog)


def disagree(*differences: str) -> tuple[str, str, list[str]]:
    return "WARNING", "pipelines disagree", list(differences)


AGREE_AGAIN: tuple[str, str, list[str]] = ("INFO", "pipelines agree again", [])

# (id, facts of b, drift in s, what the gauges and the log tell)
DIFFERENCES: list[tuple[str, Facts, float, list[str]]] = [
    ("equal", GOOD, 0, []),
    ("less-than-half-a-frame-late", changed(late=255), 255 / 12_800, []),
    ("half-a-frame-early", changed(late=-256), -0.02, ["time"]),
    ("longer", changed(duration=25_856), 0, ["duration"]),
    ("more-frames", changed(samples_count=51), 0, ["samples"]),
    ("another-init-segment", replace(GOOD, init_digest="j" * 32), 0, ["init"]),
    ("all", replace(changed(late=512, duration=1, samples_count=1), init_digest=None), 0.04, list(NAMES)),
]


@pytest.mark.parametrize("is_first", [True, False], ids=["reference-first", "other-first"])
@pytest.mark.parametrize(
    ("facts", "drift_s", "differences"), [case[1:] for case in DIFFERENCES], ids=[case[0] for case in DIFFERENCES]
)
def test_a_copy_is_held_against_that_of_the_pipeline_before_it_whichever_comes_first(
    watched: Watched, facts: Facts, drift_s: float, differences: list[str], is_first: bool
) -> None:
    uploads = [(candidate("a"), GOOD), (candidate("b"), facts)]
    for copy, copy_facts in uploads if is_first else reversed(uploads):
        watched.publish(copy, copy_facts)
    assert watched.drift_s(*PAIR) == pytest.approx(drift_s)
    assert watched.differences(*PAIR) == set(differences)
    assert watched.said == ([disagree(*differences)] if differences else [])
    assert watched.drift_s("derby", "v720", "b", "a") is None


def test_every_two_pipelines_are_compared_once(watched: Watched) -> None:
    for pipeline_id, late in (("c", 1_024), ("a", 0), ("b", 512)):
        watched.publish(candidate(pipeline_id), changed(late=late))
    drifts = {pair: watched.drift_s("derby", "v720", *pair) for pair in (("a", "b"), ("a", "c"), ("b", "c"))}
    assert drifts == {("a", "b"): 0.04, ("a", "c"): 0.08, ("b", "c"): 0.04}
    assert len(watched.said) == 3


def test_the_log_tells_which_segment_of_whom_and_by_how_much(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.publish(candidate("a"))
    watched.publish(candidate("b"), changed(late=-300))
    (record,) = caplog.records
    assert record.__dict__["fields"] == {
        "event": "derby",
        "rendition": "v720",
        "number": 10,
        "reference": "a",
        "pipeline": "b",
        "drift_ms": -23.438,
        "differences": ["time"],
    }


def test_a_disagreement_is_told_when_it_begins_when_it_changes_and_when_it_ends(watched: Watched) -> None:
    history = [GOOD, changed(late=512), changed(late=1_024), changed(late=512, samples_count=51), GOOD, GOOD]
    for number, facts in enumerate(history):
        watched.publish(candidate("a"), number=number)
        watched.publish(candidate("b"), facts, number=number)
    assert watched.said == [disagree("time"), disagree("time", "samples"), AGREE_AGAIN]
    assert (watched.drift_s(*PAIR), watched.differences(*PAIR)) == (0, set())


def test_renditions_disagree_each_for_itself(watched: Watched) -> None:
    for rendition_id, facts in (("v720", changed(late=512)), ("v360", GOOD), ("v720", changed(late=512))):
        watched.publish(candidate("a"), rendition_id=rendition_id)
        watched.publish(candidate("b"), facts, rendition_id=rendition_id)
    assert watched.said == [disagree("time")]
    assert (watched.drift_s(*PAIR), watched.drift_s("derby", "v360", "a", "b")) == (0.04, 0)


FLAWED = [("reference", ["short"], []), ("other", [], ["short"]), ("both", ["short"], ["wrong-time"])]


@pytest.mark.parametrize(("of_a", "of_b"), [case[1:] for case in FLAWED], ids=[case[0] for case in FLAWED])
def test_copies_with_defects_move_the_gauges_and_say_nothing(
    watched: Watched, of_a: list[str], of_b: list[str]
) -> None:
    watched.publish(candidate("a", 0, *of_a))
    watched.publish(candidate("b", 0, *of_b), changed(late=512))
    assert (watched.drift_s(*PAIR), watched.differences(*PAIR), watched.said) == (0.04, {"time"}, [])


def test_a_flawed_copy_in_between_does_not_end_a_disagreement(watched: Watched) -> None:
    for number, (facts, defects) in enumerate([(changed(late=512), []), (GOOD, ["slate"]), (changed(late=512), [])]):
        watched.publish(candidate("a"), number=number)
        watched.publish(candidate("b", 0, *(Defect(name) for name in defects)), facts, number=number)
    assert watched.said == [disagree("time")]


SILENT = [
    ("not-looked-into", None),
    ("no-times", NO_TIMES),
    ("no-tracks", Facts()),
    ("only-text", Facts((TrackFacts(1, Kind.TEXT, "wvtt", 1_000, 7),))),
]


@pytest.mark.parametrize("facts", [case[1] for case in SILENT], ids=[case[0] for case in SILENT])
@pytest.mark.parametrize("pipeline_id", ["a", "b"])
def test_what_tells_no_times_is_not_compared(watched: Watched, facts: Facts | None, pipeline_id: str) -> None:
    for each in ("a", "b"):
        watched.publish(candidate(each), facts if each == pipeline_id else GOOD)
    assert (watched.drift_s(*PAIR), watched.said) == (None, [])


def test_what_is_no_copy_of_a_segment_is_passed_over(watched: Watched) -> None:
    for pipeline_id, facts in (("a", GOOD), ("b", changed(late=512))):
        watched.publish(candidate(pipeline_id), facts, number=None)
        watched.publish(candidate(pipeline_id), facts, event_id="ascot")
    for pipeline_id, facts in (("a", GOOD), ("z", changed(late=512))):
        watched.publish(candidate(pipeline_id), facts)
    watched.record(Chosen.of(make_key(10), Choice(candidate("a"), Rule.FIRST_IN_ORDER, 0)))
    assert (watched.drift_s(*PAIR), watched.said) == (None, [])


def test_a_copy_that_is_replaced_is_compared_anew(watched: Watched) -> None:
    watched.publish(candidate("a"))
    watched.publish(candidate("b"), changed(late=512))
    watched.publish(candidate("b", digest="f" * 32), GOOD)
    assert (watched.drift_s(*PAIR), watched.said) == (0, [disagree("time"), AGREE_AGAIN])


async def test_an_origin_watches_what_it_takes_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = {"event": "derby", "rendition": "v720", "reference": "a", "pipeline": "b"}
    async with open_site(tmp_path, event={"inspection": {"checks": "all"}}) as site:
        await site.put("v720/init.mp4", "a", INIT)
        await site.put("v720/init.mp4", "b", LIKE_INIT)
        await site.put(NUMBER, "a", make_segment(NUMBER, frames_count=48))
        await site.put(NUMBER, "b", make_segment(NUMBER, frames_count=48, late_count=1))
        assert await site.metric("origin_drift_seconds", **labels) == 0.04
        found = {name: await site.metric("origin_disagreement", difference=name, **labels) for name in NAMES}
        assert found == {"time": 1, "duration": 0, "samples": 0, "init": 0}
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "pipelines disagree"]
    assert [(line["number"], line["differences"]) for line in lines] == [(NUMBER, ["time"])]


async def test_a_restart_compares_nothing_that_was_compared_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        async with open_site(tmp_path, event={"inspection": {"checks": "all"}}) as site:
            for pipeline_id, late_count in (("a", 0), ("b", 1)):
                await site.put("v720/init.mp4", pipeline_id, INIT)
                await site.put(NUMBER, pipeline_id, make_segment(NUMBER, frames_count=48, late_count=late_count))
    assert [record.getMessage() for record in caplog.records].count("pipelines disagree") == 1

"""The explanation of a segment over HTTP: all copies, what was chosen, when, by which rule, why each other lost."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from origin.reply import Problem
from selection.model import Mask, SegmentKey
from storage.base import digest_of
from storage.records import Masked
from tests.origin.segments import INIT, LIKE_INIT, OTHER_INIT
from tests.origin.segments import make_segment as make_any_segment
from tests.origin.site import NOW_MS, NUMBER, Site, open_site
from tests.support.origins import SEGMENT_MS

INIT_NAME = "v720/init.mp4"
CHECKED = {"inspection": {"checks": "all"}}
START_TICKS = NUMBER * 24_576
TRACK: dict[str, Any] = {
    "track_id": 1,
    "kind": "video",
    "codec": "avc1.64001f",
    "timescale": 12_800,
    "begin": START_TICKS,
    "presentation": START_TICKS,
    "end": START_TICKS + 24_576,
    "duration": 24_576,
    "samples_count": 48,
    "starts_with_sync": True,
}


def make_segment(number: int = NUMBER, **differing: Any) -> bytes:
    """Return a segment of 1.92 s."""
    return make_any_segment(number, frames_count=48, **differing)


GOOD, ALSO_GOOD = make_segment(), make_segment(brand="msix")
SHORT, SHORTER = make_segment(lost_count=1), make_segment(lost_count=2)
SHORT_DEFECT = {"name": "short", "missing_ms": 40, "missing_frames": 1}


def tag(body: bytes) -> str:
    return f'"{digest_of(body)}"'


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An origin that looks into what it takes; both pipelines made an init segment and the two segments before."""
    async with open_site(tmp_path, event=CHECKED) as site:
        for pipeline in ("a", "b"):
            await site.put(INIT_NAME, pipeline, INIT)
            for number in (NUMBER - 2, NUMBER - 1):
                await site.put(number, pipeline, make_segment(number))
        yield site


async def explain(site: Site, number: int | str = NUMBER, rendition: str = "v720") -> dict[str, Any]:
    answer = await site.ask("GET", f"{site.running.admin}/api/v1/events/derby/segments/{rendition}/{number}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    return answer.document


def copies(document: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    """Return these members of each copy, in their order."""
    return [tuple(copy.get(name) for name in names) for copy in document["candidates"]]


async def test_a_segment_chosen_among_good_copies_is_explained_with_everything(site: Site) -> None:
    site.clock.move_to(NOW_MS + 30)
    await site.put(NUMBER, "b", ALSO_GOOD, Live_Origin_Score="80")
    site.clock.move_to(NOW_MS + 70)
    await site.put(NUMBER, "a", GOOD)
    document = await explain(site)
    sequences = [copy.pop("journal_sequence") for copy in document["candidates"]]
    assert sequences[0] == sequences[1] + 1
    facts = {"init": tag(INIT), "generation": None, "tracks": [TRACK]}
    common = {"bytes": len(GOOD), "defects": [], "masked": False, "facts": facts}
    assert document == {
        "event": "derby",
        "rendition": "v720",
        "number": NUMBER,
        "window": "due",
        "media_start_ms": NUMBER * SEGMENT_MS,
        "due_ms": NOW_MS,
        "choice": {
            "pipeline": "a",
            "rule": "first-in-order",
            "decided_ms": NOW_MS + 70,
            "decided_after_due_ms": 70,
            "etag": tag(GOOD),
            "lost": {"b": "order"},
        },
        "candidates": [
            {
                "pipeline": "a",
                "region": "us-east-1",
                "etag": tag(GOOD),
                "received_ms": NOW_MS + 70,
                "published_ms": NOW_MS + 70,
                "late_ms": 70,
                "score": None,
                "chosen": True,
                "lost": None,
            }
            | common,
            {
                "pipeline": "b",
                "region": "us-west-2",
                "etag": tag(ALSO_GOOD),
                "received_ms": NOW_MS + 30,
                "published_ms": NOW_MS + 30,
                "late_ms": 30,
                "score": 80,
                "chosen": False,
                "lost": "order",
                "came_after_choice": False,
            }
            | common,
        ],
        "absent": [],
    }


async def test_an_init_segment_is_explained_with_its_generation(site: Site) -> None:
    await site.put(INIT_NAME, "b", LIKE_INIT)
    document = await explain(site, "init")
    assert document.keys() == {"event", "rendition", "number", "choice", "candidates", "absent"}
    assert document["number"] is None
    assert document["choice"] == {
        "pipeline": "a",
        "rule": "first-in-order",
        "decided_ms": NOW_MS,
        "etag": tag(INIT),
        "lost": {"b": "down"},
    }
    track = {"track_id": 1, "kind": "video", "codec": "avc1.64001f", "timescale": 12_800}
    assert copies(document, "pipeline", "etag", "chosen", "late_ms", "facts") == [
        ("a", tag(INIT), True, None, {"init": tag(INIT), "generation": tag(INIT), "tracks": [track]}),
        ("b", tag(LIKE_INIT), False, None, {"init": tag(LIKE_INIT), "generation": tag(INIT), "tracks": [track]}),
    ]


# -- Why copies lose

# (id, what a and b send, pipeline and rule of the choice, how each copy lost, the best first)
LOSERS: list[tuple[str, bytes, bytes, tuple[str, str], list[tuple[str, str | None, list[dict[str, Any]]]]]] = [
    (
        "flawed",
        SHORT,
        GOOD,
        ("b", "first-in-order"),
        [("b", None, []), ("a", "defects", [SHORT_DEFECT])],
    ),
    (
        "more-flawed",
        SHORTER,
        SHORT,
        ("b", "first-in-order"),
        [
            ("b", None, [SHORT_DEFECT]),
            ("a", "defects", [{"name": "short", "missing_ms": 80, "missing_frames": 2}]),
        ],
    ),
    (
        "corrupt",
        GOOD[:9],
        SHORT,
        ("b", "first-in-order"),
        [("b", None, [SHORT_DEFECT]), ("a", "corrupt", [{"name": "corrupt", "reason": "truncated", "offset": 0}])],
    ),
]


@pytest.mark.parametrize(
    ("of_a", "of_b", "choice", "expected"), [case[1:] for case in LOSERS], ids=[case[0] for case in LOSERS]
)
async def test_a_copy_that_lost_tells_why(
    site: Site, of_a: bytes, of_b: bytes, choice: tuple[str, str], expected: list[tuple[Any, ...]]
) -> None:
    await site.put(NUMBER, "a", of_a)
    await site.put(NUMBER, "b", of_b)
    document = await explain(site)
    assert (document["choice"]["pipeline"], document["choice"]["rule"]) == choice
    assert copies(document, "pipeline", "lost", "defects") == expected
    assert document["choice"]["lost"] == {expected[1][0]: expected[1][1]}
    assert [copy.get("came_after_choice") for copy in document["candidates"]] == [None, False]


async def test_a_corrupt_copy_has_no_facts(site: Site) -> None:
    await site.put(NUMBER, "a", GOOD[:9])
    assert copies(await explain(site), "pipeline", "facts", "chosen", "lost") == [("a", None, False, None)]


async def test_a_copy_made_for_another_init_segment_tells_both(site: Site) -> None:
    await site.put(INIT_NAME, "b", OTHER_INIT)
    await site.put(NUMBER, "b", GOOD)
    await site.put(NUMBER, "a", GOOD)
    document = await explain(site)
    assert copies(document, "pipeline", "lost", "defects") == [
        ("a", None, []),
        ("b", "defects", [{"name": "mismatched-init", "differs": "picture-size"}]),
    ]
    assert [copy["facts"]["init"] for copy in document["candidates"]] == [tag(INIT), tag(OTHER_INIT)]


async def test_a_copy_that_came_after_the_choice_tells_so(site: Site) -> None:
    await site.put(NUMBER, "b", GOOD)
    site.clock.move_to(NOW_MS + 100)
    await site.put(NUMBER, "a", ALSO_GOOD)
    document = await explain(site)
    assert (document["choice"]["pipeline"], document["choice"]["rule"]) == ("b", "prefer-wait-over")
    assert copies(document, "pipeline", "chosen", "lost", "came_after_choice") == [
        ("a", False, "absent", True),
        ("b", True, None, None),
    ]


async def test_a_copy_of_a_pipeline_that_was_down_came_after_the_choice_too(site: Site) -> None:
    for number in (NUMBER, NUMBER + 1, NUMBER + 2):
        site.clock.move_to(NOW_MS + (number - NUMBER) * SEGMENT_MS)
        await site.put(number, "b", make_segment(number))
    await site.put(NUMBER + 2, "a", make_segment(NUMBER + 2))
    document = await explain(site, NUMBER + 2)
    assert document["choice"]["pipeline"] == "b"
    assert copies(document, "pipeline", "lost", "came_after_choice") == [("a", "down", True), ("b", None, None)]


async def test_a_masked_copy_says_so_and_the_choice_is_made_anew(site: Site) -> None:
    await site.put(NUMBER, "a", GOOD)
    await site.put(NUMBER, "b", ALSO_GOOD)
    mask(site, "a")
    document = await explain(site)
    assert (document["choice"]["pipeline"], document["choice"]["rule"]) == ("b", "mask")
    assert document["choice"]["lost"] == {"a": "masked"}
    assert copies(document, "pipeline", "masked", "chosen", "lost", "came_after_choice") == [
        ("a", True, False, "masked", False),
        ("b", False, True, None, None),
    ]


def mask(site: Site, pipeline_id: str, *, last_number: int | None = None) -> None:
    """Leave a pipeline out from the segment in question on."""
    journal, order = site.origin.journal, Mask("m1", pipeline_id, NUMBER, last_number)
    journal.append(Masked("derby", order), journal.next_moment(site.clock.now_ms()))
    site.origin._decider.consider(SegmentKey("derby", "v720", NUMBER))


# -- Nothing chosen yet


def undecided(document: dict[str, Any]) -> tuple[Any, ...]:
    assert document["choice"] is None
    return document["waits_until_ms"], document["absent"]


def absent(pipeline: str, *, down: bool = False, masked: bool = False) -> dict[str, Any]:
    region = {"a": "us-east-1", "b": "us-west-2"}[pipeline]
    return {"pipeline": pipeline, "region": region, "down": down, "masked": masked}


async def test_a_good_copy_that_waits_for_a_higher_pipeline_tells_until_when(site: Site) -> None:
    await site.put(NUMBER, "b", GOOD)
    document = await explain(site)
    assert undecided(document) == (NOW_MS + 100, [absent("a")])
    assert copies(document, "pipeline", "chosen", "lost", "came_after_choice") == [("b", False, None, None)]


async def test_a_flawed_copy_waits_for_the_end_of_the_grace(site: Site) -> None:
    await site.put(NUMBER, "a", SHORT)
    assert undecided(await explain(site)) == (NOW_MS + 500, [absent("b")])


@pytest.mark.parametrize("body", [None, GOOD[:9]], ids=["no-copy", "corrupt"])
async def test_where_only_a_copy_can_bring_a_choice_there_is_no_moment_to_wait_for(
    site: Site, body: bytes | None
) -> None:
    if body is not None:
        await site.put(NUMBER, "a", body)
    document = await explain(site)
    assert undecided(document)[0] is None
    assert len(document["candidates"]) == (body is not None)


async def test_a_pipeline_that_missed_the_last_two_segments_is_down_and_a_masked_one_masked(site: Site) -> None:
    for number in (NUMBER + 1, NUMBER + 2):
        site.clock.move_to(NOW_MS + (number - NUMBER) * SEGMENT_MS)
        await site.put(number, "a", make_segment(number))
    mask(site, "b")
    document = await explain(site, NUMBER + 3)
    assert undecided(document) == (None, [absent("a"), absent("b", down=True, masked=True)])
    assert (await explain(site, NUMBER))["absent"] == [absent("a"), absent("b", masked=True)]


WINDOWS = [
    ("due", NUMBER, "due"),
    ("next", NUMBER + 1, "next"),
    ("far-ahead", NUMBER + 50, "future"),
    ("given-up", NUMBER - 50, "given-up"),
    ("long-gone", NUMBER - 990, "expired"),
    ("as-large-as-a-name-can-tell", 10**19 - 1, "future"),
]


@pytest.mark.parametrize(("number", "window"), [case[1:] for case in WINDOWS], ids=[case[0] for case in WINDOWS])
async def test_a_segment_that_nobody_has_sent_is_explained_by_the_clock(site: Site, number: int, window: str) -> None:
    document = await explain(site, number)
    assert (document["window"], document["candidates"]) == (window, [])
    assert document["media_start_ms"] == number * SEGMENT_MS
    assert document["due_ms"] == (number + 1) * SEGMENT_MS + 1_000


async def test_an_init_segment_that_nobody_has_sent_is_explained_too(site: Site) -> None:
    document = await explain(site, "init", "a128")
    assert undecided(document) == (None, [absent("a", down=True), absent("b", down=True)])


async def test_numbers_may_be_written_with_zeros_as_in_names(site: Site) -> None:
    assert await explain(site, f"{NUMBER:09}") == await explain(site, NUMBER)


# -- What the answer is


async def test_head_has_the_same_headers_and_no_body(site: Site) -> None:
    url = f"{site.running.admin}/api/v1/events/derby/segments/v720/{NUMBER}"
    get, head = await site.ask("GET", url), await site.ask("HEAD", url)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(get.body)))


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("ascot/segments/v720/1000", "unknown-event"),
        ("derby/segments/v999/1000", "unknown-rendition"),
        ("derby/segments/v720/last", Problem.UNKNOWN_NAME.slug),
    ],
)
async def test_what_is_not_there_is_a_problem(site: Site, path: str, slug: str) -> None:
    answer = await site.ask("GET", f"{site.running.admin}/api/v1/events/{path}")
    assert (answer.status, answer.slug) == (404, slug)


async def test_an_explanation_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """A flawed choice, a good one, one that waits, a mask, an init segment; everything comes from the journal."""
    asked: list[int | str] = [NUMBER - 2, NUMBER - 1, NUMBER, NUMBER + 1, "init"]
    async with open_site(tmp_path, event=CHECKED) as before:
        await before.put(INIT_NAME, "a", INIT)
        await before.put(INIT_NAME, "b", OTHER_INIT)
        for number in (NUMBER - 2, NUMBER - 1):
            await before.put(number, "a", make_segment(number, lost_count=1))
            await before.put(number, "b", make_segment(number))
        await before.put(NUMBER, "a", GOOD, Live_Origin_Defects="odd;since=7")
        mask(before, "b", last_number=NUMBER)
        await before.put(NUMBER + 1, "a", make_segment(NUMBER + 1, lost_count=1))
        first = [await explain(before, number) for number in asked]
    async with open_site(tmp_path, event=CHECKED) as after:
        assert [await explain(after, number) for number in asked] == first
    choices = [document["choice"] and document["choice"]["pipeline"] for document in first]
    assert choices == ["a", "a", "a", None, "a"]
    assert first[3]["waits_until_ms"] == NOW_MS + SEGMENT_MS + 500

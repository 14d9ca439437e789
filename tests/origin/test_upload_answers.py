"""What a packager is told: each outcome of an upload in words, with what it needs to do better."""

import json
from typing import Any

import pytest

from origin.intake import Conflict, OutsideWindow, Refusal, Stored, TooFarAhead, Unchanged, Upload
from origin.target import PublishTarget
from origin.upload_answers import refused, taken
from selection.model import Candidate, Choice, Rule
from selection.window import WindowClass
from tests.support.events import candidate, make_defect, make_event, make_key

EVENT = make_event(pipelines=("a", "b"), start_ms=10_000, end_ms=200_000)
KEY = make_key(10)
INIT = make_key(None)
DUE_MS = 23_000
COPY = candidate("a", DUE_MS, sequence=3, size_bytes=1_000)
FLAWED = candidate("a", DUE_MS, make_defect("short", missing_ms=120), "slate", sequence=3)
OTHER = candidate("b", DUE_MS, sequence=4)


def target_of(number: int | None = 10) -> PublishTarget:
    return PublishTarget(EVENT, EVENT.pipelines[0], "v720/10.m4s", make_key(number))


def choose(copy: Candidate) -> Choice:
    return Choice(copy, Rule.FIRST_IN_ORDER, DUE_MS)


def tell(
    outcome: Stored | Unchanged, choice: Choice | None = None, number: int | None = 10, received_ms: int = DUE_MS
) -> tuple[int, str, dict[str, Any]]:
    reply = taken(target_of(number), Upload(make_key(number), "a", b"", received_ms), outcome, choice)
    assert reply.headers == {"Content-Type": "application/json"}
    return reply.status, reply.outcome, json.loads(bytes(reply.body))


TAKEN: list[tuple[str, Stored | Unchanged, int | None, int, str]] = [
    ("first", Stored(COPY, replaced=False), 10, 201, "stored"),
    ("replaced", Stored(COPY, replaced=True), 10, 200, "replaced"),
    ("unchanged", Unchanged(COPY), 10, 200, "unchanged"),
    ("first-init", Stored(COPY, replaced=False), None, 201, "stored"),
    ("renewed-init", Stored(COPY, replaced=True), None, 200, "renewed"),
    ("unchanged-init", Unchanged(COPY), None, 200, "unchanged"),
]


@pytest.mark.parametrize(
    ("outcome", "number", "status", "word"), [case[1:] for case in TAKEN], ids=[case[0] for case in TAKEN]
)
def test_what_was_taken_is_told_in_one_word(
    outcome: Stored | Unchanged, number: int | None, status: int, word: str
) -> None:
    answered, counted, document = tell(outcome, number=number)
    assert (answered, counted, document["outcome"]) == (status, word, word)
    assert document["number"] == number


def test_the_answer_tells_all_that_is_known_of_the_copy() -> None:
    assert tell(Stored(FLAWED, replaced=False), choose(FLAWED))[2] == {
        "outcome": "stored",
        "event": "derby",
        "pipeline": "a",
        "rendition": "v720",
        "number": 10,
        "bytes": 1_000,
        "etag": f'"{FLAWED.digest}"',
        "defects": [{"name": "short", "missing_ms": 120}, {"name": "slate"}],
        "chosen": True,
        "choice": {"pipeline": "a", "rule": "first-in-order"},
        "due_ms": DUE_MS,
        "late_ms": 0,
    }


CHOICES = [
    ("none-yet", None, False, None),
    ("this-one", choose(COPY), True, "a"),
    ("another-pipelines", choose(OTHER), False, "b"),
    ("the-former-copy", choose(candidate("a", DUE_MS - 1, digest="f" * 32)), False, "a"),
]


@pytest.mark.parametrize(
    ("choice", "is_chosen", "pipeline"), [case[1:] for case in CHOICES], ids=[case[0] for case in CHOICES]
)
def test_the_answer_tells_what_was_chosen(choice: Choice | None, is_chosen: bool, pipeline: str | None) -> None:
    document = tell(Stored(COPY, replaced=False), choice)[2]
    assert document["chosen"] is is_chosen
    assert (document["choice"] or {}).get("pipeline") == pipeline


@pytest.mark.parametrize("late_ms", [-4_000, 0, 1, 60_000])
def test_lateness_is_told_from_the_arrival_of_the_last_byte(late_ms: int) -> None:
    assert tell(Unchanged(COPY), received_ms=DUE_MS + late_ms)[2]["late_ms"] == late_ms


def test_an_init_segment_is_never_late() -> None:
    assert not tell(Stored(COPY, replaced=False), number=None)[2].keys() & {"due_ms", "late_ms"}


REFUSED: list[tuple[str, Refusal, int, str, dict[str, Any], str]] = [
    (
        "too-far-ahead",
        TooFarAhead(opens_ms=18_000),
        409,
        "too-far-ahead",
        {"opens_ms": 18_000},
        (
            "Segment 10 may be published from 18000 on, in 3000 ms."
            " Check the packager's clock, its numbering, and the event's epoch."
        ),
    ),
    (
        "outside",
        OutsideWindow(WindowClass.EXPIRED),
        410,
        "outside-window",
        {},
        "Segment 10 is expired: the event takes 5 to 99, and only what is in its DVR window of 60000 ms.",
    ),
    (
        "conflict",
        Conflict(choose(COPY)),
        409,
        "already-chosen",
        {"etag": f'"{COPY.digest}"'},
        "Segment 10 of pipeline 'a' was chosen with other bytes and may be in caches; it cannot be replaced.",
    ),
]


@pytest.mark.parametrize(
    ("refusal", "status", "slug", "members", "detail"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_was_refused_is_told_why_and_what_would_be_right(
    refusal: Refusal, status: int, slug: str, members: dict[str, Any], detail: str
) -> None:
    reply = refused(target_of(), KEY, refusal, now_ms=15_000)
    assert (reply.status, reply.outcome) == (status, slug)
    document = json.loads(bytes(reply.body))
    assert document["detail"] == detail
    del document["type"], document["title"], document["status"], document["detail"]
    assert document == {"event": "derby", "rendition": "v720", "segment_number": 10} | members


def test_an_event_without_an_end_takes_any_later_number() -> None:
    target = PublishTarget(make_event(), EVENT.pipelines[0], "v720/10.m4s", KEY)
    document = json.loads(bytes(refused(target, KEY, OutsideWindow(WindowClass.EXPIRED), 0).body))
    assert "takes 0 to any later number," in document["detail"]

"""Answers as values: every refusal has one row, and its document says what RFC 9457 asks for."""

import json
import re
from typing import Any

import pytest

from origin.headers import life_time
from origin.reply import Problem, json_reply, problem
from selection.cache_policy import CachePolicy

# Written down a second time on purpose: changing what caches and packagers see takes two edits.
STATUSES = {
    Problem.UNKNOWN_EVENT: 404,
    Problem.UNKNOWN_PIPELINE: 404,
    Problem.UNKNOWN_RENDITION: 404,
    Problem.UNKNOWN_NAME: 404,
    Problem.BEFORE_START: 404,
    Problem.TOO_EARLY: 404,
    Problem.NOT_PUBLISHED_YET: 404,
    Problem.NEVER_PUBLISHED: 410,
    Problem.LEFT_WINDOW: 410,
    Problem.AFTER_END: 410,
    Problem.METHOD: 405,
    Problem.PRECONDITION: 412,
    Problem.RANGE: 416,
    Problem.OVERLOADED: 503,
    Problem.NOT_READY: 503,
    Problem.STOPPING: 503,
    Problem.STORAGE: 503,
    Problem.INTERNAL: 500,
    Problem.BAD_REQUEST: 400,
    Problem.TARGET_TOO_LONG: 414,
    Problem.HEAD_TOO_LARGE: 431,
    Problem.HEAD_TIMEOUT: 408,
    Problem.TRUNCATED: 400,
    Problem.BAD_HEADER: 400,
    Problem.DIGEST_MISMATCH: 400,
    Problem.PARTIAL_UPLOAD: 400,
    Problem.TOO_FAR_AHEAD: 409,
    Problem.ALREADY_CHOSEN: 409,
    Problem.OUTSIDE_WINDOW: 410,
    Problem.BODY_STALLED: 408,
    Problem.TOO_LARGE: 413,
    Problem.NOT_MEDIA: 415,
    Problem.CODING: 415,
    Problem.DISK_FULL: 507,
}
every_problem = pytest.mark.parametrize("kind", Problem, ids=lambda kind: kind.slug)


def test_every_problem_has_the_status_that_was_promised() -> None:
    assert {kind: kind.status for kind in Problem} == STATUSES


def test_every_problem_has_a_title_and_a_slug_of_its_own() -> None:
    assert len({kind.title for kind in Problem}) == len({kind.slug for kind in Problem}) == len(STATUSES)


def test_no_two_problems_became_aliases_of_one() -> None:
    """Enum members with equal values are one member: (404, "x") twice would merge two problems silently."""
    assert len(Problem.__members__) == len(list(Problem))


@every_problem
def test_a_slug_is_a_word_for_urls_logs_and_metrics(kind: Problem) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
    assert problem(kind, "Detail.").outcome == kind.slug


@every_problem
def test_a_refusal_is_a_problem_document(kind: Problem) -> None:
    reply = problem(kind, "What was wrong.")
    assert reply.status == kind.status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert json.loads(bytes(reply.body)) == {
        "type": f"urn:live-origin:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "What was wrong.",
    }


@every_problem
def test_who_is_refused_for_now_is_told_when_to_come_back(kind: Problem) -> None:
    headers = problem(kind, "Detail.").headers
    assert headers.get("Retry-After") == ("1" if kind.status == 503 else None)


def test_a_longer_wait_can_be_asked_for() -> None:
    assert problem(Problem.OVERLOADED, "Detail.", headers={"Retry-After": "5"}).headers["Retry-After"] == "5"


def test_further_members_are_added_and_those_without_a_value_left_out() -> None:
    reply = problem(Problem.TOO_EARLY, "Detail.", event="derby", segment_number=0, due_ms=None)
    document = json.loads(bytes(reply.body))
    assert {name: document[name] for name in document.keys() - {"type", "title", "status", "detail"}} == {
        "event": "derby",
        "segment_number": 0,
    }


@pytest.mark.parametrize("policy", [CachePolicy(1), CachePolicy(5_000), CachePolicy(10**9, immutable=True)])
def test_a_refusal_carries_the_life_time_it_is_given(policy: CachePolicy) -> None:
    headers = problem(Problem.TOO_EARLY, "Detail.", policy).headers
    assert {name: headers[name] for name in ("Cache-Control", "Live-Origin-TTL")} == life_time(policy)


def test_a_refusal_of_a_packager_has_no_life_time() -> None:
    assert not problem(Problem.TOO_LARGE, "Detail.").headers.keys() & {"Cache-Control", "Live-Origin-TTL"}


def test_a_refusal_can_hold_what_no_header_could() -> None:
    detail = "No event 'kürzer\r\n\udcff' here."
    assert json.loads(bytes(problem(Problem.UNKNOWN_EVENT, detail).body))["detail"] == detail


def test_an_answer_to_a_packager_is_json() -> None:
    document: dict[str, Any] = {"outcome": "stored", "number": 7}
    reply = json_reply(201, "stored", document)
    assert (reply.status, reply.outcome, reply.headers["Content-Type"]) == (201, "stored", "application/json")
    assert json.loads(bytes(reply.body)) == document
    assert not reply.close

"""Answers to what cannot be served: each says why, and for how long that stays true."""

import json

import pytest

from origin.kept_head import render_fields
from origin.refusals import (
    no_such_event,
    no_such_name,
    not_there,
    overloaded,
    probe,
    stopping,
    storage_fault,
    wrong_method,
)
from origin.reply import Reply
from selection.model import Event
from selection.request_class import RequestClass
from tests.support.events import make_event, make_key

# Segment n is due at `(n + 1) * 2000 + 1000`; 10 is due at 23 000.
EVENT = make_event(start_ms=10_000, end_ms=60_000)
OPEN = make_event()


def told(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.outcome, reply.headers["Live-Origin-TTL"]


def detail_of(reply: Reply) -> str:
    detail: str = json.loads(bytes(reply.body))["detail"]
    return detail


BY_NUMBER = [
    ("before-start", EVENT, 4, 23_000, (404, "before-start", "5000ms"), "Segment 4 is older than the event."),
    ("after-end", EVENT, 30, 23_000, (410, "after-end", "86400000ms"), "Segment 30 is after the event's end."),
    (
        "future",
        OPEN,
        13,
        22_000,
        (404, "too-early", "4000ms"),
        "Segment 13 is due in 7000 ms; ask again shortly before.",
    ),
    ("next", OPEN, 10, 22_999, (404, "not-published-yet", "250ms"), "Segment 10 is due in 1 ms and not there yet."),
    ("due", OPEN, 10, 23_001, (404, "not-published-yet", "250ms"), "Segment 10 was due 1 ms ago and is not there yet."),
    ("given-up", OPEN, 10, 33_001, (410, "never-published", "2000ms"), "Segment 10 was due 10001 ms ago; nobody"),
    ("expired", OPEN, 0, 999_000, (410, "left-window", "86400000ms"), "Segment 0 has left the DVR window."),
]


@pytest.mark.parametrize(
    ("event", "number", "now_ms", "expected", "detail"),
    [case[1:] for case in BY_NUMBER],
    ids=[case[0] for case in BY_NUMBER],
)
def test_a_segment_that_is_not_there_is_refused_by_its_place_in_time(
    event: Event, number: int, now_ms: int, expected: tuple[int, str, str], detail: str
) -> None:
    reply = not_there(event, make_key(number), now_ms)
    assert told(reply) == expected
    due_ms = (number + 1) * 2_000 + 1_000
    assert reply.headers["Live-Origin-Due"] == str(due_ms)
    document = json.loads(bytes(reply.body))
    assert document.pop("detail").startswith(detail)
    assert {name: document[name] for name in ("event", "rendition", "segment_number", "due_ms", "status")} == {
        "event": "derby",
        "rendition": "v720",
        "segment_number": number,
        "due_ms": due_ms,
        "status": reply.status,
    }


def test_an_init_segment_that_is_not_there_may_come_at_any_time_until_the_end() -> None:
    during, after = (not_there(EVENT, make_key(None), now_ms) for now_ms in (23_000, 9_999_000))
    assert (during.status, during.headers["Live-Origin-TTL"]) == (404, "250ms")
    assert (after.status, after.headers["Live-Origin-TTL"]) == (410, "60000ms")
    for reply in (during, after):
        assert detail_of(reply) == "No init segment of rendition 'v720' has been published."
        assert "Live-Origin-Due" not in reply.headers


def test_load_is_told_for_a_second_at_the_live_edge_and_for_five_behind_it() -> None:
    live = overloaded(RequestClass.LIVE_EDGE, "Busy")
    assert (told(live), live.headers["Retry-After"]) == ((503, "overloaded", "1000ms"), "1")
    assert detail_of(live) == "Busy; ask again or elsewhere."
    for request_class in (RequestClass.RECENT, RequestClass.DVR):
        shed = overloaded(request_class, "Busy")
        assert (told(shed), shed.headers["Retry-After"]) == ((503, "shed", "5000ms"), "5")
        assert detail_of(shed).startswith("Busy, and older segments come after the live edge")


@pytest.mark.parametrize("request_class", list(RequestClass), ids=lambda request_class: request_class.value)
def test_what_is_rendered_before_says_the_same_as_the_fields(request_class: RequestClass) -> None:
    reply = overloaded(request_class, "Busy")
    assert reply.head is not None
    assert reply.head.status == reply.status
    assert reply.head.fields == render_fields({**reply.headers, "Content-Length": str(len(reply.body))})
    assert overloaded(request_class, "Busy") is reply


OTHERS = [
    ("method", wrong_method(("GET", "HEAD")), (405, "method", "5000ms"), "Use GET, HEAD here."),
    ("event", no_such_event("ascot"), (404, "unknown-event", "5000ms"), "No event 'ascot' here."),
    ("name", no_such_name(OPEN, "x\r\n"), (404, "unknown-name", "5000ms"), r"'x\r\n' is no name of event 'derby'."),
    ("fault", storage_fault(), (503, "storage", "1000ms"), "This origin cannot read the body now; ask another."),
    ("stopping", stopping(), (503, "stopping", "1000ms"), "This origin is stopping; ask another."),
]


@pytest.mark.parametrize(
    ("reply", "expected", "detail"), [case[1:] for case in OTHERS], ids=[case[0] for case in OTHERS]
)
def test_a_refusal_says_what_was_wrong(reply: Reply, expected: tuple[int, str, str], detail: str) -> None:
    assert (told(reply), detail_of(reply)) == (expected, detail)
    assert ("Retry-After" in reply.headers) == (reply.status == 503)
    assert b"\r" not in reply.body
    assert b"\n" not in reply.body


def test_a_method_is_refused_with_those_there_are() -> None:
    assert wrong_method(("GET", "HEAD")).headers["Allow"] == "GET, HEAD"


def test_a_probe_says_whether_requests_are_taken() -> None:
    ready = probe(is_stopping=False)
    assert (told(ready), json.loads(bytes(ready.body))) == ((200, "probe", "1000ms"), {"status": "ready"})
    assert ready.headers["Content-Type"] == "application/json"
    assert probe(is_stopping=True) == stopping()

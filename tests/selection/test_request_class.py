"""The class of a request is arithmetic on its number."""

import pytest

from selection.request_class import RequestClass, request_class
from selection.window import due_ms
from tests.support.events import make_event

EVENT = make_event(live_edge_ms=6_000, recent_ms=20_000)
DUE_MS = due_ms(EVENT, 10)

CASES = [
    ("long-before-due", -1_000_000, RequestClass.LIVE_EDGE),
    ("before-due", -1, RequestClass.LIVE_EDGE),
    ("due", 0, RequestClass.LIVE_EDGE),
    ("last-ms-of-the-live-edge", 6_000, RequestClass.LIVE_EDGE),
    ("first-recent-ms", 6_001, RequestClass.RECENT),
    ("last-recent-ms", 20_000, RequestClass.RECENT),
    ("first-ms-of-a-rewind", 20_001, RequestClass.DVR),
    ("left-the-window", 10_000_000, RequestClass.DVR),
]


@pytest.mark.parametrize(("age_ms", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_segment_has_the_class_of_its_age(age_ms: int, expected: RequestClass) -> None:
    assert request_class(EVENT, 10, DUE_MS + age_ms) is expected


@pytest.mark.parametrize("now_ms", [0, DUE_MS, DUE_MS + 10_000_000])
def test_what_every_player_needs_to_start_is_of_the_live_edge(now_ms: int) -> None:
    assert request_class(EVENT, None, now_ms) is RequestClass.LIVE_EDGE


def test_without_spans_only_what_is_due_now_or_later_is_of_the_live_edge() -> None:
    event = make_event(live_edge_ms=0, recent_ms=0)
    assert request_class(event, 10, DUE_MS) is RequestClass.LIVE_EDGE
    assert request_class(event, 10, DUE_MS + 1) is RequestClass.DVR


def test_classes_are_listed_highest_first() -> None:
    assert [each.value for each in RequestClass] == ["publish", "live-edge", "recent", "dvr"]

"""Every complaint that pydantic can have is told in the reader's words."""

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.explain import Value, explain, likely_key, unknown_key
from config.model import Settings
from config.problems import Location
from config.section import field_at, section_at
from tests.config.raw import changed, settings


def told(tree: dict[str, Any], raw: Any) -> str:
    """Return what is told about the first problem of `tree`."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(tree)
    error = caught.value.errors()[0]
    location = error["loc"]
    place = location[:-1] if error["type"] == "extra_forbidden" else location
    section = section_at(Settings, place)
    keys = list(section.fields_by_key()) if section is not None else ()
    key = location[-1] if isinstance(location[-1], str) else ""
    return "; ".join(explain(error, Value(raw, key, field_at(Settings, location), keys)))


EVENT = ("events", 0)
RENDITION = ("events", 0, "renditions", 0)
RENDITION_KEYS = "id, kind, timescale, bandwidth, codecs, width, height, language, media, init"

LIMIT_KEYS = (
    "segment_bytes, manifest_bytes, hold, holds, holds_per_event, holds_per_segment, uploads, body_idle, connections,"
    " connections_per_address, head, head_bytes, keepalive, send_rate, unsent, reads, read_time, loop_lag"
)

TOLD: list[tuple[Location, Any, str]] = [
    (("limits", "hold"), 8, "8 has no unit; write 8s or 8000ms"),
    (("limits", "hold"), None, "has no value; give it one, or take the key out for its default"),
    (("limits", "hold"), "3m", "'3m' is beyond what is possible; write 0s to 2m"),
    (("limits", "holds"), -1, "-1 is below what is possible; write 0 to 1000000"),
    (("limits", "holds"), "many", "'many' is not a whole number; write digits only, 0 to 1000000"),
    (("limits", "holds"), True, "true is not a whole number; write digits only, 0 to 1000000"),
    (("limits", "holds"), 1.5, "1.5 is not a whole number; write digits only, 0 to 1000000"),
    (("limits", "hold_seconds"), 8, "is not a known key; did you mean hold?"),
    (
        ("limits", "xyz"),
        8,
        f"is not a known key; known here: {LIMIT_KEYS}",
    ),
    (("limits", "dvr_window"), 8, "is not a known key; it belongs to events[]; move it there"),
    (("limits", "workers"), 8, "is not a known key; it belongs to the top level; move it there"),
    (("workers",), "two", "'two' is not a whole number; write digits only, 0 to 64"),
    (("workers",), 65, "65 is beyond what is possible; write 0 to 64"),
    (("log", "requests"), "yes", "'yes' is not one of the choices; write true or false"),
    (("log", "level"), "loud", "'loud' is not one of the choices; write debug, info, warning or error"),
    (("storage", "acknowledge"), True, "true is not one of the choices; write disk or fsync"),
    (("log",), None, "has no value; give it one, or take the key out for its default"),
    (("log",), "info", "'info' is not a section of keys; write keys below it: level, requests, requests_per_second"),
    (("peers",), [{"region": "r", "url": "http://peer"}] * 9, "a list has too many entries; keep at most 8"),
    (("log",), [], "an empty list is not a section of keys; write keys below it: level, requests, requests_per_second"),
    (("events",), {}, "a section of keys is not a list; begin each entry with '- ' on a line of its own"),
    (("events",), "derby", "'derby' is not a list; begin each entry with '- ' on a line of its own"),
    (("events",), [], "an empty list is not enough; add at least one entry"),
    (("events",), None, "has no value; give it one"),
    ((*EVENT, "id"), 7, "7 is not text; put it into quotes: '7'"),
    ((*EVENT, "id"), ["a"], "a list is not text; write a single text"),
    (
        (*EVENT, "epoch"),
        "1969-12-31T23:59:59Z",
        "'1969-12-31T23:59:59Z' is below what is possible; write 1970-01-01T00:00:00Z or more",
    ),
    ((*EVENT, "segment_duration"), "1m1s", "'1m1s' is beyond what is possible; write 100ms to 1m"),
    ((*EVENT, "pipelines", 0), None, "is an empty entry; write its keys, or take the '-' out"),
    (RENDITION, "v720", f"'v720' is not a section of keys; write keys below it: {RENDITION_KEYS}"),
    ((*RENDITION, "kind"), "movie", "'movie' is not one of the choices; write video, audio, muxed or text"),
    ((*RENDITION, "timescale"), "90k", "'90k' is not a whole number; write digits only, 1 to 1000000000"),
]


@pytest.mark.parametrize(("location", "raw", "text"), TOLD)
def test_bad_value_is_told_with_a_remedy(location: Location, raw: Any, text: str) -> None:
    assert told(changed(location, raw), raw) == text


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (("events",), "is missing; add events: with at least one entry"),
        ((*EVENT, "id"), "is missing; add it, such as id: my-event"),
        ((*EVENT, "segment_duration"), "is missing; add it, such as segment_duration: 2s"),
        ((*EVENT, "pipelines"), "is missing; add pipelines: with at least one entry"),
        ((*RENDITION, "bandwidth"), "is missing; add it, such as bandwidth: 3000000"),
    ],
)
def test_missing_key_is_told_with_an_example(location: Location, text: str) -> None:
    tree: Any = settings()
    place = tree
    for part in location[:-1]:
        place = place[part]
    del place[location[-1]]
    assert told(tree, None) == text


def test_complaint_that_nobody_knows_is_told_all_the_same() -> None:
    error = ErrorDetails(type="from_the_future", loc=("log",), msg="", input="x")
    assert explain(error, Value("x", "log", None, ())) == ("'x' cannot be used", "see the settings table for what can")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("dvr-window", "dvr_window"),
        ("id_ms", "id"),
        ("DVR_Window", "dvr_window"),
        ("dvr_windw", "dvr_window"),
        ("colour", None),
    ],
)
def test_misspelt_key_is_recognised(key: str, meant: str | None) -> None:
    assert likely_key(key, ["id", "dvr_window", "retention"]) == meant


def test_key_that_is_known_elsewhere_is_sent_there_first() -> None:
    assert unknown_key("retention", ["retentions"]).remedy == "it belongs to events[]; move it there"

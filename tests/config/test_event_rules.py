"""The rules between the settings of one event, each broken by the smallest step."""

from typing import Any

import pytest

from config.event import EventSettings
from config.event_rules import event_findings
from config.problems import key_path
from tests.config.raw import event

V: dict[str, Any] = {"kind": "video", "bandwidth": 1}


def findings(**changes: Any) -> list[tuple[str, str, str]]:
    """Return key, message and remedy of everything that is found in an event."""
    found = event_findings(EventSettings.model_validate(event(**changes)))
    return [(key_path(finding.locations[0]), finding.message, finding.remedy) for finding in found]


KEEPS: list[dict[str, Any]] = [
    {},
    {"retry_deadline": "30m"},
    {"dvr_window": "10s"},
    {"dvr_window": "2s", "retry_deadline": "2s"},
    {"selection": {"grace": "9999ms"}},
    {"selection": {"prefer_wait": "1999ms"}},
    {"hold_ahead": "2s"},
    {"live_edge": "2s"},
    {"recent": "6s"},
    {"live_edge": "2s", "recent": "2s"},
    {"epoch": "2026-11-22T18:00:00Z", "start": "2026-11-22T18:00:00Z"},
    {"start": "2026-11-22T18:00:00Z", "end": "2026-11-22T18:00:00.001Z"},
    {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:00.001Z"},
    {"end": "1970-01-01T00:00:00.001Z"},
    {"renditions": [V | {"id": "x", "media": "$Time$.m4s", "timescale": 1}]},
    {"renditions": [V | {"id": "x"}, V | {"id": "y"}], "pipelines": [{"id": "x"}, {"id": "y"}]},
]


@pytest.mark.parametrize("changes", KEEPS)
def test_event_at_the_bound_of_a_rule_keeps_it(changes: dict[str, Any]) -> None:
    assert findings(**changes) == []


BREAKS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"retry_deadline": "1800001ms"},
        "retry_deadline",
        "retry_deadline is 30m1ms and dvr_window is 30m: a segment would leave the window before it is given up",
        "make retry_deadline at most 30m, or dvr_window at least 30m1ms",
    ),
    (
        {"dvr_window": "1999ms", "retry_deadline": "1s"},
        "dvr_window",
        "dvr_window is 1999ms and segment_duration is 2s: nothing could be requested between two segments",
        "make dvr_window at least 2s, or segment_duration at most 1999ms",
    ),
    (
        {"selection": {"grace": "10s"}},
        "selection.grace",
        "selection.grace is 10s and retry_deadline is 10s: a segment would be given up before a flawed copy is taken",
        "make selection.grace less than 10s, or retry_deadline more than 10s",
    ),
    (
        {"selection": {"prefer_wait": "2s"}},
        "selection.prefer_wait",
        "selection.prefer_wait is 2s and segment_duration is 2s: the wait would outlast the segment",
        "make selection.prefer_wait less than 2s, or segment_duration more than 2s",
    ),
    (
        {"hold_ahead": "1999ms"},
        "hold_ahead",
        "hold_ahead is 1999ms and segment_duration is 2s: the next segment would be refused instead of held",
        "make hold_ahead at least 2s, or segment_duration at most 1999ms",
    ),
    (
        {"live_edge": "1999ms"},
        "live_edge",
        "live_edge is 1999ms and segment_duration is 2s: the newest segment would not go first while it is the newest",
        "make live_edge at least 2s, or segment_duration at most 1999ms",
    ),
    (
        {"recent": "5999ms"},
        "recent",
        "recent is 5999ms and live_edge is 6s: segments would count as rewinds at the live edge",
        "make recent at least 6s, or live_edge at most 5999ms",
    ),
    (
        {"live_edge": "7s", "recent": "6s"},
        "recent",
        "recent is 6s and live_edge is 7s: segments would count as rewinds at the live edge",
        "make recent at least 7s, or live_edge at most 6s",
    ),
    (
        {"epoch": "2026-11-22T18:00:00.001Z", "start": "2026-11-22T18:00:00Z"},
        "start",
        "start is 2026-11-22T18:00:00Z and epoch is 2026-11-22T18:00:00.001Z: no segment begins before the epoch",
        "make start no earlier than 2026-11-22T18:00:00.001Z, or epoch no later than 2026-11-22T18:00:00Z",
    ),
    (
        {"epoch": "1970-01-01T00:00:00.001Z", "start": "1970-01-01T00:00:00Z"},
        "start",
        "start is 1970-01-01T00:00:00Z and epoch is 1970-01-01T00:00:00.001Z: no segment begins before the epoch",
        "make start no earlier than 1970-01-01T00:00:00.001Z, or epoch no later than 1970-01-01T00:00:00Z",
    ),
    (
        {"start": "2026-11-22T18:00:00Z", "end": "2026-11-22T18:00:00Z"},
        "end",
        "end is 2026-11-22T18:00:00Z and start is 2026-11-22T18:00:00Z: the event would be over before it begins",
        "make end later than 2026-11-22T18:00:00Z, or start earlier than 2026-11-22T18:00:00Z",
    ),
    (
        {"end": "1970-01-01T00:00:00Z"},
        "end",
        "end is 1970-01-01T00:00:00Z and epoch is 1970-01-01T00:00:00Z: the event would be over before it begins",
        "make end later than 1970-01-01T00:00:00Z, or epoch earlier than 1970-01-01T00:00:00Z",
    ),
    (
        {"renditions": [V | {"id": "x"}, V | {"id": "x"}]},
        "renditions[1].id",
        "'x' is the id of renditions[0], too",
        "give each its own id",
    ),
    (
        {"pipelines": [{"id": "a"}, {"id": "a"}]},
        "pipelines[1].id",
        "'a' is the id of pipelines[0], too",
        "give each its own id",
    ),
    (
        {"renditions": [V | {"id": "x", "media": "$Time$.m4s"}]},
        "renditions[0].timescale",
        "is missing, and the time in '$Time$.m4s' counts in it",
        "add the timescale of the packager's track, such as timescale: 90000",
    ),
    (
        {"media": "$Numbr$.m4s"},
        "media",
        "'$Numbr$.m4s': $Numbr$ is not known",
        "use $RepresentationID$, $Number$, $Number%05d$ or $Time$",
    ),
    (
        {"media": "constant.m4s"},
        "media",
        "'constant.m4s' gives every segment the same name",
        "add $Number$ or $Time$",
    ),
    (
        {"renditions": [V | {"id": "x", "media": "1$Number$.ts"}]},
        "renditions[0].media",
        "'1$Number$.ts': put a character that is not a digit beside $Number$",
        "write it like $RepresentationID$/$Number$.m4s",
    ),
    (
        {"renditions": [V | {"id": "x1", "media": "$RepresentationID$$Number$.ts"}]},
        "renditions[0].media",
        "'$RepresentationID$$Number$.ts': put a character that is not a digit beside $Number$",
        "write it like $RepresentationID$/$Number$.m4s",
    ),
    (
        {"init": "$RepresentationID$/$Number$.mp4"},
        "init",
        "'$RepresentationID$/$Number$.mp4' names an init segment, of which there is one",
        "drop $Number$",
    ),
    (
        {"renditions": [V | {"id": "x", "init": "a b.mp4"}]},
        "renditions[0].init",
        "'a b.mp4' has characters that a URL path needs escaped",
        "use letters, digits and ._-~/",
    ),
    (
        {"media": "$Number$.m4s", "renditions": [V | {"id": "x"}, V | {"id": "y"}]},
        "media",
        "'$Number$.m4s' and '$Number$.m4s' can make the same name twice",
        "put $RepresentationID$ into them",
    ),
    (
        {"init": "init.mp4", "renditions": [V | {"id": "x"}, V | {"id": "y"}]},
        "init",
        "'init.mp4' and 'init.mp4' can make the same name twice",
        "put $RepresentationID$ into them",
    ),
    (
        {"renditions": [V | {"id": "x", "media": "$Number$.ts", "init": "0.ts"}]},
        "renditions[0].init",
        "'$Number$.ts' and '0.ts' can make the same name twice",
        "put $RepresentationID$ into them",
    ),
]


@pytest.mark.parametrize(("changes", "key", "message", "remedy"), BREAKS)
def test_broken_rule_is_found_with_key_reason_and_remedy(
    changes: dict[str, Any], key: str, message: str, remedy: str
) -> None:
    assert findings(**changes) == [(key, message, remedy)]


def test_every_broken_rule_of_an_event_is_found() -> None:
    found = findings(
        retry_deadline="1h",
        end="1970-01-01T00:00:00Z",
        media="$Number$.m4s",
        init="init.mp4",
        renditions=[V | {"id": "x"}, V | {"id": "y"}, V | {"id": "z", "media": "same.ts"}],
        pipelines=[{"id": "a"}, {"id": "a"}],
    )
    keys = [key for key, _, _ in found]
    assert keys == ["retry_deadline", "end", "pipelines[1].id", "renditions[2].media", "media", "init", "init", "init"]

"""File, environment and flags become settings, or one error with every problem of all three."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import ConfigError, load_settings
from config.model import Address
from config.problems import Location
from tests.config.raw import changed, event, load, problems, settings

V: dict[str, Any] = {"kind": "video", "bandwidth": 1}


def test_flag_comes_before_environment_before_file(tmp_path: Path) -> None:
    tree = settings(listen=dict.fromkeys(("publish", "deliver", "admin"), "127.0.0.1:0"))
    environment = {
        "LIVE_ORIGIN_LISTEN__DELIVER": "127.0.0.2:0",
        "LIVE_ORIGIN_LISTEN__ADMIN": "127.0.0.2:0",
        "HOME": "/",
    }
    flags = ["listen.admin=127.0.0.3:0", "events[0].dvr_window=10m", "events[0].pipelines[1].id=b"]
    loaded = load(tmp_path, tree, environment, flags)
    listen = loaded.listen
    assert [address.host for address in (listen.publish, listen.deliver, listen.admin)] == [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
    ]
    assert loaded.events[0].dvr_window_ms == 600_000
    assert [pipeline.id for pipeline in loaded.events[0].pipelines] == ["a", "b"]


def test_last_flag_of_a_key_wins(tmp_path: Path) -> None:
    loaded = load(tmp_path, settings(), flags=["listen.publish=[::1]:1", "listen.publish=[::1]:2"])
    assert loaded.listen.publish == Address("::1", 2)


def test_flags_alone_make_settings() -> None:
    flags = ["id=derby", "segment_duration=2s", "pipelines[0].id=a"]
    flags += [f"renditions[0].{key}" for key in ("id=v", "kind=video", "bandwidth=1")]
    assert load_settings(None, {}, [f"events[0].{flag}" for flag in flags]).events[0].id == "derby"


def test_nothing_at_all_lacks_events() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {}, ())
    assert str(caught.value) == "settings: 1 problem\n  events: is missing; add events: with at least one entry"


def test_override_mends_what_the_file_has_wrong(tmp_path: Path) -> None:
    assert load(tmp_path, changed(("limits", "hold"), 8), {"LIVE_ORIGIN_LIMITS__HOLD": "9s"}).limits.hold_ms == 9_000
    loaded = load(tmp_path, settings(), {"LIVE_ORIGIN_LIMITS__HOLD": "9"}, ["limits.hold=9s"])
    assert loaded.limits.hold_ms == 9_000


ONE: list[tuple[str | dict[str, Any], str]] = [
    ("listen: {publish: 'x}", "line 1: is not YAML at column 22: found unexpected end of stream; check this line"),
    ("- listen", "line 1: is not a section of keys; write keys such as listen: and events:"),
    ("", "events: is missing; add events: with at least one entry"),
    (settings(colour="red"), "line 10: colour: is not a known key; known here: listen, storage, workers, limits,"),
    (changed(("limits", "hold"), 8), "line 11: limits.hold: 8 has no unit; write 8s or 8000ms"),
    (
        changed(("events", 0, "pipelines", 0), "a"),
        "line 9: events[0].pipelines[0]: 'a' is not a section of keys; write",
    ),
    (changed(("events", 0, "pipelines"), []), "line 8: events[0].pipelines: an empty list is not enough; add at least"),
    (changed(("events", 0), None), "line 2: events[0]: is an empty entry; write its keys, or take the '-' out"),
    (changed(("events",), None), "line 1: events: has no value; give it one"),
    (changed(("listen",), None), "line 10: listen: has no value; give it one, or take the key out for its default"),
    (
        changed(("events", 0, "renditions", 0, "media"), "$Time$.ts"),
        "line 8: events[0].renditions[0].timescale: is missing, and the time in '$Time$.ts' counts in it; add",
    ),
    (
        changed(("events", 0, "retry_deadline"), "1h"),
        "line 10: events[0].retry_deadline: retry_deadline is 1h and dvr_window is 30m: a segment would leave the",
    ),
]


@pytest.mark.parametrize(("content", "text"), ONE)
def test_one_problem_is_told_once_with_its_line(tmp_path: Path, content: Any, text: str) -> None:
    (problem,) = problems(tmp_path, content)
    assert str(problem).startswith(text)


# What is broken, and with what else the rest of the section would then collide.
FOLLOW_UPS: list[tuple[dict[str, Any], str]] = [
    ({"events": [event(dvr_window="5 s", retry_deadline="1h")]}, "events[0].dvr_window"),
    ({"events": [event(dvr_windw="2h", retry_deadline="1h")]}, "events[0].dvr_windw"),
    ({"events": [event(segment_duration=9, selection={"prefer_wait": "3s"})]}, "events[0].segment_duration"),
    (
        {"events": [{"segment_duraton": "2s"} | {k: v for k, v in event().items() if k != "segment_duration"}]},
        "events[0].segment_duraton",
    ),
    (
        {"events": [event(media="$Number$.ts", renditions=[V | {"id": 1}, V | {"id": "y"}])]},
        "events[0].renditions[0].id",
    ),
    ({"events": [event(id=1), event(id="my-event")]}, "events[0].id"),
    ({"events": [event(segment_duration="20s")], "limits": "none"}, "limits"),
    ({"events": [event(renditions="v720")]}, "events[0].renditions"),
    ({"events": [event(), "match"]}, "events[1]"),
    ({"events": "derby"}, "events"),
    ({"evnts": [event()]}, "evnts"),
]


@pytest.mark.parametrize(("tree", "key"), FOLLOW_UPS)
def test_problem_causes_no_others(tmp_path: Path, tree: dict[str, Any], key: str) -> None:
    assert [problem.key for problem in problems(tmp_path, tree)] == [key]


def test_template_is_checked_although_the_renditions_are_broken(tmp_path: Path) -> None:
    found = problems(tmp_path, settings(events=[event(renditions="v720", media="x$Number$-$Time$")]))
    assert [problem.key for problem in found] == ["events[0].renditions", "events[0].media"]


def test_rule_is_checked_although_its_section_is_broken_elsewhere(tmp_path: Path) -> None:
    tree = settings(
        events=[event(retry_deadline="1h", publish_delay=1, id="a b", media="$Number$.ts", init="$Number$")]
    )
    keys = [problem.key for problem in problems(tmp_path, tree)]
    assert set(keys) == {
        "events[0].id",
        "events[0].publish_delay",
        "events[0].retry_deadline",
        "events[0].init",
    }


def test_template_of_the_event_is_told_once_for_all_renditions(tmp_path: Path) -> None:
    renditions = [V | {"id": name} for name in ("v1", "v2", "v3")]
    (problem,) = problems(
        tmp_path, settings(events=[event(media="$RepresentationID$$Number$.ts", renditions=renditions)])
    )
    assert problem.key == "events[0].media"
    found = problems(tmp_path, settings(events=[event(media="$Number$.m4s", init="i.mp4", renditions=renditions)]))
    assert [problem.key for problem in found] == ["events[0].media", "events[0].init"]


def test_finding_of_one_template_stays_although_another_id_is_in_doubt(tmp_path: Path) -> None:
    renditions = [V | {"id": 1}, V | {"id": "x2"}]
    found = problems(tmp_path, settings(events=[event(media="$RepresentationID$$Number$.ts", renditions=renditions)]))
    assert {problem.key for problem in found} == {"events[0].renditions[0].id", "events[0].media"}


def test_both_of_two_equal_keys_are_in_doubt(tmp_path: Path) -> None:
    text = yaml.safe_dump(settings(events=[event(retry_deadline="1h")])) + "  dvr_window: 2h\n  dvr_window: 5s\n"
    (problem,) = problems(tmp_path, text)
    assert problem.key == "events[0].dvr_window"
    assert problem.message.startswith("is there twice, first in line")


SOURCES: list[tuple[dict[str, Any], dict[str, str], list[str], str]] = [
    ({}, {"LIVE_ORIGIN_LIMITS__HOLD": "8"}, [], "LIVE_ORIGIN_LIMITS__HOLD: limits.hold: 8 has no unit; write"),
    ({}, {"LIVE_ORIGIN_LIMITS__HOLD": ""}, [], "LIVE_ORIGIN_LIMITS__HOLD: limits.hold: has no value; give it one"),
    ({}, {"LIVE_ORIGIN_LIMIT__HOLD": "8s"}, [], "LIVE_ORIGIN_LIMIT__HOLD: no setting has this variable; did you mean"),
    ({}, {}, ["limits.hold=8"], "--set: limits.hold: 8 has no unit; write 8s or 8000ms"),
    ({}, {}, ["limits.hodl=8s"], "--set: limits.hodl: is not a known key; did you mean hold?"),
    ({}, {}, ["listen.publish.port=1"], "--set: listen.publish: a section of keys is not an address; write host:port"),
    ({}, {}, ["events[0].id.x=1"], "--set: events[0].id.x: events[0].id is 'derby', which has no keys; set"),
    ({}, {}, ["limits"], "--set: 'limits' sets nothing; write key.path=value"),
    ({}, {}, ["limits=8s"], "--set: limits: '8s' is not a section of keys; write keys below it"),
    (
        {},
        {"LIVE_ORIGIN_LISTEN__ADMIN": "[::1]:9"},
        ["listen.deliver=[::1]:9"],
        "LIVE_ORIGIN_LISTEN__ADMIN, --set: listen.admin: listen.admin is [::1]:9 and listen.deliver is [::1]:9:",
    ),
    (
        settings(limits={"body_idle": "3s"}),
        {},
        ["events[0].segment_duration=2500ms"],
        "line 11, --set: limits.body_idle: limits.body_idle is 3s and events[0].segment_duration is 2500ms: ffmpeg",
    ),
]


@pytest.mark.parametrize(("tree", "environment", "flags", "text"), SOURCES)
def test_problem_names_the_variable_or_flag_it_came_from(
    tmp_path: Path, tree: dict[str, Any], environment: dict[str, str], flags: list[str], text: str
) -> None:
    (problem,) = problems(tmp_path, tree or settings(), environment, flags)
    assert str(problem).startswith(text)


def test_entry_added_by_flags_names_them_when_it_lacks_a_key(tmp_path: Path) -> None:
    found = problems(tmp_path, settings(), flags=["events[0].pipelines[1].region=west"])
    assert [str(problem) for problem in found] == [
        "--set: events[0].pipelines[1].id: is missing; add it, such as id: my-pipeline"
    ]


def test_environment_and_flags_are_checked_although_the_file_is_no_yaml(tmp_path: Path) -> None:
    found = problems(tmp_path, "events: [", {"LIVE_ORIGIN_LIMITS__HOLD": "8"}, ["workers=-2"])
    assert [problem.key for problem in found] == ["workers", "limits.hold", ""]


ALL_AT_ONCE = """\
listen: {publish: ":8081", deliver: 8080}
storage: {ram: 64M, acknowledge: maybe}
workers: 400
limts: {hold: 8s}
limits:
  holds: -1
  segment_byte: 3
log: {requests: yes}
stop_timeout: 10
events:
  - id: der@by
    epoch: 2026-11-22T18:00:00
    segment_duration: 2s
    dvr_window: 5s
    dvr_window: 6s
    media: $Numbr$.m4s
    selection: {grace: 10s}
    renditions:
      - {id: 0, kind: movie, bandwidth: fast}
      - v720
      - {id: x, kind: video, bandwidth: 3000, media: t-$Time$.m4s, init: $Number$}
    pipelines: []
  - segment_duraton: 12s
    id: match
    start: 2026-11-22T18:00:00Z
    end: 2026-11-22
    retry_deadline: 1h
    media: $Number$.ts
    renditions: [{id: x, kind: video, bandwidth: 1}, {id: y, kind: video, bandwidth: 1}]
    pipelines: [{id: a}, {id: a}]
"""
EXPECTED = [
    (1, "listen.publish", "write 0.0.0.0:8081 for all interfaces"),
    (1, "listen.deliver", "write 127.0.0.1:8080 for this machine only"),
    (2, "storage.ram", "write 64MiB (counts in 1024) or 64MB (counts in 1000)"),
    (2, "storage.acknowledge", "write disk or fsync"),
    (3, "workers", "write 0 to 64"),
    (4, "limts", "did you mean limits?"),
    (6, "limits.holds", "write 0 to 1000000"),
    (7, "limits.segment_byte", "did you mean segment_bytes?"),
    (8, "log.requests", "write true or false"),
    (9, "stop_timeout", "write 10s or 10000ms"),
    (11, "events[0].id", "take it out"),
    (12, "events[0].epoch", "write 2026-11-22T18:00:00Z for UTC"),
    (15, "events[0].dvr_window", "keep one of them"),
    (16, "events[0].media", "use $RepresentationID$, $Number$, $Number%05d$ or $Time$"),
    (17, "events[0].selection.grace", "make selection.grace less than 10s, or retry_deadline more than 10s"),
    (19, "events[0].renditions[0].id", "put it into quotes: '0'"),
    (19, "events[0].renditions[0].kind", "write video, audio, muxed or text"),
    (19, "events[0].renditions[0].bandwidth", "write digits only"),
    (20, "events[0].renditions[1]", "write keys below it: id, kind"),
    (21, "events[0].renditions[2].timescale", "add the timescale of the packager's track"),
    (21, "events[0].renditions[2].init", "drop $Number$"),
    (22, "events[0].pipelines", "add at least one entry"),
    (23, "events[1].segment_duraton", "did you mean segment_duration?"),
    (26, "events[1].end", "write 2026-11-22T00:00:00Z"),
    (27, "events[1].retry_deadline", "make retry_deadline at most 30m, or dvr_window at least 1h"),
    (28, "events[1].media", "put $RepresentationID$ into them"),
    (30, "events[1].pipelines[1].id", "give each its own id"),
]


def test_all_problems_of_a_file_are_told_at_once_in_the_order_of_its_lines(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, ALL_AT_ONCE)
    found = caught.value.problems
    assert [(problem.line, problem.key) for problem in found] == [(line, key) for line, key, _ in EXPECTED]
    assert [problem.remedy[: len(remedy)] for problem, (_, _, remedy) in zip(found, EXPECTED, strict=True)] == [
        remedy for _, _, remedy in EXPECTED
    ]
    title, *lines = str(caught.value).splitlines()
    assert title == f"{tmp_path / 'live.yaml'}: {len(EXPECTED)} problems"
    assert lines == [f"  {problem}" for problem in found]
    assert not any("pydantic" in line or "Input should" in line for line in lines)


DEEP: list[tuple[Location, Any]] = [
    ((), None),
    (("events",), [None, 7, "x", [], {}]),
    (("events", 0), []),
    (("events", 0, "renditions"), [[], None, {"id": {}}, {"id": []}]),
    (("events", 0, "selection"), [1]),
    (("events", 0, "media"), {}),
    (("limits",), [{}]),
    (("storage", "path"), {"a": 1}),
]


@pytest.mark.parametrize(("location", "value"), DEEP)
def test_any_shape_ends_in_problems_with_remedies(tmp_path: Path, location: Location, value: Any) -> None:
    found = problems(tmp_path, changed(location, value) if location else {"x": value})
    assert all(problem.message and problem.remedy for problem in found)

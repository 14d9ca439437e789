"""Environment and flags: which settings they name, and how they get into the tree."""

from typing import Any

import pytest

from config.overrides import Override, apply_override, read_environment, read_flags
from config.problems import Location, Problem, SettingError


@pytest.mark.parametrize(
    ("name", "text", "location", "value"),
    [
        ("LIVE_ORIGIN_LISTEN__PUBLISH", "0.0.0.0:8081", ("listen", "publish"), "0.0.0.0:8081"),
        ("LIVE_ORIGIN_WORKERS", "0", ("workers",), 0),
        ("LIVE_ORIGIN_LIMITS__SEGMENT_BYTES", "1MiB", ("limits", "segment_bytes"), "1MiB"),
        ("LIVE_ORIGIN_LOG__REQUESTS", "false", ("log", "requests"), False),
    ],
)
def test_variable_sets_a_setting(name: str, text: str, location: Location, value: Any) -> None:
    assert list(read_environment({"PATH": "/bin", name: text})) == [Override(location, value, name)]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("LIVE_ORIGIN_LISTEN__PUBLSH", "did you mean LIVE_ORIGIN_LISTEN__PUBLISH?"),
        ("LIVE_ORIGIN_EVENTS__0__ID", "set events in the file, or with --set events[0].KEY=VALUE"),
        ("LIVE_ORIGIN_PEERS__0__URL", "set peers in the file, or with --set peers[0].KEY=VALUE"),
        ("LIVE_ORIGIN_X", "unset it; levels are joined by __, as in LIVE_ORIGIN_LISTEN__PUBLISH"),
    ],
)
def test_variable_that_sets_nothing_is_a_problem(name: str, remedy: str) -> None:
    assert list(read_environment({name: "x"})) == [Problem("", "no setting has this variable", remedy, name)]


def test_variable_with_odd_quotes_is_a_problem() -> None:
    (item,) = read_environment({"LIVE_ORIGIN_STORAGE__PATH": "'data"})
    expected = "'data is not a quoted text; close the quotes, or write it without"
    assert str(item) == f"LIVE_ORIGIN_STORAGE__PATH: storage.path: {expected}"


@pytest.mark.parametrize(
    ("flag", "location", "value"),
    [
        ("listen.publish=[::1]:8081", ("listen", "publish"), "[::1]:8081"),
        ("events[0].dvr_window=10m", ("events", 0, "dvr_window"), "10m"),
        ("events[0].renditions[12].timescale=48000", ("events", 0, "renditions", 12, "timescale"), 48_000),
        ("events[0].end=null", ("events", 0, "end"), None),
        ("events[0].end=", ("events", 0, "end"), None),
        (" storage.path = a=b ", ("storage", "path"), "a=b"),
        ("a[0][1]=x", ("a", 0, 1), "x"),
    ],
)
def test_flag_sets_a_key(flag: str, location: Location, value: Any) -> None:
    assert list(read_flags([flag])) == [Override(location, value, "--set")]


@pytest.mark.parametrize(
    "flag", ["", "listen.publish", "=1", ".a=1", "a.=1", "a..b=1", "[0]=1", "a[x]=1", "a[0]b=1", "a b=1"]
)
def test_flag_without_a_key_path_and_value_is_a_problem(flag: str) -> None:
    (problem,) = read_flags([flag])
    assert isinstance(problem, Problem)
    assert problem.source == "--set"
    assert problem.message == f"{flag!r} sets nothing"
    assert problem.remedy.startswith("write key.path=value, such as listen.publish=0.0.0.0:8081")


def test_flag_with_odd_quotes_is_a_problem() -> None:
    (problem,) = read_flags(["storage.path='data"])
    assert str(problem).startswith("--set: storage.path: 'data is not a quoted text")


APPLIED: list[tuple[dict[str, Any], Location, dict[str, Any]]] = [
    ({}, ("workers",), {"workers": 7}),
    ({"workers": 0}, ("workers",), {"workers": 7}),
    ({}, ("listen", "publish"), {"listen": {"publish": 7}}),
    ({"listen": None}, ("listen", "publish"), {"listen": {"publish": 7}}),
    ({"listen": {"admin": 1}}, ("listen", "publish"), {"listen": {"admin": 1, "publish": 7}}),
    ({"events": [{"id": 1}]}, ("events", 0, "id"), {"events": [{"id": 7}]}),
    ({"events": [{"id": 1}]}, ("events", 1, "id"), {"events": [{"id": 1}, {"id": 7}]}),
    ({}, ("events", 0, "id"), {"events": [{"id": 7}]}),
    ({}, ("events", 0), {"events": [7]}),
    ({}, ("events", 0, "renditions", 0, "id"), {"events": [{"renditions": [{"id": 7}]}]}),
    ({}, ("events", 0, 0), {"events": [[7]]}),
]


@pytest.mark.parametrize(("tree", "location", "expected"), APPLIED)
def test_override_makes_the_sections_on_its_way(tree: dict[str, Any], location: Location, expected: Any) -> None:
    apply_override(tree, Override(location, 7, "--set"))
    assert tree == expected


@pytest.mark.parametrize(
    ("tree", "location", "text"),
    [
        ({"listen": 5}, ("listen", "publish"), "listen is 5, which has no keys; set listen itself"),
        ({"events": {}}, ("events", 0), "events is a section of keys, which has no entries; write the key without []"),
        ({"events": [{}]}, ("events", "id"), "events is a list, which has no keys; set events itself"),
        ({"events": [{}]}, ("events", 2, "id"), "events has 1 entry, counted from 0; write [1] to add one"),
        ({}, ("events", 1, "id"), "events has 0 entries, counted from 0; write [0] to add one"),
    ],
)
def test_override_that_leads_nowhere_is_refused(tree: dict[str, Any], location: Location, text: str) -> None:
    with pytest.raises(SettingError) as caught:
        apply_override(tree, Override(location, 7, "--set"))
    assert str(caught.value) == text

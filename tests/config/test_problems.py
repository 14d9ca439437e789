"""How problems read."""

import pytest

from config.problems import BrokenRules, ConfigError, Finding, Location, Problem, SettingError, key_path, shown


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ((), ""),
        (("workers",), "workers"),
        (("listen", "publish"), "listen.publish"),
        (("events", 0, "renditions", 12, "id"), "events[0].renditions[12].id"),
    ],
)
def test_key_path_is_written_as_people_write_it(location: Location, path: str) -> None:
    assert key_path(location) == path


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (8, "8"),
        ("8", "'8'"),
        ([], "an empty list"),
        ((1,), "a list"),
        ({}, "a section of keys"),
        ("x" * 58, f"'{'x' * 58}'"),
        ("x" * 59, f"'{'x' * 56}..."),
    ],
)
def test_value_is_shown_as_the_file_spells_it_and_cut_to_a_line(value: object, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "is wrong", "mend it"), "a.b: is wrong; mend it"),
        (Problem("a.b", "is wrong", "mend it", "line 3", 3), "line 3: a.b: is wrong; mend it"),
        (Problem("", "is wrong", "mend it", "line 3", 3), "line 3: is wrong; mend it"),
        (Problem("", "is wrong", "mend it"), "is wrong; mend it"),
    ],
)
def test_problem_is_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_error_prints_the_file_and_every_problem() -> None:
    problem = Problem("a", "is wrong", "mend it")
    assert str(ConfigError("live.yaml", (problem,))) == "live.yaml: 1 problem\n  a: is wrong; mend it"
    two = str(ConfigError("live.yaml", (problem, problem)))
    assert two == "live.yaml: 2 problems\n  a: is wrong; mend it\n  a: is wrong; mend it"


def test_finding_can_be_seen_from_further_up() -> None:
    finding = Finding((("start",), ("end",)), "message", "remedy").below("events", 1)
    assert finding.locations == (("events", 1, "start"), ("events", 1, "end"))


def test_errors_say_what_is_wrong_in_their_text() -> None:
    assert str(SettingError("is wrong", "mend it")) == "is wrong; mend it"
    assert str(BrokenRules((Finding(((),), "one", ""), Finding(((),), "two", "")))) == "one; two"

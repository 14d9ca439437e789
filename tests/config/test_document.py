"""YAML text becomes plain values with lines; what YAML hides is reported."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.document import VALUES_MAX, Document, parse_document, parse_scalar, read_document
from config.problems import SettingError

SCALARS: list[tuple[str, Any]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("true", True),
    ("False", False),
    ("20000", 20_000),
    ("-1", -1),
    ("010", 10),
    ("9" * 18, int("9" * 18)),
    ("9" * 19, "9" * 19),
    ("no", "no"),
    ("on", "on"),
    ("1.5", "1.5"),
    ("12:30:00", "12:30:00"),
    ("0x10", "0x10"),
    ("2026-11-22T18:00:00Z", "2026-11-22T18:00:00Z"),
    ("60060/30000", "60060/30000"),
    ("'0'", "0"),
    ('"true"', "true"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar_is_read_alike_from_a_file_and_by_itself(text: str, value: Any) -> None:
    read, alone = parse_document(f"key: {text}").tree["key"], parse_scalar(text)
    assert (read, type(read)) == (value, type(value))
    assert (alone, type(alone)) == (value, type(value))


def test_scalar_by_itself_is_never_a_list() -> None:
    assert parse_scalar("[::1]:8081") == "[::1]:8081"


@pytest.mark.parametrize(
    ("text", "message"), [("'open", "'open is not a quoted text"), ("'a': b", "'a': b is not a single value")]
)
def test_scalar_with_odd_quotes_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_scalar(text)
    assert caught.value.message == message


TEXT = """\
# a comment
listen:
  publish: 127.0.0.1:8081

events:
  - id: derby
    renditions:
      - {id: v720, media: $Number$.m4s}
  -
    id: match
"""


def test_values_come_with_their_lines() -> None:
    document = parse_document(TEXT)
    assert document.tree == {
        "listen": {"publish": "127.0.0.1:8081"},
        "events": [{"id": "derby", "renditions": [{"id": "v720", "media": "$Number$.m4s"}]}, {"id": "match"}],
    }
    assert document.lines == {
        ("listen",): 2,
        ("listen", "publish"): 3,
        ("events",): 5,
        ("events", 0): 6,
        ("events", 0, "id"): 6,
        ("events", 0, "renditions"): 7,
        ("events", 0, "renditions", 0): 8,
        ("events", 0, "renditions", 0, "id"): 8,
        ("events", 0, "renditions", 0, "media"): 8,
        ("events", 1): 10,
        ("events", 1, "id"): 10,
    }
    assert (document.problems, document.doubtful) == ([], set())


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "~"])
def test_empty_file_has_no_values(text: str) -> None:
    assert parse_document(text) == Document()


def test_anchors_and_merge_keys_are_written_out_and_not_shared() -> None:
    document = parse_document("""\
one: &one {a: 1, b: 2}
two: {<<: *one, b: 3}
three: {<<: [{b: 4}, *one]}
four: *one
""")
    assert document.problems == []
    assert document.tree == {
        "one": {"a": 1, "b": 2},
        "two": {"a": 1, "b": 3},
        "three": {"b": 4, "a": 1},
        "four": {"a": 1, "b": 2},
    }
    assert document.tree["one"] is not document.tree["four"]


PROBLEMS = [
    ("a: 1\nb: {c: 1, c: 2, c: 3}", "line 2: b.c: is there twice, first in line 2; keep one of them", 2),
    ("a: 1\na: 2", "line 2: a: is there twice, first in line 1; keep one of them", 1),
    ("a: !path x", "line 1: a: has the tag !path; take the tag out", 1),
    ("a: !!int x", "line 1: a: has the tag tag:yaml.org,2002:int; take the tag out", 1),
    ("a:\n  ? [b]\n  : 1", "line 2: a: has a key that is not a single word; write key: value", 1),
    ("a: &a [*a]", "line 1: a[0]: contains itself; write it out instead of using *", 1),
    ("a: &a {<<: *a}", "line 1: a.<<: can only take in another section; write <<: *name, with &name there", 1),
    ("a: {<<: 5}", "line 1: a.<<: can only take in another section; write <<: *name, with &name there", 1),
    ("- a", "line 1: is not a section of keys; write keys such as listen: and events:", 1),
    ("just text", "line 1: is not a section of keys; write keys such as listen: and events:", 1),
    ("a: 1\n\tb: 2", "line 2: is not YAML at column 1: found character '\\t' that cannot start any token; check", 1),
    ("a: 1\nb: [2", "line 2: is not YAML at column 6: expected ',' or ']', but got '<stream end>'; check", 1),
    ("a: b: c", "line 1: is not YAML at column 5: mapping values are not allowed here; check", 1),
    ("a: *b", "line 1: is not YAML at column 4: found undefined alias 'b'; check", 1),
    ("a: 1\n---\nb: 2", "line 2: is not YAML at column 1: but found another document; check", 1),
    ("a: 1\nb: \x07", "line 2: has a control character (code 7); take it out", 1),
    ("[" * 2_000, "is nested too deeply; see the examples for its shape", 1),
]


@pytest.mark.parametrize(("text", "problem", "count"), PROBLEMS)
def test_what_is_wrong_with_the_text_is_told_with_its_line(text: str, problem: str, count: int) -> None:
    document = parse_document(text)
    assert str(document.problems[0]).startswith(problem)
    assert len(document.problems) == count
    assert problem.startswith(f"line {document.problems[0].line}") or document.problems[0].line == 0


def test_problems_of_one_text_are_told_together() -> None:
    document = parse_document("a: 1\na: 2\nb: !x 3\nc: {<<: 4}\n")
    assert [problem.line for problem in document.problems] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [("a: 1\na: 2", {("a",)}), ("a: !x 1", {("a",)}), ("a: &a [*a]", {("a", 0)}), ("- a", {()}), ("a: [", {()})],
)
def test_value_that_is_not_what_was_meant_is_in_doubt(text: str, doubtful: set[tuple[str, ...]]) -> None:
    assert parse_document(text).doubtful == doubtful


def test_first_of_two_equal_keys_is_kept() -> None:
    assert parse_document("a: 1\na: 2").tree == {"a": 1}


def test_anchors_that_grow_without_end_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (problem,) = parse_document("\n".join(lines)).problems
    assert str(problem) == f"has more than {VALUES_MAX} values; use fewer anchors and events"


def test_file_is_read_as_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "live.yaml"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text("a: é", encoding=encoding)
        assert read_document(path).tree == {"a": "é"}


def test_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_document(tmp_path / "none.yaml").problems
    assert str(problem) == "cannot be read: No such file or directory; check its name and its permissions"
    (problem,) = read_document(tmp_path).problems
    assert str(problem) == "cannot be read: Is a directory; check its name and its permissions"
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    (problem,) = read_document(tmp_path / "latin.yaml").problems
    assert str(problem) == "is not UTF-8 text (byte 3); save it as UTF-8"


@given(st.text(alphabet="abc:-[]{}&*<'\"!?#|>%@ \n\t0~", max_size=40))
def test_any_text_is_a_document(text: str) -> None:
    document = parse_document(text)
    assert document.tree or document.problems or document.lines == {}

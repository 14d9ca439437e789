"""Conditional and Range requests as RFC 9110 has them: one table for each header, and what wins over what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from origin.conditional import Evaluation, Failed, NotModified, Part, Representation, Unsatisfiable, Whole, evaluate
from origin.headers import http_date

SIZE_BYTES = 1_000
MODIFIED_S = 784_111_777  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
SAME, OTHER = '"aa"', '"bb"'
AT, BEFORE, AFTER = http_date(MODIFIED_S), http_date(MODIFIED_S - 1), http_date(MODIFIED_S + 1)
SELECTED = Representation(SAME, MODIFIED_S, SIZE_BYTES)

WHOLE, FAILED, NOT_MODIFIED, UNSATISFIABLE = Whole(), Failed(), NotModified(), Unsatisfiable()

ENTITY_TAGS: list[tuple[str, dict[str, str], Evaluation]] = [
    ("nothing-asked", {}, WHOLE),
    ("if-match-same", {"If-Match": SAME}, WHOLE),
    ("if-match-any", {"If-Match": "*"}, WHOLE),
    ("if-match-in-list", {"If-Match": f"{OTHER}, {SAME}"}, WHOLE),
    ("if-match-other", {"If-Match": OTHER}, FAILED),
    ("if-match-list-of-others", {"If-Match": f'{OTHER},"cc"'}, FAILED),
    ("if-match-weak-never-matches", {"If-Match": f"W/{SAME}"}, FAILED),
    ("if-match-without-quotes", {"If-Match": "aa"}, FAILED),
    ("if-match-empty", {"If-Match": ""}, FAILED),
    ("if-none-match-same", {"If-None-Match": SAME}, NOT_MODIFIED),
    ("if-none-match-weak-is-the-same", {"If-None-Match": f"W/{SAME}"}, NOT_MODIFIED),
    ("if-none-match-any", {"If-None-Match": " * "}, NOT_MODIFIED),
    ("if-none-match-in-list", {"If-None-Match": f"{OTHER} , W/{SAME}"}, NOT_MODIFIED),
    ("if-none-match-beside-a-tag-with-a-comma", {"If-None-Match": f'"b,b", {SAME}'}, NOT_MODIFIED),
    ("if-none-match-other", {"If-None-Match": OTHER}, WHOLE),
    ("if-none-match-part-of-the-tag", {"If-None-Match": '"a"'}, WHOLE),
    ("if-none-match-without-quotes", {"If-None-Match": "aa"}, WHOLE),
    ("header-names-in-any-case", {"IF-NONE-MATCH": SAME}, NOT_MODIFIED),
]

DATES: list[tuple[str, dict[str, str], Evaluation]] = [
    ("unmodified-since-then", {"If-Unmodified-Since": AT}, WHOLE),
    ("unmodified-since-later", {"If-Unmodified-Since": AFTER}, WHOLE),
    ("modified-after-that", {"If-Unmodified-Since": BEFORE}, FAILED),
    ("modified-since-before", {"If-Modified-Since": BEFORE}, WHOLE),
    ("not-modified-since-then", {"If-Modified-Since": AT}, NOT_MODIFIED),
    ("not-modified-since-later", {"If-Modified-Since": AFTER}, NOT_MODIFIED),
    ("date-as-rfc-850-had-it", {"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, NOT_MODIFIED),
    ("date-as-asctime-has-it", {"If-Modified-Since": "Sun Nov  6 08:49:37 1994"}, NOT_MODIFIED),
    ("no-date-is-ignored", {"If-Modified-Since": "yesterday"}, WHOLE),
    ("empty-date-is-ignored", {"If-Modified-Since": ""}, WHOLE),
    ("impossible-date-is-ignored", {"If-Modified-Since": "Sun, 31 Feb 1994 08:49:37 GMT"}, WHOLE),
    ("endless-year-is-ignored", {"If-Modified-Since": f"Sun, 06 Nov {'9' * 25} 08:49:37 GMT"}, WHOLE),
    ("no-date-is-ignored-for-unmodified", {"If-Unmodified-Since": "yesterday"}, WHOLE),
]

PRECEDENCE: list[tuple[str, dict[str, str], Evaluation]] = [
    ("if-match-hides-unmodified-since", {"If-Match": SAME, "If-Unmodified-Since": BEFORE}, WHOLE),
    ("failed-if-match-hides-unmodified-since", {"If-Match": OTHER, "If-Unmodified-Since": AFTER}, FAILED),
    ("if-none-match-hides-modified-since", {"If-None-Match": OTHER, "If-Modified-Since": AT}, WHOLE),
    ("matching-if-none-match-hides-modified-since", {"If-None-Match": SAME, "If-Modified-Since": BEFORE}, NOT_MODIFIED),
    ("failure-comes-before-not-modified", {"If-Match": OTHER, "If-None-Match": SAME}, FAILED),
    ("failed-date-comes-before-not-modified", {"If-Unmodified-Since": BEFORE, "If-None-Match": SAME}, FAILED),
    ("if-match-then-if-none-match", {"If-Match": SAME, "If-None-Match": SAME}, NOT_MODIFIED),
    ("not-modified-comes-before-range", {"If-None-Match": SAME, "Range": "bytes=0-1"}, NOT_MODIFIED),
    ("failure-comes-before-range", {"If-Match": OTHER, "Range": "bytes=0-1"}, FAILED),
    ("failure-comes-before-a-bad-range", {"If-Match": OTHER, "Range": "bytes=5000-"}, FAILED),
    ("range-when-the-rest-holds", {"If-Match": SAME, "If-None-Match": OTHER, "Range": "bytes=0-1"}, Part(0, 1)),
]

RANGES: list[tuple[str, str, Evaluation]] = [
    ("first-byte", "bytes=0-0", Part(0, 0)),
    ("some-bytes", "bytes=10-19", Part(10, 19)),
    ("last-byte", "bytes=999-999", Part(999, 999)),
    ("all-by-number", "bytes=0-999", Part(0, 999)),
    ("beyond-the-end-is-cut", "bytes=990-5000", Part(990, 999)),
    ("to-the-end", "bytes=10-", Part(10, 999)),
    ("all-open", "bytes=0-", Part(0, 999)),
    ("last-ten", "bytes=-10", Part(990, 999)),
    ("last-more-than-all", "bytes=-5000", Part(0, 999)),
    ("last-none", "bytes=-0", UNSATISFIABLE),
    ("begins-at-the-end", "bytes=1000-", UNSATISFIABLE),
    ("begins-beyond-the-end", "bytes=5000-6000", UNSATISFIABLE),
    ("unit-in-capitals", "BYTES=0-0", Part(0, 0)),
    ("spaces-around", "  bytes= 0-0  ", Part(0, 0)),
    ("leading-zeros", "bytes=007-0010", Part(7, 10)),
    ("end-before-begin", "bytes=5-4", WHOLE),
    ("several", "bytes=0-1,5-6", WHOLE),
    ("nothing", "bytes=-", WHOLE),
    ("no-numbers", "bytes=a-b", WHOLE),
    ("negative", "bytes=--1", WHOLE),
    ("other-unit", "segments=0-1", WHOLE),
    ("no-unit", "0-1", WHOLE),
    ("empty", "", WHOLE),
    ("digits-of-another-script", "bytes=\u0660-\u0661", WHOLE),
    ("more-digits-than-any-size", f"bytes={'9' * 20}-", WHOLE),
]

IF_RANGES: list[tuple[str, str, Evaluation]] = [
    ("same-tag", SAME, Part(0, 1)),
    ("same-tag-with-spaces", f" {SAME} ", Part(0, 1)),
    ("other-tag", OTHER, WHOLE),
    ("weak-tag", f"W/{SAME}", WHOLE),
    ("list-is-not-allowed", f"{SAME}, {OTHER}", WHOLE),
    ("same-date", AT, Part(0, 1)),
    ("earlier-date", BEFORE, WHOLE),
    ("later-date-is-not-exact", AFTER, WHOLE),
    ("neither", "yesterday", WHOLE),
    ("empty", "", WHOLE),
]


def ids(cases: list[tuple[str, dict[str, str], Evaluation]] | list[tuple[str, str, Evaluation]]) -> list[str]:
    return [case[0] for case in cases]


CONDITIONS = ENTITY_TAGS + DATES + PRECEDENCE


@pytest.mark.parametrize(("headers", "expected"), [case[1:] for case in CONDITIONS], ids=ids(CONDITIONS))
def test_preconditions_are_evaluated_in_the_order_of_the_rfc(headers: dict[str, str], expected: Evaluation) -> None:
    assert evaluate(CIMultiDict(headers), SELECTED) == expected


@pytest.mark.parametrize(("field", "expected"), [case[1:] for case in RANGES], ids=ids(RANGES))
def test_a_range_is_served_refused_or_ignored(field: str, expected: Evaluation) -> None:
    assert evaluate(CIMultiDict({"Range": field}), SELECTED) == expected


@pytest.mark.parametrize(("field", "expected"), [case[1:] for case in IF_RANGES], ids=ids(IF_RANGES))
def test_a_range_of_something_else_is_answered_with_the_whole(field: str, expected: Evaluation) -> None:
    assert evaluate(CIMultiDict({"Range": "bytes=0-1", "If-Range": field}), SELECTED) == expected


@pytest.mark.parametrize("field", [case[1] for case in RANGES], ids=ids(RANGES))
def test_head_has_no_ranges(field: str) -> None:
    assert evaluate(CIMultiDict({"Range": field}), SELECTED, is_head=True) == WHOLE


def test_head_has_preconditions() -> None:
    assert evaluate(CIMultiDict({"If-None-Match": SAME}), SELECTED, is_head=True) == NOT_MODIFIED
    assert evaluate(CIMultiDict({"If-Match": OTHER}), SELECTED, is_head=True) == FAILED


@given(st.integers(1, 300), st.integers(0, 400), st.none() | st.integers(0, 400))
def test_a_range_by_numbers_equals_the_slice(size_bytes: int, first: int, last: int | None) -> None:
    body = bytes(number % 256 for number in range(size_bytes))
    field = f"bytes={first}-{'' if last is None else last}"
    evaluation = evaluate(CIMultiDict({"Range": field}), Representation(SAME, MODIFIED_S, size_bytes))
    part = body[first:] if last is None else body[first : last + 1]
    if last is not None and last < first:
        assert evaluation == WHOLE
    elif not part:
        assert evaluation == UNSATISFIABLE
    else:
        assert isinstance(evaluation, Part)
        assert body[evaluation.first : evaluation.last + 1] == part
        assert 0 <= evaluation.first <= evaluation.last < size_bytes


@given(st.integers(1, 300), st.integers(1, 400))
def test_a_range_from_the_end_equals_the_slice(size_bytes: int, suffix_bytes: int) -> None:
    body = bytes(number % 256 for number in range(size_bytes))
    headers = CIMultiDict({"Range": f"bytes=-{suffix_bytes}"})
    evaluation = evaluate(headers, Representation(SAME, MODIFIED_S, size_bytes))
    assert isinstance(evaluation, Part)
    assert body[evaluation.first : evaluation.last + 1] == body[-suffix_bytes:]


FIELDS = ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range"]
values = st.one_of(
    st.text(max_size=20),
    st.text('bytes=-0123456789, "W/a*', max_size=20),
    st.text("SunMonNov 0123456789:,+-GMT", max_size=40),
)


@given(st.dictionaries(st.sampled_from(FIELDS), values))
def test_whatever_a_client_sends_there_is_an_answer_within_the_body(headers: dict[str, str]) -> None:
    evaluation = evaluate(CIMultiDict(headers), SELECTED)
    if isinstance(evaluation, Part):
        assert 0 <= evaluation.first <= evaluation.last < SIZE_BYTES

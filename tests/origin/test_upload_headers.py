"""What packagers declare: every good form is understood, every other one is refused with what would be right."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from origin.headers import defects_field
from origin.upload_headers import DEFECTS_MAX, BadHeader, is_media_type, parse_declared
from selection.model import Defect
from tests.support.events import make_defect

BODY = b"0123456789"


def declare(*lines: tuple[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(lines)


def digest_field(algorithm: str, body: bytes = BODY) -> str:
    value = base64.b64encode(hashlib.new(algorithm.replace("-", ""), body).digest()).decode()
    return f"{algorithm}=:{value}:"


DEFECTS: list[tuple[str, str, tuple[Defect, ...]]] = [
    ("empty", "", ()),
    ("one", "short", (make_defect("short"),)),
    ("two", "short, discontinuity", (make_defect("short"), make_defect("discontinuity"))),
    ("twice", "short,short", (make_defect("short"), make_defect("short"))),
    ("integer", "short;missing_ms=120", (make_defect("short", missing_ms=120),)),
    ("decimal", "short;missing_ms=120.5", (make_defect("short", missing_ms=120.5),)),
    ("negative", "wrong-time;by_ms=-40", (make_defect("wrong-time", by_ms=-40),)),
    ("boolean", "slate;partly;long=?0", (make_defect("slate", partly=True, long=False),)),
    ("string", 'black;why="no \\"input\\""', (make_defect("black", why='no "input"'),)),
    ("token", "black;why=no-input", (make_defect("black", why="no-input"),)),
    ("several-parameters", "short;a=1;b=2", (make_defect("short", a=1, b=2),)),
    ("own-name", "*vendor/black:1", (Defect("*vendor/black:1"),)),
    ("spaces", "  short;  missing_ms=1 ,  slate ", (make_defect("short", missing_ms=1), make_defect("slate"))),
    ("as-many-as-allowed", ",".join(["short"] * DEFECTS_MAX), (make_defect("short"),) * DEFECTS_MAX),
]

BAD_DEFECTS = [
    ("string-for-a-name", '"short"', "is not a token"),
    ("number-for-a-name", "5", "is not a token"),
    ("inner-list", "(short slate)", "is not a token"),
    ("capital-parameter", "short;Missing=1", "is not a structured field"),
    ("no-value", "short;missing_ms=", "is not a structured field"),
    ("trailing-comma", "short,", "is not a structured field"),
    ("semicolons-only", ";;", "is not a structured field"),
    ("not-ascii", "kürzer", "is not a structured field"),
    ("one-too-many", ",".join(["short"] * (DEFECTS_MAX + 1)), f"send the {DEFECTS_MAX} worst"),
    ("display-string", 'black;why=%"f%c3%bc"', "why is neither number, string, token nor boolean"),
    ("line-feed-in-a-display-string", 'black;why=%"a%0d%0aSet-Cookie: b"', "why is neither number"),
    ("bytes", "black;why=:YWJj:", "why is neither number"),
    ("date", "black;at=@1700000000", "at is neither number"),
]


@pytest.mark.parametrize(("field", "expected"), [case[1:] for case in DEFECTS], ids=[case[0] for case in DEFECTS])
def test_declared_defects_are_understood(field: str, expected: tuple[Defect, ...]) -> None:
    assert parse_declared(declare(("Live-Origin-Defects", field))).defects == expected


@pytest.mark.parametrize(("field", "text"), [case[1:] for case in BAD_DEFECTS], ids=[case[0] for case in BAD_DEFECTS])
def test_defects_that_are_not_understood_are_refused(field: str, text: str) -> None:
    with pytest.raises(BadHeader, match=f"Live-Origin-Defects.*{text}"):
        parse_declared(declare(("Live-Origin-Defects", field)))


def test_defects_on_several_lines_are_one_list() -> None:
    """Ignoring the second warning would deliver what it warned of."""
    headers = declare(("Live-Origin-Defects", "short"), ("live-origin-defects", "slate"))
    assert parse_declared(headers).defects == (make_defect("short"), make_defect("slate"))


names = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
parameter_values = st.one_of(
    st.booleans(),
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.integers(-(10**14), 10**14).map(lambda thousandths: thousandths / 1000),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12),
)
tokens = st.from_regex(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]{0,12}", fullmatch=True)
parameters = st.dictionaries(names, parameter_values, max_size=3).map(lambda found: tuple(found.items()))
defects = st.lists(st.builds(Defect, tokens, parameters), max_size=DEFECTS_MAX).map(tuple)


@given(defects)
def test_defects_are_delivered_in_the_form_in_which_they_are_understood(declared: tuple[Defect, ...]) -> None:
    field = defects_field(declared)
    assert parse_declared(declare(("Live-Origin-Defects", field))).defects == declared


@given(defects)
def test_a_defects_field_is_one_line_of_visible_ascii(declared: tuple[Defect, ...]) -> None:
    field = defects_field(declared)
    assert field.isascii()
    assert field.isprintable()


SCORES = [("0", 0), ("100", 100), ("007", 7), (" 42 ", 42)]
BAD_SCORES = ["", " ", "-1", "+5", "101", "1000", "0100", "4.5", "4,5", "high", "1e1", "\u0664\u0662", "\u00b2"]


@pytest.mark.parametrize(("field", "score"), SCORES)
def test_a_declared_score_is_understood(field: str, score: int) -> None:
    assert parse_declared(declare(("Live-Origin-Score", field))).score == score


@pytest.mark.parametrize("field", BAD_SCORES)
def test_a_score_that_is_none_is_refused(field: str) -> None:
    with pytest.raises(BadHeader, match=r"Live-Origin-Score is .*; send a whole number from 0 to 100"):
        parse_declared(declare(("Live-Origin-Score", field)))


def test_two_scores_are_none() -> None:
    with pytest.raises(BadHeader, match="Live-Origin-Score is '10, 90'"):
        parse_declared(declare(("Live-Origin-Score", "10"), ("Live-Origin-Score", "90")))


GOOD_DIGESTS = [
    ("sha-256", digest_field("sha-256")),
    ("sha-512", digest_field("sha-512")),
    ("both", f"{digest_field('sha-256')}, {digest_field('sha-512')}"),
    ("unknown-beside-known", f"md5=:AAAA:, {digest_field('sha-256')}"),
    ("unknown-alone-is-ignored", "md5=:AAAA:"),
    ("parameters-are-ignored", f"{digest_field('sha-256')};a=1"),
    ("empty", ""),
]
WRONG_DIGESTS = [
    ("other-body", digest_field("sha-256", b"other")),
    ("one-of-two-wrong", f"{digest_field('sha-256')}, {digest_field('sha-512', b'other')}"),
    ("too-short", "sha-256=:AAAA:"),
    ("empty-value", "sha-256=::"),
    ("last-one-counts", f"{digest_field('sha-256')}, {digest_field('sha-256', b'other')}"),
]
BAD_DIGESTS = [
    ("no-dictionary", "5", "is not a structured field"),
    ("hex", f"sha-256={hashlib.sha256(BODY).hexdigest()}", "structured field|sha-256 is not a byte sequence"),
    ("token", "sha-256=abc", "sha-256 is not a byte sequence"),
    ("boolean", "sha-256", "sha-256 is not a byte sequence"),
    ("list", "sha-256=(:AAAA:)", "sha-256 is not a byte sequence"),
    ("bad-base64", "sha-256=:!:", "is not a structured field"),
]


@pytest.mark.parametrize("field", [case[1] for case in GOOD_DIGESTS], ids=[case[0] for case in GOOD_DIGESTS])
def test_a_body_that_has_its_digests_matches(field: str) -> None:
    assert parse_declared(declare(("Content-Digest", field))).digests_match(BODY)


@pytest.mark.parametrize("field", [case[1] for case in WRONG_DIGESTS], ids=[case[0] for case in WRONG_DIGESTS])
def test_a_body_with_other_digests_does_not_match(field: str) -> None:
    assert not parse_declared(declare(("Content-Digest", field))).digests_match(BODY)


@pytest.mark.parametrize(("field", "text"), [case[1:] for case in BAD_DIGESTS], ids=[case[0] for case in BAD_DIGESTS])
def test_digests_that_are_not_understood_are_refused(field: str, text: str) -> None:
    with pytest.raises(BadHeader, match=f"Content-Digest.*({text})"):
        parse_declared(declare(("Content-Digest", field)))


def test_who_declares_nothing_has_declared_nothing() -> None:
    declared = parse_declared(declare())
    assert (declared.defects, declared.score, declared.digests) == ((), None, ())
    assert declared.digests_match(BODY)


@given(st.sampled_from(["Live-Origin-Defects", "Live-Origin-Score", "Content-Digest"]), st.text(max_size=40))
def test_whatever_is_sent_is_understood_or_refused(name: str, field: str) -> None:
    text = name
    try:
        parse_declared(declare((name, field)))
    except BadHeader as exc:
        text = str(exc)
    assert text.startswith(name)


MEDIA = [
    ("", True),
    ("video/mp4", True),
    ("Video/MP4; codecs=avc1", True),
    ("video/iso.segment", True),
    ("audio/mp4", True),
    ("text/vtt", True),
    ("image/jpeg", True),
    ("application/octet-stream", True),
    ("application/dash+xml", True),
    ("application/vnd.apple.mpegurl", True),
    ("application/x-mpegURL", True),
    ("application/mp4 ; charset=x", True),
    ("text/html", False),
    ("text/plain", False),
    ("application/json", False),
    ("application/x-www-form-urlencoded", False),
    ("multipart/form-data; boundary=x", False),
    ("videos/mp4", False),
    ("mp4", False),
]


@pytest.mark.parametrize(("content_type", "expected"), MEDIA)
def test_media_types_are_told_from_others(content_type: str, expected: bool) -> None:
    assert is_media_type(content_type) is expected

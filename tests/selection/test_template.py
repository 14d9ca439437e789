"""Segment names, both ways: one table formats and parses, and each refusal tells what would be right."""

import pytest

from selection.template import DIGITS_MAX, WIDTH_MAX, NameMatch, TemplateError, compile_template

NUMBER = 7
TIME = 92_160

# (id, template, representation id, number, time in ticks, name)
NAMES = [
    ("number", "$RepresentationID$/$Number$.m4s", "v720", NUMBER, TIME, "v720/7.m4s"),
    ("number-zero", "$RepresentationID$/$Number$.m4s", "v720", 0, 0, "v720/0.m4s"),
    ("number-padded", "$RepresentationID$/$Number%05d$.m4s", "v720", NUMBER, TIME, "v720/00007.m4s"),
    ("number-zero-padded", "$RepresentationID$/$Number%05d$.m4s", "v720", 0, 0, "v720/00000.m4s"),
    ("number-fills-its-width", "v/$Number%05d$.m4s", "", 99_999, TIME, "v/99999.m4s"),
    ("number-outgrows-its-width", "v/$Number%05d$.m4s", "", 100_000, TIME, "v/100000.m4s"),
    ("width-one", "v/$Number%01d$.m4s", "", 10, TIME, "v/10.m4s"),
    ("widest", "v/$Number%018d$", "", NUMBER, TIME, "v/" + "0" * 17 + "7"),
    ("largest-number", "v/$Number$.m4s", "", 10**DIGITS_MAX - 1, TIME, "v/9999999999999999999.m4s"),
    ("time", "$RepresentationID$-$Time$.m4s", "a128", NUMBER, TIME, "a128-92160.m4s"),
    ("time-zero", "$RepresentationID$-$Time$.m4s", "a128", NUMBER, 0, "a128-0.m4s"),
    ("time-padded", "$RepresentationID$-$Time%09d$.m4s", "a128", NUMBER, TIME, "a128-000092160.m4s"),
    ("dollar", "$$/$RepresentationID$/$$$Number$$$.ts", "v", NUMBER, TIME, "$/v/$7$.ts"),
    ("number-first", "$Number$.ts", "v", NUMBER, TIME, "7.ts"),
    ("number-last", "seg-$Number$", "v", NUMBER, TIME, "seg-7"),
    ("number-only", "$Number$", "v", NUMBER, TIME, "7"),
    ("representation-twice", "$RepresentationID$/$RepresentationID$_$Number$.ts", "v", NUMBER, TIME, "v/v_7.ts"),
    ("representation-after-number", "$Number$/$RepresentationID$.ts", "v", NUMBER, TIME, "7/v.ts"),
    ("expression-characters-are-literal", "a.b+(c)*$Number$!", "", NUMBER, TIME, "a.b+(c)*7!"),
    ("dots-that-are-no-dot-segment", "a..b/.c/$Number$...", "", NUMBER, TIME, "a..b/.c/7..."),
    ("constant", "$RepresentationID$/init.mp4", "v720", NUMBER, TIME, "v720/init.mp4"),
    ("constant-with-digits", "init-$RepresentationID$.mp4", "720", NUMBER, TIME, "init-720.mp4"),
    ("constant-dollar", "$$init.mp4", "v720", NUMBER, TIME, "$init.mp4"),
]


@pytest.mark.parametrize(
    ("text", "representation_id", "number", "time_ticks", "name"),
    [case[1:] for case in NAMES],
    ids=[case[0] for case in NAMES],
)
def test_a_name_is_formatted_and_says_the_same_when_parsed(
    text: str, representation_id: str, number: int, time_ticks: int, name: str
) -> None:
    template = compile_template(text, representation_id)
    expected = {"Number": NameMatch(number=number), "Time": NameMatch(time_ticks=time_ticks), None: NameMatch()}
    assert template.format(number, time_ticks) == name
    assert template.parse(name) == expected[template.variable]
    assert template.text == text


NOT_MADE = [
    ("empty", "v/$Number$.ts", ""),
    ("no-digits", "v/$Number$.ts", "v/.ts"),
    ("letters", "v/$Number$.ts", "v/x.ts"),
    ("sign", "v/$Number$.ts", "v/-7.ts"),
    ("plus", "v/$Number$.ts", "v/+7.ts"),
    ("blank", "v/$Number$.ts", "v/ 7.ts"),
    ("underscore", "v/$Number$.ts", "v/1_000.ts"),
    ("fraction", "v/$Number$.ts", "v/7.0.ts"),
    ("leading-zero", "v/$Number$.ts", "v/07.ts"),
    ("two-zeros", "v/$Number$.ts", "v/00.ts"),
    ("too-few-digits", "v/$Number%05d$.ts", "v/0007.ts"),
    ("more-zeros-than-the-width", "v/$Number%05d$.ts", "v/000007.ts"),
    ("twenty-digits", "v/$Number$.ts", "v/10000000000000000000.ts"),
    ("twenty-digits-padded", "v/$Number%018d$.ts", "v/" + "0" * 19 + "7.ts"),
    ("arabic-indic-digit", "v/$Number$.ts", "v/\N{ARABIC-INDIC DIGIT SEVEN}.ts"),
    ("superscript-digit", "v/$Number$.ts", "v/\N{SUPERSCRIPT TWO}.ts"),
    ("fullwidth-digit", "v/$Number$.ts", "v/\N{FULLWIDTH DIGIT SEVEN}.ts"),
    ("line-feed-at-the-end", "v/$Number$.ts", "v/7.ts\n"),
    ("line-feed-after-the-number", "v/$Number$", "v/7\n"),
    ("other-prefix", "v/$Number$.ts", "w/7.ts"),
    ("other-suffix", "v/$Number$.ts", "v/7.m4s"),
    ("more-before", "v/$Number$.ts", "x/v/7.ts"),
    ("more-behind", "v/$Number$.ts", "v/7.ts/x"),
    ("other-case", "v/$Number$.ts", "V/7.ts"),
    ("dot-is-no-wildcard", "v/$Number$.ts", "v/7xts"),
    ("constant-with-more", "v/init.mp4", "v/init.mp4/"),
    ("constant-in-other-case", "v/init.mp4", "v/Init.mp4"),
]


@pytest.mark.parametrize(("text", "name"), [case[1:] for case in NOT_MADE], ids=[case[0] for case in NOT_MADE])
def test_a_name_that_the_template_does_not_make_says_nothing(text: str, name: str) -> None:
    assert compile_template(text, "").parse(name) is None


@pytest.mark.parametrize("text", ["v/$Number$.ts", "v/$Time$.ts"])
def test_a_negative_number_or_time_in_a_name_is_a_programmers_error(text: str) -> None:
    with pytest.raises(AssertionError, match="never negative"):
        compile_template(text, "").format(number=-1, time_ticks=-1)


def test_only_the_variable_in_use_needs_a_value() -> None:
    assert compile_template("$Number$.ts", "").format(number=7, time_ticks=-1) == "7.ts"
    assert compile_template("$Time$.ts", "").format(number=-1, time_ticks=7) == "7.ts"


UNBALANCED = "has an unbalanced $; write $$ for a dollar sign"
UNKNOWN = "is not known; use $RepresentationID$, $Number$, $Number%05d$ or $Time$"
ESCAPED = "has characters that a URL path needs escaped; use letters, digits and ._-~/"
DOTS = "has an empty or dot path segment; write each folder once"
DIGIT_BESIDE = "put a character that is not a digit beside"

REFUSED = [
    ("lone-dollar", "v/$Number.ts", UNBALANCED),
    ("dollar-at-the-end", "v/$Number$.ts$", UNBALANCED),
    ("dollar-dollar-eats-the-first", "v/$$Number$.ts", UNBALANCED),
    ("width-without-zero", "v/$Number%5d$.ts", UNBALANCED),
    ("width-in-hex", "v/$Number%05x$.ts", UNBALANCED),
    ("unknown", "$Bandwidth$/$Number$.ts", UNKNOWN),
    ("sub-number", "$Number$/$SubNumber$.ts", UNKNOWN),
    ("other-case", "$number$.ts", UNKNOWN),
    ("width-of-an-id", "$RepresentationID%05d$/$Number$.ts", UNKNOWN),
    ("number-twice", "$Number$/$Number$.ts", "has more than one of $Number$ and $Time$; keep one"),
    ("number-and-time", "$Number$/$Time$.ts", "has more than one of $Number$ and $Time$; keep one"),
    ("width-zero", "v/$Number%00d$.ts", f"a width of 0 digits is not possible; use 1 to {WIDTH_MAX}"),
    ("width-too-large", "v/$Number%019d$.ts", f"a width of 19 digits is not possible; use 1 to {WIDTH_MAX}"),
    ("width-far-too-large", "v/$Time%0999999d$.ts", f"a width of 999999 digits is not possible; use 1 to {WIDTH_MAX}"),
    ("space", "v 7/$Number$.ts", ESCAPED),
    ("percent", "v%2f/$Number$.ts", ESCAPED),
    ("question-mark", "v/$Number$.ts?x", ESCAPED),
    ("number-sign", "v/$Number$.ts#x", ESCAPED),
    ("backslash", "v\\$Number$.ts", ESCAPED),
    ("not-ascii", "f\N{LATIN SMALL LETTER U WITH DIAERESIS}r/$Number$.ts", ESCAPED),
    ("line-feed", "v/$Number$.ts\n", ESCAPED),
    ("slash-first", "/v/$Number$.ts", "starts with a slash; names are relative to the event"),
    ("empty-folder", "v//$Number$.ts", DOTS),
    ("parent-folder", "../v/$Number$.ts", DOTS),
    ("parent-folder-inside", "v/../$Number$.ts", DOTS),
    ("parent-folder-last", "v/$Number$/..", DOTS),
    ("same-folder", "./$Number$.ts", DOTS),
    ("same-folder-inside", "v/./$Number$.ts", DOTS),
    ("digit-before-number", "v1$Number$.ts", f"{DIGIT_BESIDE} $Number$"),
    ("digit-behind-number", "v/$Number$1.ts", f"{DIGIT_BESIDE} $Number$"),
    ("digit-behind-padded-number", "v/$Number%05d$1.ts", f"{DIGIT_BESIDE} $Number$"),
    ("digit-before-time", "v1$Time$.ts", f"{DIGIT_BESIDE} $Time$"),
    ("id-that-ends-in-a-digit-before-number", "$RepresentationID$$Number$.ts", DIGIT_BESIDE),
    ("id-that-begins-with-a-digit-behind-number", "$Number$$RepresentationID$.ts", DIGIT_BESIDE),
]


@pytest.mark.parametrize(("text", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_template_is_refused_with_what_would_be_right(text: str, reason: str) -> None:
    with pytest.raises(TemplateError) as refusal:
        compile_template(text, "720")
    assert reason in str(refusal.value)
    assert str(refusal.value).startswith(repr(text))


def test_the_widest_width_is_accepted() -> None:
    assert compile_template(f"v/$Number%0{WIDTH_MAX}d$.ts", "").width == WIDTH_MAX


OVERLAPS = [
    ("same-template", "v/$Number$.ts", "v/$Number$.ts", True),
    ("number-and-time", "v/$Number$.ts", "v/$Time$.ts", True),
    ("other-width", "v/$Number$.ts", "v/$Number%05d$.ts", True),
    ("other-prefix", "v/$Number$.ts", "w/$Number$.ts", False),
    ("longer-prefix", "v/$Number$.ts", "v/x$Number$.ts", False),
    ("other-suffix", "v/$Number$.ts", "v/$Number$.m4s", False),
    ("suffix-that-ends-alike", "v/$Number$.ts", "v/$Number$.x.ts", False),
    ("no-suffix", "v/$Number$", "v/$Number$.ts", False),
    ("number-in-the-other-prefix", "a-$Number$-5.ts", "a-3-$Number$.ts", True),
    ("number-of-two-digits-in-the-other-prefix", "a-$Number$-5.ts", "a-31-$Number$.ts", True),
    ("number-in-the-prefix-but-not-in-the-suffix", "a-$Number$-x.ts", "a-3-$Number$.ts", False),
    ("number-in-the-prefix-and-another-literal", "a-$Number$-5.ts", "a-3.$Number$.ts", False),
    ("number-in-the-prefix-and-another-end", "a-$Number$-5.ts", "a-3-$Number$.m4s", False),
    ("number-in-both-and-a-letter-more", "a-$Number$-5.ts", "a-3-x$Number$.ts", False),
    ("number-in-both-and-a-prefix-that-differs-early", "a-$Number$-5.ts", "b-3-$Number$.ts", False),
    ("padded-number-in-the-other-prefix", "a-$Number%03d$-5.ts", "a-003-$Number$.ts", True),
    ("too-narrow-for-the-one-in-the-prefix", "a-$Number%03d$-5.ts", "a-3-$Number$.ts", False),
    ("too-narrow-for-the-one-in-the-suffix", "a-$Number$-5.ts", "a-3-$Number%03d$.ts", False),
    ("leading-zero-in-the-other-prefix", "a-$Number$-5.ts", "a-03-$Number$.ts", False),
    ("leading-zero-in-the-other-suffix", "a-$Number$-05.ts", "a-3-$Number$.ts", False),
    ("twenty-digits-in-the-other-prefix", "a-$Number$-5.ts", f"a-{'1' * 20}-$Number$.ts", False),
    ("twenty-digits-in-the-other-suffix", f"a-$Number$-{'1' * 20}.ts", "a-3-$Number$.ts", False),
    ("constant-that-is-a-number", "v/$Number$.ts", "v/7.ts", True),
    ("constant-that-is-a-padded-number", "v/$Number%03d$.ts", "v/007.ts", True),
    ("constant-that-is-another-spelling", "v/$Number$.ts", "v/007.ts", False),
    ("constant-that-is-no-number", "v/$Number$.ts", "v/init.ts", False),
    ("same-constants", "v/init.mp4", "v/init.mp4", True),
    ("other-constants", "v/init.mp4", "w/init.mp4", False),
]


@pytest.mark.parametrize(
    ("text", "other", "expected"), [case[1:] for case in OVERLAPS], ids=[case[0] for case in OVERLAPS]
)
def test_two_templates_overlap_when_both_make_some_name(text: str, other: str, expected: bool) -> None:
    first, second = compile_template(text, ""), compile_template(other, "")
    assert first.overlaps(second) is expected
    assert second.overlaps(first) is expected

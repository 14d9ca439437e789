"""Whether two templates can make one name, against every name they make of small numbers."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from selection.template import Template, TemplateError, compile_template

# Few parts, so that literals often hold what another template's number could be.
PARTS = st.lists(st.sampled_from(["-", "x", "1", "0", "01", "12"]), max_size=4).map("".join)
VARIABLES = st.sampled_from(["$Number$", "$Time$", "$Number%02d$", "$Time%03d$", ""])
# Every number of up to two digits, and one with more digits than any width drawn.
SMALL = (*range(100), 1_000)


@st.composite
def template_texts(draw: st.DrawFn) -> str:
    """Texts that compile."""
    text = draw(PARTS) + draw(VARIABLES) + draw(PARTS)
    try:
        compile_template(text, "")
    except TemplateError:
        text = f"-{draw(VARIABLES)}-"
    return text


def names_made(template: Template, other: Template) -> set[str]:
    """Return the names of small numbers, and of every number that is written out in the other template."""
    if template.variable is None:
        return {template.prefix}
    written = re.findall("[0-9]+", f"{other.prefix} {other.suffix}")
    return {template.format(number, number) for number in (*SMALL, *map(int, written))}


@settings(max_examples=400)
@given(template_texts(), template_texts())
@example("-$Number$-1", "-1-$Number$")
@example("-$Number%03d$-1", "-1-$Number$")
@example("-$Number$-1", "-01-$Number$")
@example("$Number$x-12-", "01x-$Number%02d$-")
def test_two_templates_overlap_just_when_they_make_a_name_in_common(text: str, other_text: str) -> None:
    template, other = compile_template(text, ""), compile_template(other_text, "")
    common = names_made(template, other) & names_made(other, template)
    assert template.overlaps(other) is bool(common)
    assert other.overlaps(template) is bool(common)

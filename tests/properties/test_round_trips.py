"""Numbers, times and names: there and back again, exactly."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from selection.model import SegmentKey
from selection.names import EventNames, ManifestName
from selection.template import DIGITS_MAX, WIDTH_MAX, NameMatch, Template, compile_template
from selection.timeline import Timeline
from tests.properties.strategies import durations, timelines
from tests.support.events import make_event, make_rendition

NUMBERS = st.integers(-1_000, 10**10)
TIMESCALES = st.integers(1, 10**7) | st.sampled_from([1, 1_000, 44_100, 48_000, 90_000, 10_000_000])
LITERALS = st.text("abcxyz-_.~", max_size=6).filter(lambda text: text == "" or text.strip("."))


@given(timelines(), NUMBERS)
def test_number_to_wall_clock_and_back_is_exact(timeline: Timeline, number: int) -> None:
    start_ms = timeline.start_ms(number)
    assert timeline.number_at_ms(start_ms) == number
    assert timeline.number_at_ms(start_ms - 1) == number - 1
    assert timeline.end_ms(number) == timeline.start_ms(number + 1) > start_ms


@given(timelines(), st.integers(-(10**13), 10**13))
def test_every_ms_lies_in_the_segment_that_it_is_said_to_lie_in(timeline: Timeline, now_ms: int) -> None:
    number = timeline.number_at_ms(now_ms)
    assert timeline.start_ms(number) <= now_ms < timeline.end_ms(number)


@given(timelines(), NUMBERS, TIMESCALES, st.data())
def test_number_to_media_time_and_back_is_exact_within_half_a_segment(
    timeline: Timeline, number: int, timescale: int, data: st.DataObject
) -> None:
    duration = Fraction(timeline.duration_ticks * timescale, timeline.timescale)
    assume(duration >= 1)  # else two segments share a tick
    nominal = (number - timeline.start_number) * duration
    ticks = timeline.time_ticks(number, timescale)
    assert abs(ticks - nominal) <= Fraction(1, 2)
    assert timeline.number_at_ticks(ticks, timescale) == number
    # Half a segment early still belongs to the number, half a segment late belongs to the next one.
    earliest, latest = -(-(nominal - duration / 2) // 1), -(-(nominal + duration / 2) // 1) - 1
    shifted = data.draw(st.integers(int(earliest), int(latest)) | st.sampled_from([int(earliest), int(latest)]))
    assert timeline.number_at_ticks(shifted, timescale) == number
    assert timeline.number_at_ticks(int(earliest) - 1, timescale) == number - 1
    assert timeline.number_at_ticks(int(latest) + 1, timescale) == number + 1


@st.composite
def media_templates(draw: st.DrawFn) -> Template:
    """Templates with one variable, of any width."""
    width = draw(st.none() | st.integers(1, WIDTH_MAX))
    variable = draw(st.sampled_from(["Number", "Time"])) + ("" if width is None else f"%0{width}d")
    folder = draw(st.sampled_from(["", "f/", "$RepresentationID$/"]))
    return compile_template(f"{folder}{draw(LITERALS)}${variable}${draw(LITERALS)}", "v7")


@given(media_templates(), st.integers(0, 10**DIGITS_MAX - 1) | st.integers(0, 120))
def test_a_formatted_name_parses_to_what_it_was_formatted_from(template: Template, value: int) -> None:
    expected = NameMatch(number=value) if template.variable == "Number" else NameMatch(time_ticks=value)
    assert template.parse(template.format(value, value)) == expected


@given(media_templates(), st.text("0123456789", max_size=22) | st.text(max_size=5))
def test_a_name_that_parses_is_the_one_that_is_formatted(template: Template, middle: str) -> None:
    name = f"{template.prefix}{middle}{template.suffix}"
    match = template.parse(name)
    is_number = middle.isascii() and middle.isdecimal() and len(middle) <= DIGITS_MAX
    value = int(middle) if is_number else -1
    assert (match is not None) is (is_number and template.format(value, value) == name)
    assert match is None or value in (match.number, match.time_ticks)


@given(durations(), st.integers(0, 10**6), TIMESCALES, st.integers(0, 10**9))
def test_the_nominal_name_of_a_segment_means_that_segment(
    duration: Fraction, start_number: int, timescale: int, ahead: int
) -> None:
    assume(duration * timescale >= 1)
    renditions = [
        make_rendition("v", media="$RepresentationID$/$Number$.m4s"),
        make_rendition("a", timescale=timescale, media="$RepresentationID$/$Time$.m4s"),
    ]
    event = make_event(duration=duration, start_number=start_number, renditions=renditions)
    names = EventNames(event)
    for rendition in renditions:
        for number in (start_number + ahead, None):
            key = SegmentKey(event.id, rendition.id, number)
            name = names.format(key)
            assert name is not None
            assert names.parse(name) == key


PATHS = st.text("av0179/.%\\ mpdu38~-\0\n\N{ARABIC-INDIC DIGIT SEVEN}", max_size=30)
NAMES = EventNames(make_event(renditions=[make_rendition("v"), make_rendition("a", media="$Time$")]))


@given(
    st.one_of(PATHS, PATHS.map(lambda path: path + ".mpd"), st.text(max_size=30), PATHS.map(lambda path: "v/" + path))
)
def test_any_text_is_a_name_or_is_none_and_never_leaves_its_folder(text: str) -> None:
    name = NAMES.parse(text)
    if isinstance(name, ManifestName):
        assert name.name == text
        assert text.isascii() and text.isprintable() and not set(text) & set(" %\\")
        assert all(part.strip(".") and not part.startswith(".") for part in text.split("/"))
    elif name is not None and name.rendition_id == "v":
        assert NAMES.format(name) == text

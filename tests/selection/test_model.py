"""The values that decisions are made of, and what they refuse to be."""

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest

from selection.model import (
    CMAF_SUFFIXES,
    TS_SUFFIXES,
    Candidate,
    Facts,
    Format,
    InspectionPolicy,
    Kind,
    Mask,
    Moment,
    Pipeline,
    Rendition,
    TrackFacts,
    event_timeline,
    rendition_template,
)
from selection.template import TemplateError
from selection.timeline import Timeline
from tests.support.events import candidate, make_defect, make_event, make_key, make_rendition

TIMELINES = [
    ("seconds", Fraction(2), Timeline(5, 2, 1, 3)),
    ("decimal", Fraction("1.92"), Timeline(5, 48, 25, 3)),
    ("ms", Fraction(2002, 1000), Timeline(5, 1001, 500, 3)),
    ("ntsc", Fraction(60_060, 30_000), Timeline(5, 1001, 500, 3)),
    ("ntsc-frames", 60 * Fraction(1001, 30_000), Timeline(5, 1001, 500, 3)),
    ("third", Fraction(1, 3), Timeline(5, 1, 3, 3)),
]


@pytest.mark.parametrize(
    ("duration", "expected"), [case[1:] for case in TIMELINES], ids=[case[0] for case in TIMELINES]
)
def test_a_duration_in_seconds_becomes_an_exact_timeline(duration: Fraction, expected: Timeline) -> None:
    assert event_timeline(epoch_ms=5, duration=duration, start_number=3) == expected


# (id, start_ms, end_ms, first number, last number); segments of 2 s from number 5 at 10 s on.
SPANS = [
    ("open", None, None, 5, None),
    ("start-before-the-epoch", 0, None, 5, None),
    ("start-at-the-epoch", 10_000, None, 5, None),
    ("start-in-the-last-ms-of-a-segment", 11_999, None, 5, None),
    ("start-at-a-boundary", 12_000, None, 6, None),
    ("end-at-a-boundary", None, 14_000, 5, 6),
    ("end-one-ms-after-a-boundary", None, 14_001, 5, 7),
    ("end-one-ms-before-a-boundary", None, 13_999, 5, 6),
    ("within-one-segment", 12_500, 12_501, 6, 6),
    ("end-at-the-epoch", None, 10_000, 5, 4),
]


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "first_number", "last_number"), [case[1:] for case in SPANS], ids=[case[0] for case in SPANS]
)
def test_an_event_goes_from_the_segment_on_air_at_its_start_to_that_in_its_last_ms(
    start_ms: int | None, end_ms: int | None, first_number: int, last_number: int | None
) -> None:
    event = make_event(epoch_ms=10_000, start_number=5, start_ms=start_ms, end_ms=end_ms)
    assert event.first_number == first_number
    assert event.last_number == last_number


def test_what_follows_from_an_event_is_no_part_of_it_and_is_worked_out_anew_for_a_changed_one() -> None:
    event = make_event(start_number=3)
    later = replace(event, start_ms=event.timeline.start_ms(8), renditions=event.renditions[:1])
    assert (event.first_number, later.first_number) == (3, 8)
    assert later.rendition_ids == {event.renditions[0].id}
    assert "first_number" not in repr(event) and "rendition_ids" not in repr(event)
    with pytest.raises(FrozenInstanceError):
        event.first_number = 4  # type: ignore[misc]


def test_an_event_knows_its_renditions_and_pipelines_by_id() -> None:
    video, audio = make_rendition("v720"), make_rendition("a128", kind=Kind.AUDIO, timescale=48_000)
    event = make_event(renditions=[video, audio], pipelines=["a", "b"])
    assert event.rendition("v720") is video
    assert event.rendition("a128") is audio
    assert event.pipeline("b") == Pipeline("b", "region-b")
    assert event.pipeline("c") is None
    with pytest.raises(KeyError):
        event.rendition("v1080")


@pytest.mark.parametrize("missing", ["renditions", "pipelines"])
def test_an_event_without_renditions_or_pipelines_is_a_programmers_error(missing: str) -> None:
    renditions: list[Rendition] | None = [] if missing == "renditions" else None
    pipelines = [] if missing == "pipelines" else ["a"]
    with pytest.raises(AssertionError, match="has pipelines and renditions"):
        make_event(renditions=renditions, pipelines=pipelines)


COLLISIONS = [
    ("two-media", [make_rendition("v1", media="$Number$.ts"), make_rendition("v2", media="$Number$.ts")]),
    ("two-inits", [make_rendition("v1", init="init.mp4"), make_rendition("v2", init="init.mp4")]),
    ("media-and-init", [make_rendition("v1", media="x$Number$.ts", init="x7.ts")]),
    ("media-and-init-of-another", [make_rendition("v1", media="x$Number$.ts"), make_rendition("v2", init="x7.ts")]),
]


@pytest.mark.parametrize("renditions", [case[1] for case in COLLISIONS], ids=[case[0] for case in COLLISIONS])
def test_an_event_whose_renditions_share_a_name_is_refused(renditions: list[Rendition]) -> None:
    with pytest.raises(TemplateError, match=r"can make the same name twice in event 'derby'; put \$RepresentationID"):
        make_event(renditions=renditions)


def test_a_media_template_needs_a_number_or_a_time() -> None:
    with pytest.raises(TemplateError, match=r"gives every segment the same name; add \$Number\$ or \$Time\$"):
        make_rendition(media="$RepresentationID$/segment.m4s")


@pytest.mark.parametrize("variable", ["Number", "Time"])
def test_an_init_template_has_neither_number_nor_time(variable: str) -> None:
    with pytest.raises(TemplateError, match=rf"names an init segment, of which there is one; drop \${variable}\$"):
        make_rendition(init=f"$RepresentationID$/init-${variable}$.mp4")


def test_a_template_is_filled_in_with_the_rendition() -> None:
    assert rendition_template("$RepresentationID$/$Number$.ts", "v720").format(7, 0) == "v720/7.ts"


# (id, media template, init template, format)
FORMATS: list[tuple[str, str, str | None, Format]] = [
    *((f"init-less{suffix}", f"$Number${suffix}", None, Format.CMAF) for suffix in CMAF_SUFFIXES),
    *((suffix.strip("."), f"$Number${suffix}", None, Format.MPEG_TS) for suffix in TS_SUFFIXES),
    ("capital-letters", "$Number$.TS", None, Format.MPEG_TS),
    ("capital-letters-of-cmaf", "$Number$.M4S", None, Format.CMAF),
    ("an-init-segment-decides", "$Number$.bin", "init.bin", Format.CMAF),
    ("whatever-the-suffix", "$Number$.ts", "init.mp4", Format.CMAF),
    ("web-captions", "$Number$.vtt", None, Format.OTHER),
    ("packed-audio", "$Number$.aac", None, Format.OTHER),
    ("no-suffix", "$Number$", None, Format.OTHER),
    ("suffix-within", "a.ts/$Number$", None, Format.OTHER),
]


@pytest.mark.parametrize(
    ("media", "init", "expected"), [case[1:] for case in FORMATS], ids=[case[0] for case in FORMATS]
)
def test_the_names_of_a_rendition_tell_how_its_segments_are_written(
    media: str, init: str | None, expected: Format
) -> None:
    assert make_rendition(media=media, init=init).format is expected


def test_what_counts_as_a_defect_by_default() -> None:
    """Documented with the settings; a change makes other segments flawed."""
    policy = InspectionPolicy()
    assert (policy.time_frames_max, policy.missing_frames_max, policy.gap_frames_max) == (1, 0, 0)
    assert policy.audio_time_frames_max > policy.time_frames_max
    assert policy.audio_missing_frames_max > policy.missing_frames_max


def test_facts_are_values_and_all_of_a_track_but_what_it_is_may_be_left_out() -> None:
    track = TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800)
    assert track[4:] == (0, 0, 0, 0, 0, False)
    assert Facts((track,)) == Facts((TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800),)) != Facts()
    assert candidate("a").facts is None


def test_only_the_key_without_number_is_an_init_segment() -> None:
    assert make_key(None).is_init
    assert not make_key(0).is_init


def test_a_defect_tells_its_parameters() -> None:
    defect = make_defect("short", missing_ms=120, side="end")
    assert defect.parameter("missing_ms") == 120
    assert defect.parameter("side") == "end"
    assert defect.parameter("frames") is None


def test_a_copy_without_defects_is_good() -> None:
    assert candidate("a", 5).is_good
    assert not candidate("a", 5, "short").is_good


ORDER = [Moment(4, 9), Moment.timer(5), Moment(5, 0), Moment(5, 1), Moment.timer(6), Moment(6, 1)]


def test_moments_are_ordered_by_time_then_by_place_and_a_timer_comes_first_in_its_ms() -> None:
    shuffled = ORDER[3:] + ORDER[:3]
    assert sorted(shuffled) == ORDER
    assert len(set(ORDER)) == len(ORDER)


def test_the_moment_of_a_copy_is_that_of_its_record_and_not_of_its_last_byte() -> None:
    copy: Candidate = candidate("a", 5, sequence=3, received_ms=1)
    assert copy.moment == Moment(5, 3)


RANGE = Mask("m1", "a", first_number=10, last_number=12)
OPEN = Mask("m2", "a", first_number=10)
ONE_RENDITION = Mask("m3", "a", first_number=10, last_number=12, rendition_id="a128")

# (id, mask, number, rendition, pipeline, whether it is masked)
COVERED = [
    ("before-the-first", RANGE, 9, "v720", "a", False),
    ("first", RANGE, 10, "v720", "a", True),
    ("last", RANGE, 12, "v720", "a", True),
    ("after-the-last", RANGE, 13, "v720", "a", False),
    ("every-rendition", RANGE, 11, "a128", "a", True),
    ("another-pipeline", RANGE, 11, "v720", "b", False),
    ("open-before-the-first", OPEN, 9, "v720", "a", False),
    ("open-first", OPEN, 10, "v720", "a", True),
    ("open-for-ever", OPEN, 10**18, "v720", "a", True),
    ("init", OPEN, None, "v720", "a", False),
    ("its-rendition", ONE_RENDITION, 11, "a128", "a", True),
    ("another-rendition", ONE_RENDITION, 11, "v720", "a", False),
    ("its-rendition-after-the-last", ONE_RENDITION, 13, "a128", "a", False),
    ("one-number-only", Mask("m4", "a", 10, 10), 10, "v720", "a", True),
    ("nothing", Mask("m5", "a", 10, 9), 10, "v720", "a", False),
]


@pytest.mark.parametrize(
    ("mask", "number", "rendition_id", "pipeline_id", "expected"),
    [case[1:] for case in COVERED],
    ids=[case[0] for case in COVERED],
)
def test_a_mask_covers_its_range_of_one_pipeline(
    mask: Mask, number: int | None, rendition_id: str, pipeline_id: str, expected: bool
) -> None:
    assert mask.covers(make_key(number, rendition_id), pipeline_id) is expected

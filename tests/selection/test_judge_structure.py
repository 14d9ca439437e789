"""Whether a segment fits its init segment and its rendition, and how defects make one list."""

from dataclasses import replace

import pytest

from selection.init_segment import Init, Track
from selection.judge import corrupt, init_defects, merged, segment_defects
from selection.media import MediaError, MediaFault
from selection.model import Checks, Defect, Facts, InspectionPolicy, Kind, Rendition, TrackFacts
from selection.rank import severity
from selection.reading import Reading
from tests.selection.tracks import (
    AUDIO,
    MUXED,
    NUMBER,
    TEXT,
    VIDEO,
    aac,
    an_event,
    before,
    copy_of,
    pal,
    second,
    without_keyframe,
)
from tests.support.events import make_defect, make_rendition


def mismatch(differs: str) -> Defect:
    return make_defect("mismatched-init", differs=differs)


# (id, rendition, tracks, in what a decoder cannot play it, defects)
STRUCTURES: list[tuple[str, Rendition, list[TrackFacts], str | None, tuple[Defect, ...]]] = [
    ("cannot-be-played", VIDEO, [pal()], "timescale", (mismatch("timescale"),)),
    ("that-comes-first", VIDEO, [aac()], "codec", (mismatch("codec"),)),
    ("sound-for-picture", VIDEO, [aac()], None, (mismatch("kind"),)),
    ("picture-for-sound", AUDIO, [pal()], None, (mismatch("kind"),)),
    ("no-picture-with-the-sound", MUXED, [aac()], None, (mismatch("kind"),)),
    ("anything-for-text", TEXT, [pal()], None, ()),
    ("nothing-that-is-known", AUDIO, [], None, ()),
    ("no-keyframe", VIDEO, [without_keyframe(pal())], None, (make_defect("no-keyframe"),)),
    ("sound-needs-no-keyframe", AUDIO, [without_keyframe(aac())], None, ()),
    (
        "no-keyframe-in-one-of-two",
        MUXED,
        [second(aac()), without_keyframe(pal())],
        None,
        (make_defect("no-keyframe"),),
    ),
]


@pytest.mark.parametrize(
    ("rendition", "tracks", "differs", "defects"),
    [case[1:] for case in STRUCTURES],
    ids=[case[0] for case in STRUCTURES],
)
def test_a_segment_fits_its_init_segment_and_its_rendition(
    rendition: Rendition, tracks: list[TrackFacts], differs: str | None, defects: tuple[Defect, ...]
) -> None:
    reading = Reading(Facts(tuple(tracks)))
    for checks in (Checks.STRUCTURE, Checks.ALL):
        event = an_event(policy=InspectionPolicy(checks=checks))
        assert segment_defects(event, rendition, NUMBER, reading, None, differs) == defects


def test_a_track_that_its_init_segment_does_not_have_is_told_unless_a_decoder_stumbles_before() -> None:
    reading = Reading(Facts((pal(),)), unknown_track_id=7)
    assert segment_defects(an_event(), VIDEO, NUMBER, reading, None) == (mismatch("track"),)
    assert segment_defects(an_event(), VIDEO, NUMBER, reading, None, "codec") == (mismatch("codec"),)
    assert segment_defects(an_event(), AUDIO, NUMBER, reading, None) == (mismatch("track"),)


def test_filler_is_a_slate() -> None:
    reading = Reading(Facts((pal(),)), is_filler=True)
    assert segment_defects(an_event(), VIDEO, NUMBER, reading, None) == (make_defect("slate"),)


def test_structure_is_judged_without_times() -> None:
    event = an_event(policy=InspectionPolicy(checks=Checks.STRUCTURE))
    reading = Reading(Facts((without_keyframe(pal(5_120, 20)),)), is_filler=True, holes_count=1)
    previous = copy_of(before(pal(), 512))
    assert segment_defects(event, VIDEO, NUMBER, reading, previous) == (
        make_defect("slate"),
        make_defect("no-keyframe"),
    )


# -- init segments

AVC = Track(1, "vide", 12_800, "avc1.64001f", 1280, 720)
SOUND = Track(2, "soun", 48_000, "mp4a.40.2")
CUES = Track(3, "text", 1_000, "wvtt")


def described(kind: Kind, codecs: str | None = None, width: int | None = None, height: int | None = None) -> Rendition:
    return replace(make_rendition(kind=kind, codecs=codecs), width=width, height=height)


# (id, rendition, tracks of the init segment, defects)
INITS: list[tuple[str, Rendition, list[Track], tuple[Defect, ...]]] = [
    ("picture", described(Kind.VIDEO), [AVC], ()),
    ("sound", described(Kind.AUDIO), [SOUND], ()),
    ("both", described(Kind.MUXED), [AVC, SOUND], ()),
    ("text", described(Kind.TEXT), [CUES], ()),
    ("anything-for-text", described(Kind.TEXT, "stpp"), [CUES], ()),
    ("sound-for-picture", described(Kind.VIDEO), [SOUND], (mismatch("kind"),)),
    ("picture-for-sound", described(Kind.AUDIO), [AVC], (mismatch("kind"),)),
    ("sound-alone-for-both", described(Kind.MUXED), [SOUND], (mismatch("kind"),)),
    ("same-codec", described(Kind.VIDEO, "avc1.64001f"), [AVC], ()),
    ("another-profile", described(Kind.VIDEO, "avc1.42c00b"), [AVC], ()),
    ("codecs-of-both", described(Kind.MUXED, "mp4a.40.5, avc1.42c00b"), [AVC, SOUND], ()),
    ("text-beside-is-not-compared", described(Kind.VIDEO, "avc1.64001f"), [AVC, CUES], ()),
    ("capital-letters", described(Kind.AUDIO, "opus"), [replace(SOUND, codec="Opus")], ()),
    ("another-codec", described(Kind.VIDEO, "hvc1.1.6.L93.90"), [AVC], (mismatch("codec"),)),
    ("another-codec-of-one", described(Kind.MUXED, "avc1.64001f,ac-3"), [AVC, SOUND], (mismatch("codec"),)),
    ("kind-before-codec", described(Kind.AUDIO, "mp4a.40.2"), [AVC], (mismatch("kind"),)),
    ("same-size", described(Kind.VIDEO, None, 1280, 720), [AVC], ()),
    ("another-size", described(Kind.VIDEO, None, 1920, 1080), [AVC], (mismatch("picture-size"),)),
    ("another-height", described(Kind.VIDEO, None, 1280, 736), [AVC], (mismatch("picture-size"),)),
    ("only-a-width-is-known", described(Kind.VIDEO, None, 1920), [AVC], ()),
    ("only-a-height-is-known", described(Kind.VIDEO, None, None, 1080), [AVC], ()),
    ("size-of-sound", described(Kind.AUDIO, None, 1920, 1080), [SOUND], ()),
    ("size-of-one-of-two", described(Kind.VIDEO, None, 1280, 720), [replace(AVC, width=640), AVC], ()),
    ("codec-before-size", described(Kind.VIDEO, "av01.0", 1, 1), [AVC], (mismatch("codec"),)),
]


@pytest.mark.parametrize(
    ("rendition", "tracks", "defects"), [case[1:] for case in INITS], ids=[case[0] for case in INITS]
)
def test_an_init_segment_is_what_the_configuration_says(
    rendition: Rendition, tracks: list[Track], defects: tuple[Defect, ...]
) -> None:
    assert init_defects(rendition, Init((), tuple(tracks))) == defects


# -- the list of defects


def test_a_body_that_cannot_be_read_is_corrupt_and_it_is_told_where() -> None:
    error = MediaError(MediaFault.TRUNCATED, 1_234, "a box of 99 bytes")
    assert corrupt(error) == make_defect("corrupt", reason="truncated", offset=1_234)


MEASURED = make_defect("short", missing_ms=40, missing_frames=1)
# (id, found, declared by the packager, together)
MERGED: list[tuple[str, list[str | Defect], list[str | Defect], list[str | Defect]]] = [
    ("none", [], [], []),
    ("found", ["short"], [], ["short"]),
    ("declared", [], ["short"], ["short"]),
    ("worst-first", ["short", "wrong-time"], ["slate", "own"], ["wrong-time", "slate", "short", "own"]),
    ("equally-bad-by-name", [], ["zebra", "apple", "mole"], ["apple", "mole", "zebra"]),
    ("measured-counts-more", [MEASURED], [make_defect("short", missing_ms=999)], [MEASURED]),
    (
        "the-last-of-the-same-name",
        [],
        [make_defect("short", missing_ms=1), make_defect("short", missing_ms=2)],
        [make_defect("short", missing_ms=2)],
    ),
]


@pytest.mark.parametrize(
    ("found", "declared", "expected"), [case[1:] for case in MERGED], ids=[case[0] for case in MERGED]
)
def test_what_is_found_and_what_is_declared_is_one_list_worst_first(
    found: list[str | Defect], declared: list[str | Defect], expected: list[str | Defect]
) -> None:
    both = [
        [Defect(each) if isinstance(each, str) else each for each in those] for those in (found, declared, expected)
    ]
    assert merged(both[0], both[1]) == tuple(both[2])
    assert merged(reversed(both[0]), both[1]) == tuple(both[2])
    severities = [severity(defect) for defect in both[2]]
    assert severities == sorted(severities, reverse=True)

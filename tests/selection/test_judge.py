"""When a segment begins, how long it lasts, how it joins the one before: what is a defect, and what is none."""

from fractions import Fraction

import pytest

from selection.judge import segment_defects
from selection.model import Candidate, Defect, Facts, InspectionPolicy, Kind, Rendition, TrackFacts
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
    cue,
    frames,
    judged,
    pal,
    second,
    ts_sound,
)
from tests.support.events import candidate, make_defect

NTSC = Fraction(60_060, 30_000)
BEYOND_FLOATS = 1 << 54


# -- good segments

# (id, duration of segments, rendition, tracks)
GOOD: list[tuple[str, Fraction | int, Rendition, list[TrackFacts]]] = [
    ("on-the-grid", 2, VIDEO, [pal()]),
    ("one-frame-late", 2, VIDEO, [pal(512)]),
    ("one-frame-early", 2, VIDEO, [pal(-512)]),
    ("frames-out-of-order-decoded-on-the-grid", 2, VIDEO, [pal(0, shown=1_024)]),
    ("frames-out-of-order-shown-on-the-grid", 2, VIDEO, [pal(-1_024, shown=1_024)]),
    ("frames-out-of-order-in-between", 2, VIDEO, [pal(-512, shown=1_024)]),
    ("one-sample", 2, VIDEO, [pal(0, 1, longer=25_600 - 512)]),
    # Where the frame rate does not divide the segment it has a frame more or less, and begins at the next frame.
    *(
        (
            f"29.97-{count}-frames-{offset}",
            2,
            VIDEO,
            [frames(Kind.VIDEO, 30_000, NUMBER * 60_000 + offset, 1_001, count)],
        )
        for count in (59, 60, 61)
        for offset in (-1_001, -500, 0, 940, 1_000)
    ),
    ("23.976", 2, VIDEO, [frames(Kind.VIDEO, 24_000, NUMBER * 48_000 + 1_000, 1_001, 48)]),
    ("23.976-fewer", 2, VIDEO, [frames(Kind.VIDEO, 24_000, NUMBER * 48_000 + 1_000, 1_001, 47)]),
    ("59.94", 2, VIDEO, [frames(Kind.VIDEO, 60_000, NUMBER * 120_000 + 900, 1_001, 120)]),
    ("29.97-that-divides", NTSC, VIDEO, [frames(Kind.VIDEO, 30_000, NUMBER * 60_060, 1_001, 60)]),
    ("59.94-in-rounded-ticks", NTSC, VIDEO, [frames(Kind.VIDEO, 90_000, NUMBER * 180_180, 1_501, 120, longer=60)]),
    ("29.97-in-ms", NTSC, VIDEO, [frames(Kind.VIDEO, 1_000, NUMBER * 2_002, 33, 60, longer=22)]),
    ("1.92-s", Fraction(48, 25), VIDEO, [frames(Kind.VIDEO, 12_800, NUMBER * 24_576, 512, 48)]),
    ("third-of-a-second", Fraction(1, 3), VIDEO, [frames(Kind.VIDEO, 90_000, NUMBER * 30_000, 3_000, 10)]),
    ("sound", 2, AUDIO, [aac()]),
    ("sound-one-frame-fewer", 2, AUDIO, [aac(0, 93)]),
    ("sound-two-frames-fewer", 2, AUDIO, [aac(0, 92)]),
    ("sound-one-frame-more", 2, AUDIO, [aac(0, 95)]),
    ("sound-a-frame-early", 2, AUDIO, [aac(-1_024)]),
    ("sound-two-frames-early", 2, AUDIO, [aac(-2_048)]),
    ("sound-two-frames-late", 2, AUDIO, [aac(2_048)]),
    ("sound-with-priming", 2, AUDIO, [aac(2_900, shown=-1_024)]),
    *(
        (f"44.1-khz-{count}-{offset}", 2, AUDIO, [frames(Kind.AUDIO, 44_100, NUMBER * 88_200 + offset, 1_024, count)])
        for count in (85, 86, 87, 88)
        for offset in (-1_024, 0, 1_023)
    ),
    ("sound-that-divides", Fraction(48, 25), AUDIO, [frames(Kind.AUDIO, 48_000, NUMBER * 92_160 - 1_024, 1_024, 90)]),
    ("sound-that-divides-and-more", Fraction(48, 25), AUDIO, [frames(Kind.AUDIO, 48_000, NUMBER * 92_160, 1_024, 91)]),
    ("both", 2, MUXED, [pal(), second(aac(-1_024))]),
    ("both-and-text", 2, MUXED, [pal(), second(aac()), cue(3, 0)]),
    ("ts-of-ffmpeg-whose-sound-begins-early", 2, MUXED, [pal(), ts_sound(-1_920, 6, 95)]),
    ("ts-sound-in-one-packet", 2, MUXED, [pal(), ts_sound(0, 1, 93)]),
    ("ts-sound-of-12-packets", 2, MUXED, [pal(), ts_sound(-1_920, 12, 94)]),
    ("ts-sound-cut-between-packets", 2, MUXED, [pal(), ts_sound(7 * 1_920, 12, 88)]),
    ("text", 2, TEXT, [cue()]),
    ("text-without-a-cue", 2, TEXT, [cue(1, 0)]),
    ("nothing-in-text", 2, TEXT, []),
    ("ts-sound-in-one-packet-of-unknown-length", 2, MUXED, [pal(), ts_sound(0, 1, 0)]),
    ("ts-picture-of-unknown-length", 2, VIDEO, [frames(Kind.VIDEO, 90_000, NUMBER * 180_000, 0, 1)]),
    ("unknown-timescale", 2, VIDEO, [frames(Kind.VIDEO, 0, 7, 1, 3)]),
    ("unknown-timescale-of-sound", 2, AUDIO, [frames(Kind.AUDIO, 0, 7, 1, 3)]),
]


@pytest.mark.parametrize(
    ("duration", "rendition", "tracks"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD]
)
def test_a_good_segment_has_no_defects(
    duration: Fraction | int, rendition: Rendition, tracks: list[TrackFacts]
) -> None:
    assert judged(*tracks, rendition=rendition, event=an_event(duration)) == ()


def test_a_muxed_segment_whose_init_segment_is_not_known_has_no_defects() -> None:
    """What its tracks carry is not known then."""
    unknown = TrackFacts(1, Kind.MUXED, "", 0, 7, 7, 9, 2, 2, True)
    assert judged(unknown, second(unknown), rendition=MUXED) == ()


@pytest.mark.parametrize("number", [0, BEYOND_FLOATS], ids=["the-first", "beyond-floats"])
def test_times_are_exact_however_large_they_are(number: int) -> None:
    ticks = number * 25_600
    reading = Reading(Facts((frames(Kind.VIDEO, 12_800, ticks, 512, 50),)))
    assert segment_defects(an_event(), VIDEO, number, reading, None) == ()
    late = Reading(Facts((frames(Kind.VIDEO, 12_800, ticks + 518, 512, 50),)))
    assert segment_defects(an_event(), VIDEO, number, late, None) == (make_defect("wrong-time", offset_ms=40),)


# -- time


def wrong(offset_ms: int, **which: int) -> Defect:
    return make_defect("wrong-time", offset_ms=offset_ms, **which)


# (id, duration of segments, rendition, tracks, defect)
OFF_GRID: list[tuple[str, Fraction | int, Rendition, list[TrackFacts], Defect]] = [
    ("more-than-a-frame-late", 2, VIDEO, [pal(518)], wrong(40)),
    ("more-than-a-frame-early", 2, VIDEO, [pal(-518)], wrong(-40)),
    ("two-frames-late", 2, VIDEO, [pal(1_024)], wrong(80)),
    ("a-whole-segment-late", 2, VIDEO, [pal(25_600)], wrong(2_000)),
    ("from-zero", 2, VIDEO, [pal(-NUMBER * 25_600)], wrong(-2_000_000)),
    ("before-time-began", 2, VIDEO, [pal(-NUMBER * 25_600 - 12_800)], wrong(-2_001_000)),
    ("frames-out-of-order-the-nearer-counts", 2, VIDEO, [pal(1_024, shown=512)], wrong(80)),
    ("frames-out-of-order-early", 2, VIDEO, [pal(-2_560, shown=1_024)], wrong(-120)),
    ("one-frame-at-50-is-20-ms", 2, VIDEO, [frames(Kind.VIDEO, 12_800, NUMBER * 25_600 + 512, 256, 100)], wrong(40)),
    ("29.97", 2, VIDEO, [frames(Kind.VIDEO, 30_000, NUMBER * 60_000 + 2_002, 1_001, 60)], wrong(67)),
    ("sound-an-hour-late", 2, AUDIO, [aac(3_600 * 48_000)], wrong(3_600_000)),
    ("sound-before-time-began", 2, AUDIO, [aac(-NUMBER * 96_000 - 48_000)], wrong(-2_001_000)),
    ("worst-of-two", 2, MUXED, [pal(1_024), second(aac(-48_000))], wrong(-1_000, track=2)),
    ("worst-of-two-is-the-first", 2, MUXED, [pal(-25_600), second(aac(48_000))], wrong(-2_000, track=1)),
    ("one-of-two", 2, MUXED, [pal(1_024), second(aac())], wrong(80, track=1)),
    ("beside-text", 2, MUXED, [pal(1_024), cue(3)], wrong(80)),
]


@pytest.mark.parametrize(
    ("duration", "rendition", "tracks", "defect"), [case[1:] for case in OFF_GRID], ids=[case[0] for case in OFF_GRID]
)
def test_a_segment_that_begins_off_the_grid_has_the_wrong_time(
    duration: Fraction | int, rendition: Rendition, tracks: list[TrackFacts], defect: Defect
) -> None:
    assert judged(*tracks, rendition=rendition, event=an_event(duration)) == (defect,)


def test_the_grid_begins_at_the_epoch_whenever_that_is() -> None:
    assert judged(pal(), event=an_event(epoch_ms=1_700_000_000_123)) == ()


# -- duration


def short(missing_ms: int, missing_frames: int, **which: int) -> Defect:
    return make_defect("short", missing_ms=missing_ms, missing_frames=missing_frames, **which)


# (id, duration of segments, rendition, tracks, defect)
SHORT: list[tuple[str, Fraction | int, Rendition, list[TrackFacts], Defect]] = [
    ("one-frame", 2, VIDEO, [pal(0, 49)], short(40, 1)),
    ("half", 2, VIDEO, [pal(0, 25)], short(1_000, 25)),
    ("all-but-one", 2, VIDEO, [pal(0, 1)], short(1_960, 49)),
    ("1.92-s", Fraction(48, 25), VIDEO, [frames(Kind.VIDEO, 12_800, NUMBER * 24_576, 512, 47)], short(40, 1)),
    ("29.97", 2, VIDEO, [frames(Kind.VIDEO, 30_000, NUMBER * 60_000, 1_001, 58)], short(65, 2)),
    ("29.97-that-divides", NTSC, VIDEO, [frames(Kind.VIDEO, 30_000, NUMBER * 60_060, 1_001, 59)], short(33, 1)),
    (
        "59.94-in-rounded-ticks",
        NTSC,
        VIDEO,
        [frames(Kind.VIDEO, 90_000, NUMBER * 180_180, 1_501, 119, longer=60)],
        short(17, 1),
    ),
    ("sound", 2, AUDIO, [aac(0, 91)], short(59, 3)),
    (
        "sound-that-divides",
        Fraction(48, 25),
        AUDIO,
        [frames(Kind.AUDIO, 48_000, NUMBER * 92_160, 1_024, 88)],
        short(43, 2),
    ),
    ("44.1-khz", 2, AUDIO, [frames(Kind.AUDIO, 44_100, NUMBER * 88_200, 1_024, 83)], short(73, 3)),
    ("longest-of-two", 2, MUXED, [pal(0, 49), second(aac(0, 47))], short(997, 47, track=2)),
    ("longest-of-two-is-the-first", 2, MUXED, [pal(0, 10), second(aac(0, 47))], short(1_600, 40, track=1)),
    ("one-of-two", 2, MUXED, [pal(), second(aac(0, 47))], short(997, 47, track=2)),
    ("half-the-ts-sound", 2, MUXED, [pal(), ts_sound(0, 3, 47)], short(997, 3, track=2)),
]


@pytest.mark.parametrize(
    ("duration", "rendition", "tracks", "defect"), [case[1:] for case in SHORT], ids=[case[0] for case in SHORT]
)
def test_a_segment_whose_frames_are_missing_is_short(
    duration: Fraction | int, rendition: Rendition, tracks: list[TrackFacts], defect: Defect
) -> None:
    assert judged(*tracks, rendition=rendition, event=an_event(duration)) == (defect,)


@pytest.mark.parametrize(
    ("rendition", "track"),
    [(VIDEO, pal(0, 0)), (AUDIO, aac(0, 0)), (MUXED, TrackFacts(2, Kind.AUDIO, "aac", 90_000))],
    ids=["picture", "sound", "ts-sound-without-a-packet"],
)
def test_a_track_without_samples_is_short_by_all_of_it_and_nothing_else(
    rendition: Rendition, track: TrackFacts
) -> None:
    """It does not begin anywhere, so it is not called late, and has no first sample that could be a keyframe."""
    tracks = [pal(), track] if rendition is MUXED else [track]
    (defect,) = judged(*tracks, rendition=rendition)
    assert (defect.name, defect.parameter("missing_ms")) == ("short", 2_000)


def excess(excess_ms: int, **which: int) -> Defect:
    return make_defect("discontinuity", excess_ms=excess_ms, **which)


# (id, duration of segments, rendition, tracks, defect)
LONG: list[tuple[str, Fraction | int, Rendition, list[TrackFacts], Defect]] = [
    ("one-frame", 2, VIDEO, [pal(0, 51)], excess(40)),
    ("twice", 2, VIDEO, [pal(0, 100)], excess(2_000)),
    ("29.97", 2, VIDEO, [frames(Kind.VIDEO, 30_000, NUMBER * 60_000, 1_001, 62)], excess(69)),
    ("sound", 2, AUDIO, [aac(0, 97)], excess(69)),
    ("worst-of-two", 2, MUXED, [pal(0, 52), second(aac(0, 120))], excess(560, track=2)),
]


@pytest.mark.parametrize(
    ("duration", "rendition", "tracks", "defect"), [case[1:] for case in LONG], ids=[case[0] for case in LONG]
)
def test_a_segment_that_is_too_long_overlaps_the_next_one(
    duration: Fraction | int, rendition: Rendition, tracks: list[TrackFacts], defect: Defect
) -> None:
    assert judged(*tracks, rendition=rendition, event=an_event(duration)) == (defect,)


def test_sound_whose_every_sample_counts_is_judged_by_frames_that_can_be_heard() -> None:
    begin, second_of_it = NUMBER * 96_000, 48_000
    pcm = [frames(Kind.AUDIO, 48_000, begin + 192, 1, 2 * second_of_it - missing) for missing in (0, 96, 480)]
    assert [judged(track, rendition=AUDIO) for track in pcm] == [(), (), (short(10, 2),)]


# -- how a segment joins the one before it


def gap(gap_ms: int, **which: int) -> Defect:
    return make_defect("discontinuity", gap_ms=gap_ms, **which)


# (id, rendition, tracks, those of the segment before, defects)
JOINS: list[tuple[str, Rendition, list[TrackFacts], list[TrackFacts], tuple[Defect, ...]]] = [
    ("joins", VIDEO, [pal()], [before(pal())], ()),
    ("a-frame-late-and-joins", VIDEO, [pal(512)], [before(pal(512))], ()),
    ("off-by-less-than-half-a-frame", VIDEO, [pal()], [before(pal(), 250)], ()),
    ("hole", VIDEO, [pal()], [before(pal(), 512)], (gap(40),)),
    ("overlap", VIDEO, [pal()], [before(pal(), -512)], (gap(-40),)),
    ("most-of-a-frame", VIDEO, [pal()], [before(pal(), 300)], (gap(23),)),
    ("decode-times-count", VIDEO, [pal(0, shown=1_024)], [before(pal(0, shown=1_024))], ()),
    ("sound-joins", AUDIO, [aac(-1_024)], [before(aac(-1_024))], ()),
    ("sound-hole", AUDIO, [aac()], [before(aac(), 1_024)], (gap(21),)),
    ("one-of-two", MUXED, [pal(), second(aac())], [before(pal()), second(before(aac(), 2_048))], (gap(43, track=2),)),
    ("both", MUXED, [pal(), second(aac())], [before(pal(), 512), second(before(aac(), 2_048))], (gap(40, track=1),)),
    ("another-track", VIDEO, [pal()], [before(pal(), 512)._replace(track_id=9)], ()),
    ("another-timescale", VIDEO, [pal()], [before(pal(), 512)._replace(timescale=90_000)], ()),
    ("no-track", VIDEO, [pal()], [], ()),
    ("text-does-not-join", TEXT, [cue()._replace(begin=9)], [cue()], ()),
    ("late-and-alone", VIDEO, [pal(1_024)], [before(pal(), 0)], (wrong(80), gap(80))),
    ("shorter-and-a-hole", VIDEO, [pal(0, 49)], [before(pal(), 512)], (short(40, 1), gap(40))),
]


@pytest.mark.parametrize(
    ("rendition", "tracks", "previous", "defects"), [case[1:] for case in JOINS], ids=[case[0] for case in JOINS]
)
def test_a_segment_begins_where_the_one_before_it_ended(
    rendition: Rendition, tracks: list[TrackFacts], previous: list[TrackFacts], defects: tuple[Defect, ...]
) -> None:
    assert judged(*tracks, rendition=rendition, previous=previous) == defects


def test_a_track_without_samples_does_not_begin_anywhere_and_so_does_not_jump() -> None:
    nothing = TrackFacts(2, Kind.AUDIO, "aac", 48_000)
    found = judged(pal(), nothing, rendition=MUXED, previous=[before(pal()), second(before(aac()))])
    assert [defect.name for defect in found] == ["short"]


# Copies before it that are no measure.
NO_MEASURE = [
    ("none", None),
    ("flawed", copy_of(before(pal(), 512), defects=["short"])),
    ("not-looked-into", candidate("a")),
]


@pytest.mark.parametrize("previous", [case[1] for case in NO_MEASURE], ids=[case[0] for case in NO_MEASURE])
def test_a_copy_that_is_flawed_or_unknown_is_no_measure(previous: Candidate | None) -> None:
    reading = Reading(Facts((pal(),)))
    assert segment_defects(an_event(), VIDEO, NUMBER, reading, previous) == ()
    assert segment_defects(an_event(), VIDEO, NUMBER, reading, copy_of(before(pal(), 512))) == (gap(40),)


def test_holes_within_a_segment_come_before_its_length_and_its_end() -> None:
    assert judged(pal(), holes_count=3) == (make_defect("discontinuity", holes=3),)
    assert judged(pal(0, 51), previous=[before(pal(), 512)], holes_count=1) == (make_defect("discontinuity", holes=1),)
    assert judged(pal(0, 51), previous=[before(pal(), 512)]) == (excess(40),)
    assert judged(pal(0, 49), holes_count=1) == (short(40, 1), make_defect("discontinuity", holes=1))


# -- thresholds

# Setting, rendition, a track that is still good, one that is not, and the name of its defect.
LIMITS: list[tuple[InspectionPolicy, Rendition, TrackFacts, TrackFacts, str]] = [
    (InspectionPolicy(time_frames_max=0), VIDEO, pal(5), pal(6), "wrong-time"),
    (InspectionPolicy(time_frames_max=3), VIDEO, pal(3 * 512), pal(4 * 512), "wrong-time"),
    (InspectionPolicy(audio_time_frames_max=0), AUDIO, aac(10), aac(11), "wrong-time"),
    (InspectionPolicy(audio_time_frames_max=2), AUDIO, aac(-2_048), aac(-2_059), "wrong-time"),
    (InspectionPolicy(audio_time_frames_max=4), AUDIO, aac(-4_096), aac(-5_120), "wrong-time"),
    (InspectionPolicy(missing_frames_max=2), VIDEO, pal(0, 48), pal(0, 47), "short"),
    (InspectionPolicy(missing_frames_max=2), VIDEO, pal(0, 52), pal(0, 53), "discontinuity"),
    (InspectionPolicy(audio_missing_frames_max=0), AUDIO, aac(0, 93), aac(0, 92), "short"),
    (InspectionPolicy(audio_missing_frames_max=3), AUDIO, aac(0, 90), aac(0, 89), "short"),
    (InspectionPolicy(audio_missing_frames_max=3), AUDIO, aac(0, 98), aac(0, 99), "discontinuity"),
]


@pytest.mark.parametrize(("policy", "rendition", "good", "bad", "name"), LIMITS)
def test_thresholds_are_settings_in_frames_of_the_track(
    policy: InspectionPolicy, rendition: Rendition, good: TrackFacts, bad: TrackFacts, name: str
) -> None:
    event = an_event(policy=policy)
    assert judged(good, rendition=rendition, event=event) == ()
    assert [defect.name for defect in judged(bad, rendition=rendition, event=event)] == [name]


def test_the_threshold_of_a_jump_is_a_setting() -> None:
    event = an_event(policy=InspectionPolicy(gap_frames_max=2))
    assert judged(pal(), event=event, previous=[before(pal(), 2 * 512)]) == ()
    assert judged(pal(), event=event, previous=[before(pal(), 3 * 512)]) == (gap(120),)

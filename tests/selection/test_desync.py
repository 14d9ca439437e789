"""What two pipelines say of the same segment, and what counts as a difference."""

from fractions import Fraction

import pytest

from selection.desync import Comparison, Difference, compare
from selection.model import Facts, Kind, TrackFacts

BEGIN = 1 << 54  # times of 2026 in ticks of 90 kHz take 48 bits; beyond 53 floats would round

PAL = TrackFacts(1, Kind.VIDEO, "avc1", 12_800, BEGIN, BEGIN, BEGIN + 25_600, 25_600, 50, True)
SOUND = TrackFacts(2, Kind.AUDIO, "mp4a", 48_000, 96_000, 96_000, 192_256, 96_256, 94, True)
CUES = TrackFacts(3, Kind.TEXT, "wvtt", 1_000, 0, 0, 2_000, 2_000, 1, True)

TIME, DURATION, SAMPLES, INIT = Difference.TIME, Difference.DURATION, Difference.SAMPLES, Difference.INIT


def later(track: TrackFacts, ticks: int) -> TrackFacts:
    return track._replace(begin=track.begin + ticks, presentation=track.presentation + ticks, end=track.end + ticks)


def longer(track: TrackFacts, ticks: int, samples_count: int = 0) -> TrackFacts:
    return track._replace(
        end=track.end + ticks, duration=track.duration + ticks, samples_count=track.samples_count + samples_count
    )


# Of the reference, of the other; by how many ms that is later, and in what it differs.
COMPARISONS: list[tuple[str, TrackFacts, TrackFacts, Fraction | int, tuple[Difference, ...]]] = [
    ("equal", PAL, PAL, 0, ()),
    ("less-than-half-a-frame-later", PAL, later(PAL, 255), Fraction(255 * 1_000, 12_800), ()),
    ("half-a-frame-later", PAL, later(PAL, 256), 20, (TIME,)),
    ("half-a-frame-earlier", PAL, later(PAL, -256), -20, (TIME,)),
    ("an-hour-later", PAL, later(PAL, 3_600 * 12_800), 3_600_000, (TIME,)),
    ("one-tick-later", PAL, later(PAL, 1), Fraction(1_000, 12_800), ()),
    ("less-than-half-a-frame-longer", PAL, longer(PAL, 255), 0, ()),
    ("half-a-frame-longer", PAL, longer(PAL, 256), 0, (DURATION,)),
    ("half-a-frame-shorter", PAL, longer(PAL, -256), 0, (DURATION,)),
    ("a-frame-fewer", PAL, longer(PAL, -512, -1), 0, (DURATION, SAMPLES)),
    ("a-frame-more-in-the-same-time", PAL, longer(PAL, 0, 1), 0, (SAMPLES,)),
    ("everything", PAL, later(longer(PAL, 512, 1), 512), 40, (TIME, DURATION, SAMPLES)),
    (
        "another-timescale",
        SOUND,
        SOUND._replace(timescale=90_000, begin=180_000, end=360_480, duration=180_480),
        0,
        (),
    ),
    (
        "another-timescale-and-later",
        SOUND,
        SOUND._replace(timescale=90_000, begin=181_920, end=362_400, duration=180_480),
        Fraction(64, 3),
        (TIME,),
    ),
    ("another-codec-and-id", PAL, PAL._replace(codec="hvc1", track_id=9), 0, ()),
    ("shown-at-another-time", PAL, PAL._replace(presentation=0), 0, ()),
    ("one-sample", longer(PAL, 0, -49), later(longer(PAL, 0, -49), 12_800), 1_000, (TIME,)),
]


@pytest.mark.parametrize(
    ("one", "two", "drift_ms", "differences"), [case[1:] for case in COMPARISONS], ids=[case[0] for case in COMPARISONS]
)
def test_copies_are_compared_by_time_duration_and_samples(
    one: TrackFacts, two: TrackFacts, drift_ms: Fraction | int, differences: tuple[Difference, ...]
) -> None:
    assert compare(Facts((one,)), Facts((two,))) == Comparison(Fraction(drift_ms), differences)


# Init segments of the reference and of the other, and whether they differ.
INITS = [
    ("none", None, None, False),
    ("equal", "1" * 32, "1" * 32, False),
    ("other-bytes", "1" * 32, "2" * 32, True),
    ("one-is-not-known", "1" * 32, None, True),
]


@pytest.mark.parametrize(("one", "two", "differs"), [case[1:] for case in INITS], ids=[case[0] for case in INITS])
def test_copies_for_different_init_segments_differ(one: str | None, two: str | None, differs: bool) -> None:
    compared = compare(Facts((PAL,), one), Facts((PAL,), two))
    assert compared == Comparison(Fraction(0), (INIT,) if differs else ())


# Tracks of the reference and of the other, and by how many ms the leading one of the other is later.
LEADERS: list[tuple[str, list[TrackFacts], list[TrackFacts], int]] = [
    ("the-picture", [PAL, SOUND], [later(PAL, 512), SOUND], 40),
    ("the-picture-wherever-it-is", [SOUND, PAL], [later(PAL, 512), SOUND], 40),
    ("the-sound-where-one-has-no-picture", [PAL, SOUND], [later(SOUND, 4_800)], 100),
    ("the-sound-where-neither-has", [SOUND, CUES], [CUES, later(SOUND, 4_800)], 100),
    ("the-sound-where-times-of-the-picture-are-not-known", [PAL._replace(timescale=0), SOUND], [PAL, SOUND], 0),
    ("the-first-picture", [PAL, later(PAL, 512)], [later(PAL, 512), PAL], 40),
]


@pytest.mark.parametrize(("one", "two", "drift_ms"), [case[1:] for case in LEADERS], ids=[case[0] for case in LEADERS])
def test_the_leading_track_tells(one: list[TrackFacts], two: list[TrackFacts], drift_ms: int) -> None:
    compared = compare(Facts(tuple(one)), Facts(tuple(two)))
    assert compared is not None and compared.drift_ms == drift_ms


EMPTY = TrackFacts(1, Kind.VIDEO, "h264", 90_000)
INCOMPARABLE: list[tuple[str, list[TrackFacts], list[TrackFacts]]] = [
    ("nothing", [], []),
    ("nothing-in-one", [PAL], []),
    ("nothing-in-the-other", [], [PAL]),
    ("text", [CUES], [CUES]),
    ("picture-and-sound", [PAL], [SOUND]),
    ("unknown-timescale", [PAL._replace(timescale=0)], [PAL]),
    ("unknown-timescale-of-the-other", [PAL], [PAL._replace(timescale=0)]),
    ("without-a-sample", [PAL], [EMPTY]),
    ("without-a-sample-in-either", [EMPTY], [EMPTY]),
]


@pytest.mark.parametrize(("one", "two"), [case[1:] for case in INCOMPARABLE], ids=[case[0] for case in INCOMPARABLE])
def test_what_tells_no_times_is_not_compared(one: list[TrackFacts], two: list[TrackFacts]) -> None:
    assert compare(Facts(tuple(one)), Facts(tuple(two))) is None
    assert compare(Facts(tuple(two)), Facts(tuple(one))) is None


@pytest.mark.parametrize(("one", "two"), [case[1:3] for case in COMPARISONS], ids=[case[0] for case in COMPARISONS])
def test_drift_is_the_same_seen_from_the_other_side(one: TrackFacts, two: TrackFacts) -> None:
    there, back = compare(Facts((one,)), Facts((two,))), compare(Facts((two,)), Facts((one,)))
    assert there is not None and back is not None
    assert there.drift_ms == -back.drift_ms

"""Compares what two pipelines say of the same segment: where copies disagree, a failover would show it."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from selection.model import Facts, Kind, TrackFacts
from selection.timeline import MS_PER_SECOND


class Difference(StrEnum):
    """In what two copies of a segment differ."""

    TIME = "time"  # they begin half a frame or more apart
    DURATION = "duration"  # they last half a frame or more longer or shorter
    SAMPLES = "samples"  # they have more or fewer of them
    INIT = "init"  # they need different init segments


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one copy stands to another.

    Args:
        drift_ms: How much later it begins; negative for earlier.
    """

    drift_ms: Fraction
    differences: tuple[Difference, ...]


def compare(reference: Facts, other: Facts) -> Comparison | None:
    """Return how `other` stands to `reference`, by their leading track; None if one of them tells no times.

    The leading track is the picture, or without one the sound.
    """
    for kind in (Kind.VIDEO, Kind.AUDIO):
        one, two = _track(reference, kind), _track(other, kind)
        if one is not None and two is not None:
            return _compare_tracks(one, two, is_init_equal=reference.init_digest == other.init_digest)
    return None


def _track(facts: Facts, kind: Kind) -> TrackFacts | None:
    timed = (track for track in facts.tracks if track.timescale and track.samples_count)
    return next((track for track in timed if track.kind is kind), None)


def _compare_tracks(one: TrackFacts, two: TrackFacts, *, is_init_equal: bool) -> Comparison:
    half_frame = Fraction(one.duration, max(one.samples_count, 1) * one.timescale * 2)
    drift = Fraction(two.begin, two.timescale) - Fraction(one.begin, one.timescale)
    longer = Fraction(two.duration, two.timescale) - Fraction(one.duration, one.timescale)
    found = {
        Difference.TIME: drift != 0 and abs(drift) >= half_frame,
        Difference.DURATION: longer != 0 and abs(longer) >= half_frame,
        Difference.SAMPLES: one.samples_count != two.samples_count,
        Difference.INIT: not is_init_equal,
    }
    return Comparison(drift * MS_PER_SECOND, tuple(difference for difference, differs in found.items() if differs))

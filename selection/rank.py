"""The total order of candidates: which copy is best, whatever order they came in.

Only facts and the event's configuration count: fewest and least defects first, then the packager's score
where the event asks for it, then the order of the pipelines. Masked and corrupt copies are never ranked.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from selection.model import Candidate, Defect, Event, Pipeline, ScoreMode

SCORE_MAX: Final = 100

CORRUPT: Final = "corrupt"
MISMATCHED_INIT: Final = "mismatched-init"
WRONG_TIME: Final = "wrong-time"
SLATE: Final = "slate"
NO_KEYFRAME: Final = "no-keyframe"
DISCONTINUITY: Final = "discontinuity"
SHORT: Final = "short"

# What each defect is and what it does to the viewer, worst first: the order of the ranking.
MEANINGS: Final[dict[str, str]] = {
    CORRUPT: "cannot be parsed, sizes disagree, or it was cut: never delivered",
    MISMATCHED_INIT: "made for another init segment: the decoder stops",
    WRONG_TIME: "begins off the grid: the wrong part of the programme",
    SLATE: "filler (brand `slat`): plays, but shows nothing of the event",
    NO_KEYFRAME: "does not begin with a keyframe: broken picture until the next one",
    DISCONTINUITY: "does not join the segment before it, has holes, or is too long: a jump",
    SHORT: "frames are missing: the picture freezes, or the sound stops for a moment",
}
# A name that is not listed is the packager's own and counts least: it says that something is wrong, not that
# anything fails.
SEVERITY_OTHER: Final = 1
SEVERITY: Final = {name: len(MEANINGS) + SEVERITY_OTHER - place for place, name in enumerate(MEANINGS)}


class Flaws(NamedTuple):
    """What makes a copy worse in itself, whoever sent it. Smaller is better; all zero for a good one."""

    worst_severity: int
    defects_count: int
    missing_ms: int


_NO_FLAWS: Final = Flaws(0, 0, 0)


class RankKey(NamedTuple):
    """Sorts candidates, best first. The last terms are unique within a segment, so the order is total."""

    flaws: Flaws
    lost_score: int
    pipeline_index: int
    pipeline_id: str


def severity(defect: Defect) -> int:
    """Return how much `defect` hurts, from 1 to 8."""
    return SEVERITY.get(defect.name, SEVERITY_OTHER)


def flaws(defects: Sequence[Defect]) -> Flaws:
    """Return how much `defects` hurt together."""
    if not defects:
        return _NO_FLAWS  # nearly always
    missing = [defect.parameter("missing_ms") for defect in defects]
    return Flaws(
        worst_severity=max((severity(defect) for defect in defects), default=0),
        defects_count=len(defects),
        missing_ms=sum(max(int(value), 0) for value in missing if isinstance(value, int | float)),
    )


def is_corrupt(candidate: Candidate) -> bool:
    """Tell whether a candidate can never be delivered."""
    return bool(candidate.defects) and any(defect.name == CORRUPT for defect in candidate.defects)


def rank_key(event: Event, candidate: Candidate) -> RankKey:
    """Return the place of `candidate` among the copies of its segment. Smaller is better.

    Where the event ranks by score, a copy without one counts as 0: an operator who asks for scores wants
    the copy that has a good one.
    """
    lost_score = SCORE_MAX - (candidate.score or 0) if event.policy.score is ScoreMode.RANK else 0
    pipeline_id = candidate.pipeline_id
    return RankKey(flaws(candidate.defects), lost_score, pipeline_index(event, pipeline_id), pipeline_id)


def best_possible_key(event: Event, pipeline_id: str) -> RankKey:
    """Return the best place a copy of `pipeline_id` that has not come yet could take."""
    return RankKey(flaws(()), 0, pipeline_index(event, pipeline_id), pipeline_id)


def may_be_outranked_by(event: Event, key: RankKey) -> Sequence[Pipeline]:
    """Return the pipelines of which a copy that has not come yet could take a better place than `key`.

    These are all whose `best_possible_key` is less than `key`.
    """
    if key.flaws == _NO_FLAWS and not key.lost_score:
        return event.pipelines[: key.pipeline_index]
    return event.pipelines


def pipeline_index(event: Event, pipeline_id: str) -> int:
    """Return the place of a pipeline in the selection order; one that left the configuration comes last."""
    for index, pipeline in enumerate(event.pipelines):
        if pipeline.id == pipeline_id:
            return index
    return len(event.pipelines)

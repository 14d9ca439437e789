"""The total order of candidates: which copy is best, whatever order they came in.

Only facts and the event's configuration count: fewest and least defects first, then the packager's score
where the event asks for it, then the order of the pipelines. Masked and corrupt copies are never ranked.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from selection.model import Candidate, Defect, Event, ScoreMode

CORRUPT: Final = "corrupt"
SCORE_MAX: Final = 100

# How much a defect hurts the viewer, worst first. A name that is not listed is the packager's own and
# counts least: it says that something is wrong, not that anything fails.
SEVERITY: Final[dict[str, int]] = {
    CORRUPT: 8,  # cannot be parsed: never delivered
    "mismatched-init": 7,  # the decoder was set up for something else: it stops
    "wrong-time": 6,  # the wrong part of the programme
    "slate": 5,  # filler: plays, but shows nothing of the event
    "no-keyframe": 4,  # broken picture until the next keyframe
    "discontinuity": 3,  # a jump the player may stumble over
    "short": 2,  # frames or samples are missing
}
SEVERITY_OTHER: Final = 1


class Flaws(NamedTuple):
    """What makes a copy worse in itself, whoever sent it. Smaller is better; all zero for a good one."""

    worst_severity: int
    defects_count: int
    missing_ms: int


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
    missing = [defect.parameter("missing_ms") for defect in defects]
    return Flaws(
        worst_severity=max((severity(defect) for defect in defects), default=0),
        defects_count=len(defects),
        missing_ms=sum(max(int(value), 0) for value in missing if isinstance(value, int | float)),
    )


def is_corrupt(candidate: Candidate) -> bool:
    """Tell whether a candidate can never be delivered."""
    return any(defect.name == CORRUPT for defect in candidate.defects)


def rank_key(event: Event, candidate: Candidate) -> RankKey:
    """Return the place of `candidate` among the copies of its segment. Smaller is better.

    Where the event ranks by score, a copy without one counts as 0: an operator who asks for scores wants
    the copy that has a good one.
    """
    return RankKey(
        flaws=flaws(candidate.defects),
        lost_score=SCORE_MAX - (candidate.score or 0) if event.policy.score is ScoreMode.RANK else 0,
        pipeline_index=pipeline_index(event, candidate.pipeline_id),
        pipeline_id=candidate.pipeline_id,
    )


def best_possible_key(event: Event, pipeline_id: str) -> RankKey:
    """Return the best place a copy of `pipeline_id` that has not come yet could take."""
    return RankKey(flaws(()), 0, pipeline_index(event, pipeline_id), pipeline_id)


def pipeline_index(event: Event, pipeline_id: str) -> int:
    """Return the place of a pipeline in the selection order; one that left the configuration comes last."""
    for index, pipeline in enumerate(event.pipelines):
        if pipeline.id == pipeline_id:
            return index
    return len(event.pipelines)

"""Decide once: which copy of a segment is delivered, and from which moment on.

Candidates are ranked by `selection.rank`. Arrival order never changes the ranking; it only decides when a
choice can be made, and that too is a rule. The choice is the one possible at the *earliest* moment at which
a rule allows one, made with what was known at that moment. So the answer does not depend on when this
function is asked: a timer that fires late, or a replay after a crash, gives the same choice. (A mask acts
when it is set: it has no moment of its own.)

The rules, in the order they are tried at each moment:

1. no copy that may still come could rank higher than the best one here: take it (`first-in-order`);
2. a good copy has waited `prefer_wait` for the pipelines before it: take the best (`prefer-wait-over`);
3. only flawed copies at due + `grace`: take the least flawed (`grace-over`);
4. the retry deadline is over: take the best one here (`overdue`), or requests would be told that there is none.

A pipeline may still send a copy unless it has sent one, is masked, or is down: it missed the last two due
segments of that rendition. A choice with defects is upgraded when a copy with fewer arrives (`upgrade`); a mask on
the chosen copy decides anew among those that are there (`mask`), and so does the loss of its body (`lost`).

An init segment stays as long as one pipeline makes segments for it, for players have it. When none does any more,
be it that all have changed theirs or that those which have not are down, the best of the others takes its place
(`new-generation`). One that was not looked into follows the chosen pipeline (`renewed`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from selection.model import Candidate, Choice, Event, Loss, Mask, Moment, Rule, SegmentKey
from selection.rank import RankKey, flaws, is_corrupt, may_be_outranked_by, rank_key
from selection.window import due_ms, gives_up_ms, newest_due_number

SEQUENCE_MAX: Final = 2**63 - 1
# A pipeline that missed this many due segments in a row is not waited for.
MISSES_UNTIL_DOWN: Final = 2

# Gives the copies of another segment of the same rendition; asked for the newest due numbers only.
Neighbours = Callable[[int], Sequence[Candidate]]


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is known of one segment when a decision is asked for.

    Args:
        candidates: Its copies, at most one a pipeline, in any order.
        neighbours: The copies of the same rendition's other segments, to tell which pipelines are down.
        masks: The event's masks.
        current: The choice in force, or None.
        has_lost_choice: Whether there was one whose body is lost, so that it is not in force any more.
    """

    event: Event
    key: SegmentKey
    candidates: Sequence[Candidate]
    neighbours: Neighbours
    masks: Sequence[Mask] = ()
    current: Choice | None = None
    has_lost_choice: bool = False


@dataclass(frozen=True, slots=True)
class Choose:
    """Commit this choice now."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to commit. Ask again at `until_ms` even if nothing arrives; None: only an arrival changes it."""

    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The choice in force must go and there is nothing to put in its place."""


Decision = Choose | Wait | Withdraw


def decide(situation: Situation, now_ms: int) -> Decision:
    """Return what to do for one segment at `now_ms`.

    Deterministic: equal facts give an equal decision, whatever the order of `candidates`, and
    `decide(s, t)` for any t after the deciding moment gives the same choice.
    """
    if situation.current is not None:
        return _reconsider(situation, situation.current, now_ms)
    usable = sorted(_usable(situation), key=lambda candidate: candidate.moment)
    if not usable:
        return Wait(None)
    if situation.has_lost_choice:  # requests fail meanwhile: the best there is, and a better one is an upgrade
        best = min(usable, key=lambda candidate: rank_key(situation.event, candidate))
        return _choose(situation, best, Rule.LOST, _now(situation, now_ms))
    first = usable[0].moment
    if first.ms > now_ms:
        return Wait(first.ms)
    decision = _choice_at(situation, usable, first)  # nearly always
    if decision is not None:
        return decision
    for moment in _triggers(situation, usable):
        if moment.ms > now_ms:
            return Wait(moment.ms)
        decision = _choice_at(situation, usable, moment)
        if decision is not None:
            return decision
    raise AssertionError("the last moment, when every wait has ended, always allows a choice")


def _usable(situation: Situation) -> list[Candidate]:
    return [
        candidate
        for candidate in situation.candidates
        if not is_corrupt(candidate) and not is_masked(situation, candidate.pipeline_id)
    ]


def is_masked(situation: Situation, pipeline_id: str) -> bool:
    """Tell whether an operator has left this pipeline out for this segment."""
    return bool(situation.masks) and any(mask.covers(situation.key, pipeline_id) for mask in situation.masks)


def _triggers(situation: Situation, usable: Sequence[Candidate]) -> list[Moment]:
    """Return every moment at which a choice may become possible, oldest first.

    Between two of them nothing changes that could allow one: copies arrive (a corrupt one, too, ends the wait
    for its pipeline), waits end, and a pipeline goes down only when one more segment becomes due.
    """
    policy = situation.event.policy
    timers = [_due_ms(situation, usable[0]) + policy.grace_ms]
    good = next((candidate for candidate in usable if candidate.is_good), None)
    if good is not None:
        timers.append(good.published_ms + policy.prefer_wait_ms)
    first_ms = usable[0].published_ms
    horizon_ms = max(timers)
    number = newest_due_number(situation.event, first_ms) + 1
    last = situation.event.last_number if situation.key.number is None else situation.key.number - 1
    while (last is None or number <= last) and due_ms(situation.event, number) <= horizon_ms:
        timers.append(due_ms(situation.event, number))
        number += 1
    if situation.key.number is not None:
        timers.append(gives_up_ms(situation.event, situation.key.number))
    moments = [candidate.moment for candidate in situation.candidates if candidate.moment >= usable[0].moment]
    moments += [Moment.timer(ms) for ms in timers if ms >= first_ms]
    return sorted(moments)


def _due_ms(situation: Situation, first: Candidate) -> int:
    """Return when the segment was due; an init segment is due when its first copy comes."""
    number = situation.key.number
    return first.published_ms if number is None else due_ms(situation.event, number)


def _choice_at(situation: Situation, usable: Sequence[Candidate], moment: Moment) -> Choose | None:
    """Return the choice the rules allow at `moment`, knowing only what had happened by then."""
    event, policy = situation.event, situation.event.policy
    present = [candidate for candidate in usable if candidate.moment <= moment]
    if not present:
        return None
    best = present[0] if len(present) == 1 else min(present, key=lambda candidate: rank_key(event, candidate))
    higher = may_be_outranked_by(event, rank_key(event, best))
    if not any(_may_still_send(situation, pipeline.id, moment) for pipeline in higher):
        return _choose(situation, best, Rule.FIRST_IN_ORDER, moment)
    if best.is_good:
        first_good_ms = min(candidate.published_ms for candidate in present if candidate.is_good)
        waits_until_ms, rule = first_good_ms + policy.prefer_wait_ms, Rule.PREFER_WAIT_OVER
    else:
        waits_until_ms, rule = _due_ms(situation, usable[0]) + policy.grace_ms, Rule.GRACE_OVER
    if moment.ms < waits_until_ms:
        if situation.key.number is None or moment.ms < gives_up_ms(event, situation.key.number):
            return None
        rule = Rule.OVERDUE
    return _choose(situation, best, rule, moment)


def _may_still_send(situation: Situation, pipeline_id: str, moment: Moment) -> bool:
    sent = any(
        candidate.pipeline_id == pipeline_id and candidate.moment <= moment for candidate in situation.candidates
    )
    return not sent and not is_masked(situation, pipeline_id) and not is_down(situation, pipeline_id, moment)


def is_down(situation: Situation, pipeline_id: str, moment: Moment) -> bool:
    """Tell whether a pipeline had missed its last two due segments of this rendition by `moment`.

    Judged by the segments before the one in question: where everything comes later than `publish_delay` says,
    the segment itself is due before anybody has it, and pipelines that deliver everything are not down.
    """
    newest = newest_due_number(situation.event, moment.ms)
    if situation.key.number is not None:
        newest = min(newest, situation.key.number - 1)
    oldest = newest - MISSES_UNTIL_DOWN + 1
    if oldest < situation.event.first_number:
        return False
    for number in range(oldest, newest + 1):
        for candidate in situation.neighbours(number):
            if candidate.pipeline_id == pipeline_id and candidate.moment <= moment:
                return False
    return True


def _losses(situation: Situation, chosen: Candidate, moment: Moment) -> tuple[tuple[str, Loss], ...]:
    """Return why each other pipeline lost, in selection order."""
    copies = {candidate.pipeline_id: candidate for candidate in situation.candidates if candidate.moment <= moment}
    losses = []
    for pipeline in situation.event.pipelines:
        if pipeline.id == chosen.pipeline_id:
            continue
        copy = copies.get(pipeline.id)
        if is_masked(situation, pipeline.id):
            loss = Loss.MASKED
        elif copy is None:
            loss = Loss.DOWN if is_down(situation, pipeline.id, moment) else Loss.ABSENT
        elif is_corrupt(copy):
            loss = Loss.CORRUPT
        else:
            loss = _loss_in_rank(rank_key(situation.event, copy), rank_key(situation.event, chosen))
        losses.append((pipeline.id, loss))
    return tuple(losses)


def _loss_in_rank(lost: RankKey, chosen: RankKey) -> Loss:
    if lost.flaws != chosen.flaws:
        return Loss.DEFECTS
    return Loss.SCORE if lost.lost_score != chosen.lost_score else Loss.ORDER


def _reconsider(situation: Situation, current: Choice, now_ms: int) -> Decision:
    """Return whether a choice in force stays: only a mask, a renewal or a less flawed copy moves it."""
    event, chosen = situation.event, current.candidate
    usable = sorted(_usable(situation), key=lambda candidate: candidate.moment)
    if is_masked(situation, chosen.pipeline_id):
        if not usable:
            return Withdraw()
        best = min(usable, key=lambda candidate: rank_key(event, candidate))
        return _choose(situation, best, Rule.MASK, _now(situation, now_ms))
    # The first that came, not the best by now: how late the rules are asked must not matter.
    for copy in usable:
        if flaws(copy.defects) < flaws(chosen.defects) and not _is_left_behind(situation, chosen, copy, now_ms):
            return _choose(situation, copy, Rule.UPGRADE, copy.moment)
        if _generation(chosen) is None and copy.pipeline_id == chosen.pipeline_id and copy.digest != chosen.digest:
            return _choose(situation, copy, Rule.RENEWED, copy.moment)
    return _next_generation(situation, chosen, usable, now_ms) or Wait(None)


def _next_generation(
    situation: Situation, chosen: Candidate, usable: Sequence[Candidate], now_ms: int
) -> Choose | None:
    """Return the init segment that follows one for which nobody makes segments any more; None while somebody does."""
    if not situation.key.is_init or _generation(chosen) is None or not usable:
        return None
    alive = [copy for copy in usable if not is_down(situation, copy.pipeline_id, _by_now(now_ms))]
    if any(_generation(copy) == _generation(chosen) for copy in alive or usable):
        return None
    best = min(alive or usable, key=lambda copy: rank_key(situation.event, copy))
    return _choose(situation, best, Rule.NEW_GENERATION, _now(situation, now_ms))


def _is_left_behind(situation: Situation, chosen: Candidate, copy: Candidate, now_ms: int) -> bool:
    """Tell whether `copy` is an init segment of another generation, for which its pipeline makes no segments now."""
    if not situation.key.is_init or _generation(copy) == _generation(chosen):
        return False
    return is_down(situation, copy.pipeline_id, _by_now(now_ms))


def _by_now(now_ms: int) -> Moment:
    """Return the end of this ms: everything recorded in it counts, also of other segments."""
    return Moment(now_ms, SEQUENCE_MAX)


def _now(situation: Situation, now_ms: int) -> Moment:
    return Moment(now_ms, max(candidate.sequence for candidate in situation.candidates))


def _generation(candidate: Candidate) -> str | None:
    return None if candidate.facts is None else candidate.facts.generation


def _choose(situation: Situation, chosen: Candidate, rule: Rule, moment: Moment) -> Choose:
    return Choose(Choice(chosen, rule, moment.ms, _losses(situation, chosen, moment)))

"""Answers of the deliver side to what cannot be served: each with the time for which it stays true."""

from collections.abc import Sequence
from functools import cache
from typing import Final

from origin.headers import life_time
from origin.kept_head import KeptHead
from origin.reply import Problem, Reply, json_reply, problem
from selection import cache_policy
from selection.model import Event, SegmentKey
from selection.request_class import RequestClass
from selection.window import WindowClass, classify, due_ms, init_class

_REFUSALS: Final = {
    WindowClass.BEFORE_START: (Problem.BEFORE_START, "Segment {number} is older than the event."),
    WindowClass.AFTER_END: (Problem.AFTER_END, "Segment {number} is after the event's end."),
    WindowClass.FUTURE: (Problem.TOO_EARLY, "Segment {number} is due in {due_in_ms} ms; ask again shortly before."),
    WindowClass.NEXT: (Problem.NOT_PUBLISHED_YET, "Segment {number} is due in {due_in_ms} ms and not there yet."),
    WindowClass.DUE: (Problem.NOT_PUBLISHED_YET, "Segment {number} was due {late_ms} ms ago and is not there yet."),
    WindowClass.GIVEN_UP: (Problem.NEVER_PUBLISHED, "Segment {number} was due {late_ms} ms ago; nobody published it."),
    WindowClass.EXPIRED: (Problem.LEFT_WINDOW, "Segment {number} has left the DVR window."),
}


def wrong_method(methods: Sequence[str]) -> Reply:
    """Refuse a method."""
    allow = ", ".join(methods)
    return problem(Problem.METHOD, f"Use {allow} here.", cache_policy.unknown(), headers={"Allow": allow})


def no_such_event(event_id: str) -> Reply:
    """Refuse an event that is not configured."""
    return problem(Problem.UNKNOWN_EVENT, f"No event {event_id!r} here.", cache_policy.unknown())


def no_such_name(event: Event, text: str) -> Reply:
    """Refuse a name that no template of the event makes."""
    detail = f"{text!r} is no name of event {event.id!r}."
    return problem(Problem.UNKNOWN_NAME, detail, cache_policy.unknown(), event=event.id)


def not_there(event: Event, key: SegmentKey, now_ms: int) -> Reply:
    """Refuse a segment or init segment that has no choice now, by its place in time."""
    if key.number is None:
        window_class = init_class(event, now_ms)
        kind, _ = _REFUSALS[window_class]
        detail = f"No init segment of rendition {key.rendition_id!r} has been published."
        policy = cache_policy.missing_init(window_class)
        return problem(kind, detail, policy, event=event.id, rendition=key.rendition_id)
    window_class = classify(event, key.number, now_ms)
    kind, text = _REFUSALS[window_class]
    due = due_ms(event, key.number)
    return problem(
        kind,
        text.format(number=key.number, due_in_ms=due - now_ms, late_ms=now_ms - due),
        cache_policy.negative(event, key.number, window_class, now_ms),
        {"Live-Origin-Due": str(due)},
        event=event.id,
        rendition=key.rendition_id,
        segment_number=key.number,
        due_ms=due,
    )


@cache
def overloaded(request_class: RequestClass, why: str) -> Reply:
    """Refuse for load. What is behind the live edge can wait for seconds; at the live edge each one is a segment.

    Made once for each class and reason, of which there are few: under load this is what costs.
    """
    if request_class is RequestClass.LIVE_EDGE:
        detail = f"{why}; ask again or elsewhere."
        return _rendered(problem(Problem.OVERLOADED, detail, cache_policy.unavailable(), _retry_after(1)))
    detail = f"{why}, and older segments come after the live edge; ask again later or elsewhere."
    reply = problem(Problem.OVERLOADED, detail, cache_policy.overload(), _retry_after(5))
    return _rendered(reply._replace(outcome="shed"))


def storage_fault() -> Reply:
    """Tell that a body cannot be read now."""
    return problem(Problem.STORAGE, "This origin cannot read the body now; ask another.", cache_policy.unavailable())


def stopping() -> Reply:
    """Tell that this origin takes no requests any more."""
    return problem(Problem.STOPPING, "This origin is stopping; ask another.", cache_policy.unavailable())


def probe(*, is_stopping: bool) -> Reply:
    """Tell a cache whether it may send requests here."""
    if is_stopping:
        return stopping()
    reply = json_reply(200, "probe", {"status": "ready"})
    return reply._replace(headers={**reply.headers, **life_time(cache_policy.unavailable())})


def _rendered(reply: Reply) -> Reply:
    return reply._replace(head=KeptHead(reply.status, {**reply.headers, "Content-Length": str(len(reply.body))}))


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}

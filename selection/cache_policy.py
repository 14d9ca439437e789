"""How long a cache may keep an answer, in ms, from the kind of answer and the clock alone.

The stance: a cache collapses concurrent requests only for answers it may keep, so nothing is ever
uncacheable. A negative answer must not outlive its truth, so what may appear any moment is kept for the
shortest time all caches can express (one second) and never served stale. What can no longer change is kept
long.

Source: measured on nginx 1.22, Varnish 7.1 and Traffic Server 9.2: `no-store` or `max-age=0` on a 404 lets
all of 20 parallel requests through, `max-age=1` one; Varnish serves a stale 404 for 10 s more unless
`stale-while-revalidate=0`.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from selection.model import Event
from selection.window import WindowClass, expires_ms, hold_opens_ms

LONG_MS: Final = 86_400_000
SHORTEST_MS: Final = 1_000
UNKNOWN_MS: Final = 5_000
OVERLOAD_MS: Final = 5_000
# An init segment is replaced when no pipeline makes segments for it any more, and then players that join need the
# new one. Asking again once a minute costs a cache one 304.
INIT_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """A life time and what may happen after it.

    Args:
        ttl_ms: How long the answer may be kept, at least 1 ms.
        immutable: The bytes behind this URL do not change while the answer lives (RFC 8246).
        may_be_stale: Whether a cache may serve it after its life time while it fetches anew (RFC 5861).
    """

    ttl_ms: int
    immutable: bool = False
    may_be_stale: bool = False


def unknown() -> CachePolicy:
    """No such event, rendition or name: a few seconds, as a configuration may add it."""
    return CachePolicy(UNKNOWN_MS)


def overload() -> CachePolicy:
    """Refused for now: caches absorb the repeats (Netflix's live origin keeps its 503 for 5 s)."""
    return CachePolicy(OVERLOAD_MS)


def absent() -> CachePolicy:
    """Not there at this instant, perhaps at the next: a hold that ran out, a HEAD, an init segment to come."""
    return CachePolicy(SHORTEST_MS)


def negative(event: Event, number: int, window_class: WindowClass, now_ms: int) -> CachePolicy:
    """Return how long the absence of segment `number` may be remembered."""
    match window_class:
        case WindowClass.BEFORE_START:
            return unknown()
        case WindowClass.AFTER_END | WindowClass.EXPIRED:
            return CachePolicy(LONG_MS)
        case WindowClass.FUTURE:
            # With a long publish delay a quick copy may be there, once its media has ended, before requests are held.
            may_come_in_ms = min(hold_opens_ms(event, number), event.timeline.end_ms(number)) - now_ms
            return CachePolicy(min(may_come_in_ms, LONG_MS)) if may_come_in_ms > 0 else absent()
        case WindowClass.NEXT | WindowClass.DUE:
            return absent()
        case WindowClass.GIVEN_UP:
            # A late copy still fills the hole: players give up at once, caches ask again soon.
            return CachePolicy(max(event.timeline.duration_ms, SHORTEST_MS))
        case _:
            assert_never(window_class)


def segment(event: Event, number: int | None, is_good: bool, now_ms: int) -> CachePolicy:
    """Return how long a delivered segment (or init segment, `number` None) may be kept.

    A flawed copy may be replaced by a better one, so it is kept for one segment only.
    """
    if not is_good:
        return CachePolicy(max(event.timeline.duration_ms, SHORTEST_MS), may_be_stale=True)
    if number is None:
        return CachePolicy(INIT_MS, may_be_stale=True)
    # At least until it leaves the window; a shorter window does not make a cache forget sooner than useful.
    return CachePolicy(max(LONG_MS, expires_ms(event, number) - now_ms), immutable=True, may_be_stale=True)


def manifest(event: Event) -> CachePolicy:
    """Return how long a manifest may be kept: under one segment, as the next one changes it."""
    return CachePolicy(max(event.timeline.duration_ms // 2, SHORTEST_MS))

"""How long a cache may keep an answer, in ms, from the kind of answer and the clock alone.

The stance: a cache collapses concurrent requests only for answers it may keep, so nothing is ever
uncacheable. A negative answer must not outlive its truth: what may appear any moment is kept for the shortest
time that can be told, and no negative answer is served stale. What can no longer change is kept long.

Source: measured on nginx 1.22, Varnish 7.1 and Traffic Server 9.2: `no-store` or `max-age=0` on a 404 lets
all of 20 parallel requests through, `max-age=1` one; Varnish serves a stale 404 for 10 s more unless
`stale-while-revalidate=0`; nginx sends every client to the origin when an entry has expired unless it may
serve it stale meanwhile.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from selection.model import Event
from selection.window import WindowClass, expires_ms, hold_opens_ms

LONG_MS: Final = 86_400_000
# The shortest time in whole seconds, which is what most caches count in.
SHORTEST_MS: Final = 1_000
# For caches that count in ms (Varnish, told to). The next request is held again, so asking often costs little.
ABSENT_MS: Final = 250
UNKNOWN_MS: Final = 5_000
OVERLOAD_MS: Final = 5_000
# An init segment is replaced when no pipeline makes segments for it any more, and then players that join need the
# new one. Asking again once a minute costs a cache one 304.
INIT_MS: Final = 60_000
STALE_MS: Final = 60_000
MANIFEST_STALE_SEGMENTS: Final = 3


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """A life time and what may happen after it.

    Args:
        ttl_ms: How long the answer may be kept, at least 1 ms.
        immutable: The bytes behind this URL do not change while the answer lives (RFC 8246).
        must_not_outlive: It may become wrong at the end of `ttl_ms`: a cache that rounds to whole seconds must
            let go of it before.
        stale_ms: How long a cache may serve it after its life time while it fetches anew (RFC 5861).
        stale_if_error_ms: And how long while the origin cannot be asked, or answers 5xx (RFC 5861).
    """

    ttl_ms: int
    immutable: bool = False
    must_not_outlive: bool = False
    stale_ms: int = 0
    stale_if_error_ms: int = 0


def unknown() -> CachePolicy:
    """No such event, rendition or name: a few seconds, as a configuration may add it."""
    return CachePolicy(UNKNOWN_MS)


def overload() -> CachePolicy:
    """Refused for now: caches absorb the repeats (Netflix's live origin keeps its 503 for 5 s)."""
    return CachePolicy(OVERLOAD_MS)


def absent() -> CachePolicy:
    """Not there at this instant, perhaps at the next: a hold that ran out, a HEAD, a manifest to come."""
    return CachePolicy(ABSENT_MS, must_not_outlive=True)


def unavailable() -> CachePolicy:
    """Not to be had here now although it may exist: at the live edge each second is half a segment."""
    return CachePolicy(SHORTEST_MS, must_not_outlive=True)


def missing_init(window_class: WindowClass) -> CachePolicy:
    """No init segment of this rendition: it may come at any time, long before the first segment, until the end."""
    return CachePolicy(INIT_MS) if window_class is WindowClass.AFTER_END else absent()


def negative(event: Event, number: int, window_class: WindowClass, now_ms: int) -> CachePolicy:
    """Return how long the absence of segment `number` may be remembered, `window_class` being its class now."""
    match window_class:
        case WindowClass.BEFORE_START:
            return unknown()
        case WindowClass.AFTER_END | WindowClass.EXPIRED:
            return CachePolicy(LONG_MS)
        case WindowClass.FUTURE:
            # From then on it is worth asking, as requests are held; the segment itself comes 2 s later at the earliest.
            return CachePolicy(min(hold_opens_ms(event, number) - now_ms, LONG_MS), must_not_outlive=True)
        case WindowClass.NEXT | WindowClass.DUE:
            return absent()
        case WindowClass.GIVEN_UP:
            # A late copy still fills the hole: players give up at once, caches ask again within one segment.
            return CachePolicy(_segment_ms(event), must_not_outlive=True)
        case _:
            assert_never(window_class)


def segment(event: Event, number: int | None, is_good: bool, now_ms: int) -> CachePolicy:
    """Return how long a delivered segment (or init segment, `number` None) may be kept.

    A flawed copy may be replaced by a better one, so it is kept for one segment only, and one more while the
    better one is fetched.
    """
    if not is_good:
        duration_ms = _segment_ms(event)
        return CachePolicy(duration_ms, stale_ms=duration_ms, stale_if_error_ms=STALE_MS)
    if number is None:
        return CachePolicy(INIT_MS, stale_ms=STALE_MS, stale_if_error_ms=LONG_MS)
    # At least until it leaves the window; a shorter window does not make a cache forget sooner than useful.
    ttl_ms = max(LONG_MS, expires_ms(event, number) - now_ms)
    return CachePolicy(ttl_ms, immutable=True, stale_ms=STALE_MS, stale_if_error_ms=LONG_MS)


def manifest(event: Event) -> CachePolicy:
    """Return how long a manifest may be kept: under one segment, as the next one changes it.

    Stale for as long again, or every client would go to the origin whenever it expires; and for three segments
    when the origin fails, which is about what players have in their buffers.
    """
    half_ms = max(event.timeline.duration_ms // 2, SHORTEST_MS)
    stale_if_error_ms = MANIFEST_STALE_SEGMENTS * _segment_ms(event)
    return CachePolicy(half_ms, stale_ms=half_ms, stale_if_error_ms=stale_if_error_ms)


def _segment_ms(event: Event) -> int:
    """Return the duration of a segment, or a second if it is shorter: caches cannot tell less."""
    return max(event.timeline.duration_ms, SHORTEST_MS)

"""Where a segment number stands in time: may it exist, is it due, is it over.

Everything here is arithmetic on the event and the clock; no storage is asked. For every (number, now)
exactly one class holds.
"""

from enum import StrEnum
from typing import Final

from selection.model import Event

# A refusal lives at least this long in caches that count in whole seconds: `max-age=1`, the shortest there is, and up
# to one second of rounding (measured on nginx 1.22 and Traffic Server 9.2: 1.06 to 2.0 s).
NEGATIVE_LIFE_MS_MIN: Final = 2_000


class WindowClass(StrEnum):
    """The life of a segment number, in the order it goes through."""

    BEFORE_START = "before-start"  # older than the event: it never exists
    AFTER_END = "after-end"  # younger than the event: it never exists
    FUTURE = "future"  # requests are not held yet
    NEXT = "next"  # not due yet, but soon: worth waiting for
    DUE = "due"  # should be there; may still come before the retry deadline
    GIVEN_UP = "given-up"  # retry deadline over: if it is not there, it is a hole
    EXPIRED = "expired"  # has left the DVR window


# Where nothing is taken and nothing is delivered, whatever was recorded under an older configuration.
OUTSIDE: Final = (WindowClass.BEFORE_START, WindowClass.AFTER_END, WindowClass.EXPIRED)


def due_ms(event: Event, number: int) -> int:
    """Return when segment `number` should have been published: end of its media + publish delay."""
    return event.timeline.end_ms(number) + event.publish_delay_ms


def hold_opens_ms(event: Event, number: int) -> int:
    """Return from when on a request for `number` is held instead of refused.

    That is `hold_ahead` before it is due, but in any case so long before its media ends that the last refusal
    has left the caches when a quick packager publishes it.
    """
    end_ms = event.timeline.end_ms(number)
    return min(end_ms + event.publish_delay_ms - event.hold_ahead_ms, end_ms - NEGATIVE_LIFE_MS_MIN)


def gives_up_ms(event: Event, number: int) -> int:
    """Return from when on a `number` nobody published is given up."""
    return due_ms(event, number) + event.retry_deadline_ms


def expires_ms(event: Event, number: int) -> int:
    """Return when `number` leaves the DVR window."""
    return due_ms(event, number) + event.dvr_window_ms


def opens_ms(event: Event, number: int) -> int:
    """Return from when on a copy of `number` may be published: one segment before its media begins.

    ffmpeg's DASH muxer opens the PUT when the segment begins, a whole segment before it is due; anything
    earlier than one segment more is a clock that is wrong.
    """
    return event.timeline.start_ms(number - 1)


def newest_due_number(event: Event, now_ms: int) -> int:
    """Return the live edge by template: the newest number that is due at `now_ms`, not beyond the event's end.

    Below `event.first_number` when nothing is due yet.
    """
    newest = event.timeline.number_at_ms(now_ms - event.publish_delay_ms) - 1
    return newest if event.last_number is None else min(newest, event.last_number)


def classify(event: Event, number: int, now_ms: int) -> WindowClass:
    """Return the one class of `number` at `now_ms`."""
    if number < event.first_number:
        return WindowClass.BEFORE_START
    if event.last_number is not None and number > event.last_number:
        return WindowClass.AFTER_END
    due = due_ms(event, number)
    if now_ms < due:
        return WindowClass.FUTURE if now_ms < hold_opens_ms(event, number) else WindowClass.NEXT
    # `expires_ms` and `gives_up_ms`, without finding the due time anew: every upload and many requests come here.
    if now_ms >= due + event.dvr_window_ms:
        return WindowClass.EXPIRED
    if now_ms >= due + event.retry_deadline_ms:
        return WindowClass.GIVEN_UP
    return WindowClass.DUE


def init_class(event: Event, now_ms: int) -> WindowClass:
    """Return where an init segment nobody has published stands: it comes with the first segment, if at all.

    It is waited for until the last segment is given up, a while after the event's end.
    """
    if event.last_number is not None and now_ms >= gives_up_ms(event, event.last_number):
        return WindowClass.AFTER_END
    if classify(event, event.first_number, now_ms) is WindowClass.FUTURE:
        return WindowClass.FUTURE
    return WindowClass.NEXT

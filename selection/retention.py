"""When what was published may go: arithmetic on the event's clock, and nothing inside the window is ever touched.

Segments go by time buckets of consecutive numbers, and a bucket goes as a whole: when its last number has left the
DVR window and its retention is over, too. Whether numbers belong to the event makes no difference: those before
its start and after its end have a time like all others, and what was stored under an older configuration goes
in its turn. Init segments and manifests have no time; they go with the event.
"""

from collections.abc import Iterable

from selection.model import Event
from selection.window import expires_ms, gives_up_ms


def bucket_expires_ms(event: Event, last_number: int, retention_ms: int) -> int:
    """Return from when on a time bucket may be collected.

    Args:
        last_number: The newest number that belongs to the bucket, whether or not it was published.
        retention_ms: How long to keep what has left the DVR window: the event's own setting, or less.
    """
    return expires_ms(event, last_number) + retention_ms


def collectable(
    event: Event, buckets: Iterable[int], now_ms: int, retention_ms: int, *, segments_per_bucket: int
) -> list[int]:
    """Return those of `buckets` that may be collected at `now_ms`, oldest first.

    Bucket b holds the numbers [b * `segments_per_bucket`, (b + 1) * `segments_per_bucket`).
    """
    assert retention_ms >= 0, "nothing inside the DVR window is ever touched"
    return sorted(
        bucket
        for bucket in buckets
        if now_ms >= bucket_expires_ms(event, (bucket + 1) * segments_per_bucket - 1, retention_ms)
    )


def event_expires_ms(event: Event, retention_ms: int) -> int | None:
    """Return from when on everything of an event may go, or None for one without an end.

    That is when the last segment has been given up, and then the whole window and retention have passed once
    more: a copy that came at the last moment is kept as long as any other.
    """
    if event.last_number is None:
        return None
    return gives_up_ms(event, event.last_number) + event.dvr_window_ms + retention_ms


def event_is_over(event: Event, now_ms: int, retention_ms: int) -> bool:
    """Tell whether everything of an event may go at `now_ms`, its init segments and manifests included."""
    over_ms = event_expires_ms(event, retention_ms)
    return over_ms is not None and now_ms >= over_ms

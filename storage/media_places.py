"""Where bodies stand in time, told from their keys and the timelines of their events."""

from collections.abc import Mapping
from typing import Final

from selection.model import Event
from storage.base import BodyKey, parse_body_key
from storage.eviction import MediaPlace

# What has left the configuration can no longer be asked for: older than everything, and nothing of it protected.
_GONE: Final = MediaPlace(rendition=None, number=0, end_ms=0)


def media_place(events: Mapping[str, Event], key: BodyKey) -> MediaPlace | None:
    """Return the place of a body, or None for init segments and manifests."""
    event = events.get(key.partition("/")[0])
    if event is None:
        return _GONE
    segment = parse_body_key(key)
    if segment is None or segment.number is None:
        return None
    if all(rendition.id != segment.rendition_id for rendition in event.renditions):
        return _GONE
    rendition = f"{segment.event_id}/{segment.rendition_id}"
    return MediaPlace(rendition, segment.number, event.timeline.end_ms(segment.number))

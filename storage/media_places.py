"""Where bodies stand in time, told from their keys and the timelines of their events."""

from collections.abc import Mapping
from typing import Final

from selection.model import Event
from storage.base import BodyKey
from storage.eviction import MediaPlace

# What has left the configuration can no longer be asked for: older than everything, and nothing of it protected.
_GONE: Final = MediaPlace(rendition=None, number=0, end_ms=0)
# Of the last part of a segment's key (`storage.base.body_key`): rendition, number, pipeline, digest.
_SEGMENT_WORDS: Final = 4


def media_place(events: Mapping[str, Event], key: BodyKey) -> MediaPlace | None:
    """Return the place of a body, or None for init segments and manifests.

    Every upload asks for one, so a key is read only as far as it is needed, and not checked: it is one of ours.
    """
    event_id = key.partition("/")[0]
    event = events.get(event_id)
    if event is None:
        return _GONE
    words = key.rpartition("/")[2].split("~")
    if len(words) != _SEGMENT_WORDS or not words[1].isdecimal():
        return None
    rendition_id, number = words[0], int(words[1])
    if rendition_id not in event.rendition_ids:
        return _GONE
    return MediaPlace(f"{event_id}/{rendition_id}", number, event.timeline.end_ms(number))

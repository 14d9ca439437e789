"""What a request path means: event, on the publish side a pipeline, and a name below them."""

from dataclasses import dataclass
from typing import NamedTuple

from selection.model import Event, Pipeline, SegmentKey
from selection.names import EventNames, ManifestName


@dataclass(frozen=True, slots=True)
class Programme:
    """An event with its names compiled."""

    event: Event
    names: EventNames


class Programmes:
    """The events of this node, by id."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self._by_id = {event.id: Programme(event, EventNames(event)) for event in events}

    @property
    def events(self) -> dict[str, Event]:
        return {event_id: programme.event for event_id, programme in self._by_id.items()}

    @property
    def ids(self) -> list[str]:
        return sorted(self._by_id)

    def get(self, event_id: str) -> Programme | None:
        return self._by_id.get(event_id)


class PublishTarget(NamedTuple):
    """Where an upload goes. `name` is None for a name that no template makes (DELETE takes any)."""

    event: Event
    pipeline: Pipeline
    text: str
    name: SegmentKey | ManifestName | None


def split_path(path: str) -> tuple[str, str]:
    """Return the first part of a path and the rest, both without slashes around.

    >>> split_path("/derby/a/v720/7.m4s")
    ('derby', 'a/v720/7.m4s')
    """
    first, _, rest = path.removeprefix("/").partition("/")
    return first, rest


def event_of(part: str) -> str:
    """Return the event id of a deliver path's first part: `{event}@{version}` renews a cache's keys.

    >>> event_of("derby@7")
    'derby'
    """
    return part.partition("@")[0]

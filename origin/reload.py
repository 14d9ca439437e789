"""Which changes of the configuration are safe while the origin runs.

What caches and journal hold must stay true: a number must mean the same time, and a name the same segment, for
as long as its event exists. Everything else may change under way. All is told at once, as with the problems of a
file: who changes a running origin wants to know before it is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic.fields import FieldInfo

from config.event import TIMESCALE_DEFAULTS
from config.model import EventSettings, PeerSettings, PipelineSettings, RenditionSettings, Settings
from config.problems import Location, Problem, key_path, shown
from config.section import Section, is_list, written


@dataclass(frozen=True, slots=True)
class Changes:
    """What another configuration would change, one sentence each with its key path, in the order of the settings.

    Args:
        applied: What can change under way.
        refused: What cannot, why, and what to do instead. Where there is any of it, nothing should be applied.
    """

    applied: tuple[str, ...]
    refused: tuple[str, ...]


class _Refusal(NamedTuple):
    why: str
    remedy: str


_SOCKETS: Final = _Refusal("the sockets are open", "stop the origin, and start it with the new address")
_NUMBERS: Final = _Refusal(
    "its numbers would mean other times, and caches and journal hold the old ones", "give the event a new id"
)
_NAMES: Final = _Refusal(
    "caches hold its segments under the old names", "add a rendition with another id, or give the event a new id"
)
_MEDIA: Final = _Refusal(
    "caches hold media that would be read in another way", "add a rendition with another id for it"
)

# By key; `[]` stands for each entry of a list. What is not here may change.
REFUSALS: Final[Mapping[str, _Refusal]] = {
    "listen.publish": _SOCKETS,
    "listen.deliver": _SOCKETS,
    "listen.admin": _SOCKETS,
    "storage.path": _Refusal("bodies and journal are open there", "stop the origin, and start it with the new path"),
    "storage.acknowledge": _Refusal(
        "uploads have been promised the old one", "stop the origin, and start it with the new one"
    ),
    "workers": _Refusal(
        "each deliver process has a socket of its own, open since the start",
        "stop the origin, and start it with the new number",
    ),
    "events[].epoch": _NUMBERS,
    "events[].start_number": _NUMBERS,
    "events[].segment_duration": _NUMBERS,
    "events[].start": _Refusal("caches hold answers that are true of the old one", "give the event a new id"),
    "events[].media": _NAMES,
    "events[].init": _NAMES,
    "events[].renditions[].media": _NAMES,
    "events[].renditions[].init": _NAMES,
    "events[].renditions[].timescale": _MEDIA,
    "events[].renditions[].kind": _MEDIA,
}


def changes(old: Settings, new: Settings, now_ms: int) -> Changes:
    """Return what would change if a running origin went from `old` to `new`.

    Values count as what they come to: a default that is written down is no change. An event that is over may
    go, and what belongs to it.

    Args:
        now_ms: Wall clock, to tell which events are over.
    """
    told = _Told()
    told.compare((), old, new)
    if old.peers != new.peers:
        told.apply(("peers",), f"{_peers_text(old.peers)} becomes {_peers_text(new.peers)}")
    known = {event.id: event for event in old.events}
    kept = {event.id for event in new.events}
    for index, event in enumerate(new.events):
        before = known.get(event.id)
        if before is None:
            told.apply(("events", index), f"event {event.id!r} is added")
        else:
            _compare_event(told, index, (before, event), now_ms)
    for event in old.events:
        if event.id not in kept:
            told.remove(("events",), f"event {event.id!r}", is_over=_is_over(event, now_ms))
    return Changes(tuple(told.applied), tuple(told.refused))


class _Told:
    """What has been found so far; a sentence that comes up again (a template of several renditions) counts once."""

    def __init__(self) -> None:
        self.applied: dict[str, None] = {}
        self.refused: dict[str, None] = {}

    def apply(self, location: Location, message: str) -> None:
        self.applied[f"{key_path(location)}: {message}"] = None

    def refuse(self, location: Location, message: str, remedy: str) -> None:
        self.refused[str(Problem(key_path(location), message, remedy))] = None

    def change(self, location: Location, before: str, after: str) -> None:
        """Tell of a value that is another one now."""
        refusal = REFUSALS.get(_generic_key(location))
        if refusal is None:
            self.apply(location, f"{before} becomes {after}")
            return
        running = "while the event exists" if location[0] == "events" else "in a running origin"
        self.refuse(location, f"{before} cannot become {after} {running}: {refusal.why}", refusal.remedy)

    def remove(self, location: Location, what: str, *, is_over: bool) -> None:
        """Tell of an event, or of a part of one, that is there no more."""
        if is_over:
            self.apply(location, f"{what} is removed")
        else:
            self.refuse(
                location,
                f"{what} cannot be removed before the event is over: packagers and caches would be told it is unknown",
                "set the event's end, and remove it when that has passed",
            )

    def compare(self, location: Location, old: Section, new: Section) -> None:
        """Tell of all single values of a section, and of the sections within, that differ."""
        after = {where: value for where, _, value in _values(new)}
        for where, field, value in _values(old):
            if value != after[where]:
                self.change((*location, *where), written(field, value), written(field, after[where]))


def _compare_event(told: _Told, index: int, pair: tuple[EventSettings, EventSettings], now_ms: int) -> None:
    """Tell what differs between an event as it is and as it is to be."""
    old, new = pair
    location = ("events", index)
    told.compare(location, _resolved(old), _resolved(new))
    is_over = _is_over(old, now_ms) and _is_over(new, now_ms)
    _compare_renditions(told, location, pair, is_over)
    _compare_pipelines(told, (*location, "pipelines"), (old.pipelines, new.pipelines), is_over)


def _compare_renditions(
    told: _Told, location: Location, pair: tuple[EventSettings, EventSettings], is_over: bool
) -> None:
    old, new = pair
    ids = [rendition.id for rendition in old.renditions], [rendition.id for rendition in new.renditions]
    for old_place, place in _staying(told, (*location, "renditions"), ids, is_over):
        told.compare(
            (*location, "renditions", place),
            _resolved_rendition(old.renditions[old_place]),
            _resolved_rendition(new.renditions[place]),
        )
        rendition_id = new.renditions[place].id
        for (_, before), (where, after) in (
            (old.media_template(old_place), new.media_template(place)),
            (old.init_template(old_place), new.init_template(place)),
        ):
            if _named(before, rendition_id) != _named(after, rendition_id):
                told.change((*location, *where), before or "null", after or "null")


def _compare_pipelines(
    told: _Told,
    location: Location,
    lists: tuple[Sequence[PipelineSettings], Sequence[PipelineSettings]],
    is_over: bool,
) -> None:
    old, new = lists
    ids = [pipeline.id for pipeline in old], [pipeline.id for pipeline in new]
    staying = list(_staying(told, location, ids, is_over))
    for old_place, place in staying:
        before, after = (entry.region or entry.id for entry in (old[old_place], new[place]))
        if before != after:
            told.change((*location, place, "region"), before, after)
    if staying != sorted(staying):
        told.apply(location, f"the selection order becomes {', '.join(ids[1])}")


def _staying(
    told: _Told, location: Location, lists: tuple[Sequence[str], Sequence[str]], is_over: bool
) -> Iterator[tuple[int, int]]:
    """Yield the places, before and now, of the ids that stay in a list, and tell of those that come and go."""
    old, new = lists
    places = {entry_id: place for place, entry_id in enumerate(old)}
    kind = str(location[-1]).removesuffix("s")
    for place, entry_id in enumerate(new):
        if entry_id in places:
            yield places.pop(entry_id), place
        else:
            told.apply((*location, place), f"{kind} {entry_id!r} is added")
    for entry_id in places:
        told.remove(location, f"{kind} {entry_id!r}", is_over=is_over)


def _resolved(event: EventSettings) -> EventSettings:
    """Return an event whose computed defaults are written down; its templates are those of its renditions."""
    return event.model_copy(
        update={
            "hold_ahead_ms": event.effective_hold_ahead_ms,
            "live_edge_ms": event.effective_live_edge_ms,
            "recent_ms": event.effective_recent_ms,
            "media": "",
            "init": None,
        }
    )


def _resolved_rendition(rendition: RenditionSettings) -> RenditionSettings:
    """Return a rendition whose timescale is written down; its templates are compared with the event's."""
    timescale = rendition.timescale or TIMESCALE_DEFAULTS[rendition.kind]
    return rendition.model_copy(update={"timescale": timescale, "media": None, "init": None})


def _values(section: Section) -> Iterator[tuple[Location, FieldInfo, object]]:
    """Yield where each single value stands, how it is declared, and what it is; lists are left out."""
    for name, field in type(section).model_fields.items():
        key, value = field.alias or name, getattr(section, name)
        if isinstance(value, Section):
            yield from (((key, *where), inner, each) for where, inner, each in _values(value))
        elif not is_list(field):
            yield (key,), field, value


def _generic_key(location: Location) -> str:
    return key_path(tuple("[]" if isinstance(part, int) else part for part in location)).replace(".[]", "[]")


def _named(template: str | None, rendition_id: str) -> str | None:
    """Return a template as it names the segments of one rendition."""
    return None if template is None else template.replace("$RepresentationID$", rendition_id)


def _is_over(event: EventSettings, now_ms: int) -> bool:
    return event.end_ms is not None and event.end_ms <= now_ms


def _peers_text(peers: Sequence[PeerSettings]) -> str:
    return ", ".join(f"{peer.region} {peer.url}" for peer in peers) or shown([])

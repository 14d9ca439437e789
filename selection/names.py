"""What a name below an event means: segment, init segment, a packager's manifest, or nothing at all."""

from dataclasses import dataclass
from typing import Final

from selection.model import Event, SegmentKey
from selection.template import NameMatch

NAME_LENGTH_MAX: Final = 512
MANIFEST_SUFFIXES: Final = (".mpd", ".m3u8")


@dataclass(frozen=True, slots=True)
class ManifestName:
    """A packager's own manifest: kept per pipeline, always replaceable."""

    name: str


Name = SegmentKey | ManifestName | None


class EventNames:
    """The names of one event, looked up by what they say. That they are unique, `Event` has checked."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._media = [(rendition, rendition.media) for rendition in event.renditions]
        self._init = {
            rendition.init.format(0, 0): SegmentKey(event.id, rendition.id, None)
            for rendition in event.renditions
            if rendition.init is not None
        }

    def parse(self, name: str) -> Name:
        """Return what `name` stands for, or None if no template of the event makes it.

        A manifest's name is matched last: a template may well end in `.m3u8`, never the other way round.
        """
        if len(name) > NAME_LENGTH_MAX:
            return None
        init = self._init.get(name)
        if init is not None:
            return init
        for rendition, template in self._media:
            # The prefix of another rendition is seen in a fifth of the time that its pattern takes.
            match = template.parse(name) if name.startswith(template.prefix) else None
            if match is not None:
                return SegmentKey(self._event.id, rendition.id, self._number(match, rendition.timescale))
        if name.endswith(MANIFEST_SUFFIXES) and _is_clean_path(name):
            return ManifestName(name)
        return None

    def format(self, key: SegmentKey) -> str | None:
        """Return the nominal name of a segment; with `$Time$` the real one may sit a codec frame beside it.

        Returns None for an init segment of a rendition that has none.
        """
        rendition = self._event.rendition(key.rendition_id)
        if key.number is None:
            return None if rendition.init is None else rendition.init.format(0, 0)
        ticks = self._event.timeline.time_ticks(key.number, rendition.timescale)
        return rendition.media.format(key.number, ticks)

    def _number(self, match: NameMatch, timescale: int) -> int:
        if match.number is not None:
            return match.number
        assert match.time_ticks is not None, "a media template has $Number$ or $Time$"
        return self._event.timeline.number_at_ticks(match.time_ticks, timescale)


def _is_clean_path(name: str) -> bool:
    """Tell whether a manifest's name is a plain relative path: no empty, dot or hidden part, no odd character."""
    allowed = all(character.isalnum() or character in "._-~/@+=," for character in name) and name.isascii()
    return allowed and all(part and not part.startswith(".") for part in name.split("/"))

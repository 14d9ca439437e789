"""Looks into uploads: reads their facts, finds their defects, and knows which init segment they need.

What is found is recorded with the copy, so a replay never looks into a body again. The init segments themselves
are needed to read what comes after them; they are kept parsed, by their digest.
"""

import asyncio
import logging
from typing import Final, NamedTuple

from origin.logs import fields
from selection.init_segment import Init, parse_init
from selection.interchange import breaks, reads_alike
from selection.judge import corrupt, init_defects, segment_defects
from selection.media import MediaError
from selection.model import Candidate, Checks, Defect, Event, Facts, Format, Rendition, SegmentKey
from selection.reading import Reading, read_init, read_segment
from storage.base import Body, BodyKey, Catalog, Stores, body_key, copy_of, digest_of
from storage.errors import StorageError
from storage.recent import Recent

log = logging.getLogger(__name__)

# Hashing and reading a body this large takes about as long as a thread hop (0.1 ms). All of it is then done in
# one thread: a transport stream of 4 MiB takes 2 to 10 ms to read, a hostile body of boxes as long.
INLINE_BYTES_MAX: Final = 128 * 1024
# An event has a handful of renditions, each with one init segment a pipeline.
INITS_COUNT_MAX: Final = 1_024

# An enum's member costs 80 ns to name in Python 3.11.
_NONE: Final = Checks.NONE
_OTHER: Final = Format.OTHER


class Inspected(NamedTuple):
    """What is known of a body beside what the packager says of it."""

    digest: str
    defects: tuple[Defect, ...] = ()
    facts: Facts | None = None


class Inspector:
    """Inspects the uploads of one node."""

    def __init__(self, stores: Stores) -> None:
        self._catalog: Catalog = stores.catalog
        self._bodies = stores.bodies
        self._inits: Recent[str, Init] = Recent(INITS_COUNT_MAX)
        self._unreadable: Recent[BodyKey, bool] = Recent(INITS_COUNT_MAX)  # told once

    async def inspect(self, event: Event, key: SegmentKey, pipeline_id: str, body: Body) -> Inspected:
        """Return digest, facts and defects of a whole body. Never raises for what a body may hold."""
        rendition = event.rendition(key.rendition_id)
        if event.inspection.checks is _NONE or rendition.format is _OTHER:
            return Inspected(await digest_body(body))
        if key.number is None:
            return await self._inspect_init(rendition, key, pipeline_id, body)
        return await self._inspect_segment(event, rendition, key, pipeline_id, body)

    async def _inspect_init(self, rendition: Rendition, key: SegmentKey, pipeline_id: str, body: Body) -> Inspected:
        digest = await digest_body(body)
        try:
            init, tracks = read_init(body) if _is_small(body) else await asyncio.to_thread(read_init, body)
        except MediaError as exc:
            return Inspected(digest, (corrupt(exc),))
        self._inits.keep(digest, init)
        generation = await self._generation(key, pipeline_id, digest, init)
        return Inspected(digest, init_defects(rendition, init), Facts(tracks, digest, generation))

    async def _generation(self, key: SegmentKey, pipeline_id: str, digest: str, init: Init) -> str:
        """Return the generation of an init segment: of one that is there and can stand in for it, else its own."""
        choice = self._catalog.choice(key)
        others = [copy for copy in self._catalog.candidates(key) if copy.pipeline_id != pipeline_id]
        for copy in others if choice is None else [choice.candidate, *others]:
            known = await self._init(key, copy)
            if known is None or copy.facts is None or copy.facts.generation is None:
                continue
            if copy.digest == digest or breaks(init, known) is None:
                return copy.facts.generation
        return digest

    async def _inspect_segment(
        self, event: Event, rendition: Rendition, key: SegmentKey, pipeline_id: str, body: Body
    ) -> Inspected:
        event_id, rendition_id, number = key
        assert number is not None, "init segments are read by _inspect_init"
        init_key = SegmentKey(event_id, rendition_id, None)
        choice = self._catalog.choice(init_key)
        reference_copy = None if choice is None else choice.candidate
        reference = await self._init(init_key, reference_copy)
        own_copy = copy_of(self._catalog, init_key, pipeline_id)
        own = reference if own_copy == reference_copy else await self._init(init_key, own_copy)
        # A pipeline that sent none, or none that can be read, makes segments for the one that is delivered.
        needed_copy, needed = (reference_copy, reference) if own is None else (own_copy, own)
        segment = (event, rendition, number, body, needed, reference)
        digest, outcome, mismatch = _read(*segment) if _is_small(body) else await asyncio.to_thread(_read, *segment)
        if isinstance(outcome, MediaError):
            return Inspected(digest, (corrupt(outcome),))
        previous = copy_of(self._catalog, SegmentKey(event_id, rendition_id, number - 1), pipeline_id)
        # Where the delivered init segment will do, that is the one.
        init_copy = needed_copy if mismatch is not None or reference is None else reference_copy
        facts = outcome.facts if init_copy is None else Facts(outcome.facts.tracks, init_copy.digest)
        return Inspected(digest, segment_defects(event, rendition, number, outcome, previous, mismatch), facts)

    async def _init(self, key: SegmentKey, copy: Candidate | None) -> Init | None:
        """Return a recorded init segment, after a restart from its body; None if there is none, or none to read."""
        if copy is None or copy.facts is None:
            return None
        try:
            return self._inits[copy.digest]
        except KeyError:
            return await self._read_init(body_key(key, copy.pipeline_id, copy.digest), copy.digest)

    async def _read_init(self, address: BodyKey, digest: str) -> Init | None:
        try:
            init = parse_init(await self._bodies.read(address))
        except (StorageError, MediaError) as exc:
            if self._unreadable.forget(address) is None:
                log.warning("init segment not readable", extra=fields(body=address, error=str(exc)))
            self._unreadable.keep(address, True)
            return None
        self._inits.keep(digest, init)
        return init


def _read(
    event: Event, rendition: Rendition, number: int, body: Body, own: Init | None, reference: Init | None
) -> tuple[str, Reading | MediaError, str | None]:
    """Return the digest of a segment, what it says, and in what it cannot be played behind `reference`.

    Args:
        own: The init segment it was made for.
    """
    digest = digest_of(body)
    try:
        reading = read_segment(event, rendition, number, body, own)
    except MediaError as exc:
        return digest, exc, None
    return digest, reading, _mismatch(body, own, reference)


def _mismatch(body: Body, own: Init | None, reference: Init | None) -> str | None:
    """Return in what a decoder set up with the init segment that is delivered cannot play a segment, or None."""
    if own is None or reference is None or own is reference:
        return None
    return breaks(own, reference) or (None if reads_alike(body, own, reference) else "defaults")


async def digest_body(body: Body) -> str:
    """Return the digest of a body, off the event loop if it is large."""
    return digest_of(body) if _is_small(body) else await asyncio.to_thread(digest_of, body)


def _is_small(body: Body) -> bool:
    """Tell whether to work on a body on the event loop, not in a thread."""
    return len(body) <= INLINE_BYTES_MAX

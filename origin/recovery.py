"""Makes records and bodies agree after a restart: nothing unacknowledged stays, nothing promised is missing unsaid.

A crash leaves bodies without a record (the record had not been written yet), and a disk that failed, or a power cut
under `acknowledge: disk`, records without a body. Everything here blocks; it runs before anything is served.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from origin.clock import Clock
from origin.logs import fields
from selection.model import SegmentKey
from storage.base import BodyKey, Catalog, Stores, body_key, bucket_folders, is_body_key, parse_body_key
from storage.bodies import FileBodies
from storage.errors import StorageError
from storage.records import Lost

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What was found.

    Args:
        unrecorded_count: Files without a record, removed; or kept apart where records are missing.
        lost_count: Copies without a file, recorded as lost.
    """

    unrecorded_count: int
    lost_count: int


def sweep(files: FileBodies, stores: Stores, clock: Clock, *, is_complete: bool) -> Sweep:
    """Compare the files with the catalog, a folder at a time.

    Args:
        is_complete: Whether the journal has all its records. If not, files without one are no leftovers of a crash:
            somebody was promised them, so they are kept apart and not removed.
    Raises:
        StorageError: The disk cannot be read.
    """
    catalog, journal = stores.catalog, stores.journal
    recorded = {
        folder: (event_id, bucket)
        for event_id in catalog.event_ids()
        for bucket in (None, *catalog.buckets(event_id))
        for folder in bucket_folders(event_id, bucket)
    }
    unrecorded: list[BodyKey] = []
    missing: list[BodyKey] = []
    for folder, names in files.list_bodies():
        found = {BodyKey(f"{folder}/{name}") for name in names}
        expected = _expected(catalog, folder, recorded.pop(folder, None))
        unrecorded += (key for key in found - expected if is_body_key(key))  # what is not ours is left alone
        missing += expected - found
    for folder, place in recorded.items():
        missing += _expected(catalog, folder, place)
    if is_complete:
        files.remove_now(unrecorded)
    elif unrecorded:
        files.keep_apart_now(unrecorded)
        log.error("records are missing, bodies without one are kept apart", extra=fields(bodies=len(unrecorded)))
    losses = list(_losses(catalog, missing))
    try:
        for loss in losses:
            journal.append(loss, journal.next_moment(clock.now_ms()))
    except StorageError as exc:  # a full disk must not keep the origin from starting: who asks for them will notice
        log.error("losses not recorded", extra=fields(copies=len(losses), error=str(exc)))
    return Sweep(len(unrecorded), len(losses))


def _expected(catalog: Catalog, folder: str, place: tuple[str, int | None] | None) -> set[BodyKey]:
    """Return the bodies that records speak of in one folder; init segments and manifests have a folder each."""
    if place is None:
        return set()
    event_id, bucket = place
    expected = catalog.expected_bodies(event_id, bucket)
    if bucket is not None:
        return set(expected)
    return {body for body in expected if body.startswith(f"{folder}/")}


def _losses(catalog: Catalog, missing: Iterable[BodyKey]) -> Iterator[Lost]:
    """Yield the records of lost copies. A manifest is written anew every few seconds, so its loss is left alone."""
    for body in missing:
        key = parse_body_key(body)
        if key is None:
            continue
        for pipeline_id, digest, sequence in _copies(catalog, key):
            if body_key(key, pipeline_id, digest) == body:
                yield Lost(key, pipeline_id, sequence)


def _copies(catalog: Catalog, key: SegmentKey) -> set[tuple[str, str, int]]:
    choice = catalog.choice(key)
    copies = [*catalog.candidates(key), *([] if choice is None else [choice.candidate])]
    return {(copy.pipeline_id, copy.digest, copy.sequence) for copy in copies}

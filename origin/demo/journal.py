"""Tells what the origin records: its journal's entries as reports."""

from origin.demo import media
from origin.demo.reports import Chosen, Published, Tell
from selection.model import Candidate, SegmentKey
from storage import records
from storage.base import Catalog
from storage.records import Entry


class JournalReports:
    """Follows a journal, after the catalog.

    Args:
        catalog: Asked for the copies that a decision was made among.
        tell: Told of each copy and each choice.
    """

    def __init__(self, catalog: Catalog, tell: Tell) -> None:
        self._catalog = catalog
        self._tell = tell

    def __call__(self, entry: Entry) -> None:
        """Take in one entry; what the demo doesn't show is passed over."""
        match entry.record:
            case records.Published(key, candidate):
                self._tell(_published(key, candidate))
            case records.Chosen(key) as choice:
                copies = [copy.published_ms for copy in self._catalog.candidates(key)]
                first_ms = min(copies, default=choice.decided_ms)
                self._tell(_chosen(choice, max(choice.decided_ms - first_ms, 0)))
            case _:
                pass


def _published(key: SegmentKey, candidate: Candidate) -> Published:
    return Published(
        pipeline=candidate.pipeline_id,
        rendition=key.rendition_id,
        number=key.number,
        bytes=candidate.size_bytes,
        late_ms=None if key.number is None else candidate.received_ms - media.due_ms(key.number),
    )


def _chosen(choice: records.Chosen, decision_ms: int) -> Chosen:
    return Chosen(
        pipeline=choice.pipeline_id,
        rendition=choice.key.rendition_id,
        number=choice.key.number,
        rule=choice.rule.value,
        decision_ms=decision_ms,
        losses={pipeline_id: loss.value for pipeline_id, loss in choice.losses},
    )

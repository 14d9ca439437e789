"""What the origin records comes out as what the demo tells."""

from dataclasses import replace

from origin.demo import media
from origin.demo.journal import JournalReports
from origin.demo.reports import Chosen, Published, Report
from selection.model import Candidate, Choice, Loss, Mask, Moment, Rule, SegmentKey
from storage import records
from storage.catalog import MemoryCatalog
from storage.records import Entry, Record
from tests.origin.demo.samples import FIRST

KEY = SegmentKey(media.EVENT_ID, "v360", FIRST)
DUE_MS = media.due_ms(FIRST)
COPY_OF_B = Candidate("b", "0" * 32, 1_000, published_ms=DUE_MS - 790, sequence=1, received_ms=DUE_MS - 800)
COPY_OF_A = replace(COPY_OF_B, pipeline_id="a", published_ms=DUE_MS - 750, sequence=2, received_ms=DUE_MS - 760)


def _told(*entries: Record) -> list[Report]:
    told: list[Report] = []
    catalog = MemoryCatalog()
    follow = JournalReports(catalog, told.append)
    for sequence, record in enumerate(entries, start=1):
        moment = record.candidate.moment if isinstance(record, records.Published) else Moment(DUE_MS, sequence)
        entry = Entry(moment, record)
        catalog.apply(entry)
        follow(entry)
    return told


def test_a_copy_is_told_with_its_lateness() -> None:
    assert _told(records.Published(KEY, COPY_OF_B)) == [Published("b", "v360", FIRST, 1_000, late_ms=-800)]


def test_an_init_segment_is_never_late() -> None:
    assert _told(records.Published(KEY._replace(number=None), COPY_OF_B)) == [Published("b", "v360", None, 1_000, None)]


def test_a_choice_is_told_with_the_time_since_the_first_copy() -> None:
    choice = Choice(COPY_OF_A, Rule.FIRST_IN_ORDER, COPY_OF_A.published_ms, (("b", Loss.ORDER),))
    copies = [records.Published(KEY, COPY_OF_B), records.Published(KEY, COPY_OF_A)]
    *_, told = _told(*copies, records.Chosen.of(KEY, choice))
    assert told == Chosen("a", "v360", FIRST, "first-in-order", decision_ms=40, losses={"b": "order"})


def test_other_records_are_passed_over() -> None:
    assert _told(records.Masked(media.EVENT_ID, Mask("m", "a", FIRST))) == []

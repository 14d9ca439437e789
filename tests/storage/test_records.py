"""The text of records: what was written is what is read, today and by a later version."""

from typing import get_args

import pytest
from hypothesis import given

from selection.model import (
    Candidate,
    Choice,
    Defect,
    Facts,
    Kind,
    Loss,
    Mask,
    Moment,
    Rule,
    SegmentKey,
    TrackFacts,
)
from storage.records import (
    Chosen,
    Collected,
    Entry,
    Lost,
    Manifest,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Standing,
    Unmasked,
    Withdrawn,
    decode,
    encode,
)
from tests.storage.strategies import RECORDS_BY_TYPE, entries

MOMENT = Moment(22_000, 3)
KEY = SegmentKey("derby", "v720", 7)
INIT = KEY._replace(number=None)
DIGEST = "0123456789abcdef0123456789abcdef"
PLAIN = Candidate("a", DIGEST, 1_000, 22_000, 3, 21_990)
COPY = Candidate("a", DIGEST, 1_000, 22_000, 3, 21_990, (Defect("short", (("missing_ms", 120),)), Defect("slate")), 90)
TRACK = TrackFacts(1, Kind.VIDEO, "avc1.64001f", 90_000, 630, 640, 810, 180, 50, True)
READ = Candidate("a", DIGEST, 1_000, 22_000, 3, 21_990, facts=Facts((TRACK,), DIGEST, None))
CHOICE = Choice(COPY, Rule.GRACE_OVER, 22_500, (("b", Loss.ABSENT),))
MASK = Mask("m 1", "a", 7, None, "v720")

# A journal outlives the version that wrote it: these lines stay readable for ever.
LINES: list[tuple[str, Record, str]] = [
    (
        "published",
        Published(KEY, COPY),
        (
            f"published derby v720 7 a {DIGEST} 1000 "
            '{"received_ms":21990,"defects":[["short",["missing_ms",120]],["slate"]],"score":90}'
        ),
    ),
    ("published-init", Published(INIT, PLAIN), f'published derby v720 init a {DIGEST} 1000 {{"received_ms":21990}}'),
    (
        "published-with-facts",
        Published(KEY, READ),
        (
            f'published derby v720 7 a {DIGEST} 1000 {{"received_ms":21990,"facts":{{"tracks":'
            f'[[1,"video","avc1.64001f",90000,630,640,810,180,50,true]],"init_digest":"{DIGEST}"}}}}'
        ),
    ),
    (
        "chosen",
        Chosen.of(KEY, CHOICE),
        'chosen derby v720 7 a 3 {"rule":"grace-over","decided_ms":22500,"losses":[["b","absent"]]}',
    ),
    ("withdrawn", Withdrawn(KEY), "withdrawn derby v720 7"),
    ("lost", Lost(KEY, "a", 2), "lost derby v720 7 a 2"),
    (
        "masked",
        Masked("derby", MASK),
        'masked derby {"id":"m 1","pipeline_id":"a","first_number":7,"rendition_id":"v720"}',
    ),
    ("unmasked", Unmasked("derby", "m 1"), 'unmasked derby {"mask_id":"m 1"}'),
    (
        "manifest",
        ManifestPublished("derby", "hls/a master.m3u8", Manifest("a", DIGEST, 321, 22_000, 3)),
        f'manifest derby a {DIGEST} 321 {{"name":"hls/a master.m3u8"}}',
    ),
    ("collected-bucket", Collected("derby", 12), "collected derby 12"),
    ("collected-event", Collected("derby", None), "collected derby all"),
    (
        "standing",
        Standing(Masked("derby", MASK), Moment(9, 1)),
        'standing 1 9 masked derby {"id":"m 1","pipeline_id":"a","first_number":7,"rendition_id":"v720"}',
    ),
]
LINE_IDS = [case[0] for case in LINES]


@pytest.mark.parametrize(("record", "text"), [case[1:] for case in LINES], ids=LINE_IDS)
def test_a_record_is_written_in_the_form_that_later_versions_read(record: Record, text: str) -> None:
    line = f"3 22000 {text}"
    assert encode(MOMENT, record) == line
    assert decode(line).record == record
    assert decode(line).moment == MOMENT


def test_the_table_and_the_strategies_know_every_record_type() -> None:
    types = set(get_args(Record))
    assert {type(record) for _, record, _ in LINES} == types
    assert set(RECORDS_BY_TYPE) == types


@given(entries)
def test_what_was_written_is_what_is_read(entry: Entry) -> None:
    read = decode(entry.text)
    assert read == entry
    assert (read.moment, read.kind, read.number, read.sequence) == (
        entry.moment,
        entry.kind,
        entry.number,
        entry.sequence,
    )
    assert read.record == entry.record
    assert hash(read) == hash(entry)


@given(entries)
def test_a_record_is_one_line_of_ascii(entry: Entry) -> None:
    assert entry.text.isascii()
    assert entry.text.isprintable()


def test_a_text_is_not_read_before_somebody_asks() -> None:
    entry = decode("3 22000 withdrawn derby v720 7")
    assert [entry.is_read, entry.record == Withdrawn(KEY), entry.is_read] == [False, True, True]


def test_an_entry_shows_its_text() -> None:
    assert repr(Entry(MOMENT, Withdrawn(KEY))) == "Entry('3 22000 withdrawn derby v720 7')"
    assert Entry(MOMENT, Withdrawn(KEY)) != "3 22000 withdrawn derby v720 7"


def test_a_choice_is_whole_again_with_the_copy_it_speaks_of() -> None:
    assert Chosen.of(KEY, CHOICE).choice(COPY) == CHOICE


def test_the_type_of_a_defects_parameter_survives() -> None:
    parameters = (("a", True), ("b", 1), ("c", 1.5), ("d", "1"))
    copy = Candidate("a", DIGEST, 1, 2, 3, 4, (Defect("odd", parameters),))
    record = decode(encode(Moment(2, 3), Published(KEY, copy))).record
    assert isinstance(record, Published)
    read = record.candidate.defects[0].parameters
    assert [(name, type(value)) for name, value in read] == [("a", bool), ("b", int), ("c", float), ("d", str)]


@pytest.mark.parametrize("event_id", ["", "two words", "line\nfeed", "é"])
def test_what_would_break_the_line_is_a_programmers_error(event_id: str) -> None:
    with pytest.raises(AssertionError, match="is not one word"):
        encode(MOMENT, Withdrawn(KEY._replace(event_id=event_id)))


def test_a_copy_of_another_moment_than_its_records_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError, match="published when its record is written"):
        encode(Moment(22_001, 3), Published(KEY, COPY))
    with pytest.raises(AssertionError, match="published when its record is written"):
        encode(Moment(22_000, 4), ManifestPublished("derby", "live.mpd", Manifest("a", DIGEST, 1, 22_000, 3)))


NO_RECORDS = [
    "",
    "null",
    "3",
    "3 22000",
    "3 22000 notified derby",
    "3 22000 Withdrawn derby v720 7",
    "3 22000 withdrawn derby v720",
    "3 22000 withdrawn derby v720 seven",
    "x 22000 withdrawn derby v720 7",
    "3 22000 lost derby v720 7 a",
    "3 22000 lost derby v720 7 a x",
    f"3 22000 published derby v720 7 a {DIGEST} 1000",
    f"3 22000 published derby v720 7 a {DIGEST} much {{}}",
    '3 22000 chosen derby v720 7 a {"rule":"mask"}',
    '3 22000 chosen derby v720 7 a x {"rule":"mask","decided_ms":1}',
    "3 22000 masked derby",
    "3 22000 standing x 9 unmasked derby {}",
]


@pytest.mark.parametrize("text", NO_RECORDS)
def test_what_has_not_the_words_of_a_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


UNREADABLE = [
    ("not-json", f"published derby v720 7 a {DIGEST} 1000 {{"),
    ("no-object", f"published derby v720 7 a {DIGEST} 1000 []"),
    ("no-arrival", f"published derby v720 7 a {DIGEST} 1000 {{}}"),
    ("odd-defects", f'published derby v720 7 a {DIGEST} 1000 {{"received_ms":1,"defects":[7]}}'),
    ("odd-facts", f'published derby v720 7 a {DIGEST} 1000 {{"received_ms":1,"facts":{{}}}}'),
    ("unknown-kind", f'published derby v720 7 a {DIGEST} 1 {{"received_ms":1,"facts":{{"tracks":[[1,"smell"]]}}}}'),
    ("unknown-rule", 'chosen derby v720 7 a 3 {"rule":"lottery","decided_ms":1}'),
    ("unknown-loss", 'chosen derby v720 7 a 3 {"rule":"mask","decided_ms":1,"losses":[["b","bored"]]}'),
    ("no-decision", 'chosen derby v720 7 a 3 {"rule":"mask"}'),
    ("mask-without-id", 'masked derby {"pipeline_id":"a"}'),
    ("nameless-manifest", f"manifest derby a {DIGEST} 321 {{}}"),
    ("standing-withdrawal", "standing 1 9 withdrawn derby v720 7"),
    ("standing-nothing", "standing 1 9 nothing derby v720 7"),
    ("collected-word", "collected derby some"),
]


@pytest.mark.parametrize("text", [case[1] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
def test_a_record_that_cannot_be_read_says_so_when_it_is_asked_for(text: str) -> None:
    entry = decode(f"3 22000 {text}")
    with pytest.raises(ValueError, match=r".+"):
        _ = entry.record


def test_what_a_later_version_adds_is_passed_over() -> None:
    text = f'3 22000 published derby v720 7 a {DIGEST} 1000 {{"received_ms":21990,"colour":"blue"}}'
    assert decode(text).record == Published(KEY, PLAIN)

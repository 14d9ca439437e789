"""The JSON form of records: what was written is what is read, today and by a later version."""

import json
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Entry,
    Manifest,
    ManifestPublished,
    Masked,
    Published,
    Record,
    Unmasked,
    Withdrawn,
    decode,
    encode,
)
from tests.storage.strategies import RECORDS_BY_TYPE, entries

KEY = SegmentKey("derby", "v720", 7)
DIGEST = "0123456789abcdef0123456789abcdef"
INIT_DIGEST = "fedcba9876543210fedcba9876543210"
COPY = Candidate("a", DIGEST, 1_000, 22_000, 3, 21_990, (Defect("short", (("missing_ms", 120),)), Defect("slate")), 90)
COPY_JSON = (
    f'{{"pipeline_id":"a","digest":"{DIGEST}","size_bytes":1000,"published_ms":22000,"sequence":3,'
    '"received_ms":21990,"defects":[{"name":"short","parameters":[["missing_ms",120]]},'
    '{"name":"slate","parameters":[]}],"score":90,"facts":null}'
)
SEGMENT_FACTS = Facts(
    (
        TrackFacts(1, Kind.VIDEO, "avc1.64001f", 12_800, 172_032, 173_056, 196_608, 24_576, 48, True),
        TrackFacts(2, Kind.AUDIO, "mp4a.40.2", 48_000, 644_096, 644_096, 736_256, 92_160, 90, False),
    ),
    INIT_DIGEST,
)
SEGMENT_FACTS_JSON = (
    '{"tracks":[[1,"video","avc1.64001f",12800,172032,173056,196608,24576,48,true],'
    '[2,"audio","mp4a.40.2",48000,644096,644096,736256,92160,90,false]],'
    f'"init_digest":"{INIT_DIGEST}","generation":null}}'
)
INIT_FACTS = Facts((TrackFacts(1, Kind.TEXT, "wvtt", 1_000),), DIGEST, INIT_DIGEST)
INIT_FACTS_JSON = (
    f'{{"tracks":[[1,"text","wvtt",1000,0,0,0,0,0,false]],"init_digest":"{DIGEST}","generation":"{INIT_DIGEST}"}}'
)


def with_facts(facts_json: str) -> str:
    return COPY_JSON.replace('"facts":null', f'"facts":{facts_json}')


CHOICE = Choice(COPY, Rule.GRACE_OVER, 22_500, (("b", Loss.ABSENT),))

# A journal outlives the version that wrote it: these lines stay readable for ever.
LINES: list[tuple[str, Record, str]] = [
    ("published", Published(KEY, COPY), f'"type":"published","key":["derby","v720",7],"candidate":{COPY_JSON}'),
    (
        "published-with-facts",
        Published(KEY, replace(COPY, facts=SEGMENT_FACTS)),
        f'"type":"published","key":["derby","v720",7],"candidate":{with_facts(SEGMENT_FACTS_JSON)}',
    ),
    (
        "published-init",
        Published(KEY._replace(number=None), replace(COPY, facts=INIT_FACTS)),
        f'"type":"published","key":["derby","v720",null],"candidate":{with_facts(INIT_FACTS_JSON)}',
    ),
    (
        "chosen",
        Chosen(KEY, CHOICE),
        (
            f'"type":"chosen","key":["derby","v720",7],"choice":{{"candidate":{COPY_JSON},"rule":"grace-over",'
            '"decided_ms":22500,"losses":[["b","absent"]]}'
        ),
    ),
    ("withdrawn", Withdrawn(KEY), '"type":"withdrawn","key":["derby","v720",7]'),
    (
        "masked",
        Masked("derby", Mask("m1", "a", 7, None, "v720")),
        (
            '"type":"masked","event_id":"derby","mask":{"id":"m1","pipeline_id":"a","first_number":7,'
            '"last_number":null,"rendition_id":"v720"}'
        ),
    ),
    ("unmasked", Unmasked("derby", "m1"), '"type":"unmasked","event_id":"derby","mask_id":"m1"'),
    (
        "manifest",
        ManifestPublished("derby", "hls/master.m3u8", Manifest("a", DIGEST, 321, 22_000, 3)),
        (
            '"type":"manifest","event_id":"derby","name":"hls/master.m3u8","manifest":{"pipeline_id":"a",'
            f'"digest":"{DIGEST}","size_bytes":321,"published_ms":22000,"sequence":3}}'
        ),
    ),
]
LINE_IDS = [case[0] for case in LINES]


@pytest.mark.parametrize(("record", "members"), [case[1:] for case in LINES], ids=LINE_IDS)
def test_a_record_is_written_in_the_form_that_later_versions_read(record: Record, members: str) -> None:
    line = f'{{"sequence":3,"at_ms":22000,{members}}}'.encode()
    assert encode(Entry(Moment(22_000, 3), record)) == line
    assert decode(line) == Entry(Moment(22_000, 3), record)


FIRST_VERSION = [case for case in LINES if '"facts":null' in case[2]]


@pytest.mark.parametrize(
    ("record", "members"), [case[1:] for case in FIRST_VERSION], ids=[case[0] for case in FIRST_VERSION]
)
def test_a_record_of_the_first_version_which_knew_no_facts_is_read(record: Record, members: str) -> None:
    before = members.replace(',"facts":null', "")
    assert before != members
    assert decode(f'{{"sequence":3,"at_ms":22000,{before}}}'.encode()) == Entry(Moment(22_000, 3), record)


def test_the_table_and_the_strategies_know_every_record_type() -> None:
    types = set(get_args(Record))
    assert {type(record) for _, record, _ in LINES} == types
    assert set(RECORDS_BY_TYPE) == types


@given(entries)
def test_what_was_written_is_what_is_read(entry: Entry) -> None:
    assert decode(encode(entry)) == entry


@given(entries)
def test_a_record_is_one_line_of_ascii(entry: Entry) -> None:
    line = encode(entry)
    assert line.isascii()
    assert b"\n" not in line
    assert b"\r" not in line


def test_the_type_of_a_defects_parameter_survives() -> None:
    parameters = (("a", True), ("b", 1), ("c", 1.5), ("d", "1"))
    copy = Candidate("a", DIGEST, 1, 2, 3, 4, (Defect("odd", parameters),))
    record = decode(encode(Entry(Moment(2, 3), Published(KEY, copy)))).record
    assert isinstance(record, Published)
    read = record.candidate.defects[0].parameters
    assert [(name, type(value)) for name, value in read] == [("a", bool), ("b", int), ("c", float), ("d", str)]


@given(entries, st.data())
def test_a_line_that_was_cut_is_no_record(entry: Entry, data: st.DataObject) -> None:
    line = encode(entry)
    length = data.draw(st.integers(0, len(line) - 1))
    with pytest.raises(ValueError, match=r".+"):
        decode(line[:length])


GOOD_CHOICE = replace(CHOICE, candidate=replace(COPY, facts=SEGMENT_FACTS))
GOOD = json.loads(encode(Entry(Moment(22_000, 3), Chosen(KEY, GOOD_CHOICE))))
WITHOUT = object()
DAMAGE = [
    ("no-sequence", ("sequence",), WITHOUT),
    ("no-moment", ("at_ms",), WITHOUT),
    ("no-type", ("type",), WITHOUT),
    ("unknown-type", ("type",), "notified"),
    ("type-that-is-no-word", ("type",), ["chosen"]),
    ("no-key", ("key",), WITHOUT),
    ("key-too-short", ("key",), ["derby", "v720"]),
    ("key-too-long", ("key",), ["derby", "v720", 7, 8]),
    ("key-that-is-no-list", ("key",), 7),
    ("no-choice", ("choice",), WITHOUT),
    ("choice-that-is-a-list", ("choice",), [1]),
    ("unknown-rule", ("choice", "rule"), "lottery"),
    ("unknown-loss", ("choice", "losses"), [["b", "bored"]]),
    ("loss-without-a-reason", ("choice", "losses"), [["b"]]),
    ("candidate-without-digest", ("choice", "candidate", "digest"), WITHOUT),
    ("candidate-of-a-later-version", ("choice", "candidate", "colour"), "blue"),
    ("defect-without-name", ("choice", "candidate", "defects"), [{"parameters": []}]),
    ("defect-that-is-a-word", ("choice", "candidate", "defects"), ["short"]),
    ("no-defects", ("choice", "candidate", "defects"), None),
    ("facts-that-are-a-word", ("choice", "candidate", "facts"), "none"),
    ("facts-without-tracks", ("choice", "candidate", "facts", "tracks"), WITHOUT),
    ("facts-without-an-init", ("choice", "candidate", "facts", "init_digest"), WITHOUT),
    ("facts-without-a-generation", ("choice", "candidate", "facts", "generation"), WITHOUT),
    ("track-without-a-kind", ("choice", "candidate", "facts", "tracks"), [[1]]),
    ("track-of-an-unknown-kind", ("choice", "candidate", "facts", "tracks"), [[1, "smell", "", 0]]),
    ("track-of-a-later-version", ("choice", "candidate", "facts", "tracks"), [[1, "video", *range(9)]]),
]


@pytest.mark.parametrize(("place", "value"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_a_record_that_lacks_something_is_refused(place: tuple[str, ...], value: object) -> None:
    fields = json.loads(json.dumps(GOOD))
    section = fields
    for part in place[:-1]:
        section = section[part]
    if value is WITHOUT:
        del section[place[-1]]
    else:
        section[place[-1]] = value
    with pytest.raises(ValueError, match=r".+"):
        decode(json.dumps(fields).encode())


@pytest.mark.parametrize("line", [b"", b"null", b"7", b"[]", b'"published"', b"{}", b"\xff\xfe", b"not json"])
def test_what_is_no_record_at_all_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(line)

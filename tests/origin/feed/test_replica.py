"""What is folded of a feed, and how it is found out that something is missing."""

import zlib

import pytest

from origin.feed.following import FollowingCatalog
from origin.feed.replica import Replica
from origin.feed.wire import FeedFault, Heartbeat, Hello, SnapshotEnd, encode_records
from selection.model import Moment
from storage.catalog import MemoryCatalog
from storage.records import Published, Withdrawn, encode
from tests.storage.strategies import recorded_at
from tests.support.events import candidate, make_key


def text(sequence: int) -> str:
    moment = Moment(1_000, sequence)
    return encode(moment, recorded_at(Published(make_key(sequence), candidate("a")), moment))


PARTS = [encode_records([text(1), text(2)]), encode_records([text(5)])]
END = SnapshotEnd(7, zlib.crc32(PARTS[1], zlib.crc32(PARTS[0])))


def begun() -> tuple[Replica, FollowingCatalog]:
    catalog = FollowingCatalog(MemoryCatalog())
    replica = Replica(catalog, MemoryCatalog)
    replica.begin(Hello("g", 7))
    return replica, catalog


def complete() -> tuple[Replica, FollowingCatalog]:
    replica, catalog = begun()
    for part in PARTS:
        replica.take_snapshot(part)
    replica.end_snapshot(END)
    return replica, catalog


def test_a_snapshot_takes_over_when_all_of_it_is_there() -> None:
    replica, catalog = begun()
    former = catalog.current
    for part in PARTS:
        replica.take_snapshot(part)
        assert catalog.current is former
    assert replica.end_snapshot(END) is former
    assert (replica.is_complete, replica.sequence) == (True, 7)
    assert [bool(catalog.candidates(make_key(number))) for number in (1, 2, 3, 5)] == [True, True, False, True]


@pytest.mark.parametrize(
    ("parts", "end"),
    [
        (PARTS[:1], END),
        (PARTS[1:], END),
        (PARTS[::-1], END),
        ([*PARTS, PARTS[1]], END),
        (PARTS, SnapshotEnd(8, END.checksum)),
    ],
    ids=["last-part-missing", "first-part-missing", "swapped", "repeated", "of-another-place"],
)
def test_a_snapshot_with_parts_missing_does_not_take_over(parts: list[bytes], end: SnapshotEnd) -> None:
    replica, catalog = begun()
    former = catalog.current
    for part in parts:
        replica.take_snapshot(part)
    with pytest.raises(FeedFault, match="missing"):
        replica.end_snapshot(end)
    assert catalog.current is former
    assert not replica.is_complete


def test_records_are_folded_one_by_one() -> None:
    replica, catalog = complete()
    entries = replica.take_entries(encode_records([text(8), text(9)]))
    known = [(entry.sequence, len(catalog.candidates(make_key(9)))) for entry in entries]
    assert known == [(8, 0), (9, 1)]
    assert replica.sequence == 9
    replica.check(Heartbeat(9, 0))


@pytest.mark.parametrize("sequence", [6, 7, 9], ids=["again", "the-last-one-again", "one-is-missing"])
def test_a_record_that_is_not_the_next_one_is_a_fault_and_not_folded(sequence: int) -> None:
    replica, catalog = complete()
    with pytest.raises(FeedFault, match=f"record {sequence} after 7"):
        list(replica.take_entries(encode_records([text(sequence)])))
    assert catalog.candidates(make_key(sequence)) == ()
    assert replica.sequence == 7


@pytest.mark.parametrize("sequence", [6, 8])
def test_a_heartbeat_that_knows_of_other_records_is_a_fault(sequence: int) -> None:
    replica, _ = complete()
    with pytest.raises(FeedFault, match=f"record {sequence} was not told, 7 was the last"):
        replica.check(Heartbeat(sequence, 0))


@pytest.mark.parametrize("payload", [b"", b"x", b"8 1000 unheard-of derby", b"8 1000 masked derby {}"])
def test_what_cannot_be_folded_is_a_fault(payload: bytes) -> None:
    replica, _ = complete()
    with pytest.raises(FeedFault):
        list(replica.take_entries(payload))
    replica, _ = begun()
    with pytest.raises(FeedFault):
        replica.take_snapshot(payload)


def test_each_thing_has_its_moment() -> None:
    entries = encode_records([encode(Moment(1_000, 8), Withdrawn(make_key(1)))])
    replica, _ = begun()
    with pytest.raises(FeedFault, match="before the snapshot"):
        list(replica.take_entries(entries))
    with pytest.raises(FeedFault, match="second"):
        replica.begin(Hello("g", 7))
    with pytest.raises(FeedFault, match="was not told"):
        replica.check(Heartbeat(7, 0))
    fresh = Replica(FollowingCatalog(MemoryCatalog()), MemoryCatalog)
    for replica in (fresh, complete()[0]):
        with pytest.raises(FeedFault, match="wrong moment"):
            replica.take_snapshot(PARTS[0])
        with pytest.raises(FeedFault, match="wrong moment"):
            replica.end_snapshot(END)

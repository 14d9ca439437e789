"""What is told of shared memory, and what a deliver process makes of it."""

import json
import os

import pytest

from origin.feed.hooks import MemoryNews
from origin.feed.wire import FrameType
from origin.memory_news import PLACES_AT_ONCE, MemoryFollower, all_news, news_of
from storage.arenas import Announcement, ArenaGone, ArenaMade, BodyPlaced
from storage.base import BodyKey
from storage.shared_ram import SharedRam
from storage.shared_ram_reader import SharedRamReader
from tests.support.shared_memory import descriptors_count

MIB = 1024**2
KEY = BodyKey("derby/0/v720~7~a~d1gest")


def key_of(number: int) -> BodyKey:
    return BodyKey(f"derby/0/v720~{number}~a~d1gest")


def body_of(number: int) -> bytes:
    return f"body {number}".encode() * 10


def hear(follower: MemoryFollower, news: MemoryNews) -> None:
    """Take news in as the feed hands them over, with a descriptor of its own."""
    match news.kind:
        case FrameType.ARENA:
            assert news.descriptor is not None
            follower.on_arena(news.payload, os.dup(news.descriptor))
        case FrameType.PLACED:
            follower.on_placed(news.payload)
        case FrameType.GONE:
            follower.on_gone(news.payload)


class Pair:
    """A tier that announces, and one that hears of it."""

    def __init__(self, capacity_bytes: int = 32 * MIB) -> None:
        self.reader = SharedRamReader(capacity_bytes)
        self.follower = MemoryFollower(self.reader)
        self.told: list[MemoryNews] = []
        self.ram = SharedRam(capacity_bytes, lambda key: None, self._tell)

    def _tell(self, announcement: Announcement) -> None:
        self.told.append(news_of(announcement))
        hear(self.follower, self.told[-1])


@pytest.fixture
def pair() -> Pair:
    return Pair()


TOLD = [
    (ArenaMade("g-1", 4096, 7), MemoryNews(FrameType.ARENA, b'["g-1",4096]', 7)),
    (
        BodyPlaced(KEY, "g-1", 16, 5),
        MemoryNews(FrameType.PLACED, b'[["derby/0/v720~7~a~d1gest","g-1",16,5]]'),
    ),
    (ArenaGone("g-1"), MemoryNews(FrameType.GONE, b'"g-1"')),
]


@pytest.mark.parametrize(("announcement", "news"), TOLD, ids=["made", "placed", "gone"])
def test_an_announcement_is_sent_as_json(announcement: Announcement, news: MemoryNews) -> None:
    assert news_of(announcement) == news


def test_what_is_put_can_be_read_on_the_other_side(pair: Pair) -> None:
    pair.ram.put(KEY, b"the whole segment")
    assert [news.kind for news in pair.told] == [FrameType.ARENA, FrameType.PLACED]
    view = pair.reader.get(KEY)
    assert view is not None and bytes(view) == b"the whole segment"


def test_an_arena_that_is_gone_is_forgotten(pair: Pair) -> None:
    pair.ram.put(KEY, b"the whole segment")
    (arena,) = pair.ram.arenas()
    hear(pair.follower, news_of(ArenaGone(arena.id)))
    assert (pair.reader.get(KEY), pair.reader.arena_ids()) == (None, [])


def test_who_comes_later_is_told_everything_in_frames_of_bounded_size(pair: Pair) -> None:
    count = PLACES_AT_ONCE * 2 + 1
    for number in range(count):
        pair.ram.put(key_of(number), body_of(number))
    news = list(all_news(pair.ram))
    assert [each.kind for each in news] == [FrameType.ARENA] + [FrameType.PLACED] * 3
    assert [len(json.loads(each.payload)) for each in news[1:]] == [PLACES_AT_ONCE, PLACES_AT_ONCE, 1]
    late = SharedRamReader(32 * MIB)
    follower = MemoryFollower(late)
    for each in news:
        hear(follower, each)
    assert [bytes(late.get(key_of(number)) or b"") for number in range(count)] == [
        body_of(number) for number in range(count)
    ]


def test_of_an_empty_tier_nothing_is_told(pair: Pair) -> None:
    assert list(all_news(pair.ram)) == []


# -- What cannot be


def test_memory_that_could_be_cut_is_logged_and_not_mapped(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    before = descriptors_count()
    unsealed = os.memfd_create("unsealed")
    os.ftruncate(unsealed, 4096)
    pair.follower.on_arena(b'["g-1",4096]', unsealed)
    assert pair.reader.arena_ids() == []
    assert [record.getMessage() for record in caplog.records] == ["shared memory not mapped"]
    assert descriptors_count() == before


def test_a_place_beyond_its_arena_is_logged_and_the_others_of_the_frame_are_taken(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.ram.put(KEY, b"the whole segment")
    (arena,) = pair.ram.arenas()
    places = [[key_of(8), arena.id, arena.size_bytes, 1], [key_of(9), arena.id, 4, 5]]
    pair.follower.on_placed(json.dumps(places).encode())
    assert [record.getMessage() for record in caplog.records] == ["shared body not taken"]
    view = pair.reader.get(key_of(9))
    assert view is not None and bytes(view) == b"whole"
    assert key_of(8) not in pair.reader


@pytest.mark.parametrize("payload", [b"{", b"[1", b'["g-1"]', b"[1,2,3]"])
def test_an_arena_told_of_in_no_known_way_is_a_fault_and_its_descriptor_is_closed(pair: Pair, payload: bytes) -> None:
    descriptor = os.memfd_create("unread")
    with pytest.raises(ValueError):  # noqa: PT011  # json's and unpacking's
        pair.follower.on_arena(payload, descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)

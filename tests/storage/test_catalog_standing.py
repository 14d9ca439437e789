"""What is said again before files are dropped stands in for them: whatever goes, the catalog stays the same."""

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from selection.model import Choice, Mask, Moment, Rule, SegmentKey
from storage.base import bucket_of
from storage.catalog import MemoryCatalog
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
    Unmasked,
    Withdrawn,
    decode,
)
from tests.storage.strategies import recorded_at
from tests.support.events import candidate, make_key

KEYS = [make_key(None), make_key(None, "a128"), make_key(1), make_key(40)]
KINDS = [
    "publish",
    "publish",
    "publish",
    "choose",
    "choose",
    "withdraw",
    "lose",
    "mask",
    "unmask",
    "manifest",
    "collect",
]
# What happens, to which segment, by which pipeline, and which of the copies or buckets there are is meant.
steps_drawn = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(KEYS[:1] * 3 + KEYS), st.sampled_from("ab"), st.integers(0, 3)),
    max_size=25,
)


class History:
    """A live catalog and all that it was told."""

    def __init__(self) -> None:
        self.catalog = MemoryCatalog()
        self.entries: list[Entry] = []

    def tell(self, record: Record) -> None:
        moment = Moment(1_000, len(self.entries) + 1)
        self.entries.append(Entry(moment, recorded_at(record, moment)))
        self.catalog.apply(self.entries[-1])

    def take(self, kind: str, key: SegmentKey, pipeline_id: str, place: int) -> None:
        """Let one thing happen, if it can."""
        choice = self.catalog.choice(key)
        copies = [*self.catalog.candidates(key), *(() if choice is None else [choice.candidate])]
        copy = copies[place % len(copies)] if copies else None
        match kind:
            case "publish":
                self.tell(Published(key, candidate(pipeline_id, digest=f"{len(self.entries):032x}")))
            case "choose" if copy is not None:
                self.tell(Chosen.of(key, Choice(copy, Rule.UPGRADE, 1_000)))
            case "withdraw" if choice is not None:
                self.tell(Withdrawn(key))
            case "lose" if copy is not None:
                self.tell(Lost(key, copy.pipeline_id, copy.sequence))
            case "mask":
                self.tell(Masked("derby", Mask(f"m{place}", pipeline_id, len(self.entries))))
            case "unmask":
                self.tell(Unmasked("derby", f"m{place}"))
            case "manifest":
                manifest = Manifest(pipeline_id, f"{len(self.entries):032x}", 9, 0, 0)
                self.tell(ManifestPublished("derby", "live.mpd", manifest))
            case "collect":
                self.tell(Collected("derby", place % 2 if place else None))

    def say_what_stands(self) -> None:
        for standing in list(self.catalog.standing()):
            self.tell(standing)

    def needed_from(self) -> int:
        """Return how many of the oldest entries speak of no segment that is not collected."""
        for index, entry in enumerate(self.entries):
            if entry.number is not None and not any(
                later.kind == "collected" and later.words[4] in ("all", str(bucket_of(entry.number)))
                for later in self.entries[index:]
            ):
                return index
        return len(self.entries)


def state(catalog: MemoryCatalog) -> dict[str, object]:
    manifests = catalog.manifests("derby", "live.mpd")
    return {
        "copies": [list(catalog.candidates(key)) for key in KEYS],
        "choices": [catalog.choice(key) for key in KEYS],
        "lost": [catalog.has_lost_choice(key) for key in KEYS],
        "masks": list(catalog.masks("derby")),
        "manifests": {copy.pipeline_id: copy for copy in manifests},
        "bodies": [catalog.expected_bodies("derby", bucket) for bucket in (None, 0, 1)],
        "undecided": set(catalog.undecided()),
        "used": catalog.used_bytes,
        "standing": list(catalog.standing()),
    }


INIT = KEYS[0]
RE_SENT = [("publish", INIT, "a", 0), ("choose", INIT, "a", 0), ("publish", INIT, "a", 0)]


@example(before=[], between=RE_SENT, after=[])
@example(before=[], between=[*RE_SENT, ("lose", INIT, "a", 0)], after=[])
@example(before=[], between=[*RE_SENT, ("choose", INIT, "a", 1)], after=[])
@example(before=RE_SENT, between=[("publish", INIT, "b", 0)], after=[("mask", INIT, "a", 0)])
@given(steps_drawn, steps_drawn, steps_drawn)
def test_whatever_oldest_records_go_the_rest_says_the_same(
    before: Sequence[tuple[str, SegmentKey, str, int]],
    between: Sequence[tuple[str, SegmentKey, str, int]],
    after: Sequence[tuple[str, SegmentKey, str, int]],
) -> None:
    """Also when records that stood once are among those that stay."""
    history = History()
    for step in before:
        history.take(*step)
    history.say_what_stands()
    for step in between:
        history.take(*step)
    places_count = min(history.needed_from(), len(history.entries))
    history.say_what_stands()
    for step in after:
        history.take(*step)
    live = state(history.catalog)
    for dropped_count in range(places_count + 1):
        catalog = MemoryCatalog()
        for entry in history.entries[dropped_count:]:
            catalog.apply(decode(entry.text))
        assert state(catalog) == live

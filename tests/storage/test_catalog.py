"""The catalog is the journal folded into memory: equal entries, equal state, after any prefix."""

from dataclasses import replace

from selection.model import Candidate, Choice, Defect, Mask, Moment, Rule, SegmentKey
from storage.base import BucketUse, body_key
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
    Standing,
    Unmasked,
    Withdrawn,
    decode,
)
from tests.storage.strategies import recorded_at
from tests.support.events import candidate, make_key

KEY = make_key(10)
INIT = make_key(None)


def moment_of(record: Record, sequence: int) -> Moment:
    """Return when a record was written: a copy knows it, for other records a number does."""
    return record.candidate.moment if isinstance(record, Published) else Moment(1_000, sequence)


def fold(*records: Record) -> MemoryCatalog:
    catalog = MemoryCatalog()
    for sequence, record in enumerate(records, start=100):
        moment = moment_of(record, sequence)
        catalog.apply(Entry(moment, recorded_at(record, moment)))
    return catalog


def choose(copy: Candidate, key: SegmentKey = KEY) -> Chosen:
    return Chosen.of(key, choice_of(copy))


def choice_of(copy: Candidate) -> Choice:
    return Choice(copy, Rule.FIRST_IN_ORDER, copy.published_ms)


def manifest(pipeline_id: str, published_ms: int = 0) -> Manifest:
    return Manifest(pipeline_id, candidate(pipeline_id).digest, published_ms, 0, 0)


A, B = candidate("a", 1_000, sequence=1), candidate("b", 2_000, sequence=2)
A_AGAIN = candidate("a", 3_000, sequence=3, digest="f" * 32, size_bytes=50)
MASK, WIDER_MASK, OTHER_MASK = Mask("m1", "a", 1, 5), Mask("m1", "a", 1, 9), Mask("m2", "b", 1)


def test_nothing_is_known_of_what_was_never_recorded() -> None:
    catalog = fold()
    assert list(catalog.candidates(KEY)) == []
    assert catalog.choice(KEY) is None
    assert list(catalog.masks("derby")) == []
    assert list(catalog.manifests("derby", "live.mpd")) == []
    assert list(catalog.undecided()) == []


def test_the_copies_of_a_segment_stand_in_the_order_of_publication() -> None:
    assert list(fold(Published(KEY, A), Published(KEY, B)).candidates(KEY)) == [A, B]
    assert list(fold(Published(KEY, B), Published(KEY, A)).candidates(KEY)) == [B, A]


def test_a_pipelines_new_copy_takes_the_place_of_its_former_one() -> None:
    catalog = fold(Published(KEY, A), Published(KEY, B), Published(KEY, A_AGAIN))
    assert list(catalog.candidates(KEY)) == [B, A_AGAIN]


def test_segments_init_segments_renditions_and_events_are_kept_apart() -> None:
    others = [INIT, make_key(11), make_key(10, "a128"), make_key(10, event_id="oaks")]
    catalog = fold(Published(KEY, A))
    assert [list(catalog.candidates(other)) for other in others] == [[], [], [], []]


def test_the_last_choice_is_in_force() -> None:
    assert fold(Published(KEY, A), choose(A)).choice(KEY) == choice_of(A)
    assert fold(Published(KEY, A), Published(KEY, B), choose(A), choose(B)).choice(KEY) == choice_of(B)


def test_a_choice_that_was_taken_back_is_gone_and_can_be_made_again() -> None:
    assert fold(Published(KEY, A), choose(A), Withdrawn(KEY)).choice(KEY) is None
    assert fold(Published(KEY, A), choose(A), Withdrawn(KEY), choose(A)).choice(KEY) == choice_of(A)
    assert fold(Withdrawn(KEY)).choice(KEY) is None
    assert list(fold(Withdrawn(KEY)).event_ids()) == []


def test_a_choice_stays_when_another_copy_comes() -> None:
    assert fold(Published(KEY, A), choose(A), Published(KEY, B)).choice(KEY) == choice_of(A)


def test_masks_stand_in_the_order_in_which_they_were_set() -> None:
    assert list(fold(Masked("derby", MASK), Masked("derby", OTHER_MASK)).masks("derby")) == [MASK, OTHER_MASK]


def test_a_mask_that_is_set_again_takes_the_place_of_the_former_one() -> None:
    catalog = fold(Masked("derby", MASK), Masked("derby", OTHER_MASK), Masked("derby", WIDER_MASK))
    assert list(catalog.masks("derby")) == [OTHER_MASK, WIDER_MASK]


def test_a_mask_that_was_lifted_is_gone() -> None:
    assert list(fold(Masked("derby", MASK), Masked("derby", OTHER_MASK), Unmasked("derby", "m1")).masks("derby")) == [
        OTHER_MASK
    ]
    assert list(fold(Unmasked("derby", "m1")).masks("derby")) == []


def test_masks_of_one_event_are_not_those_of_another() -> None:
    catalog = fold(Masked("derby", MASK), Masked("oaks", OTHER_MASK), Unmasked("oaks", "m1"))
    assert list(catalog.masks("derby")) == [MASK]
    assert list(catalog.masks("oaks")) == [OTHER_MASK]


def test_each_pipelines_newest_copy_of_a_manifest_is_kept() -> None:
    catalog = fold(
        ManifestPublished("derby", "live.mpd", manifest("a", 1_000)),
        ManifestPublished("derby", "live.mpd", manifest("b", 2_000)),
        ManifestPublished("derby", "live.mpd", manifest("a", 3_000)),
        ManifestPublished("derby", "live.m3u8", manifest("a", 4_000)),
        ManifestPublished("oaks", "live.mpd", manifest("a", 5_000)),
    )
    copies = {copy.pipeline_id: copy.size_bytes for copy in catalog.manifests("derby", "live.mpd")}
    assert copies == {"a": 3_000, "b": 2_000}


def test_a_segment_with_copies_and_no_choice_is_undecided() -> None:
    assert list(fold(Published(KEY, A)).undecided()) == [KEY]
    assert list(fold(Published(KEY, A), choose(A), Withdrawn(KEY)).undecided()) == [KEY]


def test_a_segment_whose_choice_knew_every_copy_is_decided() -> None:
    assert list(fold(Published(KEY, A), choose(A)).undecided()) == []


def test_a_segment_is_undecided_again_when_a_copy_came_after_its_choice() -> None:
    """A kill between the record of a better copy and that of the choice it makes must not cost the upgrade."""
    flawed = replace(A, defects=(Defect("slate"),))
    later = candidate("b", 2_000, sequence=200)
    assert list(fold(Published(KEY, flawed), choose(flawed), Published(KEY, later)).undecided()) == [KEY]
    assert list(fold(Published(INIT, A), choose(A, INIT), Published(INIT, later)).undecided()) == [INIT]
    renewed = candidate("a", 2_000, sequence=200, digest="f" * 32)
    assert list(fold(Published(KEY, A), choose(A), Published(KEY, renewed)).undecided()) == [KEY]


def test_a_copy_after_a_choice_that_nothing_is_wrong_with_leaves_it_decided() -> None:
    """With two pipelines one comes after nearly every choice; a restart must not ask for all of them again."""
    catalog = fold(Published(KEY, A), choose(A), Published(KEY, candidate("b", 2_000, sequence=200)))
    assert list(catalog.undecided()) == []


def test_a_copy_that_was_replaced_stays_for_as_long_as_it_is_chosen() -> None:
    catalog = fold(Published(KEY, A), choose(A), Published(KEY, A_AGAIN))
    assert catalog.choice(KEY) == choice_of(A)
    assert list(catalog.candidates(KEY)) == [A_AGAIN]
    assert catalog.used_bytes == A.size_bytes + A_AGAIN.size_bytes
    assert len(catalog.expected_bodies("derby", 0)) == 2
    for over in (choose(A_AGAIN), Withdrawn(KEY)):
        catalog = fold(Published(KEY, A), choose(A), Published(KEY, A_AGAIN), over)
        assert catalog.used_bytes == A_AGAIN.size_bytes
        assert catalog.expected_bodies("derby", 0) == {body_key(KEY, "a", A_AGAIN.digest)}


def test_a_replaced_copy_that_is_said_to_stand_without_its_choice_is_let_go_once() -> None:
    """The record of the choice was damaged; sums stay right whatever takes the copy away."""
    standing = Standing(Published(INIT, A), A.moment)
    for after in (Lost(INIT, "a", A.sequence), Withdrawn(INIT), choose(A_AGAIN, INIT)):
        catalog = fold(Published(INIT, A_AGAIN), standing)
        assert catalog.used_bytes == A.size_bytes + A_AGAIN.size_bytes
        catalog = fold(Published(INIT, A_AGAIN), standing, after, Lost(INIT, "a", A.sequence))
        assert list(catalog.candidates(INIT)) == [A_AGAIN]
        assert catalog.used_bytes == A_AGAIN.size_bytes


def test_a_choice_of_a_copy_nobody_knows_is_one_that_was_lost() -> None:
    """Its record was in a part of the journal that is damaged."""
    catalog = fold(Published(KEY, A), choose(A), choose(B))
    assert catalog.choice(KEY) is None
    assert catalog.has_lost_choice(KEY)
    assert list(catalog.undecided()) == [KEY]


def test_a_copy_whose_body_is_lost_is_forgotten() -> None:
    catalog = fold(Published(KEY, A), Published(KEY, B), choose(A), Lost(KEY, "b", B.sequence))
    assert list(catalog.candidates(KEY)) == [A]
    assert catalog.choice(KEY) == choice_of(A)
    assert not catalog.has_lost_choice(KEY)
    assert catalog.used_bytes == A.size_bytes


def test_a_choice_is_lost_with_its_copy_until_something_is_published_or_chosen() -> None:
    records: list[Record] = [Published(KEY, A), Published(KEY, B), choose(A), Lost(KEY, "a", A.sequence)]
    catalog = fold(*records)
    assert catalog.choice(KEY) is None
    assert catalog.has_lost_choice(KEY)
    assert list(catalog.undecided()) == [KEY]
    for after in (choose(B), Published(KEY, A_AGAIN), Collected("derby", 0)):
        assert not fold(*records, after).has_lost_choice(KEY)


def test_what_was_lost_and_replaced_since_is_not_lost_again() -> None:
    catalog = fold(Published(KEY, A), Published(KEY, A_AGAIN), Lost(KEY, "a", A.sequence), Lost(INIT, "a", 7))
    assert list(catalog.candidates(KEY)) == [A_AGAIN]


def test_what_was_collected_is_gone_and_the_rest_stays() -> None:
    elsewhere = make_key(40)
    other = candidate("a", 4_000, sequence=4)
    init = candidate("a", 5_000, sequence=5)
    records: list[Record] = [Published(KEY, A), choose(A), Published(elsewhere, other), Published(INIT, init)]
    records.append(Masked("derby", MASK))
    catalog = fold(*records, Collected("derby", 0), Collected("derby", 7), Collected("oaks", None))
    assert list(catalog.candidates(KEY)) == []
    assert catalog.choice(KEY) is None
    assert list(catalog.candidates(elsewhere)) == [other]
    assert catalog.buckets("derby") == {1: BucketUse(1, 1_000)}
    assert list(catalog.masks("derby")) == [MASK]
    catalog = fold(*records, Collected("derby", None))
    assert list(catalog.event_ids()) == []
    assert catalog.used_bytes == 0
    assert not any(catalog.candidates(key) for key in (KEY, elsewhere, INIT))
    assert list(catalog.masks("derby")) == []


def test_what_a_newer_version_wrote_is_passed_over() -> None:
    catalog = fold(Published(KEY, A))
    digest = "e" * 32
    catalog.apply(decode(f"9 1000 published derby v720 10 b {digest} 70 {{}}"))
    catalog.apply(decode('10 1000 chosen derby v720 10 b 9 {"rule":"lottery","decided_ms":1}'))
    assert list(catalog.candidates(KEY)) == [A]
    assert catalog.choice(KEY) is None
    catalog.apply(decode(f"11 1000 published derby v720 init b {digest} 70 {{}}"))
    assert list(catalog.standing()) == []


def test_nothing_is_read_in_a_replay() -> None:
    texts = [
        Entry(moment_of(record, 100), record).text
        for record in (Published(KEY, A), choose(A), Published(KEY, A_AGAIN), Withdrawn(KEY))
    ]
    catalog = MemoryCatalog()
    entries = [decode(text) for text in texts]
    for entry in entries:
        catalog.apply(entry)
    assert not any(entry.is_read for entry in entries)
    assert list(catalog.candidates(KEY)) == [A_AGAIN]
    assert catalog.candidates(KEY) is catalog.candidates(KEY), "what was read is kept"

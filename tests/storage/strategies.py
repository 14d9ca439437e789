"""Hypothesis strategies for everything a journal can record."""

from dataclasses import replace

from hypothesis import strategies as st

from selection.model import (
    Candidate,
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
)

names = st.text(max_size=12)
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,11}", fullmatch=True)  # as the configuration has them
digests = st.text("0123456789abcdef", min_size=32, max_size=32)
counts = st.integers(min_value=0, max_value=2**53)
milliseconds = st.integers(min_value=-(10**15), max_value=10**15)
moments = st.builds(Moment, milliseconds, counts)
parameters = st.tuples(
    names, st.one_of(names, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
)
defects = st.builds(Defect, names, st.lists(parameters, max_size=3).map(tuple))
tracks = st.builds(
    TrackFacts,
    track_id=counts,
    kind=st.sampled_from(Kind),
    codec=names,
    timescale=counts,
    begin=milliseconds,
    presentation=milliseconds,
    end=milliseconds,
    duration=counts,
    samples_count=counts,
    starts_with_sync=st.booleans(),
)
facts = st.builds(Facts, st.lists(tracks, max_size=3).map(tuple), st.none() | digests, st.none() | digests)
candidates = st.builds(
    Candidate,
    pipeline_id=ids,
    digest=digests,
    size_bytes=counts,
    published_ms=milliseconds,
    sequence=counts,
    received_ms=milliseconds,
    defects=st.lists(defects, max_size=3).map(tuple),
    score=st.none() | st.integers(0, 100),
    facts=st.none() | facts,
)
losses = st.lists(st.tuples(ids, st.sampled_from(Loss)), max_size=3).map(tuple)
masks = st.builds(
    Mask,
    id=names,
    pipeline_id=ids,
    first_number=st.integers(),
    last_number=st.none() | st.integers(),
    rendition_id=st.none() | ids,
)
manifests = st.builds(Manifest, ids, digests, counts, milliseconds, counts)
numbers = st.integers(min_value=0, max_value=2**53)
keys = st.builds(SegmentKey, ids, ids, st.none() | numbers)
choices = st.builds(Chosen, keys, ids, counts, st.sampled_from(Rule), milliseconds, losses)
losts = st.builds(Lost, keys, ids, counts)


def recorded_at(record: Record, moment: Moment) -> Record:
    """Return a record as the journal has it: what was published was published at the moment of its record."""
    match record:
        case Published(key, copy):
            return Published(key, replace(copy, published_ms=moment.ms, sequence=moment.sequence))
        case ManifestPublished(event_id, name, copy):
            copy = replace(copy, published_ms=moment.ms, sequence=moment.sequence)
            return ManifestPublished(event_id, name, copy)
    return record


def _standing(record: Record, moment: Moment) -> Standing:
    record = recorded_at(record, moment)
    assert isinstance(record, Published | Chosen | Lost | Masked | ManifestPublished)
    return Standing(record, moment)


RECORDS_BY_TYPE: dict[type[Record], st.SearchStrategy[Record]] = {
    Published: st.builds(Published, keys, candidates),
    Chosen: choices,
    Withdrawn: st.builds(Withdrawn, keys),
    Lost: losts,
    Masked: st.builds(Masked, ids, masks),
    Unmasked: st.builds(Unmasked, ids, names),
    ManifestPublished: st.builds(ManifestPublished, ids, names, manifests),
    Collected: st.builds(Collected, ids, st.none() | numbers),
}
RECORDS_BY_TYPE[Standing] = st.builds(
    _standing,
    st.one_of(*(RECORDS_BY_TYPE[each] for each in (Published, Chosen, Lost, Masked, ManifestPublished))),
    moments,
)
records = st.one_of(*RECORDS_BY_TYPE.values())
entries = st.builds(lambda record, moment: Entry(moment, recorded_at(record, moment)), records, moments)

"""Hypothesis strategies for everything a journal can record."""

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
)

names = st.text(max_size=12)
digests = st.text("0123456789abcdef", min_size=32, max_size=32)
counts = st.integers(min_value=0, max_value=2**53)
milliseconds = st.integers(min_value=-(10**15), max_value=10**15)
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
    pipeline_id=names,
    digest=digests,
    size_bytes=counts,
    published_ms=milliseconds,
    sequence=counts,
    received_ms=milliseconds,
    defects=st.lists(defects, max_size=3).map(tuple),
    score=st.none() | st.integers(0, 100),
    facts=st.none() | facts,
)
losses = st.lists(st.tuples(names, st.sampled_from(Loss)), max_size=3).map(tuple)
choices = st.builds(Choice, candidates, st.sampled_from(Rule), milliseconds, losses)
masks = st.builds(
    Mask,
    id=names,
    pipeline_id=names,
    first_number=st.integers(),
    last_number=st.none() | st.integers(),
    rendition_id=st.none() | names,
)
manifests = st.builds(Manifest, names, digests, counts, milliseconds, counts)
keys = st.builds(SegmentKey, names, names, st.none() | st.integers())

RECORDS_BY_TYPE: dict[type[Record], st.SearchStrategy[Record]] = {
    Published: st.builds(Published, keys, candidates),
    Chosen: st.builds(Chosen, keys, choices),
    Withdrawn: st.builds(Withdrawn, keys),
    Masked: st.builds(Masked, names, masks),
    Unmasked: st.builds(Unmasked, names, names),
    ManifestPublished: st.builds(ManifestPublished, names, names, manifests),
}
records = st.one_of(*RECORDS_BY_TYPE.values())
entries = st.builds(Entry, st.builds(Moment, milliseconds, counts), records)

"""The tally of uploads: what it shows is what the counters of prometheus-client would show."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from origin.upload_tally import BYTES, CHOICES, LATENESS, LOSSES, REQUESTS, UploadTally
from tests.origin.pages import shown

EDGES_S = (-1.0, 0.0, 0.5, 2.0)
PIPELINES = [("derby", "a"), ("derby", "b")]
CHOSEN = [("derby", "a", "best"), ("derby", "b", "best")]
LOST = [("derby", "a", "down"), ("derby", "b", "down")]
# (pipeline, bytes, lateness in ms): on both sides of edges, on them, and below and above all.
COPIES = [
    ("a", 1_000, -2_500),
    ("a", 2_000, -1_000),
    ("a", 0, 0),
    ("b", 5, 1),
    ("b", 7, 500),
    ("b", 11, 90_000),
    ("b", 13, None),
]


def test_it_shows_what_counters_and_histograms_would() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    tally = UploadTally(EDGES_S, PIPELINES, CHOSEN, LOST)
    registry.register(tally)
    told = {family.name: family.documentation for family in tally.collect()}
    whose = ["event", "pipeline"]
    requests = Counter(REQUESTS, told[REQUESTS], ["outcome"], registry=reference)
    sizes = Counter(BYTES, told[BYTES], whose, registry=reference)
    lateness = Histogram(LATENESS, told[LATENESS], whose, buckets=EDGES_S, registry=reference)
    choices = Counter(CHOICES, told[CHOICES], [*whose, "rule"], registry=reference)
    losses = Counter(LOSSES, told[LOSSES], [*whose, "reason"], registry=reference)
    for family, labels in (sizes, PIPELINES), (lateness, PIPELINES), (choices, CHOSEN), (losses, LOST):
        for values in labels:
            family.labels(*values)
    assert shown(registry) == shown(reference), "from the start"
    for pipeline_id, size_bytes, late_ms in COPIES:
        tally.published("derby", pipeline_id, size_bytes, late_ms)
        sizes.labels("derby", pipeline_id).inc(size_bytes)
        if late_ms is not None:
            lateness.labels("derby", pipeline_id).observe(late_ms / 1000)
    for outcome in "stored", "stored", "unchanged":
        tally.answered(outcome)
        requests.labels(outcome).inc()
    for event_id, pipeline_id in ("derby", "a"), ("derby", "a"), ("of-an-older-configuration", "z"):
        tally.chosen(event_id, pipeline_id, "best")
        choices.labels(event_id, pipeline_id, "best").inc()
        tally.lost(event_id, pipeline_id, "down")
        losses.labels(event_id, pipeline_id, "down").inc()
    assert shown(registry) == shown(reference)


def test_a_pipeline_of_an_older_configuration_is_not_known() -> None:
    tally = UploadTally(EDGES_S, PIPELINES, CHOSEN, LOST)
    assert tally.knows("derby", "a")
    assert not tally.knows("derby", "z")
    assert not tally.knows("oaks", "a")

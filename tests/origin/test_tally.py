"""The tally of answers: what it shows is what the counters of prometheus-client would show."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from origin.reply import Reply
from origin.tally import BODIES, BYTES, DURATION, REQUESTS, DeliveryTally
from tests.origin.pages import shown

EDGES_S = (0.001, 0.25, 1.0, 2.0)
ANSWERS = [
    ("segment", "served", 1_000, 0.0001),
    ("segment", "served", 2_000, 0.001),
    ("none", "unknown-event", 0, 0.0011),
    ("segment", "not-modified", 0, 1.0),
    ("init", "served", 5, 17.5),
    ("none", "client-gone", 0, None),
]


def test_it_shows_what_counters_and_histograms_would() -> None:
    registry, reference = CollectorRegistry(), CollectorRegistry()
    tally = DeliveryTally(EDGES_S)
    registry.register(tally)
    help_texts = {family.name: family.documentation for family in tally.collect()}
    requests = Counter(REQUESTS, help_texts[REQUESTS], ["kind", "outcome"], registry=reference)
    sizes = Counter(BYTES, help_texts[BYTES], registry=reference)
    durations = Histogram(DURATION, help_texts[DURATION], buckets=EDGES_S, registry=reference)
    sources = Counter(BODIES, help_texts[BODIES], ["result"], registry=reference)
    for source, count in ("ram", 3), ("ssd", 1), ("shared", 0):
        sources.labels(source).inc(count)
        for _ in range(count):
            tally.read(source)
    for kind, outcome, body_bytes, duration_s in ANSWERS:
        facts = {} if kind == "none" else {"kind": kind}
        tally.answered(Reply(200, outcome, body=bytes(body_bytes), facts=facts), duration_s)
        requests.labels(kind, outcome).inc()
        sizes.inc(body_bytes)
        if duration_s is not None:
            durations.observe(duration_s)
    assert shown(registry) == shown(reference)


def test_a_clock_that_was_set_back_takes_nothing_from_the_sum() -> None:
    registry = CollectorRegistry()
    tally = DeliveryTally(EDGES_S)
    registry.register(tally)
    tally.answered(Reply(200, "served"), 0.5)
    tally.answered(Reply(200, "served"), -3.0)
    assert registry.get_sample_value(f"{DURATION}_sum") == 0.5
    assert registry.get_sample_value(f"{DURATION}_bucket", {"le": "0.001"}) == 1

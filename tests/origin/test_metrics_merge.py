"""One page for several processes: counters never go back, gauges vanish with their process."""

import json
import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.samples import Sample

from origin.metrics import Metrics
from origin.metrics_merge import GAUGE_RULES, PROCESSES_KEPT, GaugeRule, MergedMetrics, export
from origin.reply import Reply
from tests.support.counted import Process, families, only, values
from tests.support.events import make_event

EVENT = make_event("derby", pipelines=("a", "b"))
EMPTY = CollectorRegistry()


@pytest.fixture
def merged() -> MergedMetrics:
    return MergedMetrics()


@pytest.fixture
def own() -> Process:
    return Process()


@pytest.fixture
def worker() -> Process:
    return Process()


def test_without_workers_the_page_is_that_of_the_process_without_notes_of_creation(merged: MergedMetrics) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, [EVENT], lambda: 0, lambda *_: None)
    metrics.deliveries.answered(Reply(200, "served", body=b"1234567"), 0.02)
    Info("build", "What runs.", registry=registry).info({"version": 'a"\\\n'})
    alone: list[list[Sample]] = [
        family.samples for family in families(generate_latest(registry)) if not family.name.endswith("_created")
    ]
    page = merged.merge(registry)
    assert b"_created" not in page
    shown = [family for family in families(page) if not family.name.startswith("origin_worker_")]
    assert repr([family.samples for family in shown]) == repr(alone)  # NaN is the same as NaN here


def test_counters_of_all_processes_are_added_by_labels(merged: MergedMetrics, own: Process, worker: Process) -> None:
    own.requests.labels("segment").inc(2)
    worker.requests.labels("segment").inc(3)
    worker.requests.labels("init").inc(5)
    merged.take("w0", 1, worker.export())
    merged.take("w1", 1, worker.export())
    assert values(merged.merge(own.registry), "requests_total") == {("segment",): 8, ("init",): 10}


def test_histograms_and_summaries_of_all_processes_are_added(
    merged: MergedMetrics, own: Process, worker: Process
) -> None:
    for process, seconds in ((own, (0.5, 1.5)), (worker, (1.5, 9))):
        for value in seconds:
            process.seconds.observe(value)
            process.sizes.observe(value)
    merged.take("w0", 1, worker.export())
    page = merged.merge(own.registry)
    assert values(page, "seconds_bucket") == {("1.0",): 1, ("2.0",): 3, ("+Inf",): 4}
    assert (only(page, "seconds_count"), only(page, "seconds_sum")) == (4, 12.5)
    assert (only(page, "sizes_count"), only(page, "sizes_sum")) == (4, 12.5)


def test_a_later_export_takes_the_place_of_the_one_before(merged: MergedMetrics, own: Process, worker: Process) -> None:
    for _ in range(3):
        worker.requests.labels("segment").inc()
        merged.take("w0", 1, worker.export())
    assert only(merged.merge(own.registry), "requests_total") == 3


def test_counters_of_processes_that_have_ended_stay_in_the_sum(merged: MergedMetrics, own: Process) -> None:
    for process_id in range(3 * PROCESSES_KEPT):
        process = Process()
        process.requests.labels("segment").inc()
        process.seconds.observe(0.5)
        merged.take("w0", process_id, process.export())
        merged.forget("w0")
    page = merged.merge(own.registry)
    assert only(page, "requests_total") == 3 * PROCESSES_KEPT
    assert set(values(page, "seconds_bucket").values()) == {3 * PROCESSES_KEPT}


def test_the_last_word_of_a_former_process_counts_once_and_not_as_gauge(
    merged: MergedMetrics, own: Process, worker: Process
) -> None:
    worker.requests.labels("segment").inc()
    worker.connections.labels("deliver").set(9)
    merged.take("w0", 1, worker.export())
    successor = Process()
    successor.requests.labels("segment").inc(10)
    successor.connections.labels("deliver").set(2)
    merged.take("w0", 2, successor.export())
    worker.requests.labels("segment").inc()
    merged.take("w0", 1, worker.export())
    page = merged.merge(own.registry)
    assert only(page, "requests_total") == 12
    assert values(page, "origin_connections") == {("deliver",): 2}


def test_a_slot_that_is_forgotten_and_comes_back_counts_once(
    merged: MergedMetrics, own: Process, worker: Process
) -> None:
    worker.requests.labels("segment").inc(2)
    worker.connections.labels("deliver").set(1)
    merged.take("w0", 1, worker.export())
    merged.forget("w0")
    merged.take("w0", 1, worker.export())
    page = merged.merge(own.registry)
    assert only(page, "requests_total") == 2
    assert values(page, "origin_connections") == {("deliver",): 1}


def test_what_was_told_to_a_former_publish_process_is_not_counted_again(
    merged: MergedMetrics, own: Process, worker: Process
) -> None:
    worker.requests.labels("segment").inc(5)
    worker.seconds.observe(0.5)
    worker.connections.labels("deliver").set(2)
    merged.leave_out("w0", 7, worker.export())
    worker.requests.labels("segment").inc(2)
    worker.requests.labels("init").inc(1)
    worker.seconds.observe(1.5)
    Counter("since", "Of what came later.", registry=worker.registry).inc()
    for _ in range(2):
        merged.take("w0", 7, worker.export())
    page = merged.merge(own.registry)
    assert values(page, "requests_total") == {("segment",): 2, ("init",): 1}
    assert values(page, "seconds_bucket") == {("1.0",): 0, ("2.0",): 1, ("+Inf",): 1}
    assert only(page, "seconds_sum") == 1.5
    assert only(page, "since_total") == 1
    assert values(page, "origin_connections") == {("deliver",): 2}
    merged.take("w0", 8, worker.export())
    assert values(merged.merge(own.registry), "requests_total") == {("segment",): 9, ("init",): 2}


def test_what_was_told_of_labels_that_are_gone_takes_nothing_away(
    merged: MergedMetrics, own: Process, worker: Process
) -> None:
    worker.requests.labels("segment").inc(5)
    merged.leave_out("w0", 7, worker.export())
    worker.requests.remove("segment")
    merged.take("w0", 7, worker.export())
    assert values(merged.merge(own.registry), "requests_total") == {}


def test_gauges_are_merged_by_their_rule(merged: MergedMetrics, own: Process, worker: Process) -> None:
    own.connections.labels("publish").set(1)
    own.lag.set(0.1)
    own.ready.set(1)
    worker.connections.labels("deliver").set(3)
    worker.lag.set(0.3)
    merged.take("w0", 1, worker.export())
    worker.connections.labels("deliver").set(4)
    worker.lag.set(0.2)
    merged.take("w1", 1, worker.export())
    page = merged.merge(own.registry)
    assert values(page, "origin_connections") == {("publish",): 1, ("deliver",): 7}
    assert only(page, "origin_loop_lag_seconds") == 0.3
    assert only(page, "origin_ready") == 1


def test_gauges_vanish_with_their_process(merged: MergedMetrics, own: Process, worker: Process) -> None:
    worker.connections.labels("deliver").set(3)
    merged.take("w0", 1, worker.export())
    merged.forget("w0")
    assert values(merged.merge(own.registry), "origin_connections") == {}


def test_forgetting_a_slot_that_never_was_changes_nothing(merged: MergedMetrics, own: Process) -> None:
    before = merged.merge(own.registry)
    merged.forget("w9")
    assert merged.merge(own.registry) == before


def test_every_gauge_of_the_origin_has_a_rule() -> None:
    registry = CollectorRegistry()
    Metrics(registry, [EVENT], lambda: 0, lambda *_: None)
    gauges = {family.name for family in registry.collect() if family.type == "gauge"}
    assert set(GAUGE_RULES) == gauges


def test_a_workers_own_store_and_limits_are_not_shown(merged: MergedMetrics) -> None:
    registry = CollectorRegistry()
    Metrics(registry, [EVENT], lambda: 0, lambda *_: None)
    for family in list(registry.collect()):
        if GAUGE_RULES.get(family.name) is GaugeRule.OWN:
            family.samples = [Sample(family.name, {}, 1)]
    merged.take("w0", 1, export(registry))
    shown = {family.name for family in families(merged.merge(EMPTY)) if family.type == "gauge" and family.samples}
    assert {GAUGE_RULES[name] for name in shown} == {GaugeRule.SUM, GaugeRule.MAX}


def test_workers_are_shown_as_noted_until_they_are_forgotten(merged: MergedMetrics) -> None:
    merged.note("w0", is_up=True, behind_ms=1_250)
    merged.note("w1", is_up=False)
    page = merged.merge(EMPTY)
    assert values(page, "origin_worker_up") == {("w0",): 1, ("w1",): 0}
    assert values(page, "origin_worker_behind_seconds") == {("w0",): 1.25}
    merged.forget("w0")
    page = merged.merge(EMPTY)
    assert values(page, "origin_worker_up") == {("w1",): 0}
    assert values(page, "origin_worker_behind_seconds") == {}


def test_labels_are_escaped_as_the_library_does(merged: MergedMetrics, own: Process, worker: Process) -> None:
    worker.requests.labels('a"b\\c\nd').inc()
    merged.take("w0", 1, worker.export())
    page = merged.merge(own.registry)
    assert b'requests_total{kind="a\\"b\\\\c\\nd"} 1.0\n' in page
    assert values(page, "requests_total") == {('a"b\\c\nd',): 1}


def test_values_that_are_no_finite_numbers_arrive(merged: MergedMetrics) -> None:
    registry = CollectorRegistry()
    lag = Gauge("origin_loop_lag_seconds", "Late.", registry=registry)
    for value in (math.inf, -math.inf):
        lag.set(value)
        merged.take("w0", 1, export(registry))
        assert only(merged.merge(EMPTY), "origin_loop_lag_seconds") == value
    lag.set(math.nan)
    merged.take("w0", 1, export(registry))
    assert math.isnan(only(merged.merge(EMPTY), "origin_loop_lag_seconds"))


def test_what_only_a_worker_knows_is_shown_unless_it_is_a_gauge_without_a_rule(
    merged: MergedMetrics, own: Process
) -> None:
    registry = CollectorRegistry()
    Counter("newer", "Of a newer version.", registry=registry).inc(7)
    Gauge("newer_gauge", "Of a newer version.", registry=registry).set(7)
    merged.take("w0", 1, export(registry))
    page = merged.merge(own.registry)
    assert only(page, "newer_total") == 7
    assert values(page, "newer_gauge") == {}
    assert [family.name for family in families(page)][-3:] == [
        "newer",
        "origin_worker_up",
        "origin_worker_behind_seconds",
    ]


@pytest.mark.parametrize("known_here", [True, False])
def test_a_metric_of_another_type_is_left_out(merged: MergedMetrics, known_here: bool) -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Counter("origin_connections", "Other.", registry=first).inc(5)
    Gauge("origin_connections", "Open.", registry=second).set(3)
    if not known_here:
        merged.take("w0", 1, export(first))
    merged.take("w1", 1, export(second))
    page = merged.merge(first if known_here else EMPTY)
    assert only(page, "origin_connections_total") == 5
    assert values(page, "origin_connections") == {}


def test_a_counter_of_another_type_is_left_out_of_a_gauge(merged: MergedMetrics, own: Process) -> None:
    registry = CollectorRegistry()
    Counter("origin_connections", "Other.", ["listener"], registry=registry).labels("deliver").inc(5)
    merged.take("w0", 1, export(registry))
    page = merged.merge(own.registry)
    assert values(page, "origin_connections") == {}
    assert values(page, "origin_connections_total") == {}


def test_labels_are_the_same_in_any_order(merged: MergedMetrics) -> None:
    for slot, names in (("w0", ["a", "b"]), ("w1", ["b", "a"])):
        registry = CollectorRegistry()
        Counter("asked", "Asked.", names, registry=registry).labels(**dict.fromkeys(names, "x")).inc()
        merged.take(slot, 1, export(registry))
    assert values(merged.merge(EMPTY), "asked_total") == {("x", "x"): 2}


def test_a_sum_never_goes_back_by_a_rounding_error_when_a_process_is_replaced(
    merged: MergedMetrics, own: Process
) -> None:
    own.seconds.observe(0.1)
    before = 0.0
    for process_id in range(60):
        worker = Process()
        for seconds in (0.0, process_id / 7):
            worker.seconds.observe(seconds)
            merged.take("w0", process_id, worker.export())
            now = only(merged.merge(own.registry), "seconds_sum")
            assert now >= before
            before = now


def test_counts_in_other_buckets_go_to_the_next_wider_one(merged: MergedMetrics, own: Process) -> None:
    own.seconds.observe(0.5)
    other = Process(edges=(0.5, 1.5, 7))
    for value in (0.2, 1.2, 5):
        other.seconds.observe(value)
    merged.take("w0", 1, other.export())
    page = merged.merge(own.registry)
    assert values(page, "seconds_bucket") == {("1.0",): 2, ("2.0",): 3, ("+Inf",): 4}
    assert only(page, "seconds_count") == 4
    assert only(page, "seconds_sum") == pytest.approx(6.9)


def test_counts_below_every_other_bucket_wait_for_the_first_that_holds_them(
    merged: MergedMetrics, own: Process
) -> None:
    other = Process(edges=(5, 7))
    other.seconds.observe(0.5)
    merged.take("w0", 1, other.export())
    assert values(merged.merge(own.registry), "seconds_bucket") == {("1.0",): 0, ("2.0",): 0, ("+Inf",): 1}


def test_a_histogram_without_a_sum_stays_without(merged: MergedMetrics) -> None:
    """The library has no sum for buckets below zero, as it could go back."""
    registry = CollectorRegistry()
    Histogram("late", "Late.", buckets=(-1, 1), registry=registry).observe(-5)
    merged.take("w0", 1, export(registry))
    page = merged.merge(registry)
    assert values(page, "late_bucket") == {("-1.0",): 2, ("1.0",): 2, ("+Inf",): 2}
    assert values(page, "late_sum") == {}


COUNTER = ["a", "counter", "A.", [["_total", ""]], [[[], [1]]]]
DAMAGED = [
    ("not-json", b"{"),
    ("not-text", b"\xff"),
    ("not-a-list", b"5"),
    ("not-families", b"[5]"),
    ("too-few-parts", b'[["a","counter"]]'),
    ("name-that-cannot-be", json.dumps([["", *COUNTER[1:]]]).encode()),
    ("name-that-is-none", json.dumps([[None, *COUNTER[1:]]]).encode()),
    ("kind-that-does-not-exist", json.dumps([["a", "meter", *COUNTER[2:]]]).encode()),
    ("sample-that-does-not-belong", json.dumps([[*COUNTER[:3], [["_sum", ""]], COUNTER[4]]]).encode()),
    ("bucket-without-edge", json.dumps([["a", "histogram", "A.", [["_bucket", ""]], [[[], [1]]]]]).encode()),
    ("edge-that-is-no-number", json.dumps([["a", "histogram", "A.", [["_bucket", "x"]], [[[], [1]]]]]).encode()),
    ("value-too-many", json.dumps([[*COUNTER[:4], [[[], [1, 2]]]]]).encode()),
    ("value-that-is-no-number", json.dumps([[*COUNTER[:4], [[[], [None]]]]]).encode()),
]


@pytest.mark.parametrize("damaged", [case[1] for case in DAMAGED], ids=[case[0] for case in DAMAGED])
def test_what_is_no_export_is_refused_and_changes_nothing(
    merged: MergedMetrics, own: Process, worker: Process, damaged: bytes
) -> None:
    worker.requests.labels("segment").inc()
    merged.take("w0", 1, worker.export())
    before = merged.merge(own.registry)
    with pytest.raises(ValueError, match="not an export of metrics"):
        merged.take("w0", 1, damaged)
    assert merged.merge(own.registry) == before

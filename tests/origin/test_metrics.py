"""Metrics: names by Prometheus' rules, label sets that exist from the start, and counters that move."""

import math
import re
from collections.abc import Iterator
from fractions import Fraction

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from origin.metrics import Metrics
from origin.reply import Reply
from selection.desync import Comparison, Difference
from selection.model import Candidate, Choice, Loss, Moment, Rule, SegmentKey
from selection.rank import SEVERITY
from storage.errors import BodyMissing, StorageError
from storage.records import Chosen, Entry, Published, Record, Withdrawn
from tests.support.clock import FakeClock
from tests.support.events import candidate, make_event, make_key

EVENT = make_event("derby", pipelines=("a", "b"))
OTHER = make_event("oaks", pipelines=("a",))
DUE_MS = 23_000  # of segment 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(DUE_MS)


@pytest.fixture
def newest() -> dict[tuple[str, str], int]:
    """The highest number that each pipeline has published."""
    return {}


@pytest.fixture
def metrics(clock: FakeClock, newest: dict[tuple[str, str], int]) -> Metrics:
    return Metrics(CollectorRegistry(), [EVENT, OTHER], clock.now_ms, lambda *pipeline: newest.get(pipeline))


def families(metrics: Metrics) -> Iterator[Metric]:
    """Yield what Prometheus reads, but for the library's own note of when each series was made."""
    text = generate_latest(metrics.registry).decode()
    return (family for family in text_string_to_metric_families(text) if not family.name.endswith("_created"))


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one series by its label values, in the order of the labels' names."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in families(metrics)
        for sample in family.samples
        if sample.name == name
    }


def tell(metrics: Metrics, record: Record, sequence: int = 1) -> None:
    moment = record.candidate.moment if isinstance(record, Published) else Moment(DUE_MS, sequence)
    metrics.observe_entry(Entry(moment, record))


def published(copy: Candidate, number: int | None = 10, event_id: str = "derby") -> Published:
    return Published(make_key(number, event_id=event_id), copy)


def compared(metrics: Metrics, drift_ms: Fraction | int = 0, *differences: Difference) -> None:
    """Tell how the copy of `b` stands to that of `a`."""
    metrics.observe_comparison(("derby", "v720", "a", "b"), Comparison(Fraction(drift_ms), differences))


# -- Names, as `promtool check metrics` wants them


def test_every_metric_is_ours_and_says_what_it_is(metrics: Metrics) -> None:
    for family in families(metrics):
        assert re.fullmatch(r"origin_[a-z]+(_[a-z]+)*", family.name), family.name
        assert re.fullmatch(r"[A-Z0-9].*\.", family.documentation), family.name


def test_counters_end_in_total_and_nothing_else_does(metrics: Metrics) -> None:
    for family in families(metrics):
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name


def test_units_are_base_units_and_stand_last(metrics: Metrics) -> None:
    for family in families(metrics):
        words = family.name.split("_")
        assert not set(words) & {"ms", "milliseconds", "minutes", "kb", "kib", "mb", "mib", "ratio", "percent"}
        for unit in ("seconds", "bytes"):
            assert unit not in words[:-1], family.name
        if family.type == "histogram":
            assert words[-1] in ("seconds", "bytes"), family.name


def test_names_do_not_repeat_their_labels_or_type(metrics: Metrics) -> None:
    for family in families(metrics):
        words = set(family.name.split("_"))
        assert not words & {"gauge", "counter", "histogram", "total", "count", "sum", "bucket"}, family.name
        for sample in family.samples:
            assert not words & set(sample.labels), sample


def test_labels_are_bounded_by_the_configuration(metrics: Metrics) -> None:
    allowed = {"event", "rendition", "pipeline", "reference", "rule", "reason", "defect", "difference"}
    allowed |= {"outcome", "kind", "result", "woken", "operation", "name", "le"}
    allowed |= {"class", "listener"}
    compared(metrics)
    for family in families(metrics):
        for sample in family.samples:
            assert set(sample.labels) <= allowed, sample


# -- From the start


def test_two_origins_in_one_process_do_not_share_metrics(metrics: Metrics, clock: FakeClock) -> None:
    other = Metrics(CollectorRegistry(), [EVENT], clock.now_ms, lambda *pipeline: None)
    other.deliveries.answered(Reply(200, "served", body=b"12345"), 0.1)
    assert samples(metrics, "origin_deliver_bytes_total") == {(): 0}


PIPELINES = [("derby", "a"), ("derby", "b"), ("oaks", "a")]
FROM_THE_START = [
    ("origin_publish_bytes_total", set(PIPELINES)),
    ("origin_publish_lateness_seconds_count", set(PIPELINES)),
    ("origin_selection_total", {(*pipeline, rule.value) for pipeline in PIPELINES for rule in Rule}),
    ("origin_selection_loss_total", {(*pipeline, loss.value) for pipeline in PIPELINES for loss in Loss}),
    (
        "origin_candidate_defects_total",
        {(defect, *pipeline) for pipeline in PIPELINES for defect in (*SEVERITY, "other")},
    ),
    ("origin_drift_seconds", set()),  # pairs are known when both have sent something
    ("origin_disagreement", set()),
    ("origin_cache_requests_total", {("ram",), ("ssd",), ("shared",)}),
    ("origin_hold_duration_seconds_count", {("yes",), ("no",)}),
    ("origin_deliver_bytes_total", {()}),
    ("origin_deliver_duration_seconds_count", {()}),
    ("origin_uploads_in_progress", {()}),
    ("origin_holds_in_progress", {()}),
    ("origin_ram_used_bytes", {()}),
]


@pytest.mark.parametrize(("name", "labels"), FROM_THE_START, ids=[case[0] for case in FROM_THE_START])
def test_series_exist_from_the_start_so_that_rates_begin_at_zero(
    metrics: Metrics, name: str, labels: set[tuple[str, ...]]
) -> None:
    assert samples(metrics, name) == dict.fromkeys(labels, 0.0)


# -- What moves them


def test_a_stored_copy_counts_its_bytes_and_its_lateness(metrics: Metrics) -> None:
    tell(metrics, published(candidate("b", DUE_MS + 300, received_ms=DUE_MS + 250, size_bytes=1_234)))
    tell(metrics, published(candidate("b", DUE_MS, received_ms=DUE_MS - 1_500, size_bytes=1), number=10))
    assert samples(metrics, "origin_publish_bytes_total")["derby", "b"] == 1_235
    assert samples(metrics, "origin_publish_bytes_total")["derby", "a"] == 0
    assert samples(metrics, "origin_publish_lateness_seconds_count")["derby", "b"] == 2
    buckets = samples(metrics, "origin_publish_lateness_seconds_bucket")
    assert {edge: buckets["derby", edge, "b"] for edge in ("-2.0", "-1.0", "0.1", "0.25")} == {
        "-2.0": 0,
        "-1.0": 1,
        "0.1": 1,
        "0.25": 2,
    }


def test_an_init_segment_has_no_lateness(metrics: Metrics) -> None:
    tell(metrics, published(candidate("a", size_bytes=700), number=None))
    assert samples(metrics, "origin_publish_bytes_total")["derby", "a"] == 700
    assert samples(metrics, "origin_publish_lateness_seconds_count")["derby", "a"] == 0


def test_a_choice_counts_for_its_pipeline_and_its_rule_and_each_loss_for_its_reason(metrics: Metrics) -> None:
    choice = Choice(candidate("b"), Rule.PREFER_WAIT_OVER, DUE_MS, (("a", Loss.DOWN),))
    tell(metrics, Chosen.of(make_key(10), choice))
    tell(metrics, Chosen.of(make_key(11), choice))
    assert samples(metrics, "origin_selection_total")["derby", "b", "prefer-wait-over"] == 2
    assert sum(samples(metrics, "origin_selection_total").values()) == 2
    assert samples(metrics, "origin_selection_loss_total")["derby", "a", "down"] == 2
    assert sum(samples(metrics, "origin_selection_loss_total").values()) == 2


def test_the_choice_of_an_init_segment_says_nothing_of_the_stream(metrics: Metrics) -> None:
    tell(metrics, Chosen.of(make_key(None), Choice(candidate("b"), Rule.RENEWED, DUE_MS, (("a", Loss.ABSENT),))))
    assert sum(samples(metrics, "origin_selection_total").values()) == 0


def test_each_defect_of_a_copy_counts_by_its_name_and_what_packagers_name_as_other(metrics: Metrics) -> None:
    tell(metrics, published(candidate("a", 0, "short", "slate", "my own", "<script>")))
    tell(metrics, published(candidate("a", 0, "short"), number=None))
    tell(metrics, published(candidate("b")))
    found = {labels: count for labels, count in samples(metrics, "origin_candidate_defects_total").items() if count}
    assert found == {("short", "derby", "a"): 2, ("slate", "derby", "a"): 1, ("other", "derby", "a"): 2}


def test_the_newest_comparison_of_two_pipelines_is_what_stands_there(metrics: Metrics) -> None:
    def differences() -> dict[str, float]:
        found = samples(metrics, "origin_disagreement")
        assert {labels[1:] for labels in found} == {("derby", "b", "a", "v720")}
        return {labels[0]: value for labels, value in found.items()}

    compared(metrics, Fraction(-80), Difference.TIME, Difference.INIT)
    assert samples(metrics, "origin_drift_seconds") == {("derby", "b", "a", "v720"): -0.08}
    assert differences() == {"time": 1, "duration": 0, "samples": 0, "init": 1}
    compared(metrics, Fraction(1, 90), Difference.SAMPLES)
    assert samples(metrics, "origin_drift_seconds") == {("derby", "b", "a", "v720"): pytest.approx(1 / 90_000)}
    assert differences() == {"time": 0, "duration": 0, "samples": 1, "init": 0}


STRANGERS: list[tuple[str, Record]] = [
    ("event", published(candidate("a"), event_id="ascot")),
    ("pipeline", published(candidate("z", 0, "short"))),
    ("withdrawal", Withdrawn(SegmentKey("ascot", "v720", 1))),
]


@pytest.mark.parametrize("record", [case[1] for case in STRANGERS], ids=[case[0] for case in STRANGERS])
def test_what_is_not_in_the_configuration_makes_no_series(metrics: Metrics, record: Record) -> None:
    before = generate_latest(metrics.registry)
    tell(metrics, record)
    assert generate_latest(metrics.registry) == before


def test_the_lag_of_a_pipeline_is_the_media_time_it_is_behind(
    metrics: Metrics, clock: FakeClock, newest: dict[tuple[str, str], int]
) -> None:
    def lag(pipeline: str) -> float:
        return samples(metrics, "origin_live_edge_lag_seconds")["derby", pipeline]

    assert math.isnan(lag("a"))
    newest |= {("derby", "a"): 10, ("derby", "b"): 7}
    assert (lag("a"), lag("b")) == (0, 6)
    clock.move_to(DUE_MS + 1_999)
    assert lag("a") == 0
    clock.move_to(DUE_MS + 2_000)
    assert (lag("a"), lag("b")) == (2, 8)
    newest["derby", "a"] = 12
    assert lag("a") == 0


def test_a_wait_counts_by_whether_it_was_woken(metrics: Metrics) -> None:
    metrics.observe_hold(1_500, True)
    metrics.observe_hold(8_000, False)
    assert samples(metrics, "origin_hold_duration_seconds_sum") == {("yes",): 1.5, ("no",): 8.0}


def test_a_client_that_left_counts_as_a_request_without_a_time(metrics: Metrics) -> None:
    metrics.deliveries.answered(Reply(499, "client-gone"), None)
    metrics.deliveries.answered(Reply(200, "served"), 0.5)
    assert samples(metrics, "origin_deliver_requests_total")[("none", "client-gone")] == 1
    assert samples(metrics, "origin_deliver_duration_seconds_count") == {(): 1}


def test_a_fault_counts_by_what_was_tried(metrics: Metrics) -> None:
    metrics.observe_fault(StorageError("body-read", "Input/output error"))
    metrics.observe_fault(BodyMissing("body-read", "No such file"))
    metrics.observe_fault(StorageError("journal-append", "Input/output error"))
    assert samples(metrics, "origin_storage_errors_total") == {("body-read",): 2, ("journal-append",): 1}


def test_the_configured_bounds_stand_beside_what_is_used(metrics: Metrics) -> None:
    metrics.set_limits({"holds": 20_000, "ram_bytes": 1_024})
    assert samples(metrics, "origin_limit") == {("holds",): 20_000, ("ram_bytes",): 1_024}

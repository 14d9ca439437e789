"""Admission looks at the load of the moment, learns from reads, and tells of every refusal."""

import pytest

from origin.admission import Admission
from selection.request_class import RequestClass
from selection.shedding import READS_COUNT_AT_START, LoadLimits, Reason


class Node:
    """A load to set, and what was observed."""

    def __init__(self) -> None:
        self.reads_count = 0
        self.unsent_bytes = 0
        self.loop_lag_ms = 0.0
        self.refused: list[tuple[RequestClass, Reason]] = []
        self.admission = Admission(
            LoadLimits(reads_count_max=256, unsent_bytes_max=1_000, loop_lag_ms_max=25),
            50,
            self,
            lambda request_class, reason: self.refused.append((request_class, reason)),
        )

    def refuse(self, request_class: RequestClass = RequestClass.DVR, *, needs_read: bool = True) -> Reason | None:
        return self.admission.refuse(request_class, needs_read=needs_read)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.mark.parametrize("request_class", list(RequestClass))
def test_without_load_everything_is_admitted(node: Node, request_class: RequestClass) -> None:
    assert node.refuse(request_class) is None
    assert node.refused == []


@pytest.mark.parametrize(
    ("signal", "value", "reason"),
    [
        ("reads_count", READS_COUNT_AT_START // 2, Reason.READS),
        ("unsent_bytes", 500, Reason.UNSENT),
        ("loop_lag_ms", 25.0, Reason.LOOP_LAG),
    ],
)
def test_every_signal_refuses_rewinds_and_is_told_until_it_is_over(
    node: Node, signal: str, value: float, reason: Reason
) -> None:
    setattr(node, signal, value)
    assert node.refuse() is reason
    assert node.refuse(RequestClass.RECENT) is None
    assert node.refused == [(RequestClass.DVR, reason)]
    setattr(node, signal, 0)
    assert node.refuse() is None
    assert len(node.refused) == 1


def test_joining_a_read_costs_none(node: Node) -> None:
    node.reads_count = 256
    assert node.refuse(needs_read=False) is None
    assert node.refuse(RequestClass.LIVE_EDGE) is Reason.READS


def test_slow_reads_lower_the_limit_and_fast_ones_raise_it_again(node: Node) -> None:
    assert node.admission.reads_limit == READS_COUNT_AT_START
    node.reads_count = READS_COUNT_AT_START // 4
    for _ in range(READS_COUNT_AT_START // 2):
        node.admission.observe_read(0.1)
    assert node.admission.reads_limit == READS_COUNT_AT_START // 2
    assert node.refuse() is Reason.READS
    for _ in range(node.reads_count - 1 + READS_COUNT_AT_START // 4):  # the others in flight do not count
        node.admission.observe_read(0.001)
    assert node.admission.reads_limit == READS_COUNT_AT_START * 5 // 8
    assert node.refuse() is None

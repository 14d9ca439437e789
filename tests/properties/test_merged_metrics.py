"""Whatever processes do, the page of all of them never goes back, and is the sum of what they told."""

import math

from hypothesis import given
from hypothesis import strategies as st

from origin.metrics_merge import MergedMetrics
from tests.support.counted import Process, growing, only, values

SLOTS = ("w0", "w1", "w2")
# (slot, what happens there, how much)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([None, *SLOTS]),
        st.sampled_from(["count", "count", "tell", "tell", "tell-late", "restart", "forget"]),
        st.floats(0, 20, allow_subnormal=False),
    ),
    max_size=60,
)


class World:
    """Processes that count, tell and are replaced; `told` has what each had counted when it last told."""

    def __init__(self) -> None:
        self.merged = MergedMetrics()
        self.own = Process()
        self.processes: dict[str, list[Process]] = {slot: [Process()] for slot in SLOTS}
        self.counted: dict[Process, int] = {}
        self.told: dict[Process, int] = {}

    def step(self, slot: str | None, action: str, amount: float) -> None:
        if slot is None:
            self._count(self.own, amount)
            self.told[self.own] = self.counted[self.own]
            return
        processes = self.processes[slot]
        if action == "count":
            for process in processes[-2:]:
                self._count(process, amount)
        elif action == "restart":
            # With buckets of its own now and then, as another version would have them.
            processes.append(Process(edges=(1, 2) if amount < 15 else (0.5, 1.5, 7)))
            self._tell(slot, len(processes) - 1)
        elif action == "forget":
            self.merged.forget(slot)
        else:
            self._tell(slot, max(len(processes) - (2 if action == "tell-late" else 1), 0))

    def _count(self, process: Process, amount: float) -> None:
        process.requests.labels("segment").inc(math.ceil(amount))
        process.seconds.observe(amount)
        self.counted[process] = self.counted.get(process, 0) + math.ceil(amount)

    def _tell(self, slot: str, process_id: int) -> None:
        process = self.processes[slot][process_id]
        self.merged.take(slot, process_id, process.export())
        self.told[process] = self.counted.get(process, 0)


@given(STEPS)
def test_the_page_never_goes_back_and_is_the_sum_of_all_that_was_told(
    steps: list[tuple[str | None, str, float]],
) -> None:
    world = World()
    before = growing(world.merged.merge(world.own.registry))
    for step in steps:
        world.step(*step)
        page = world.merged.merge(world.own.registry)
        now = growing(page)
        assert all(now[series] >= value for series, value in before.items())  # exactly: no rounding error either
        before = now
        assert sum(values(page, "requests_total").values()) == sum(world.told.values())
        buckets = list(values(page, "seconds_bucket").values())
        assert buckets == sorted(buckets)
        assert buckets[-1] == only(page, "seconds_count")

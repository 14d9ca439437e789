"""What happens when, and who does what in it."""

from collections import Counter

import pytest

from loadtests.stages import NAMES, Fleet, Role, plan

FLEET = Fleet(caches=6, rewinders=2, junk=3, storm=10)
QUIET = {Role.CACHE: 6, Role.REWINDER: 2, Role.JUNK: 3}
CASES = [
    ("event-start", {Role.CACHE: 6}),
    ("failover", QUIET),
    ("origin-storm", QUIET | {Role.CACHE: 60}),
    ("404-storm", QUIET | {Role.JUNK: 30}),
    ("rewind-storm", QUIET | {Role.REWINDER: 20}),
]


@pytest.mark.parametrize(("shape", "wanted"), CASES)
def test_a_storm_has_many_times_more_of_one_kind(shape: str, wanted: dict[Role, int]) -> None:
    (stage,) = plan(shape, FLEET, 30).stages
    roles = Counter(stage.role_of(rank) for rank in range(stage.clients))
    assert roles == wanted
    assert stage.role_of(stage.clients) is None


@pytest.mark.parametrize("shape", NAMES)
def test_everyone_has_come_within_four_seconds(shape: str) -> None:
    assert all(stage.clients <= 4 * stage.spawn_per_s for stage in plan(shape, FLEET, 30).stages)


@pytest.mark.parametrize("shape", ["tour", "all"])
def test_a_tour_goes_through_every_shape_in_its_time(shape: str) -> None:
    tour = plan(shape, FLEET, 120)
    assert [stage.name for stage in tour.stages] == [case[0] for case in CASES]
    assert tour.seconds == 120
    assert [tour.at(ms)[0].name for ms in (0, 23_999, 24_000, 119_999) if tour.at(ms)] == [  # type: ignore[index]
        "event-start",
        "event-start",
        "failover",
        "rewind-storm",
    ]
    assert tour.at(120_000) is None


@pytest.mark.parametrize(
    ("elapsed_ms", "is_dead"),
    [(0, False), (9_999, False), (10_000, True), (19_999, True), (20_000, False), (31_000, False)],
)
def test_the_first_pipeline_is_dead_in_the_middle_third_of_a_failover(elapsed_ms: int, is_dead: bool) -> None:
    assert plan("failover", FLEET, 30).is_first_dead(elapsed_ms) is is_dead
    assert not plan("origin-storm", FLEET, 30).is_first_dead(elapsed_ms)

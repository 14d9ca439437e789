"""Only one state of an origin may take traffic."""

import pytest

from origin.health import Health, State


@pytest.mark.parametrize("state", State)
def test_an_origin_is_ready_when_it_says_so_and_not_before_or_after(state: State) -> None:
    health = Health()
    health.state = state
    assert health.is_ready == (state is State.READY)


def test_an_origin_begins_not_ready() -> None:
    assert Health().state is State.STARTING

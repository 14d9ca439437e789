"""What the settings make of the limits on connections."""

from pathlib import Path

import pytest

from origin import deliver_side
from origin.deliver_side import connection_limits
from tests.origin.site import settings_in

# Connections that the system leaves of 1,000 in the settings, and how many of them one address may have, of 250.
SHARES = [(1_000, 250), (600, 250), (400, 200), (1, 1)]


@pytest.mark.parametrize(("allowed", "per_address"), SHARES)
def test_where_the_system_allows_few_connections_one_address_cannot_have_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, per_address: int
) -> None:
    monkeypatch.setattr(deliver_side, "connections_limit", lambda wanted: min(wanted, allowed))
    settings = settings_in(tmp_path, limits={"connections": 1_000, "connections_per_address": 250})
    limits = connection_limits(settings)
    assert (limits.connections_count, limits.connections_per_address) == (allowed, per_address)


def test_a_share_larger_than_the_whole_is_the_whole(tmp_path: Path) -> None:
    limits = connection_limits(settings_in(tmp_path, limits={"connections": 10, "connections_per_address": 20}))
    assert limits.connections_per_address == 10

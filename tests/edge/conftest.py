"""What the tests of the edge configurations share."""

import pytest

from tests.edge.daemons import DAEMONS, Daemon


@pytest.fixture(params=sorted(DAEMONS))
def daemon(request: pytest.FixtureRequest) -> Daemon:
    """Each edge in turn."""
    return DAEMONS[request.param]

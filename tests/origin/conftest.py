"""What tests of the edge ask for by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.origin.site import Site, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An origin with one event, two renditions and the pipelines `a` and `b`, when segment 1000 becomes due."""
    async with open_site(tmp_path) as site:
        yield site

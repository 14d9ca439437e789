"""What tests of faults ask for by name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.origin.site import Site, open_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """An origin whose disk, `site.bodies`, can be made to fail."""
    async with open_site(tmp_path) as site:
        yield site

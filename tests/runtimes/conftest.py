"""The tests of the workers themselves have no use of those that wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.managed import Pool


@pytest.fixture(autouse=True)
def own_processes(pool: Pool) -> Iterator[None]:
    """Each worker starts a process of its own."""
    pool.on = False
    yield
    pool.on = True

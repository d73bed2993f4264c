"""Fixtures for all tests."""

from __future__ import annotations

import pytest

from tests.golden import CASES, Case
from tests.managed import workers

__all__ = ["golden", "workers"]


@pytest.fixture(params=CASES, ids=str)
def golden(request: pytest.FixtureRequest) -> Case:
    """Each golden model in turn."""
    return request.param

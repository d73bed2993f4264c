"""Fixtures for all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

from mconv.onnx import registry
from tests.golden import CASES, Case
from tests.managed import pool, workers

pytest_plugins = ["tests.required"]
settings.register_profile("mconv", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("mconv")
__all__ = ["golden", "pool", "workers"]


@pytest.fixture(params=CASES, ids=str)
def golden(request: pytest.FixtureRequest) -> Case:
    """Each golden model in turn."""
    return request.param


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converters of ONNX operators that a test registers are forgotten after it."""
    list(registry.known())
    monkeypatch.setattr(registry, "_converters", {key: dict(found) for key, found in registry._converters.items()})

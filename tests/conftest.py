"""Fixtures for all tests."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

from mconv.onnx import registry
from tests.golden import CASES, Case
from tests.managed import pool, workers

pytest_plugins = ["tests.required"]
# what is ignored where the tests are started (nohup, a background job of a shell) would be so in all that they start
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)
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

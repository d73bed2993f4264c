"""bfloat16 against PyTorch's, bit by bit, and back."""

from __future__ import annotations

import numpy as np
import pytest

from mconv.program.bfloat16 import from_bits, to_bits


def test_rounding_is_that_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 100_000, np.uint64).astype(np.uint32)
    ties = (rng.integers(0, 1 << 16, 1000, np.uint64).astype(np.uint32) << 16) | 0x8000
    values = np.concatenate([bits, ties, [0x7F800000, 0xFF800000, 0x7F7FFFFF]]).astype(np.uint32).view(np.float32)
    want = torch.from_numpy(values.copy()).to(torch.bfloat16)
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(to_bits(values)[numbers], want.view(torch.uint16).numpy()[numbers])
    assert np.isnan(from_bits(to_bits(values))[~numbers]).all()
    np.testing.assert_array_equal(from_bits(to_bits(values))[numbers], want.float().numpy()[numbers])


def test_what_is_bfloat16_already_stays() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    kept = ~np.isnan(from_bits(bits))
    np.testing.assert_array_equal(to_bits(from_bits(bits))[kept], bits[kept])

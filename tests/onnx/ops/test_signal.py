"""Fourier transforms and windows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, check_op, check_refused, everywhere, rand


@everywhere
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("kind", [{}, {"inverse": 1}, {"onesided": 1}], ids=str)
@pytest.mark.parametrize("length", [None, 5, 12])
def test_dft(runtime, parts, kind, length):
    if kind.get("onesided") and parts == 2:
        pytest.skip("of real signals only")
    n = None if length is None else np.array(length, np.int64)
    sets = [[rand(batch, 8, 3, parts), n, np.array(1, np.int64)] for batch in (2, 3)]
    expected = []
    for x, *_ in sets:
        z = x[..., 0] + (1j * x[..., 1] if parts == 2 else 0)
        z = np.fft.ifft(z, length, 1) if "inverse" in kind else np.fft.fft(z, length, 1)
        z = z[:, : z.shape[1] // 2 + 1] if "onesided" in kind else z
        expected.append([np.stack([z.real, z.imag], -1).astype(np.float32)])
    check_op(runtime, "DFT", *sets, const=(1, 2), expected=expected, **kind)


@everywhere
@pytest.mark.parametrize("length", [None, 5, 8, 12])
@pytest.mark.parametrize("bins", [5, 3])
def test_one_sided_dft_back_to_a_real_signal(runtime, length, bins):
    n = None if length is None else np.array(length, np.int64)
    sets = [[rand(batch, bins, 3, 2), n, np.array(1, np.int64)] for batch in (2, 3)]
    expected = [[np.fft.irfft(x[..., 0] + 1j * x[..., 1], length, 1)[..., None].astype(np.float32)] for x, *_ in sets]
    check_op(runtime, "DFT", *sets, const=(1, 2), expected=expected, inverse=1, onesided=1)


@everywhere
def test_dft_of_any_length(runtime):
    sets = [[rand(2, n, 1)] for n in (8, 11)]
    check_op(runtime, "DFT", *sets, opset=17, axis=1)


@everywhere
@pytest.mark.parametrize("parts, how", [(1, {}), (2, {}), (1, {"onesided": 1}), (2, {"inverse": 1})], ids=str)
def test_dft_of_a_length_of_its_own(runtime, parts, how):
    """Of signals that are shorter and longer."""
    sets = [[rand(2, n, 3, parts), np.array(9, np.int64), np.array(1, np.int64)] for n in (8, 11)]
    check_op(runtime, "DFT", *sets, const=(1, 2), **how)


@everywhere
@pytest.mark.parametrize("const", [(1, 2, 3), (2,)], ids=["known", "step"])
def test_stft(runtime, const):
    sets = []
    for batch in (1, 2):
        step, length = np.array(4, np.int64), np.array(8, np.int64)
        sets.append([rand(batch, 32, 1), step, rand(8), length if 3 in const else None])
    sets = [s if s[3] is not None else s[:3] for s in sets]
    check_op(runtime, "STFT", *sets, const=const)


@everywhere
@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(runtime, op, periodic):
    sets = [[np.array(n, np.int64)] for n in (10, 7)]
    check_op(runtime, op, *sets, periodic=periodic, types=[1])


def test_image_files():
    check_refused(CURRENT, "ImageDecoder", [rand(9, dtype=np.uint8, low=0, high=9)], match="image files")

"""Fourier transforms, the complex numbers around them, and the spectrograms of speech models."""

from __future__ import annotations

import torch

from tests.torch.checks import Family, Place, everywhere, rand

TRANSFORMS = Family(
    {
        "rfft": lambda x: torch.view_as_real(torch.fft.rfft(x)),
        "rfft_ortho": lambda x: torch.fft.rfft(x, norm="ortho").abs(),
        "fft": lambda x: torch.view_as_real(torch.fft.fft(x)),
        "fft2": lambda x: torch.fft.rfft2(x, norm="forward").abs(),
        "irfft": lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2, n=16),
        "ifft": lambda x: torch.fft.ifft(torch.fft.fft(x)).real,
        "rotary": lambda x: torch.view_as_real(
            torch.view_as_complex(x.reshape(*x.shape[:-1], 8, 2)) * torch.polar(torch.ones(8), torch.arange(8.0))
        ),
    },
    [rand(2, 3, 16)],
    [rand(5, 3, 16)],
)
SPECTRA = Family(
    {
        "stft": lambda x: torch.view_as_real(torch.stft(x, 16, 8, window=torch.hann_window(16), return_complex=True)),
        "power": lambda x: torch.stft(x, 16, 8, window=torch.hann_window(16), return_complex=True).abs() ** 2,
    },
    [rand(2, 64)],
    [rand(3, 96)],
)


@everywhere
def test_transforms(place: Place) -> None:
    TRANSFORMS.check(place)


@everywhere
def test_spectra(place: Place) -> None:
    SPECTRA.check(place)

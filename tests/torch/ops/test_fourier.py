"""Fourier transforms, the complex numbers around them, and the spectrograms of speech models."""

from __future__ import annotations

import torch

from tests.torch.checks import Family, Runtime, everywhere, rand

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
OPEN = Family(
    {
        "irfft": lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2, n=x.shape[-1]),
        "irfft2": lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * (1 + 1j), s=x.shape[-2:], norm="ortho"),
        "shift": lambda x: torch.fft.fftshift(torch.fft.fft(x)).real,
        "convolution": lambda x: torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(x.flip(-1)), n=x.shape[-1]),
    },
    [rand(2, 3, 16)],
    [rand(5, 3, 19)],
)


def _pairs(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_complex(x.reshape(*x.shape[:-1], 4, 2))


class Complexes(torch.nn.Module):
    """Complex weights, products of matrices, and a state space's kernel, as S4 and Fourier operators have them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(4, 5, dtype=torch.cfloat))
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        z = _pairs(x) * self.turns.conj()
        mixed = torch.einsum("blk,ko->blo", z, self.weight)
        powers = torch.exp(self.turns[:, None] * 0.1 * torch.arange(6))
        return (
            torch.view_as_real(mixed),
            torch.view_as_real(z @ self.weight),
            torch.view_as_real(torch.bmm(z, z.transpose(1, 2).conj())),
            torch.einsum("bld,dk->blk", z, powers).real,
            (z @ self.weight).imag.sum(1),
        )


COMPLEX = Family(
    {
        "weights": Complexes(),
        "sum": lambda x: torch.view_as_real(_pairs(x) + 2j - _pairs(x.flip(0)) * (0.5 + 1j)),
        "quotient": lambda x: torch.view_as_real((_pairs(x) + 0.1) / (_pairs(x.flip(0)) + 3)),
        "reciprocal": lambda x: torch.view_as_real(1 / (_pairs(x) + 3)),
        "exp": lambda x: torch.view_as_real(torch.exp(_pairs(x))),
        "square": lambda x: torch.view_as_real(_pairs(x) ** 2),
        "size_and_angle": lambda x: (_pairs(x).abs(), _pairs(x).angle(), torch.angle(x)),
        "joined": lambda x: torch.view_as_real(
            torch.cat([_pairs(x), torch.zeros_like(_pairs(x)), _pairs(x).conj()], -1)
        ),
        "chosen": lambda x: torch.view_as_real(torch.where(x[..., :4] > 0, _pairs(x), 1j)[:, 1:, ::2]),
        "from_real": lambda x: torch.view_as_real(torch.complex(x, x * 2).sum(1) * x.to(torch.cfloat)[:, 0]),
    },
    [rand(2, 3, 8)],
    [rand(4, 5, 8)],
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
def test_transforms(runtime: Runtime) -> None:
    TRANSFORMS.check(runtime)


@everywhere
def test_open_lengths(runtime: Runtime) -> None:
    OPEN.check(runtime)


@everywhere
def test_complex_numbers(runtime: Runtime) -> None:
    COMPLEX.check(runtime)


@everywhere
def test_spectra(runtime: Runtime) -> None:
    SPECTRA.check(runtime)

"""Linear algebra, and sub-graphs of weights alone, which PyTorch computes."""

from __future__ import annotations

import torch
from torch import nn

from tests.torch.checks import Family, Runtime, everywhere, rand


def _regular(x: torch.Tensor) -> torch.Tensor:
    """Symmetric matrices that are positive definite."""
    return x @ x.transpose(1, 2) + 2 * torch.eye(4)


SOLVED = Family(
    {
        "inverse": lambda x: torch.linalg.inv(_regular(x)),
        "determinant": lambda x: torch.linalg.det(_regular(x)),
        "slogdet": lambda x: torch.linalg.slogdet(_regular(x)),
        "cholesky": lambda x: torch.linalg.cholesky(_regular(x)),
        "solve": lambda x: torch.linalg.solve(_regular(x), x),
        "solve_vector": lambda x: torch.linalg.solve(_regular(x), x[:, :, 0]),
        "solve_right": lambda x: torch.linalg.solve(_regular(x), x[:, :3], left=False),
        "triangular": lambda x: torch.linalg.solve_triangular(_regular(x).tril(), x, upper=False),
        "triangular_right": lambda x: torch.linalg.solve_triangular(_regular(x).triu(), x, upper=True, left=False),
    },
    [rand(3, 4, 4)],
    [rand(5, 4, 4)],
)


class OfWeights(nn.Module):
    """What has no converter, or a slow one, but no input either."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(4, 4) / 4)
        self.orthogonal = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        skew = self.weight - self.weight.t()
        spectrum = torch.fft.fft(self.weight)
        return (
            x @ torch.matrix_exp(skew),
            x @ torch.linalg.svd(self.weight).S.diag(),
            x @ torch.fft.ifft(spectrum * spectrum).real,
            x[:, torch.triu_indices(4, 4, 1)[0]],
            self.orthogonal(x),
        )


CONSTANT = Family({"weights": OfWeights()}, [rand(3, 4, 4)], [rand(5, 4, 4)])


@everywhere
def test_solved(runtime: Runtime) -> None:
    SOLVED.check(runtime)


@everywhere
def test_of_weights(runtime: Runtime) -> None:
    CONSTANT.check(runtime)

"""Functions of one number and activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tests.torch.checks import Family, Runtime, everywhere, ints, rand


def _named(module: Any, *names: str) -> dict[str, Any]:
    return {n: getattr(module, n) for n in names}


ANY = Family(
    {
        **_named(
            torch, "abs", "neg", "sign", "ceil", "floor", "trunc", "round", "square", "exp", "expm1", "erf", "erfc"
        ),
        **_named(torch, "sin", "cos", "tan", "sinh", "cosh", "tanh", "asinh", "atan", "sigmoid", "frac", "exp2"),
        "round2": lambda x: torch.round(x, decimals=2),
        "halves": lambda x: torch.round(torch.trunc(4 * x) / 2),
        "clamp": lambda x: torch.clamp(x, -0.5, 0.7),
        "clamp_min": lambda x: torch.clamp(x, min=0.25),
        "clamp_max": lambda x: torch.clamp(x, max=0.25),
        "clamp_tensor": lambda x: torch.clamp(x, x * 0 - 1, x * 0 + 0.5),
        "isnan": lambda x: torch.isnan(torch.log(x)),
        "isinf": lambda x: torch.isinf(1 / torch.floor(x.abs())),
        "isfinite": lambda x: torch.isfinite(torch.log(x)),
        "nan_to_num": lambda x: torch.nan_to_num(torch.log(torch.floor(x)), 3.0, 1.0, -2.0),
        "sinc": torch.sinc,
        "deg2rad": torch.deg2rad,
    },
    [rand(2, 3, 4)],
    [rand(5, 3, 4, seed=1)],
)
POSITIVE = Family(
    {
        **_named(torch, "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma", "digamma"),
        "acosh": lambda x: torch.acosh(x + 1),
    },
    [rand(2, 7, low=0.1, high=3.0)],
    [rand(5, 7, low=0.1, high=3.0, seed=1)],
)
UNIT = Family(
    {**_named(torch, "asin", "acos", "atanh", "erfinv"), "logit": lambda x: torch.logit(x, 1e-3)},
    [rand(2, 7, low=-0.9, high=0.9)],
    [rand(5, 7, low=-0.9, high=0.9, seed=1)],
)
WHOLE = Family(
    {
        **_named(torch, "abs", "neg", "sign", "ceil", "floor", "exp", "sqrt", "square", "sigmoid", "relu"),
        "clamp": lambda x: torch.clamp(x, 1, 5),
        "clamp_float": lambda x: torch.clamp(x, 0.5, 5.5),
        "isnan": torch.isnan,
        "bool": lambda x: x.bool(),
        "float16": lambda x: x.to(torch.float32) / 3,
        "int8": lambda x: x.to(torch.int8),
        "double": lambda x: x.double() / 3,
    },
    [ints(2, 5, low=0)],
    [ints(4, 5, low=0, seed=1)],
)
ACTIVATIONS = Family(
    {
        **_named(F, "relu", "relu6", "silu", "hardswish", "hardsigmoid", "mish", "selu", "logsigmoid", "softsign"),
        **_named(F, "tanhshrink", "hardshrink", "softshrink", "gelu", "softplus"),
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "elu": lambda x: F.elu(x, 0.7),
        "celu": lambda x: F.celu(x, 1.3),
        "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
        "hardtanh": lambda x: F.hardtanh(x, -0.3, 1.1),
        "softplus_beta": lambda x: F.softplus(x, 2.0, 3.0),
        "threshold": lambda x: F.threshold(x, 0.3, -5.0),
        "rrelu": lambda x: F.rrelu(x, training=False),
        "glu": lambda x: F.glu(x, 2),
        "prelu_one": torch.nn.PReLU(),
        "prelu": torch.nn.PReLU(3),
        "softmax": lambda x: F.softmax(x, -1),
        "softmax1": lambda x: F.softmax(x, 1),
        "log_softmax": lambda x: F.log_softmax(20 * x, -1),
        "softmin": lambda x: F.softmin(x, 1),
        "dropout": torch.nn.Dropout(0.5),
        "dropout2d": torch.nn.Dropout2d(0.5),
    },
    [rand(2, 3, 4, low=-5, high=5)],
    [rand(5, 3, 4, low=-5, high=5, seed=1)],
)


@everywhere
def test_of_any_number(runtime: Runtime) -> None:
    ANY.check(runtime)


@everywhere
def test_of_positive_numbers(runtime: Runtime) -> None:
    POSITIVE.check(runtime)


@everywhere
def test_of_the_unit_interval(runtime: Runtime) -> None:
    UNIT.check(runtime)


@everywhere
def test_of_integers(runtime: Runtime) -> None:
    WHOLE.check(runtime)


@everywhere
def test_activations(runtime: Runtime) -> None:
    ACTIVATIONS.check(runtime)


@everywhere
def test_no_dimensions(runtime: Runtime) -> None:
    """A sum of everything goes through functions without ever having a dimension."""
    Family(
        {
            "norm": lambda x: x / torch.sqrt((x * x).sum()),
            "scalar": lambda x: torch.exp(-x.mean()) * 2 + 1,
            "stack": lambda x: torch.stack([x.sum(), x.max()]),
            "reshape": lambda x: x.sum().reshape(1, 1).expand(2, 3),
        },
        [np.float32(rand(3, 4))],
        [rand(6, 4)],
    ).check(runtime)

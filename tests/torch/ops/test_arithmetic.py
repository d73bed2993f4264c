"""Arithmetic, comparison, logic and selection of two operands and more, and the types they give."""

from __future__ import annotations

import numpy as np
import torch

from tests.torch.checks import Family, Runtime, everywhere, ints, rand

FLOATS = Family(
    {
        "add": lambda x, y: torch.add(x, y, alpha=2),
        "sub": lambda x, y: torch.sub(x, y, alpha=0.5),
        "rsub": lambda x, y: torch.rsub(x, y, alpha=2),
        "rsub_number": lambda x, y: 1.5 - x,
        "mul": torch.mul,
        "div": torch.div,
        "div_number": lambda x, y: x / 3,
        "number_div": lambda x, y: 3 / y,
        "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
        "floor": lambda x, y: torch.div(x, y, rounding_mode="floor"),
        "floor_divide": lambda x, y: torch.floor_divide(x, 0.1),
        "remainder": torch.remainder,
        "remainder_number": lambda x, y: x % 0.7,
        "fmod": torch.fmod,
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "atan2": torch.atan2,
        "pow2": lambda x, y: x**2,
        "pow3": lambda x, y: x**3,
        "pow_half": lambda x, y: y.abs() ** 0.5,
        "rsqrt": lambda x, y: y.abs() ** -0.5,
        "inverse": lambda x, y: y**-1,
        "pow": lambda x, y: torch.pow(x.abs(), y),
        "power_of_two": lambda x, y: 2.0**x,
        "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.3),
        "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.3),
        "lerp": lambda x, y: torch.lerp(x, y, 0.3),
        "lerp_tensor": lambda x, y: torch.lerp(x, y, torch.sigmoid(x)),
        "hypot": torch.hypot,
        "scalar_tensor": lambda x, y: x * torch.tensor(3) + torch.tensor(2.5, dtype=torch.float64),
        "logaddexp": torch.logaddexp,
        "xlogy": lambda x, y: torch.xlogy(x, y.abs()),
        "copysign": torch.copysign,
        "fmax": lambda x, y: torch.fmax(torch.log(x), y),
        "fmin": lambda x, y: torch.fmin(y, torch.log(x)),
        "ldexp": lambda x, y: torch.ldexp(x, (y * 2).to(torch.int32)),
        "signbit": lambda x, y: torch.signbit(x * 0) | torch.signbit(x - y),
    },
    [rand(2, 3, 4), rand(3, 1, low=0.5, high=2.0)],
    [rand(5, 3, 4), rand(3, 1, low=0.5, high=2.0, seed=1)],
)
INTEGERS = Family(
    {
        "add": lambda x, y: torch.add(x, y, alpha=2),
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
        "floor": lambda x, y: x // y,
        "floor_negative": lambda x, y: x // -3,
        "remainder": lambda x, y: x % y,
        "remainder_negative": lambda x, y: x % -3,
        "fmod": torch.fmod,
        "plus_float": lambda x, y: x + 0.5,
        "times_bool": lambda x, y: x * (y > 2),
        "pow": lambda x, y: x**2,
        "pow_float": lambda x, y: x**2.0,
        "and": lambda x, y: x & y,
        "or": lambda x, y: x | 3,
        "xor": lambda x, y: x ^ y,
        "not": lambda x, y: ~x,
        "left": lambda x, y: y << 3,
        "right": lambda x, y: x >> 1,
        "mixed": lambda x, y: x.to(torch.int32) + y,
        "bytes": lambda x, y: x.to(torch.uint8) + y.to(torch.int8),
        "maximum": torch.maximum,
        "cumulated": lambda x, y: (x.cumsum(1) * 2 - 1).to(torch.int32),
    },
    [ints(2, 3, 4), ints(3, 1, low=1)],
    [ints(5, 3, 4), ints(3, 1, low=1, seed=1)],
)
COMPARED = Family(
    {
        "eq": lambda x, y: x == y,
        "ne": lambda x, y: x != y,
        "lt": lambda x, y: x < y,
        "le": lambda x, y: x <= y,
        "gt": lambda x, y: x > y,
        "ge": lambda x, y: x >= y,
        "number": lambda x, y: x > 1,
        "fraction": lambda x, y: x > 1.5,
        "and": lambda x, y: (x > 0) & (y > 0),
        "or": lambda x, y: torch.logical_or(x, y),
        "xor": lambda x, y: (x > 0) ^ (y > 0),
        "not": lambda x, y: ~(x > 0),
        "logical_not": lambda x, y: torch.logical_not(x),
        "bools": lambda x, y: (x > 0) == (y > 0),
        "isclose": lambda x, y: torch.isclose(x.float(), y + 1e-6),
        "where": lambda x, y: torch.where(x > 0, x, y),
        "where_number": lambda x, y: torch.where(x > 0, 0.0, -3e38),
        "where_numbers": lambda x, y: torch.where(x > y, 5, 0),
        "where_half": lambda x, y: torch.where(x > 0, x.float(), -1.5),
        "masked_fill": lambda x, y: y.masked_fill(x > 0, -1.0),
        "masked_infinity": lambda x, y: (y + x).masked_fill(x > 0, float("-inf")),
        "masked_int": lambda x, y: x.masked_fill(y > 0, 7),
        "any": lambda x, y: (x > y).any(),
        "all_dim": lambda x, y: (x > -9).all(1),
        "any_dims": lambda x, y: (x > 3).any(1, keepdim=True),
        "sum_bool": lambda x, y: (x > 0).sum(-1),
        "mean_bool": lambda x, y: (x > 0).float().mean(-1),
        "isin": lambda x, y: torch.isin(x, torch.tensor([1, 3, 5])),
        "heaviside": lambda x, y: torch.heaviside(y, torch.tensor(0.5)),
    },
    [ints(2, 3, 4), np.float32(ints(3, 4))],
    [ints(5, 3, 4), np.float32(ints(3, 4, seed=1))],
)


@everywhere
def test_floats(runtime: Runtime) -> None:
    FLOATS.check(runtime)


@everywhere
def test_integers(runtime: Runtime) -> None:
    INTEGERS.check(runtime)


DIVISORS = Family(
    {
        "gcd": torch.gcd,
        "gcd_small": lambda a, b: torch.gcd(a.to(torch.int8), b.to(torch.int8)),
        "gcd_row": lambda a, b: torch.gcd(a.to(torch.int32), b[:1].to(torch.int32)),
        "gcd_number": lambda a, b: torch.gcd(a[0, 0] * 2**40, b[0, 0] * 6),
        "lcm": torch.lcm,
        "lcm_column": lambda a, b: torch.lcm(a.to(torch.int32), b[:, :1].to(torch.int32)),
    },
    [ints(4, 5, low=-60, high=60), ints(4, 5, low=-3, high=4, seed=1)],
    [ints(2, 9, low=-9, high=99, seed=2), ints(2, 9, low=-40, high=40, seed=3)],
    [np.zeros((1, 4), np.int64), np.array([[0, 5, -7, 2]])],
)
DIVISORS_OF_NOTHING = Family(
    {"gcd": lambda a, b: torch.gcd(a[:, :0], b[:, :0])},
    [ints(4, 5), ints(4, 5, seed=1)],
    [ints(2, 9), ints(2, 9, seed=1)],
)


@everywhere
def test_divisors(runtime: Runtime) -> None:
    DIVISORS.check(runtime)
    DIVISORS_OF_NOTHING.check(runtime)


@everywhere
def test_comparison_and_selection(runtime: Runtime) -> None:
    COMPARED.check(runtime)


# numbers that Python computes of open sizes: `1 / (height - 1)` is a fraction that only a run knows
SIZES = Family(
    {
        "ratio": lambda x: x * (x.shape[1] / x.shape[2]),
        "step": lambda x: x / (x.shape[1] - 1.0) + 1 / (x.shape[2] + 2),
        "strided": lambda x: x * (torch.sym_float((x.shape[1] - 1) // 2 + 1) - 1.0),
        "scaled": lambda x: x + 0.5 * x.shape[1] - x.shape[0] * 0.25,
        "root": lambda x: x * (x.shape[1] * x.shape[2]) ** 0.5 + x / x.shape[1] ** 0.5,
        "power": lambda x: x * (x.shape[1] / 3.0) ** 2 - x * x.shape[2] ** -1,
        "larger": lambda x: x * max(x.shape[1] / 2, x.shape[2] / 3),
        "whole": lambda x: (x * 10).to(torch.int64) * (x.shape[1] / 4),
        "filled": lambda x: x + torch.full_like(x, x.shape[1] / 8),
        "compared": lambda x: torch.where(x > x.shape[1] / 40, x, -x),
        "listed": lambda x: torch.as_tensor([(x.shape[1], x.shape[2] // 2), (x.shape[0] + 1, 3)]).prod(1).cumsum(0),
        "listed_floats": lambda x: x[:, 0, :1] * torch.tensor([x.shape[1], 0.5, x.shape[2]]),
        "alone": lambda x: x * torch.tensor(x.shape[2]) + x.new_tensor([x.shape[1]]),
    },
    [rand(2, 6, 9)],
    [rand(3, 9, 7, seed=1)],
)


@everywhere
def test_numbers_computed_of_open_sizes(runtime: Runtime) -> None:
    SIZES.check(runtime)

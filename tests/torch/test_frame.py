"""What belongs to no operator: coverage of core ATen, names, folding, dynamic sizes, refusals, 16-bit floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mconv.errors import UnsupportedError, UsageError
from mconv.program.targets import PADDLE_3
from mconv.torch import registry
from mconv.torch.convert import imported
from mconv.torch.exporting import export
from tests.torch.checks import CURRENT, Family, Runtime, everywhere, ints, rand, refusal
from tests.torch.converted import convert


def _core() -> list[str]:
    found = []
    for name in torch._C._dispatch_get_all_op_names():
        base, _, overload = name.rpartition("::")[2].partition(".")
        op = getattr(getattr(torch.ops.aten, base, None), overload or "default", None) if "aten::" in name else None
        if op is not None and torch.Tag.core in op.tags:
            found.append(str(op)[5:])
    assert len(found) > 180
    return found


SIZES = {"sym_size.int", "sym_numel.default", "_local_scalar_dense.default"}  # which the importer itself reads


def test_every_core_operator_is_converted_or_refused_for_a_reason() -> None:
    known = set(registry.known()) | SIZES
    open_ = [name for name in _core() if name not in known and registry.refused(name) is None]
    assert open_ == []


def test_converters_exist_in_torch_and_take_what_it_gives() -> None:
    for name in registry.known():
        if name.count(".") > 1:  # another library's, which registers it when it is imported
            continue
        packet, overload = name.split(".")
        op = getattr(getattr(torch.ops.aten, packet, None), overload, None)
        assert op is not None, name
        takes = {a.name for a in op._schema.arguments}
        needs = registry.find(name)
        assert needs is not None
        assert any(p in takes for p in needs.parameters) or not takes, name


class Outputs(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return {"first": x + 1, "pair": (x * 2, x.sum(1)), "same": x, "number": x.shape[0]}


def test_outputs_are_called_by_their_place() -> None:
    made = convert(Outputs(), {"x": torch.zeros(2, 3)}, {"x": ("batch", None)}, PADDLE_3)
    assert [p.name for p in made.program.fetches] == ["first", "pair_0", "pair_1", "same", "number"]
    assert [p.name for p in made.program.feeds] == ["x"]
    assert list(made.program.feeds[0].shape) == [-1, 3]
    assert set(made.seconds) == {"torch.export", "decompositions", "import", "passes"}


def test_an_input_that_forward_does_not_take() -> None:
    with pytest.raises(UsageError, match="has no input 'y'") as caught:
        export(Outputs(), {"y": torch.zeros(2, 3)}, {})
    assert "x" in (caught.value.hint or "")


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 40)
        self.other = nn.Embedding(50, 40)
        self.other.weight = self.table.weight
        self.register_buffer("scale", torch.arange(40.0))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # the weights' own arithmetic is done at conversion
        return self.table(ids) + self.other(ids) * (self.scale.exp() / 7).clamp(max=2)


def test_shared_weights_are_one_parameter_and_constants_are_computed() -> None:
    made = convert(Tied(), {"ids": torch.zeros(2, 3, dtype=torch.int64)}, {"ids": ("batch", "length")})
    assert sorted(s.shape for s in made.params.values()) == [(40,), (50, 40)]
    types = [op.type for op in made.program.main.ops]
    assert "exp" not in types and types.count("lookup_table_v2") <= 2


def test_a_dimension_that_torch_fixes_is_named() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(4, -1) if x.shape[0] == 4 else x.reshape(2, -1)

    made = convert(Fixed(), {"x": torch.zeros(4, 6)}, {"x": ("batch", None)})
    assert any("'batch' to 4" in note for note in made.notes)
    assert list(made.program.feeds[0].shape) == [4, 6]


def test_unsupported_operators_are_one_table() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.randn_like(x) + torch.special.i1(x) + torch.special.i1(x + 1)

    with pytest.raises(UnsupportedError) as caught:
        convert(Odd(), {"x": torch.zeros(2, 3)})
    rows = {r["operator"]: r for r in caught.value.rows or []}
    assert rows["aten.special_i1.default"]["count"] == 2
    assert any("other numbers each time" in r["reason"] for r in rows.values())


def test_what_is_behind_an_unsupported_operator() -> None:
    """Of the nodes that read it, those without a converter are in the same table, the others are counted."""

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.i0e(torch.tanh(torch.special.i1(x)) * 2)

    with pytest.raises(
        UnsupportedError, match="2 nodes cannot be converted: .*; 2 behind them could not be tried"
    ) as caught:
        convert(Odd(), {"x": torch.zeros(2, 3)})
    assert [r["operator"] for r in caught.value.rows] == ["aten.special_i1.default", "aten.special_i0e.default"]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.bernoulli(x.sigmoid()), "other numbers each time"),
        (lambda x: x.to(torch.float32).view(torch.int32), "reads the bytes"),
        (lambda x: nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5), "training mode"),
    ],
)
def test_refusals(function: Any, reason: str) -> None:
    assert reason in refusal(function, rand(2, 3))


def test_item_as_a_size() -> None:
    def cut(x: torch.Tensor) -> torch.Tensor:
        count = (x[0] > 0).sum().item()
        torch._check(count >= 0)
        torch._check(count <= x.shape[1])
        return x[:, :count]

    Family({"cut": cut}, [rand(2, 6)], [rand(4, 9)]).check(CURRENT)


class Half(nn.Module):
    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4)).to(dtype)
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x.to(self.dtype)).float()


@everywhere
def test_16_bit_floats_are_widened(runtime: Runtime) -> None:
    """Closer to the exact result than torch, which rounds after every operator: hence the tolerance."""
    Family(
        {"bfloat16": Half(torch.bfloat16), "float16": Half(torch.float16)}, [rand(2, 6)], [rand(5, 6)], tolerance=2e-2
    ).check(runtime)


@pytest.mark.parametrize(("widen", "label"), [(True, "float32"), (False, "float16")])
def test_16_bit_floats_are_kept_when_asked(widen: bool, label: str) -> None:
    layer = nn.Linear(300, 300).half()
    made = convert(layer, {"input": torch.zeros(2, 300, dtype=torch.float16)}, target=PADDLE_3, widen=widen)
    assert {p.dtype.label for p in [*made.program.feeds, *made.program.fetches]} == {label}
    assert made.params["weight"].dtype.label == label


@everywhere
def test_no_tensor_and_a_constant_among_the_outputs(runtime: Runtime) -> None:
    Family(
        {"constant": lambda x: torch.arange(3) * 2, "weight": lambda x: torch.ones(2, 2), "sum": lambda x: x.sum()},
        [rand(2, 3)],
        [rand(4, 3)],
    ).check(runtime)


def test_integers_in_and_out() -> None:
    Family({"ids": lambda x: x.clamp(min=0) % 7, "mask": lambda x: x > 0}, [ints(2, 3)], [ints(5, 3)]).check(CURRENT)


def test_strict_export_too() -> None:
    exported = export(Outputs(), {"x": torch.zeros(2, 3)}, {"x": ("batch", None)}, strict=True)
    assert exported.how == "torch.export strict"
    assert len(imported(exported).program.fetches) == 5
    assert np.prod(imported(exported).program.feeds[0].shape) == -3

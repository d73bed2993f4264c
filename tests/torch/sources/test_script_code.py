"""The code of TorchScript archives: what torch prints is admitted, and what else its interpreter would run is not."""

from __future__ import annotations

import inspect
import io
import zipfile
from typing import Any

import pytest

from mconv import budget
from mconv.errors import LimitError
from mconv.torch.sources import script, script_code

torch = pytest.importorskip("torch")
from tests.torch import nets  # noqa: E402

_GIVEN: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "kernel_size": 3, "num_features": 4, "in_features": 4, "out_features": 4,
    "embed_dim": 4, "num_heads": 2, "d_model": 8, "nhead": 2, "input_size": 4, "hidden_size": 4, "num_embeddings": 5,
    "embedding_dim": 4, "num_groups": 2, "num_channels": 4, "normalized_shape": 4, "output_size": 3, "dim": 1,
    "padding": 1, "upscale_factor": 2, "downscale_factor": 2, "unflattened_size": [2, 2], "threshold": 0.5, "value": 1.0,
    "groups": 2, "in1_features": 4, "in2_features": 4,
}  # fmt: skip


def printed(module: Any) -> dict[str, bytes]:
    """The files of code that torch writes for a module."""
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), out)
    with zipfile.ZipFile(out) as archive:
        return {n: archive.read(n) for n in archive.namelist() if n.endswith(".py")}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.long
def test_all_layers_of_torch() -> None:
    """Every layer that can be scripted."""
    looked_at = []
    for name, kind in inspect.getmembers(torch.nn, inspect.isclass):
        if not issubclass(kind, torch.nn.Module):
            continue
        required = [n for n, p in inspect.signature(kind).parameters.items() if p.default is p.empty]
        try:
            given = {n: _GIVEN[n] for n in required if n in _GIVEN}
            code = printed(kind(4, 4) if name in ("LSTM", "GRU", "RNN") else kind(**given))
        except Exception:  # noqa: BLE001 - it takes other arguments, or has no forward
            continue
        assert script_code.check(code, script._registered()) is None, name
        looked_at.append(name)
    assert len(looked_at) > 90 and {"LSTM", "MultiheadAttention", "Conv2d", "Upsample"} <= set(looked_at)


class Varied(torch.nn.Module):
    """Loops, branches, containers, errors, numbers that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)])
        self.table = {"a": 1}

    def forward(self, x: torch.Tensor, count: int = 3) -> dict[str, torch.Tensor]:
        found = [x]
        for i in range(count):
            if i > 1:
                x = x + float("inf")
            elif i < -5:
                raise ValueError(f"bad {i}")
            else:
                found.append(x * i)
        while count > 0:
            count -= 1
        for layer in self.layers:
            x = layer(x)
        assert x.dim() > 0, "no"
        values, places = torch.max(x, 1)
        return {"found": torch.cat(found), "values": values, "places": places[: self.table["a"]]}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("net", [Varied, nets.Convolutional, nets.Looked])
def test_what_torch_prints(net: Any) -> None:
    assert script_code.check(printed(net()), script._registered()) is None


CLASS = """class S(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  training : bool
  def forward(self: __torch__.S,
    x: Tensor) -> Tensor:
    %s
    return x
"""


def wrong(line: str) -> str | None:
    return script_code.check({"code/__torch__.py": (CLASS % line).encode()}, script._registered())


@pytest.mark.parametrize(
    "line",
    ["y = torch.add(x, self.weight)", "y = (x).add(x)", "y = getattr(self, \"weight\")", "y = ops.prim.dtype(x)",
     "y = annotate(List[Tensor], [])", "y = __torch__.torch.nn.functional.relu(x, False, )", "y = CONSTANTS.c0",
     "y = [1, -2, inf]", "y, z, = torch.max(x, 1)", "torch.warn(\"mind\")", "y = ops.quantized.linear(x, x, 1., 0)",
     "y = uninitialized(Tensor)", "y = torch.slice(x, 0, None, 1)"],
)  # fmt: skip
def test_admitted(line: str) -> None:
    assert wrong(line) is None


@pytest.mark.parametrize(
    "line",
    ["torch.save(x, \"f\")", "torch.save\\\n(x, \"f\")", "torch.save( # (\n x, \"f\")", "ops.aten.save(x, \"f\")",
     "(x).save(\"f\")", "f = torch.save", "f = (torch).save", "f = torch", "f = ops.aten", "f = ops", "f = [torch.save]",
     "y = torch.from_file(\"f\", True, 4)", "y = getattr(x, \"save\")(\"f\")", "y = getattr(x, self.name)",
     "y = getattr(x, \"sa\" + \"ve\")", "print(x)", "ops.prim.Print(x)", "y = ops.image.read_file(\"f\")",
     "y = ops.torchvision.read_file(\"f\")", "y = __torch__.torch.classes.profiling.SourceStats()",
     "y = __torch__.torch.classes.tensorrt.Engine()", "ops.load_library(\"f\")", "y = fork(torch.add, x, x)",
     "y = torch.to_here(x)", "y = ops.prim.rpc_sync(x)", "import os", "from os import system", "exec(\"1\")",
     "y = eval(\"1\")", "y = (lambda: 1)()", "y = [z for z in x]", "y = f\"{x}\"", "y = open(\"f\")", "y = unknown",
     "y = x.unknown", "y = \"\\033[31m\"", "y = torch.chr(27)", "torch = x", "ops : Tensor = x", "y = (y := x)",
     "y = await x", "yield x", "global z", "del x", "try:\n      pass\n    except: pass", "@f\n    def g(): pass",
     "y = x\r    torch.save(x, \"f\")", "y = x\x0c", "# \xff", "y = (", "y = torch.debugprims.load_tensor(\"f\")"],
)  # fmt: skip
def test_refused(line: str) -> None:
    assert wrong(line)


def test_code_without_end() -> None:
    for line in ("y = " + "-" * 99_000 + "1", "y = " + ".".join(["x"] * 400), "y = x" + "[0]" * 300):
        try:
            assert wrong(line)
        except LimitError:
            pass
    with pytest.raises(LimitError):
        wrong("y = x  #" + "x" * 200_000)
    with pytest.raises(LimitError):
        script_code.check({f"code/{n}.py": b"pass\n" * 700_000 for n in range(6)}, ())


@pytest.mark.parametrize(
    "line",
    ["y = torch.sum(torch.ones([900000000]))", "y = torch.zeros([90000, 90000], dtype=6)", "y = torch.arange(900000000)",
     "y = torch.eye(90000, 90000)", "y = (x).repeat([90000, 90000])", "n = 900000000\n    y = torch.ones([n])",
     "y = torch.rand(size=[1000, 1000, 1000])", "for i in range(1000000000):\n      x = torch.add(x, i)",
     "for i in range(0, 1000000000, 2):\n      x = torch.add(x, i)", "n = 1000000\n    for i in range(n):\n      pass",
     "for i in range(1000):\n      for j in range(1000):\n        x = torch.add(x, i)",
     "for i in range(1000000, 0, -1):\n      x = torch.add(x, i)",
     "y = torch.ones([200000000])\n    z = torch.ones([200000000])"],
)  # fmt: skip
def test_sizes_beyond_the_budget(line: str) -> None:
    with budget.command(), pytest.raises(LimitError, match="beyond the limit"):
        wrong(line)
    with budget.command("100T"):
        assert wrong(line) is None


@pytest.mark.parametrize(
    "line",
    ["y = torch.slice(x, 0, 0, 9223372036854775807)", "y = torch.zeros([64, 512])", "y = torch.reshape(x, [-1, 90000])",
     "for i in range(100):\n      for j in range(100):\n        x = torch.add(x, i)", "y = torch.arange(512)", "y = torch.full([3], 9223372036854775807)", "y = torch.randint(0, 900000000, [3])",
     "for i in range(0, -5):\n      pass", "for i in range(torch.size(x, 0)):\n      pass"],
)  # fmt: skip
def test_sizes_of_models(line: str) -> None:
    with budget.command():
        assert wrong(line) is None


class Read(torch.nn.Module):
    """What runs while it is read calls a method of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return self.w, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.w = self.settled(state[0])
        self.training = state[1]

    def settled(self, w: torch.Tensor) -> torch.Tensor:
        return w * 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.w
        for _ in range(3):
            y = y * 0.5
        return y


class ReadWithoutEnd(Read):
    def settled(self, w: torch.Tensor) -> torch.Tensor:
        while bool(torch.sum(w) >= -1.0):
            w = w * 0.5
        return w


@pytest.mark.filterwarnings("ignore")
def test_no_loop_runs_while_it_is_read() -> None:
    """torch's reader lets no other thread run: nothing could end it."""
    assert script_code.check(printed(Read()), script._registered()) is None
    found = script_code.check(printed(ReadWithoutEnd()), script._registered())
    assert found is not None and "loops while it is read" in found

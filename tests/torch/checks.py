"""The one shared check of what becomes of PyTorch models: exported, converted, run in a real Paddle, and compared.

    UNARY = Family({"abs": torch.abs, "exp": torch.exp}, [rand(2, 3)], [rand(5, 3)])

    @everywhere
    def test_unary(runtime):
        UNARY.check(runtime)

A family is one export for all its functions, each of which is an output of its own. Axes whose size differs between
the input sets are dynamic.
"""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from mconv.errors import UnsupportedError
from mconv.program import targets
from mconv.program.stored import write_model
from mconv.torch.convert import imported
from mconv.torch.exporting import Exported, export
from mconv.torch.importer import Imported
from tests.onnx.checks import CURRENT, PADDLE_23, PADDLE_26, PLAIN, Runtime, everywhere, in_runtimes, ints, rand, worker

__all__ = [
    "CURRENT",
    "PADDLE_23",
    "PADDLE_26",
    "PLAIN",
    "TOLERANCE",
    "Family",
    "Runtime",
    "check_model",
    "differences",
    "everywhere",
    "ints",
    "in_runtimes",
    "rand",
    "refusal",
    "run",
]

TOLERANCE = 1e-4  # relative to the largest number of the output
Set = Sequence[np.ndarray]  # the inputs of one run, in the order of forward's


def differences(name: str, want: Any, got: np.ndarray, runtime: Runtime, tolerance: float = TOLERANCE) -> list[str]:
    """What is wrong with an output; nothing when type, shape and numbers are right."""
    want = want.detach().numpy()
    shape = want.shape
    if shape == () and runtime.target in ("1.8", "2.3"):
        shape = (1,)  # how a tensor without dimensions is carried there
    if got.dtype != want.dtype:
        return [f"{name}: {got.dtype} where torch gives {want.dtype}"]
    if got.shape != shape:
        return [f"{name}: shape {got.shape} where torch gives {shape}"]
    want = want.reshape(shape)
    if want.dtype.kind != "f":
        wrong = int((want != got).sum())
        return [f"{name}: {wrong} of {want.size} elements differ"] if wrong else []
    odd = ~np.isfinite(want)
    if (odd != ~np.isfinite(got)).any() or not np.array_equal(want[odd], got[odd], equal_nan=True):
        return [f"{name}: infinities or NaN elsewhere"]
    if odd.all():
        return []
    error = float(np.abs(want[~odd] - got[~odd]).max())
    limit = tolerance * float(np.abs(want[~odd]).max()) + 1e-7
    return [f"{name}: off by {error:.2e} where {limit:.2e} is allowed"] if error > limit else []


def run(made: Imported, runtime: Runtime, sets: Sequence[Mapping[str, np.ndarray]], **options: Any) -> Any:
    """The converted model's answers to *sets* in *runtime*."""
    with tempfile.TemporaryDirectory() as folder:
        program, params = write_model(made.program, made.params.items(), Path(folder))
        feeds = {p.name for p in made.program.feeds}
        taken = [{k: v for k, v in s.items() if k in feeds} for s in sets]
        return worker(runtime.name).run(program, params, taken, onednn=runtime.onednn, **options)


def check_model(
    model: Any,
    exported: Exported,
    runtime: Runtime,
    sets: Sequence[Mapping[str, np.ndarray]],
    tolerance: float = TOLERANCE,
) -> Imported:
    """A model of any kind: *exported* converted for *runtime* answers *sets* as *model* does there."""
    import torch

    made = imported(exported, targets.get(runtime.target))
    fixed = [n for n in made.notes if "torch fixed" in n]
    assert not fixed, fixed
    answers = run(made, runtime, sets, timeout=120)
    wrong: list[str] = []
    for i, feeds in enumerate(sets):
        with torch.no_grad():
            result = model(**{k: torch.from_numpy(v) for k, v in feeds.items()})
        wanted = torch.utils._pytree.tree_leaves(result)
        assert len(answers.outputs[i]) == len(wanted)
        for name, want, got in zip(answers.names, wanted, answers.outputs[i]):
            wrong += [f"set {i}: {d}" for d in differences(name, want, got, runtime, tolerance)]
    assert not wrong, "; ".join(wrong)
    return made


class Family:
    """Functions of the same inputs, each one an output, or a few when it gives a tuple.

    Args:
        functions: name → function or module.
        sets: the inputs of each run.
        tolerance: relative to the largest number of an output.
        names: per input, names of its dimensions; default: those whose size differs between the sets are dynamic.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]],
        *sets: Set,
        tolerance: float = TOLERANCE,
        names: Optional[Sequence[Sequence[Optional[str]]]] = None,
    ):
        self.functions, self.sets, self.tolerance, self.names = functions, sets, tolerance, names
        self._exported: Optional[Exported] = None

    def check(self, runtime: Runtime) -> Imported:
        """Convert for *runtime*, run there, compare every output of every set."""
        model = self.model
        keys = [f"x{i}" for i in range(len(self.sets[0]))]
        sets = [dict(zip(keys, s)) for s in self.sets]
        return check_model(model, self.exported(), runtime, sets, self.tolerance)

    def exported(self) -> Exported:
        if self._exported is None:
            import torch

            keys = [f"x{i}" for i in range(len(self.sets[0]))]
            examples = {k: torch.from_numpy(v) for k, v in zip(keys, self.sets[0])}
            self._exported = export(self.model, examples, dict(zip(keys, self._dims())))
        return self._exported

    def _dims(self) -> list[Sequence[Optional[str]]]:
        if self.names is not None:
            return list(self.names)
        out: list[Sequence[Optional[str]]] = []
        for values in zip(*self.sets):
            sizes = list(zip(*(v.shape for v in values)))
            # axes of the same sizes in every set share a name, as a batch does
            out.append([None if len(set(s)) == 1 else "n" + "_".join(map(str, s)) for s in sizes])
        return out

    @functools.cached_property
    def model(self) -> Any:
        """A module whose ``forward`` has one named parameter per input and gives a dict."""
        import torch

        functions = self.functions

        class Many(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                inner = {n: f for n, f in functions.items() if isinstance(f, torch.nn.Module)}
                self.inner = torch.nn.ModuleDict({f"m_{n}": f for n, f in inner.items()})

            def compute(self, *args: Any) -> dict[str, Any]:
                out: dict[str, Any] = {}
                for name, function in functions.items():
                    key = f"m_{name}"
                    out[name] = (self.inner[key] if key in self.inner else function)(*args)
                return out

        forwards: list[Callable[..., Any]] = [
            lambda self, x0: self.compute(x0),
            lambda self, x0, x1: self.compute(x0, x1),
            lambda self, x0, x1, x2: self.compute(x0, x1, x2),
            lambda self, x0, x1, x2, x3: self.compute(x0, x1, x2, x3),
        ]
        Many.forward = forwards[len(self.sets[0]) - 1]  # type: ignore[method-assign]
        assert list(inspect.signature(Many.forward).parameters)[1:] == [f"x{i}" for i in range(len(self.sets[0]))]
        return Many().eval()


def refusal(function: Callable[..., Any], *args: np.ndarray, target: str = "2.3") -> str:
    """The reason why a function is refused; fails when it is not."""
    with pytest.raises(UnsupportedError) as caught:
        imported(Family({"y": function}, args).exported(), targets.get(target))
    return str(caught.value)

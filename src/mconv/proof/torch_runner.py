"""A live PyTorch model as a runner."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from mconv.errors import LimitError, RuntimeFailedError, UnsupportedError
from mconv.program.closing import Closing
from mconv.program.dtypes import DType
from mconv.proof.feeds import InputSpec
from mconv.proof.runners import Answers
from mconv.runtimes.memory import HINT, says_out_of_memory


class TorchRunner(Closing):
    """A PyTorch model in this process; what it was asked once is remembered.

    Args:
        call: what runs the model: tensors by the names of the inputs → whatever it returns.
        flatten: what it returns → (name, leaf) of each output; leaves that are no tensors and no numbers are left out.
        label: what to call the model.
        inputs: its inputs.
        select: the outputs that are wanted, in this order; None: all.
        widened: 16-bit outputs are given as float32, as the converted model has them.
        ties: a context manager whose ``found`` says where the model takes some of numbers that are equal.
    """

    def __init__(
        self,
        call: Callable[[Mapping[str, Any]], Any],
        flatten: Callable[[Any], Sequence[tuple[str, Any]]],
        label: str,
        inputs: Sequence[InputSpec] = (),
        select: Optional[Sequence[str]] = None,
        widened: bool = False,
        ties: Optional[Callable[[], Any]] = None,
    ):
        import torch

        self.version: str = torch.__version__
        self.ties = ties
        self.label = f"{label} in PyTorch {self.version}"
        self.call, self.flatten, self.select, self.widened = call, flatten, select, widened
        self._inputs = list(inputs)
        self._types = {spec.name: spec.dtype for spec in inputs}
        self._known: list[tuple[list[np.ndarray], list[str], list[np.ndarray], list[str], float]] = []

    def specs(self) -> list[InputSpec]:
        return self._inputs

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        names: list[str] = []
        outputs, dtypes, seconds = [], [], []
        for feed in sets:
            all_names, values, kinds, spent = self._one(feed)
            names = [n for n in self.select if n in all_names] if self.select is not None else all_names
            indices = [all_names.index(n) for n in names]
            outputs.append([values[p] for p in indices])
            dtypes.append([kinds[p] for p in indices])
            seconds.append(spent)
        return Answers(names, outputs, dtypes, self.version, seconds)

    def tied(self, sets: Sequence[Mapping[str, np.ndarray]]) -> list[str]:
        """Where the model takes some of numbers that are equal; empty where *ties* was not given."""
        if self.ties is None:
            return []
        with self.ties() as noted:
            for feed in sets:
                self.call({n: tensor_of(np.array(a, order="C"), self._types.get(n)) for n, a in feed.items()})
        found: list[str] = noted.found
        return found

    def forget(self) -> None:
        """Run the model again though it was asked the same before."""
        self._known.clear()

    def _one(self, feed: Mapping[str, np.ndarray]) -> tuple[list[str], list[np.ndarray], list[str], float]:
        arrays = list(feed.values())
        for given, names, values, kinds, spent in self._known:
            if len(given) == len(arrays) and all(a is b for a, b in zip(given, arrays)):
                return names, values, kinds, spent
        # a copy: models may write into what they are given
        tensors = {n: tensor_of(np.array(a, order="C"), self._types.get(n)) for n, a in feed.items()}
        import torch

        started = time.perf_counter()
        try:
            result = self.call(tensors)
        except LimitError:
            raise
        except Exception as e:
            lines = [line.strip() for line in str(e).splitlines() if line.strip()]
            text = f"{type(e).__name__}: {lines[0][:300]}" if lines else type(e).__name__
            if isinstance(e, MemoryError) or says_out_of_memory(str(e)):
                raise RuntimeFailedError(f"{self.label} ran out of memory: {text}", HINT) from e
            raise RuntimeFailedError(f"{self.label} fails with {text}") from e
        spent = time.perf_counter() - started
        leaves = [(n, v) for n, v in self.flatten(result) if isinstance(v, (torch.Tensor, int, float))]
        names = [n for n, _ in leaves]
        made = [_array(n, v, self.widened) for n, v in leaves]
        values, kinds = [a for a, _ in made], [k for _, k in made]
        self._known.append((arrays, names, values, kinds, spent))
        return names, values, kinds, spent

    def close(self) -> None:
        self.forget()


def tensor_of(array: np.ndarray, dtype: Optional[DType] = None) -> Any:
    """The torch tensor of an array; bfloat16 comes in its bits."""
    import torch

    if dtype is DType.BF16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _array(name: str, value: Any, widened: bool) -> tuple[np.ndarray, str]:
    """An output as numpy has it, and the name of its type; the numbers of bfloat16 as float32."""
    import torch

    if not isinstance(value, torch.Tensor):
        kind = np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32
        made = np.asarray(value, kind)
        return made, made.dtype.name
    if value.is_sparse or value.is_quantized or value.is_nested:
        raise UnsupportedError(f"output {name}: a {value.layout} tensor, which Paddle's programs do not give")
    value = value.detach().cpu().resolve_conj().resolve_neg()
    if widened and value.dtype in (torch.float16, torch.bfloat16):
        value = value.float()
    if value.dtype is torch.bfloat16:
        return value.float().numpy(), DType.BF16.label
    made = value.numpy()
    return made, made.dtype.name

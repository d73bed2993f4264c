"""A live ``torch.nn.Module`` → ``torch.export.ExportedProgram`` in operators that have a converter."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.errors import UnsupportedError, UsageError
from mconv.torch import registry, trees
from mconv.torch.decisions import branches
from mconv.torch.open_sizes import open_sizes
from mconv.torch.quiet import quiet
from mconv.torch.reasons import joined, known, reason
from mconv.torch.restrictions import Restriction, restrictions
from mconv.torch.selected import every_row, same_type
from mconv.torch.size_arithmetic import SizesTooComplex, size_arithmetic
from mconv.torch.tracing import dynamic_sizes


@dataclass
class Exported:
    """An exported program, decomposed as far as needed.

    Attributes:
        program: the ``torch.export.ExportedProgram``.
        inputs: names of its user inputs, in order.
        outputs: names of its user outputs, in order; None for one that is no tensor.
        dims: input → names of its dimensions (None: fixed), as they were asked for.
        how: which exporter gave it, and what the others said.
        notes: what a user should know, such as dimensions that torch fixed.
        seconds: time by phase.
        restrictions: what torch assumed of the open sizes.
        loops: locations of loops over what a mask selects, which run over all of its rows (:mod:`mconv.torch.selected`).
    """

    program: Any
    inputs: list[str]
    outputs: list[Optional[str]]
    dims: dict[str, Sequence[Any]]
    how: str
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    restrictions: list[Restriction] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)

    def run(self, tensors: Sequence[Any]) -> Any:
        """What the exported program itself answers, at sizes that its guards may exclude."""
        import torch

        args, kwargs = torch.utils._pytree.tree_unflatten(list(tensors), self.program.call_spec.in_spec)
        unchecked = "check_guards" in inspect.signature(self.program.module).parameters
        module = self.program.module(check_guards=False) if unchecked else self.program.module()
        with torch.no_grad(), quiet():
            return module(*args, **kwargs)


def export(
    module: Any,
    examples: Mapping[str, Any],
    dims: Mapping[str, Sequence[Any]],
    *,
    strict: Optional[bool] = None,
    answers: Mapping[str, bool] = {},
) -> Exported:
    """Export a module in eval mode.

    Args:
        module: a ``torch.nn.Module``.
        examples: input → torch tensor to trace with; batch and length of at least 2, as torch fixes sizes of 0 and 1.
        dims: input → names of its dimensions; those with a name are dynamic.
        strict: which of torch.export's two modes; None tries the non-strict one first, then the strict one.
        answers: location of a decision by values → its outcome (:mod:`mconv.torch.decisions`); for the non-strict mode.

    Raises:
        UnsupportedError: torch.export fails in every mode asked for; the message has torch's reason.
        UsageError: the module's ``forward`` does not take an input of that name.
    """
    import torch

    module = module.eval()
    check_names(module, examples)
    dynamic = {
        name: {i: torch.export.Dim.AUTO for i, label in enumerate(dims.get(name, ())) if label is not None} or None
        for name in examples
    }
    reasons = []
    start = time.perf_counter()
    for mode in (False, True) if strict is None else (strict,):
        label = "torch.export strict" if mode else "torch.export"
        try:
            # TorchDynamo traces functions itself, and does not ask a mode
            functions = contextlib.nullcontext() if mode else open_sizes()
            decided = contextlib.nullcontext() if mode or not answers else branches(answers)
            rows = every_row()
            loops = contextlib.nullcontext() if mode else rows
            with torch.no_grad(), same_type(), dynamic_sizes(), size_arithmetic(), decided, functions, loops, quiet():
                program = torch.export.export(
                    module, (), dict(examples), dynamic_shapes=dynamic if examples else None, strict=mode
                )
            break
        except SizesTooComplex as e:
            raise UnsupportedError(f"torch.export cannot trace {type(module).__name__} ({e.message})", e.hint) from e
        except Exception as e:  # noqa: BLE001 - whatever the tracer raises is its reason
            reasons.append(f"{label}: {first_line(e)}")
    else:
        raise UnsupportedError(
            f"torch.export cannot trace {type(module).__name__} ({joined(reasons)})",
            "--via onnx takes the route through PyTorch's ONNX exporters",
        )
    seconds = {"torch.export": time.perf_counter() - start}
    how = "; ".join([label, *(f"not {r}" for r in reasons)])
    made = prepared(program, {n: list(d) for n, d in dims.items()}, how)
    made.seconds = {**seconds, **made.seconds}
    made.loops = rows.locations
    made.restrictions = restrictions(program, dims, sizes_of(examples, dims), made.inputs)
    return made


def sizes_of(examples: Mapping[str, Any], dims: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """Name of a dimension → its size in the examples."""
    found: dict[str, int] = {}
    for name, example in examples.items():
        for label, size in zip(dims.get(name, ()), example.shape):
            if isinstance(label, str):
                found.setdefault(label, int(size))
    return found


def prepared(program: Any, dims: Mapping[str, Sequence[Any]], how: str) -> Exported:
    """An ExportedProgram with everything decomposed that has no converter, and the names of its ends."""
    start = time.perf_counter()
    decomposed = decompose(program)
    seconds = {"decompositions": time.perf_counter() - start}
    inputs = list(decomposed.graph_signature.user_inputs)
    names = [n for n in inputs if isinstance(n, str)]
    return Exported(decomposed, names, output_names(program), dict(dims), how, [], seconds)


def decompose(program: Any) -> Any:
    """Functional form, with the composite operators that have a converter kept whole."""
    import torch

    table = torch.export.default_decompositions()
    kept = set(registry.known())
    for op in list(table.keys()):
        name = str(op)
        if name.startswith("aten.") and name[5:] in kept:
            del table[op]
    with dynamic_sizes(), size_arithmetic(), open_sizes(), quiet():
        return program.run_decompositions(table)


def lowest_dtype(program: Any) -> str:
    """``bfloat16`` or ``float16`` where an exported program computes in them, else ``float32``."""
    found = set()
    for node in program.graph.nodes:
        values = node.meta.get("val") if node.op == "call_function" else None
        for value in values if isinstance(values, (tuple, list)) else [values]:
            found.add(str(getattr(value, "dtype", "")))
    return next((name for name in ("bfloat16", "float16") if f"torch.{name}" in found), "float32")


def output_names(program: Any) -> list[Optional[str]]:
    """Names of the user outputs; see :func:`named_leaves`."""
    from torch.utils import _pytree

    spec = program.module_call_graph[0].signature.out_spec
    count = spec.num_leaves
    tree = _pytree.tree_unflatten(list(range(count)), spec)
    names: list[Optional[str]] = [None] * count
    for name, index in named_leaves(tree):
        if isinstance(index, int) and not isinstance(index, bool):
            names[index] = name
    return names


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """What a module returned, flat, in order, each with its name: dict keys and field names, ``output`` for a single
    one, else ``output_0``, …; nested structures are joined with underscores. The classes in it are registered with torch
    (:mod:`mconv.torch.trees`)."""
    found: list[tuple[str, Any]] = []

    def walk(node: Any, path: str) -> None:
        parts: Iterable[tuple[str, Any]]
        if isinstance(node, Mapping):
            parts = ((str(key), value) for key, value in node.items())
        elif hasattr(node, "_fields"):
            parts = ((key, getattr(node, key)) for key in node._fields)
        elif isinstance(node, (list, tuple)):
            alone = "output" if len(node) == 1 else None
            parts = ((str(i) if path else alone or f"output_{i}", value) for i, value in enumerate(node))
        elif not isinstance(node, (int, float, str)) and (held := trees.children(node)) is not None:
            parts = held
        elif hasattr(node, "__dataclass_fields__"):
            parts = ((key, getattr(node, key)) for key in node.__dataclass_fields__)
        else:
            found.append((path or "output", node))
            return
        for key, value in parts:
            walk(value, f"{path}_{key}" if path else key)

    walk(tree, "")
    taken: set[str] = set()
    unique = []
    for name, leaf in found:
        number, one = 0, name
        while one in taken:
            number += 1
            one = f"{name}_{number}"
        taken.add(one)
        unique.append((one, leaf))
    return unique


def check_names(module: Any, examples: Mapping[str, Any]) -> None:
    """Raises UsageError when ``forward`` does not take the inputs by these names."""
    parameters = inspect.signature(module.forward).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    takes = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    unknown = [n for n in examples if n not in takes]
    if unknown:
        raise UsageError(
            f"{type(module).__name__}.forward has no input {', '.join(map(repr, unknown))}",
            f"its inputs are {', '.join(takes)}",
        )


def first_line(error: BaseException) -> str:
    """The line of an exception's text that says what is wrong; torch's ONNX exporter keeps it in the cause."""
    if "This is step" in str(error) and error.__cause__ is not None:
        return first_line(error.__cause__)
    said = reason(str(error))
    if known(str(error)):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

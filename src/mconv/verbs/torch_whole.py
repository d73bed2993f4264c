"""Whether what came of a PyTorch model is the model as a whole: what it keeps between calls, and what it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mconv.errors import RuntimeFailedError, UsageError
from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.proof.answers import compare_answers
from mconv.proof.feeds import other_values
from mconv.proof.runners import Answers
from mconv.proof.torch_runner import TorchRunner, tensor_of
from mconv.proof.verdict import FAILED, PASSED, Proof, reservation
from mconv.torch.sources import Source
from mconv.verbs.torch_inputs import Plan

Feed = Mapping[str, np.ndarray]


def state_of(source: Source, runner: TorchRunner, feed: Feed) -> list[str]:
    """The buffers that a call changes and that the next answer depends on; tables that are only made larger are none.

    Raises:
        RuntimeFailedError: the model fails on *feed*.
    """
    first = _answer(runner, feed)
    changed = source.changed()
    if not changed:
        return []
    runner.call = source.again
    try:
        second = _answer(runner, feed)
    finally:
        runner.call = source
        runner.forget()
    # noise, which is no state, is there after restoring too
    return changed if not _equal(first, second) and _equal(first, _answer(runner, feed)) else []


def _answer(runner: TorchRunner, feed: Feed) -> Answers:
    runner.forget()
    return runner.run([feed])


def _equal(a: Answers, b: Answers) -> bool:
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind in "fc") for x, y in zip(a.outputs[0], b.outputs[0]))


def about_state(names: Sequence[str]) -> list[dict[str, str]]:
    """The reservations for buffers that ``forward`` changes."""
    if not names:
        return []
    it, value = ("it", "its first value") if len(names) == 1 else ("them", "their first values")
    text = (
        f"forward changes {', '.join(names)}, and the next answer depends on {it}: every call of the result starts from "
        f"{value}; --carry-state makes {it} inputs and outputs"
    )
    return [reservation("state", text)]


def carry(source: Source, plan: Plan, names: Sequence[str]) -> Source:
    """The model with these buffers as further inputs and outputs; *plan* gets them, with the values that they have
    after one call and after two.

    Raises:
        UsageError: it is no live module, or what is in the buffers changes its rank or type.
    """
    from mconv.torch.carrying import AFTER, carried_class, carried_paths

    if source.program is not None or source.positional:
        raise UsageError(
            f"--carry-state: {source.label} ({source.form.value}) is a graph already: its buffers stay inside",
            "give the module that it was made from: mconv torch2paddle file.py:factory OUT --weights w.pth --carry-state; "
            "or leave the option out: then every call starts from the first values",
        )
    named = carried_paths(names, [i.name for i in plan.inputs])
    module = carried_class()(source.module, [i.name for i in plan.inputs], named)
    made = replace(source, module=module, _state=None)
    source.restore()
    first = {n: getattr(*module.owner(path)) for n, path in named.items()}
    missing = [path for n, path in named.items() if not hasattr(first[n], "numpy")]
    if missing:
        raise UsageError(
            f"--carry-state: {', '.join(missing)} is made at the first call only", "register it in the constructor"
        )
    arrays = {n: np.array(t.detach().numpy()) for n, t in first.items()}
    values = [arrays]
    types = {i.name: i.dtype for i in plan.inputs}
    for feed in plan.sets[:2]:
        tensors = {n: tensor_of(np.array(a), types.get(n)) for n, a in {**feed, **values[-1]}.items()}
        result = made(tensors)
        values.append({n: np.array(result[f"{n}{AFTER}"].detach().numpy()) for n in named})
    shapes = {n: [v[n].shape for v in values] for n in named}
    for name, found in shapes.items():
        if len({len(s) for s in found}) > 1:
            raise UsageError(f"--carry-state: {named[name]} changes its number of dimensions")
        dims = tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*found))
        plan.inputs.append(Input(name, DType.of(arrays[name].dtype), dims))
    plan.sets = [{**feed, **value} for feed, value in zip(plan.sets, values[1:])]
    made.outputs = None if source.outputs is None else [*source.outputs, *(f"{n}{AFTER}" for n in named)]
    return made


def unread(program: Program, names: Sequence[str]) -> list[str]:
    """The inputs, by the source's *names*, that nothing in a program reads."""
    read = {n for _, op in program.ops() if op.type != "feed" for n in op.input_names}
    return [name for name, port in zip(names, program.feeds) if port.name not in read]


def about_unread(names: Sequence[str]) -> list[dict[str, str]]:
    """The reservations for inputs that nothing reads."""
    return [reservation("input", f"input {name!r}: it stays, but nothing in the result reads it") for name in names]


def try_unread(proof: Proof, runner: TorchRunner, sets: Sequence[Feed], names: Sequence[str]) -> None:
    """Fail the proof where the source answers otherwise to other values of the inputs that nothing reads."""
    if proof.status != PASSED or not names:
        return
    for feed in sets:
        try:
            wanted, got = runner.run([feed]), runner.run([other_values(feed, names)])
        except RuntimeFailedError:  # they are no values that it takes
            continue
        if not compare_answers(wanted, got, tolerance=proof.tolerance).ok:
            proof.status = FAILED
            proof.reason = (
                f"{runner.label} reads the input {', '.join(map(repr, names))}, the result does not: other values of it "
                "give other outputs"
            )
            return

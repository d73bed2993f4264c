"""Bringing a program of any Paddle down to what a target loads.

What an older runtime chokes on, and which of it kills the process, is listed in ``docs/formats.md``; every rule here
answers something that the real Paddle 2.3.2 refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from mconv.errors import UnsupportedError
from mconv.paddle import attributes, zero_rank
from mconv.paddle.changed import Changed
from mconv.paddle.lower import lower
from mconv.paddle.registry import UNKNOWN
from mconv.passes import ports, quantize_forms, quantize_rounded
from mconv.passes.rewrite import Site, fill
from mconv.program import signatures, targets
from mconv.program.attribute import TYPED_VALUES
from mconv.program.dtypes import VarKind
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program, Var
from mconv.program.signatures import Signature
from mconv.program.targets import Target

FIRST_0D = 2005000  # Paddle 2.5 introduced 0-d tensors
FIRST_PRUNED = 2006000  # Paddle 2.6 leaves intermediate outputs out when it saves; before, a missing one is fatal
FIRST_OBSERVER = 2006000  # before, quantize_linear has no only_observer, and quantises
FIRST_CARRIED = 2004000  # the first Predictor that passes bool, float64, int8 and int16
MESSAGE_LIMIT = 64 << 20  # protobuf's default limit for one message, which Paddle before 2.4 keeps
NO_OPERATOR = "no such operator"
_BIG_CONSTANT = 1 << 12  # elements; smaller constants stay where they are


@dataclass
class Legalized:
    """What :func:`legalize` did.

    Attributes:
        notes: what a user of the model notices, one sentence each.
        changes: what was done to how many operators, for people who want to know.
        parameters: constants that became parameters; to be stored with the model's own.
    """

    notes: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, TensorSource] = field(default_factory=dict)

    def count(self, what: str, number: int) -> None:
        if number:
            self.changes[what] = self.changes.get(what, 0) + number


def legalize(program: Program, target: Target, params: Optional[Mapping[str, TensorSource]] = None) -> Legalized:
    """Change *program* in place so that *target* loads it; one that already fits is left untouched.

    Args:
        params: its parameters by name, where they are at hand: quantised weights may have to be stored anew.

    Raises:
        UnsupportedError: operators, attributes or types that cannot be said there; ``rows`` lists them all.
    """
    done = Legalized()
    if target.version < FIRST_OBSERVER or any(op.type == quantize_forms.OBSERVER for op in program.main.ops):
        done.count("observers of ranges taken out", quantize_forms.without_observers(program))
    if params is not None and quantize_forms.fails(program, target.version):
        changed, more = quantize_forms.to_linear(program, params)
        done.parameters.update(more)
        done.count("operators of PaddleSlim's old form written as quantize_linear and dequantize_linear", changed)
    if params is not None and signatures.find(target, quantize_forms.LINEAR[0]) is None:
        changed, more = quantize_rounded.to_rounded(program, params)
        done.parameters.update(more)
        done.count("quantize_linear and dequantize_linear expressed by rounding", changed)
    scalars: frozenset[str] = frozenset()
    refused: dict[int, str] = {}  # operators, and why no converter says them otherwise
    if not target.has_0d and (program.version >= FIRST_0D or program.version == 0):
        # first, because the declared shapes tell what is a scalar
        scalars = zero_rank.scalars(program)
        for side, ports_of in (("input", program.feeds), ("output", program.fetches)):
            names = [p.name for p in ports_of if p.name in scalars]
            if names:
                done.notes.append(
                    f"{side} {', '.join(map(repr, names))}: a scalar (0-d) in the source, shape [1] in Paddle {target}"
                )
        changed = zero_rank.give_one_dimension(program)
        on_scalars = lower(program, target, lambda op, block: zero_rank.shows(op, scalars), scalars)
        refused.update(on_scalars.refused)
        done.parameters.update(on_scalars.parameters)
        done.count(
            "operators on scalars (0-d tensors) rewritten for shape [1]", changed + sum(on_scalars.changes.values())
        )
    if target.version < FIRST_CARRIED:
        done.notes += ports.carry(program)
    changed_since = Changed(program, scalars, target) if not target.has_0d and program.version >= FIRST_0D else None
    lowered = lower(
        program,
        target,
        lambda op, block: _lacking(op, target) or (changed_since is not None and changed_since.any(op, block)),
        scalars,
    )
    refused.update(lowered.refused)
    done.parameters.update(lowered.parameters)
    for name, number in lowered.changes.items():
        done.count(f"{name} expressed in older operators", number)

    problems: dict[tuple[str, str], int] = {}
    for block in program.blocks:
        site = Site(program, block)
        for op in list(block.ops):
            for problem in _adapt(site, op, target, done, refused.get(id(op))):
                problems[op.type, problem] = problems.get((op.type, problem), 0) + 1
    for var in (v for b in program.blocks for v in b.vars.values()):
        if var.dtype_number is not None and var.kind == VarKind.LOD_TENSOR and var.dtype is None:
            key = ("", f"variables of element type {var.dtype_number}")
            problems[key] = problems.get(key, 0) + 1
    if problems:
        raise _unsupported(program, target, problems)

    if program.version > target.version and target.version:
        program.version = target.version
        program.desc.ClearField("op_version_map")
        done.count("program version and operator versions restamped", 1)
    if program.version <= FIRST_0D:
        _shrink(program, target, done)
    return done


def _lacking(op: Op, target: Target) -> bool:
    """Whether *target* does not have the operator, or not with all that *op* says."""
    if op.type in ("feed", "fetch"):
        return False
    signature = signatures.find(target, op.type)
    return signature is None or attributes.lacks(op, signature)


def _adapt(site: Site, op: Op, target: Target, done: Legalized, refused: Optional[str]) -> list[str]:
    """Fit one operator to its signature; returns what does not fit.

    Args:
        refused: why no converter says it in other operators.
    """
    if op.type in ("feed", "fetch"):
        return []
    signature = signatures.find(target, op.type)
    if signature is None:
        return [NO_OPERATOR if refused is None or _says_nothing(op, refused) else refused]
    problems = []
    for name, arguments in op.inputs.items():
        if name not in signature.inputs:
            if arguments:
                problems.append(f"no input {name}")
            elif site.program.version > target.version:
                op.set_input(name, None)
    for name, flags in signature.inputs.items():
        if not flags and not op.input(name) and not (op.type == "batch_norm" and _complete_batch_norm(site, op)):
            problems.append(f"input {name} is missing")
    if "values" in op.attr_types and "values" not in signature.attrs and op.type in ("assign_value", "set_value"):
        problem = attributes.typed_values(op)
        if problem:
            problems.append(problem)
        else:
            done.count(f"constants of {op.type} stored as typed lists", 1)
    changed, more = attributes.adapt(op, signature, attributes.last_type(target.version))
    done.count("attributes converted to the types of the target", changed)
    problems += more
    if refused is not None and not problems:
        problems.append(f"means something else there, and {refused}")
    if target.version < FIRST_PRUNED:
        added = _add_outputs(site, op, signature)
        done.count("operators given the intermediate outputs that older Paddle insists on", bool(added))
    return problems


def _says_nothing(op: Op, reason: str) -> bool:
    return reason == UNKNOWN or reason.endswith((f"has no operator {op.type}", f"has no operator {op.type!r}"))


def _add_outputs(site: Site, op: Op, signature: Signature) -> int:
    """Declare the outputs that the runtime writes but that newer Paddle leaves out (XShape and its like)."""
    added = 0
    present = op.outputs
    source = next((name for name in op.input_names if site.var(name) is not None), None)
    for name, flags in signature.outputs.items():
        if "?" in flags or "*" in flags or present.get(name):
            continue
        like = source or next(iter(op.output_names), "tmp")
        shape = (0, *(site.shape(source) or ())) if name == "XShape" and source else (-1,)
        var = site.var(source) if source else None
        base = next(iter(op.output_names), like)
        op.set_output(name, [site.new(f"{base}.{name}", None if var is None else var.dtype, shape)])
        added += 1
    return added


def _complete_batch_norm(site: Site, op: Op) -> bool:
    """Scale and Bias may be left out since Paddle 2.4; before, that crashes."""
    mean = (op.input("Mean") or [""])[0]
    shape, var = site.shape(mean), site.var(mean)
    if not shape or len(shape) != 1 or shape[0] <= 0 or var is None or var.dtype is None:
        return False
    at = site.block.ops.index(op)
    for name, value in (("Scale", 1.0), ("Bias", 0.0)):
        if not op.input(name):
            filled = site.new(f"{mean}.{name}", var.dtype, shape)
            site.block.ops.insert(at, fill(filled, var.dtype, shape, value))
            op.set_input(name, [filled])
    return True


def _unsupported(program: Program, target: Target, problems: dict[tuple[str, str], int]) -> UnsupportedError:
    rows = [
        {"operator": op, "count": count, "reason": reason}
        for (op, reason), count in sorted(problems.items(), key=lambda item: (-item[1], item[0]))
    ]
    shown = ", ".join(_shown(r) for r in rows[:8])
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    written = f"Paddle {targets.version_text(program.version)} wrote it; " if program.version else ""
    return UnsupportedError(
        f"Paddle {target} cannot load this model: {written}unsupported there: {shown}{more}",
        "choose a newer --target, or --target same to leave the program as it is",
        rows,
    )


def _shown(row: dict) -> str:
    if not row["operator"]:
        return f"{row['reason']} ({row['count']}×)"
    why = "" if row["reason"] == NO_OPERATOR else f": {row['reason']}"
    return f"{row['operator']} ({row['count']}×{why})"


def _shrink(program: Program, target: Target, done: Legalized) -> None:
    """Move big constants out of a program that an older protobuf limit would refuse."""
    # the descriptions alone, which leaves out a few bytes for each; putting the program together takes longer
    parts = sum(op.desc.ByteSize() for _, op in program.ops())
    parts += sum(var.desc.ByteSize() for block in program.blocks for var in block.vars.values())
    if parts < MESSAGE_LIMIT * 0.9 or len(program.to_bytes()) < MESSAGE_LIMIT:
        return
    for block in program.blocks:
        kept = []
        for op in block.ops:
            source = _constant(op) if op.type == "assign_value" else None
            name = (op.output("Out") or [""])[0]
            writers = sum(name in o.output_names for _, o in program.ops())
            if source is None or writers != 1 or name not in program.main.vars:
                kept.append(op)
                continue
            program.main.vars[name] = Var.tensor(name, source.dtype, source.shape, persistable=True)
            done.parameters[name] = source
        block.ops[:] = kept
    done.count("big constants moved into the parameters", len(done.parameters))
    size = len(program.to_bytes())
    if size >= MESSAGE_LIMIT:
        raise UnsupportedError(
            f"the program has {size} bytes without its big constants; Paddle {target} reads at most {MESSAGE_LIMIT}",
            "choose a newer --target",
        )


def _constant(op: Op) -> ArraySource | None:
    for dtype, (name, _, _) in TYPED_VALUES.items():
        values = op.attr(name)
        if values and len(values) >= _BIG_CONSTANT and op.attr("dtype") == dtype:
            import numpy as np

            return ArraySource(np.array(values, dtype.numpy).reshape(op.attr("shape")))
    return None

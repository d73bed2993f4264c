"""Whether a target loads a program as it is, and if not, why: the question of :mod:`.legalize` without the answer."""

from __future__ import annotations

from collections import Counter

from mconv.paddle import zero_rank
from mconv.paddle.attributes import NEW_MEANINGS, last_type
from mconv.paddle.changed import Changed
from mconv.paddle.legalize import FIRST_0D, FIRST_CARRIED, FIRST_PRUNED, MESSAGE_LIMIT
from mconv.passes import ports, quantize_forms
from mconv.program import signatures
from mconv.program.dtypes import ATTR_FIELDS, AttrType, VarKind
from mconv.program.program import Op, Program
from mconv.program.targets import PADDLE_3, Target

_LISTS = (AttrType.INTS, AttrType.LONGS)


def reasons(program: Program, target: Target, size: int = 0) -> list[str]:
    """Why *target* does not load or run the program as it is; empty when it does.

    Args:
        size: bytes of the program file.
    """
    absent: Counter[str] = Counter()
    pruned: Counter[str] = Counter()
    needs: Counter[str] = Counter()
    new_types: Counter[str] = Counter()
    other_types: Counter[str] = Counter()
    meanings: Counter[str] = Counter()
    otherwise: Counter[str] = Counter()
    since = not target.has_0d and program.version >= FIRST_0D
    without = zero_rank.scalars(program) if since else frozenset()
    changed_since = Changed(program, without, target) if since else None
    for block, op in program.ops():
        if op.type in ("feed", "fetch"):
            continue
        signature = signatures.find(target, op.type)
        if signature is None:
            absent[op.type] += 1
            continue
        if target.version < FIRST_CARRIED and any(t > last_type(target.version) for t in op.attr_types.values()):
            new_types[op.type] += 1
        for name, number in op.attr_types.items():
            wanted = signature.attrs.get(name)
            if wanted is not None and wanted != number and _matters(op, name, number, wanted):
                other_types[f"{op.type}.{name}"] += 1
            if wanted is None and number in ATTR_FIELDS and (op.type, name) in NEW_MEANINGS:
                meanings[f"{op.type}.{name}"] += op.attr(name) != NEW_MEANINGS[op.type, name]
        if target.version < FIRST_PRUNED:
            pruned[op.type] += any(
                not op.output(n) for n, flags in signature.outputs.items() if "?" not in flags and "*" not in flags
            )
        otherwise[op.type] += changed_since is not None and changed_since(op, block)
        for name, flags in signature.inputs.items():
            if not flags and not op.input(name):
                needs[f"{op.type} without {name}"] += 1
        for name in op.inputs:
            if name not in signature.inputs and op.input(name):
                needs[f"{op.type} with {name}"] += 1
    found = []
    for counter, text in (
        (absent, "operators that it does not have"),
        (needs, "operators with other inputs"),
        (pruned, "intermediate outputs (XShape, …) missing, which can kill the process"),
        (new_types, "attributes of types that its parser refuses"),
        (other_types, "attributes of another type there"),
        (meanings, "attributes that it would silently ignore"),
        (otherwise, "operators that do something else there"),
    ):
        if sum(counter.values()):
            found.append(f"{text}: {_listed(counter)}")
    if since:
        changed = sum(zero_rank.shows(op, without) or zero_rank.says_no_dimension(op) for _, op in program.ops())
        if changed:
            found.append(f"scalars (0-d tensors), which it does not have, in {changed} operators")
    if target.version < FIRST_CARRIED:
        carried = ports.carry(program.copy())
        if carried:
            found.append("inputs or outputs of types that its Predictor cannot pass: " + ", ".join(_names(carried)))
    if target.version < FIRST_0D and size >= MESSAGE_LIMIT:
        found.append(f"the program has {size} bytes, it reads at most {MESSAGE_LIMIT}")
    unknown = Counter(
        str(v.dtype_number)
        for b in program.blocks
        for v in b.vars.values()
        if v.kind == VarKind.LOD_TENSOR and v.dtype_number is not None and v.dtype is None
    )
    if unknown:
        found.append(f"element types that it does not have: {_listed(unknown)}")
    if quantize_forms.fails(program, target.version):
        found.append("PaddleSlim's old form of quantised operators, which its oneDNN or its constant folding fails on")
    if not program.parameters and target.version < PADDLE_3.version:
        found.append("no parameters: it refuses an empty parameter file")
    return found


def _matters(op: Op, name: str, number: int, wanted: AttrType) -> bool:
    """Paddle converts scalars of one kind into another and empty lists by itself, full lists not."""
    if number in _LISTS and wanted in _LISTS:
        # its own reader turns 32-bit lists into 64-bit ones, not the other way
        return bool(op.attr(name)) and wanted is AttrType.INTS or (number, wanted) == (AttrType.LONGS, AttrType.INTS)
    return number not in (AttrType.INT, AttrType.LONG, AttrType.BOOLEAN, AttrType.FLOAT)


def _listed(counter: Counter[str]) -> str:
    shown = [f"{name} ({count}×)" for name, count in counter.most_common(8) if count]
    rest = sum(1 for count in counter.values() if count) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _names(notes: list[str]) -> list[str]:
    return [note.split(" is passed")[0] for note in notes]

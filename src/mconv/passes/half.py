"""A float32 program rewritten for half precision on a GPU, and the same rewriting emulated in float32 for a CPU.

Which operators may compute in half follows from the kernels of the real GPU packages
(:func:`mconv.program.signatures.gpu_operators`); what stays float32, and how casts are written, from Paddle's
``auto_mixed_precision_pass`` (2.6), which is the oracle where it exists (:mod:`.half_tables`). Numbers beyond half's range in weights and
filled tensors become half of its largest: an infinite mask times 0, or a row of nothing else, is no number, which is how
BERT and ERNIE fail.

The emulation has the same operators and the same decisions. What would be in half is float32 there, rounded to half
where it is made, so that a CPU, which has no half kernels, computes what a GPU that accumulates in float32 would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Optional

from mconv.errors import UnsupportedError
from mconv.passes import half_blocks
from mconv.passes.half_rounding import rounded
from mconv.passes.half_storage import restored
from mconv.passes.half_tables import (
    BOUNDED,
    FILLING,
    FLOAT_INPUTS,
    FLOAT_OPERATORS,
    FLOAT_OUTPUTS,
    LARGEST,
    MOVING,
    SATURATED,
    SIZES,
)
from mconv.passes.half_weights import HalfSource, has_too_large
from mconv.passes.halved import Form, Halved
from mconv.passes.rewrite import cast, check_keep, clip, declared
from mconv.program import signatures
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program, Var
from mconv.program.targets import Target


def halve(program: Program, params: Mapping[str, TensorSource], target: Target, form: Form = Form()) -> Halved:
    """Rewrite a program.

    Args:
        program: a float32 program for *target*; it is not changed.
        params: its parameters, by name.

    Raises:
        UsageError: *form.keep* names nothing in the program.
        UnsupportedError: nothing in it can compute in half.
    """
    return _Rewriter(program, params, target, form).run()


class _Rewriter:
    """Goes through the program once, into branches and loops where they stand. A variable has up to two forms, float32 and
    half; each is made when it is asked for first, and thrown away when the variable is written again or the block ends.
    A weight has the same two everywhere."""

    def __init__(self, program: Program, params: Mapping[str, TensorSource], target: Target, form: Form):
        self.made = Halved(program.copy(), dict(params))
        program, params = self.made.program, self.made.params
        restored(program, params)
        self.block: Block = self.made.program.main
        self.dtype, self.emulate = form.dtype, form.emulate
        self.keep, self.beyond, self.precise = (frozenset(names) for names in (form.keep, form.beyond, form.precise))
        self.half_ends = form.io == "half"
        self.io = "float" if form.emulate else form.io
        self.kernels = signatures.gpu_operators(target, form.dtype)
        self.form: dict[str, dict[DType, str]] = {}  # variable → type → the variable that holds it in that type
        self.second: dict[str, str] = {}  # weight → its half form
        self._after: list[Op] = []  # what follows the operator that is being written
        self.spare: set[str] = set()  # half inputs cast to float32, which may be read by nobody
        self.large: set[str] = set()  # what is beyond half's range and is cast through a clip
        self._sizes: dict[str, bool] = {}  # parameter → whether it has numbers beyond half's range
        self.ops: list[Op] = []
        self.count = 0
        self.names = {name for block in program.blocks for name in block.vars}
        self.inputs = {port.name for port in program.feeds}
        ends = [] if self.io == "half" else [port.name for port in (*program.feeds, *program.fetches)]
        self.pinned = half_blocks.pinned(program, params, ends)
        self.counters = half_blocks.counters(program)
        check_keep(program, self.keep)

    def run(self) -> Halved:
        self._walk(self.made.program.main)
        if not self.made.half:
            why = "; ".join(f"{op}: {', '.join(reasons)}" for op, reasons in self.made.floats.items())
            raise UnsupportedError(
                f"nothing in the program can compute in {self.dtype.label}" + (f" ({why})" if why else ""),
                None if why else "it has no operator on float32 tensors",
            )
        self._store_params()
        self.made.drop_unused(self.spare, self.count)
        return self.made

    def _walk(self, block: Block) -> None:
        outer = self.block, self.form, self.ops
        self.block, self.form, self.ops = block, {}, []
        for op in block.ops:
            for number in op.blocks:
                self._walk(self.made.program.blocks[number])
            if op.type == "feed" and self.io == "half":
                for name in op.output_names:
                    self._set_half(name)
            if op.type in ("feed", "fetch"):
                if op.type == "fetch" and self.half_ends:
                    self._narrow(op)
                self.ops.append(op)
                continue
            reason = self._why_float(op)
            for name in op.output_names:  # what was cast of an earlier value of the same name
                self.form.pop(name, None)
            if reason is None:
                self._half(op)
            else:
                if reason:
                    self.made.floats.setdefault(op.type, {}).setdefault(reason, 0)
                    self.made.floats[op.type][reason] += 1
                self._float(op)
        block.ops[:] = self.ops
        self.block, self.form, self.ops = outer

    def _var(self, name: str) -> Optional[Var]:
        return self.made.program.find_var(name, self.block)

    # ------------------------------------------------------------------------------------------------- decisions

    def _is_float(self, name: str) -> bool:
        var = self._var(name)
        return var is not None and var.kind == VarKind.LOD_TENSOR and var.dtype in (DType.FP32, self.dtype)

    def _why_float(self, op: Op) -> Optional[str]:
        """None: it computes in half. Empty: there is nothing to choose. Else why it stays float32."""
        if op.blocks:
            return "control flow"
        if op.type in SIZES:
            return ""
        inputs = [n for n in op.input_names if self._is_float(n)]
        outputs = [n for n in op.output_names if self._is_float(n)]
        if not outputs and not inputs:
            return ""
        if op.type in self.keep or self.keep.intersection(op.names):
            return "asked for"
        if not self.beyond.isdisjoint(op.names):
            return f"its tensors leave the range of {self.dtype.label}"
        if not self.precise.isdisjoint(op.output_names):
            return "its rounding costs the most"
        if not self.counters.isdisjoint(op.output_names):
            return "it counts the turns of a loop"
        if any(self._other_kind(n) for n in op.names):
            return "not on dense float32 tensors"
        if op.type == "depthwise_conv2d" and op.type not in self.kernels and "conv2d" in self.kernels:
            return None  # as a convolution with groups
        if op.type in FLOAT_OPERATORS:
            return "always float32" if op.type != "cast" else ""
        if op.type not in self.kernels:
            return f"no {self.dtype.label} kernel"
        if self._beyond(op):
            return f"numbers beyond {self.dtype.label}"
        if op.type in FILLING and op.type != "fill_constant":
            return ""
        if op.type in MOVING:
            computed = [n for n in inputs if not self._is_weight(n)]
            return None if computed and all(self._held(n) is self.dtype for n in computed[:1]) else ""
        if not inputs and op.type != "fill_constant":
            return ""
        return None

    def _other_kind(self, name: str) -> bool:
        """Whether it is a tensor of another floating point type, a list of tensors, or something else again."""
        var = self._var(name)
        if var is None:
            return bool(name) and name != "@EMPTY@"
        if var.kind != VarKind.LOD_TENSOR:
            return True
        return var.dtype not in (DType.FP32, self.dtype) and var.dtype is not None and var.dtype.is_float

    def _beyond(self, op: Op) -> bool:
        """Whether its attributes are numbers that half does not have: a scale that makes a mask of -1e9."""
        most = LARGEST[self.dtype]
        if op.type == "scale" and max(abs(op.attr("scale", 1.0)), abs(op.attr("bias", 0.0))) > most:
            self.large.update(op.output("Out"))
            return True
        return False

    def _held(self, name: str) -> DType:
        """The type of the variable of that name itself."""
        if self.emulate:
            return self.dtype if self._form(name, self.dtype) == name else DType.FP32
        var = self._var(name)
        return (None if var is None else var.dtype) or DType.FP32

    def _is_weight(self, name: str) -> bool:
        var = self._var(name)
        return var is not None and var.persistable

    def _form(self, name: str, dtype: DType) -> Optional[str]:
        return self.form.get(name, {}).get(dtype)

    def _note(self, name: str, dtype: DType, held: str) -> str:
        self.form.setdefault(name, {})[dtype] = held
        return held

    # -------------------------------------------------------------------------------------------------- operators

    def _half(self, op: Op) -> None:
        self.made.half[op.type] = self.made.half.get(op.type, 0) + 1
        if op.type not in MOVING:
            self.made.operators.append(op.output_names[0])
        if op.type == "depthwise_conv2d" and op.type not in self.kernels:
            op.type = "conv2d"
        if op.type == "fill_constant":
            self._fill(op)
        else:
            kept = FLOAT_INPUTS.get(op.type, ())
            for parameter, names in op.inputs.items():
                wanted = DType.FP32 if parameter in kept else self.dtype
                op.set_input(parameter, [self._as(name, wanted) if self._is_float(name) else name for name in names])
        self.ops.append(op)
        results = FLOAT_OUTPUTS.get(op.type, ())
        for parameter, names in op.outputs.items():
            if parameter == "XShape" or parameter in results:
                continue
            op.set_output(parameter, [self._result(name) if self._is_float(name) else name for name in names])
        for name in ("dtype", "in_dtype", "out_dtype"):
            if not self.emulate and op.attr(name) == int(DType.FP32):
                op.set_attr(name, int(self.dtype), AttrType.INT)
        self.ops.extend(self._after)
        self._after = []

    def _fill(self, op: Op) -> None:
        most = LARGEST[self.dtype]
        text = op.attr("str_value", "")
        value = float(text) if text else float(op.attr("value", 0.0))
        if abs(value) > most and abs(value) != float("inf"):
            self.made.saturated.extend(op.output("Out"))
            value = math.copysign(SATURATED[self.dtype], value)
            op.set_attr("value", value, AttrType.FLOAT)
            if text:
                op.set_attr("str_value", repr(value), AttrType.STRING)

    def _result(self, name: str) -> str:
        """The variable that a half operator writes for *name*."""
        self.made.rounded.append(name)
        if self.emulate:
            raw = self._new(name, DType.FP32)
            self._after += self._round(raw, name)
            self.form[name] = {self.dtype: name, DType.FP32: name}
            return raw
        if name in self.pinned:
            twin = self._new(name, self.dtype)
            self._after.append(cast(twin, name, self.dtype, DType.FP32))
            self.made.casts += 1
            self.form[name] = {self.dtype: twin, DType.FP32: name}
            return twin
        self._set_half(name)
        return name

    def _set_half(self, name: str) -> None:
        var = self._var(name)
        if var is not None and var.dtype is DType.FP32:
            var.desc.type.lod_tensor.tensor.data_type = int(self.dtype)
            self._note(name, self.dtype, name)

    def _round(self, raw: str, name: str) -> list[Op]:
        return rounded(raw, name, self.dtype, lambda dtype: self._new(raw, dtype))

    def _float(self, op: Op) -> None:
        if op.type in SIZES:  # in whatever type it is held
            self.ops.append(op)
            return
        if op.type not in BOUNDED and any(n in self.large or self._is_large_param(n) for n in op.input_names):
            self.large.update(name for name in op.output_names if self._is_float(name))
        if op.type == "cast":
            self._cast(op)
        elif not op.blocks:
            for parameter, names in op.inputs.items():
                op.set_input(parameter, [self._as(n, DType.FP32) if self._is_float(n) else n for n in names])
        self.ops.append(op)

    def _cast(self, op: Op) -> None:
        """A cast of the program itself reads what there is; where it brings a half input back, that is its half form."""
        (source,), (result,) = op.input("X"), op.output("Out")
        if not self._is_float(source):
            return
        held = self._held(source)
        if self.emulate:
            op.set_input("X", [self._as(source, DType.FP32)])
            return
        known = self._form(source, DType.FP32)
        if known is not None:
            op.set_input("X", [known])
            held = DType.FP32
        op.set_attr("in_dtype", int(held), AttrType.INT)
        if held is self.dtype and source in self.inputs and self._held(result) is DType.FP32:
            self._note(result, held, source)
            self.spare.add(result)

    def _narrow(self, fetch: Op) -> None:
        """Give an output that is computed in float32 as half, under its own name."""
        for name in fetch.input_names:
            if not self._is_float(name) or self._is_weight(name) or self._held(name) is self.dtype:
                continue
            wide = self._new(name, DType.FP32)
            for op in (*self.ops, *(o for block in self.made.program.blocks[1:] for o in block.ops)):
                op.rename({name: wide})
            self.ops += self._round(wide, name) if self.emulate else [cast(wide, name, DType.FP32, self.dtype)]
            self.made.casts += 1
            self.made.rounded.append(name)
            if self.emulate:
                self._note(name, self.dtype, name)
            else:
                self._set_half(name)

    def _as(self, name: str, wanted: DType) -> str:
        """The variable that holds *name* in a type; a cast is written where there is none yet."""
        if self._is_weight(name) and name in self.made.params:
            return self._param(name, wanted)
        known = self._form(name, wanted)
        if known is not None:
            return known
        held = self._held(name)
        if held is wanted:
            return name
        result = self._new(name, DType.FP32 if self.emulate else wanted)
        if wanted is self.dtype:
            source = name
            if name in self.large:
                source = self._clipped(name)
            if self.emulate:
                self.ops += self._round(source, result)
            else:
                self.ops.append(cast(source, result, DType.FP32, wanted))
        else:
            self.ops.append(cast(name, result, self.dtype, DType.FP32))
        self.made.casts += 1
        return self._note(name, wanted, result)

    def _clipped(self, name: str) -> str:
        result, most = self._new(name, DType.FP32), SATURATED[self.dtype]
        self.ops.append(clip(name, result, -most, most))
        self.made.saturated.append(name)
        return result

    def _new(self, like: str, dtype: DType, block: Optional[Block] = None) -> str:
        """A variable under the name that Paddle's own pass gives to what it casts."""
        while True:
            name = f"{like}_cast_auto_mixed.tmp_{self.count}"
            self.count += 1
            if name not in self.names:
                return declared(self.block if block is None else block, name, dtype, self._var(like))

    # ------------------------------------------------------------------------------------------------- parameters

    def _param(self, name: str, wanted: DType) -> str:
        """The parameter, in half under a name of its own until it is known whether the float32 one is needed, too."""
        if wanted is not self.dtype:
            return name
        if name not in self.second:
            main = self.made.program.main
            second = self.second[name] = self._new(name, DType.FP32 if self.emulate else wanted, main)
            main.vars[second].desc.persistable = main.vars[second].desc.is_parameter = True
            self.made.params[second] = HalfSource(self.made.params[name], wanted, self.emulate)
        return self.second[name]

    def _is_large_param(self, name: str) -> bool:
        return name in self.made.params and self._is_weight(name) and self._too_large(name)

    def _store_params(self) -> None:
        """A parameter that nobody reads as float32 any more gives its name to the one in half."""
        program = self.made.program
        # a branch or a loop names what its operators read, in whatever form that is
        used = {n for _, op in program.ops() if not op.blocks for n in op.names}
        renamed = {}
        for name, second in self.second.items():
            if self._too_large(name):
                self.made.saturated.append(name)
            if name in used or name in self.pinned:
                continue
            renamed[second] = name
            self.made.params[name] = self.made.params.pop(second)
            for block in program.blocks:
                block.vars.pop(name, None)
            var = program.main.vars.pop(second)
            var.desc.name = name
            program.main.add_var(var)
        for _, op in program.ops():
            op.rename(renamed)
        half_blocks.name_weights(program, set(self.second.values()) - set(renamed))

    def _too_large(self, name: str) -> bool:
        if name not in self._sizes:
            self._sizes[name] = has_too_large(self.made.params[name], self.dtype)
        return self._sizes[name]

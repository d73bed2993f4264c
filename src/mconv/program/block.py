"""``Block``, ``Op`` and ``Var``: thin views of their messages, see :mod:`mconv.program.program`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Optional, cast

from mconv.program import attribute, messages
from mconv.program.attribute import AttrValue
from mconv.program.dtypes import ATTR_FIELDS, AttrType, DType, VarKind


class Var:
    """A variable of a block."""

    __slots__ = ("desc",)

    def __init__(self, desc: Any):
        self.desc = desc

    @classmethod
    def tensor(
        cls,
        name: str,
        dtype: Optional[DType],
        shape: Iterable[int] = (),
        *,
        persistable: bool = False,
        lod_level: int = 0,
    ) -> Var:
        """A dense tensor; -1 in *shape* is a dimension known only at run time.

        A *dtype* of None leaves the tensor description empty (the runtime infers both).
        """
        var = cls(messages.VarDescMessage(name=name, persistable=persistable))
        var.desc.type.type = VarKind.LOD_TENSOR
        lod = var.desc.type.lod_tensor
        lod.lod_level = lod_level
        lod.tensor.data_type = DType.FP32 if dtype is None else dtype
        lod.tensor.dims.extend(shape)
        if persistable:
            var.desc.is_parameter = True
            var.desc.stop_gradient = True
        return var

    @classmethod
    def of_kind(cls, name: str, kind: VarKind, *, persistable: bool = False) -> Var:
        """A variable that is no tensor: the feed and fetch lists, step scopes, tensor arrays."""
        var = cls(messages.VarDescMessage(name=name, persistable=persistable))
        var.desc.type.type = kind
        return var

    @property
    def name(self) -> str:
        return cast("str", self.desc.name)

    @property
    def kind(self) -> int:
        return cast("int", self.desc.type.type)

    @property
    def persistable(self) -> bool:
        return cast("bool", self.desc.persistable)

    @property
    def is_parameter(self) -> bool:
        """Whether a value of this variable is stored in the parameter file."""
        return self.persistable and self.kind not in (VarKind.FEED_MINIBATCH, VarKind.FETCH_LIST, VarKind.RAW)

    @property
    def _tensor(self) -> Optional[Any]:
        kind = self.desc.type
        if kind.HasField("lod_tensor"):
            return kind.lod_tensor.tensor
        if kind.HasField("selected_rows"):
            return kind.selected_rows
        if kind.HasField("tensor_array"):
            return kind.tensor_array.tensor
        return None

    @property
    def dtype(self) -> Optional[DType]:
        """Element type; None where the variable is no tensor or has a type that mconv does not know."""
        tensor = self._tensor
        try:
            return None if tensor is None else DType(tensor.data_type)
        except ValueError:
            return None

    @property
    def dtype_number(self) -> Optional[int]:
        """The raw ``VarType.Type`` number of the element type, known to mconv or not."""
        tensor = self._tensor
        return None if tensor is None else tensor.data_type

    @property
    def shape(self) -> Optional[tuple[int, ...]]:
        """Dimensions, -1 = known only at run time; None where the variable is no tensor."""
        tensor = self._tensor
        return None if tensor is None else tuple(tensor.dims)

    @property
    def lod_level(self) -> int:
        return self.desc.type.lod_tensor.lod_level if self.desc.type.HasField("lod_tensor") else 0

    def __repr__(self) -> str:
        kind = self.dtype.label if self.dtype is not None else _kind_name(self.kind)
        shape = "" if self.shape is None else str(list(self.shape))
        return f"{'persist ' if self.persistable else ''}var {self.name} : {kind}{shape}"


class Op:
    """An operator: a type, named lists of input and output variables, named attributes."""

    __slots__ = ("desc",)

    def __init__(self, desc: Any):
        self.desc = desc

    @classmethod
    def make(
        cls,
        type: str,
        inputs: Mapping[str, Iterable[str]],
        outputs: Mapping[str, Iterable[str]],
        attrs: Iterable[tuple[str, AttrType, Any]] = (),
    ) -> Op:
        op = cls(messages.OpDescMessage(type=type, is_target=False))
        for parameter, arguments in inputs.items():
            op.desc.inputs.add(parameter=parameter, arguments=arguments)
        for parameter, arguments in outputs.items():
            op.desc.outputs.add(parameter=parameter, arguments=arguments)
        for name, attr_type, value in attrs:
            op.set_attr(name, value, attr_type)
        return op

    @property
    def type(self) -> str:
        kind: str = self.desc.type
        return kind

    @type.setter
    def type(self, value: str) -> None:
        self.desc.type = value

    @property
    def inputs(self) -> dict[str, list[str]]:
        """Parameter → variable names (a copy; see :meth:`set_input`)."""
        return {v.parameter: list(v.arguments) for v in self.desc.inputs}

    @property
    def outputs(self) -> dict[str, list[str]]:
        """Parameter → variable names (a copy; see :meth:`set_output`)."""
        return {v.parameter: list(v.arguments) for v in self.desc.outputs}

    def input(self, parameter: str) -> list[str]:
        return _arguments(self.desc.inputs, parameter)

    def output(self, parameter: str) -> list[str]:
        return _arguments(self.desc.outputs, parameter)

    @property
    def input_names(self) -> list[str]:
        """Every variable read, in order, possibly repeated."""
        return [name for v in self.desc.inputs for name in v.arguments]

    @property
    def output_names(self) -> list[str]:
        """Every variable written, in order."""
        return [name for v in self.desc.outputs for name in v.arguments]

    @property
    def names(self) -> list[str]:
        """Every variable read, and every one written."""
        return self.input_names + self.output_names

    def set_input(self, parameter: str, arguments: Optional[Iterable[str]]) -> None:
        """Set the variables of an input; None removes it."""
        _set_arguments(self.desc.inputs, parameter, arguments)

    def set_output(self, parameter: str, arguments: Optional[Iterable[str]]) -> None:
        """Set the variables of an output; None removes it."""
        _set_arguments(self.desc.outputs, parameter, arguments)

    def rename(self, names: dict[str, str], *, inputs: bool = True, outputs: bool = True) -> None:
        """Replace variable names that are keys of *names*."""
        lists = (list(self.desc.inputs) if inputs else []) + (list(self.desc.outputs) if outputs else [])
        for var in lists:
            for i, argument in enumerate(var.arguments):
                if argument in names:
                    var.arguments[i] = names[argument]

    @property
    def attrs(self) -> dict[str, AttrValue]:
        """Attribute → value (a copy). Attributes of a type that mconv does not know are left out."""
        return {a.name: attribute.read(a) for a in self.desc.attrs if a.type in ATTR_FIELDS}

    @property
    def attr_types(self) -> dict[str, int]:
        """Attribute → number of its AttrType, known to mconv or not."""
        return {a.name: a.type for a in self.desc.attrs}

    def attr(self, name: str, default: Any = None) -> Any:
        for a in self.desc.attrs:
            if a.name == name and a.type in ATTR_FIELDS:
                return attribute.read(a)
        return default

    def set_attr(self, name: str, value: AttrValue, attr_type: AttrType) -> None:
        """Set an attribute, replacing one of the same name in place."""
        desc = next((a for a in self.desc.attrs if a.name == name), None)
        if desc is None:
            desc = self.desc.attrs.add()
        else:
            desc.Clear()
        desc.name = name
        attribute.write(desc, value, attr_type)

    def del_attr(self, name: str) -> None:
        for i, a in enumerate(self.desc.attrs):
            if a.name == name:
                del self.desc.attrs[i]
                return

    @property
    def blocks(self) -> list[int]:
        """Indices of the sub-blocks that this operator runs."""
        found: list[int] = []
        for a in self.desc.attrs:
            if a.type == AttrType.BLOCK:
                found.append(a.block_idx)
            elif a.type == AttrType.BLOCKS:
                found.extend(a.blocks_idx)
        return found

    def __repr__(self) -> str:
        def side(parameters: Any) -> str:
            return ", ".join(f"{v.parameter}=[{', '.join(v.arguments)}]" for v in parameters if v.arguments)

        attrs = ", ".join(f"{k}={v!r}" for k, v in self.attrs.items() if k not in _NOISE)
        return f"{{{side(self.desc.outputs)}}} = {self.type}({side(self.desc.inputs)}{'; ' if attrs else ''}{attrs})"


_NOISE = frozenset({"op_callstack", "op_namescope", "op_role", "op_role_var", "op_device", "with_quant_attr"})


def _arguments(parameters: Any, name: str) -> list[str]:
    for var in parameters:
        if var.parameter == name:
            return list(var.arguments)
    return []


def _set_arguments(parameters: Any, name: str, arguments: Optional[Iterable[str]]) -> None:
    for i, var in enumerate(parameters):
        if var.parameter == name:
            if arguments is None:
                del parameters[i]
            else:
                names = list(arguments)
                del var.arguments[:]
                var.arguments.extend(names)
            return
    if arguments is not None:
        parameters.add(parameter=name, arguments=arguments)


def _kind_name(kind: int) -> str:
    try:
        return VarKind(kind).name
    except ValueError:
        return f"type {kind}"


class Block:
    """A sequence of operators and the variables they name."""

    def __init__(self, desc: Any):
        self.desc = desc
        self.vars: dict[str, Var] = {v.name: Var(v) for v in desc.vars}
        self.ops: list[Op] = [Op(o) for o in desc.ops]

    @property
    def idx(self) -> int:
        return cast("int", self.desc.idx)

    @property
    def parent_idx(self) -> int:
        return cast("int", self.desc.parent_idx)

    @property
    def beginning(self) -> int:
        """Where the operators behind the inputs begin."""
        return next((i for i, op in enumerate(self.ops) if op.type != "feed"), len(self.ops))

    def add_var(self, var: Var) -> Var:
        self.vars[var.name] = var
        return var

    def __repr__(self) -> str:
        lines = [f"    {v!r}" for v in self.vars.values()] + [f"    {o!r}" for o in self.ops]
        return f"block {self.idx} (parent {self.parent_idx}) {{\n" + "\n".join(lines) + "\n}"

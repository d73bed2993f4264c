"""What a model's method is called with: from ``--input`` texts, or guessed from its parameters."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.program.dtypes import DType
from mconv.program.inputs import Dim, parse_input

# names that mean the same in every network: element type and dimensions
_TEXT = ("int64", ("batch", "length"))
_IMAGE = ("float32", ("batch", 3, "height", "width"))
_KNOWN: dict[str, tuple[str, tuple[Dim, ...]]] = {
    **dict.fromkeys(("input_ids", "token_type_ids", "segment_ids", "position_ids", "attention_mask", "src_ids"), _TEXT),
    **dict.fromkeys(("image", "images", "img", "pixel_values"), _IMAGE),
}


@dataclass(frozen=True)
class Input:
    """One tensor that is fed.

    Attributes:
        name: the parameter that takes it.
        dtype: its element type.
        dims: numbers, names, or None for a size that stays open.
        limit: exclusive upper bound of its values, where they index a table.
    """

    name: str
    dtype: DType
    dims: tuple[Dim, ...]
    limit: Optional[int] = None

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype.label}[{','.join('?' if d is None else str(d) for d in self.dims)}]"


@dataclass(frozen=True)
class Slot:
    """The position of an input in a call."""

    index: int


@dataclass
class Call:
    """How the method is called.

    Attributes:
        inputs: the tensors, in the order in which the program takes them.
        args, kwargs: the arguments: lists, tuples and dictionaries with slots where the tensors go.
        guessed: whether the inputs are mconv's guess.
        notes: what is worth telling the user.
    """

    inputs: list[Input]
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    guessed: bool = False
    notes: list[str] = field(default_factory=list)

    def filled(self, tensors: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments with the tensors in their places."""

        def fill(part: Any) -> Any:
            if isinstance(part, Slot):
                return tensors[part.index]
            if isinstance(part, (list, tuple)):
                return type(part)([fill(p) for p in part])
            if isinstance(part, dict):
                return {k: fill(p) for k, p in part.items()}
            return part

        return fill(self.args), fill(self.kwargs)


def parse_texts(texts: Iterable[str], usual: Sequence[Input] = ()) -> list[Input]:
    """The inputs that ``name:dtype[dims]`` texts describe.

    Args:
        usual: inputs whose type needs not be said, and whose bounds are kept.

    Raises:
        UsageError: another form, no type, or one named twice.
    """
    by_name = {one.name: one for one in usual}
    inputs: list[Input] = []
    for text in texts:
        spec = parse_input(text)
        name, _, word = spec.name.rpartition(":")
        if spec.dtype is None and name:  # name:int64[…], where the text alone leaves open what the colon belongs to
            spec = parse_input(f"{name}[{text.rpartition('[')[2]}:{word.strip()}")
        like = by_name.get(spec.name)
        if spec.dtype is None and like is None:
            kind = _KNOWN.get(spec.name, ("float32", ()))[0]
            raise UsageError(
                f"--input {text!r}: its element type is not said",
                f"e.g. --input '{spec.name}:{kind}[{text.rpartition('[')[2]}'",
            )
        if any(i.name == spec.name for i in inputs):
            raise UsageError(f"--input gives {spec.name!r} twice")
        dtype = like.dtype if spec.dtype is None and like else dtype_of_label(str(spec.dtype), spec.name)
        inputs.append(Input(spec.name, dtype, spec.dims, like.limit if like else None))
    return inputs


def from_texts(texts: Iterable[str], function: Callable[..., Any], what: str, usual: Sequence[Input] = ()) -> Call:
    """The call that ``name:dtype[dims]`` texts describe; names are those of the method's parameters.

    Args:
        function: the bound method.
        what: what messages call it.
        usual: see :func:`parse_texts`.

    Raises:
        UsageError: another form, no such parameter, one named twice, or one missing.
    """
    parameters = parameters_of(function)
    kinds = {p.kind for p in parameters.values()}
    inputs = parse_texts(texts, usual)
    open_ = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} & kinds
    for one in inputs:
        if one.name not in parameters and not open_:
            near = difflib.get_close_matches(one.name, parameters, 1)
            raise UsageError(
                f"{what} has no parameter {one.name!r}",
                f"did you mean {near[0]!r}?" if near else f"its parameters are {', '.join(parameters) or 'none'}",
            )
    call = by_name(inputs, parameters)
    check(call, function, what)
    return call


def by_name(inputs: Sequence[Input], parameters: dict[str, inspect.Parameter]) -> Call:
    """Parameters by their names, in the order given; what has no parameter of its own goes to ``*args`` in order."""
    call = Call(list(inputs))
    slots = {one.name: Slot(i) for i, one in enumerate(inputs)}
    rest = [n for n in slots if n not in parameters]
    by_position = any(p.kind is p.VAR_POSITIONAL for p in parameters.values()) and bool(rest)
    for parameter in parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            call.args += [slots.pop(n) for n in rest]
        elif parameter.name in slots:
            if parameter.kind is parameter.POSITIONAL_ONLY or (
                by_position and parameter.kind is not parameter.KEYWORD_ONLY
            ):
                call.args.append(slots.pop(parameter.name))
            else:
                call.kwargs[parameter.name] = slots.pop(parameter.name)
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty:
            # Paddle 3.0 loses the defaults of keyword-only parameters when it rewrites a function
            call.kwargs[parameter.name] = parameter.default
    call.kwargs.update(slots)
    return call


def check(call: Call, function: Callable[..., Any], what: str) -> None:
    """Refuse a call that Python would refuse."""
    try:
        inspect.signature(function).bind(*call.args, **call.kwargs)
    except TypeError as e:
        given = {one.name for one in call.inputs}
        absent = [n for n, p in parameters_of(function).items() if required(p) and n not in given]
        raise UsageError(f"{what}: {e}", " ".join(map(to_type, absent)) or None) from None


def required(parameter: inspect.Parameter) -> bool:
    """Whether a call must give it."""
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a bound method; the instance, whatever it is called, is none."""
    return dict(inspect.signature(function).parameters)


def known(name: str) -> Optional[Input]:
    """The input that a name means in every network; None for other names."""
    found = _KNOWN.get(name)
    return None if found is None else Input(name, DType.of(found[0]), found[1])


def to_type(name: str) -> str:
    """The option that says what an input is, to be corrected by the user."""
    dtype, dims = _KNOWN.get(name, ("float32", (None, None)))
    return f"--input '{name}:{dtype}[{','.join(str(d) if isinstance(d, int) else '?' for d in dims)}]'"


def dtype_of_label(label: str, name: str) -> DType:
    """The element type that a word names.

    Raises:
        UsageError: there is none.
    """
    try:
        return DType.of(label)
    except (KeyError, TypeError):  # the latter for what numpy does not know either
        raise UsageError(f"input {name}: Paddle has no element type {label}") from None


# guessing -----------------------------------------------------------------------------------------------------------


def guess(function: Callable[..., Any], first: Callable[[str], Optional[Input]], what: str) -> Call:
    """What the names of the required parameters, and the first layer, say of the inputs.

    Args:
        function: the bound method.
        first: the input of the first layer that has weights, under the name that it is called with.

    Raises:
        UsageError: they say too little; the hint is what to type.
    """
    parameters = parameters_of(function)
    wanted = [p for p in parameters.values() if required(p)]
    if not wanted:
        wanted = [p for p in parameters.values() if p.name in _KNOWN][:1]
    inputs = [known(parameter.name) for parameter in wanted]
    if len(wanted) == 1 and inputs[0] is None:
        inputs = [first(wanted[0].name)]
    found = [i for i in inputs if i is not None]
    if not wanted or len(found) < len(inputs):
        names = [p.name for p in wanted] or [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        raise UsageError(
            f"{what}({', '.join(str(p) for p in parameters.values())}): what its inputs are cannot be guessed",
            f"say it with types and shapes, e.g. {' '.join(map(to_type, names or ['x']))}",
        )
    call = by_name(found, parameters)
    call.guessed = True
    call.notes.append(f"inputs guessed: {' '.join(map(str, found))}; --input says otherwise")
    return call

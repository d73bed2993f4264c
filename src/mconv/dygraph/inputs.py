"""What a layer's method is called with: from ``--input`` texts, from Paddle's InputSpec objects, or guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.factory import inputs as factory_inputs
from mconv.factory.inputs import Call, Input, Slot, by_name, check, dtype_of_label, from_texts, parameters_of, to_type
from mconv.program.dtypes import DType

# Paddle's own specifications ----------------------------------------------------------------------------------------


def from_specs(specs: Sequence[Any], function: Callable[..., Any], what: str) -> Call:
    """The call that ``paddle.jit.to_static``'s *input_spec* describes.

    Args:
        specs: InputSpec objects, tensors, ``name:dtype[dims]`` texts, constants, and lists and dictionaries of them.

    Where the names of all specifications are parameters of the method, they say what goes where; otherwise their
    order does, as it always does for Paddle.

    Raises:
        UsageError: they do not fit the method.
    """
    if isinstance(specs, (dict, str)) or not isinstance(specs, Sequence):
        raise UsageError(f"input_spec is a {type(specs).__name__}, not a list", "one InputSpec for each parameter")
    if all(isinstance(s, str) for s in specs):
        return from_texts(specs, function, what)
    parameters = parameters_of(function)
    positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    inputs: list[Input] = []

    def leaf(part: Any, fallback: str) -> Any:
        if isinstance(part, (list, tuple)):
            return type(part)([leaf(p, f"{fallback}_{i}") for i, p in enumerate(part)])
        if isinstance(part, dict):
            return {k: leaf(p, str(k)) for k, p in part.items()}
        if not hasattr(part, "shape") or not hasattr(part, "dtype"):
            return part  # a constant
        name = getattr(part, "name", None)
        if not name or hasattr(part, "stop_gradient") and not hasattr(part, "from_tensor"):
            name = fallback  # a tensor's own name says nothing
        if any(i.name == name for i in inputs):
            raise UsageError(f"input_spec: two inputs are called {name!r}", "give each InputSpec a name of its own")
        dims = tuple(None if d is None or int(d) < 0 else int(d) for d in part.shape)
        inputs.append(Input(name, dtype_of(part.dtype, name), dims))
        return Slot(len(inputs) - 1)

    args = [leaf(s, positional[i].name if i < len(positional) else f"input_{i}") for i, s in enumerate(specs)]
    flat = len(args) == len(inputs) and all(isinstance(a, Slot) for a in args)
    if flat and inputs and all(i.name in parameters for i in inputs):
        call = by_name(inputs, parameters)
        for one, parameter in zip(inputs, positional):
            if one.name != parameter.name:
                call.notes.append(
                    f"the InputSpec {one.name!r} stands where {what} has {parameter.name!r}: taken for {one.name!r}, "
                    "its name; paddle.jit.to_static goes by the position"
                )
    else:
        call = Call(inputs, args)
        call.kwargs.update(by_name([], parameters).kwargs)
    check(call, function, what)
    if not inputs:
        raise UsageError("input_spec: there is no tensor in it")
    return call


def dtype_of(dtype: Any, name: str) -> DType:
    """Paddle's own type objects, of any version, as ours."""
    label = str(dtype).rpartition(".")[2].lower()
    short = {"fp16": "float16", "fp32": "float32", "fp64": "float64", "bf16": "bfloat16"}
    return dtype_of_label(short.get(label, label), name)


# guessing -----------------------------------------------------------------------------------------------------------


def guess(function: Callable[..., Any], layer: Any, what: str) -> Call:
    """What the names of the required parameters, and the first sublayer, say of the inputs.

    Raises:
        UsageError: they say too little; the hint is what to type.
    """
    return factory_inputs.guess(function, lambda name: _from_layer(name, layer), what)


def _from_layer(name: str, layer: Any) -> Optional[Input]:
    """The input of the first sublayer that has weights; checked later by running it."""
    for sub in layer.sublayers(include_self=True):
        own = list(getattr(sub, "_parameters", {}).values())
        if not own or own[0] is None:
            continue
        kind = type(sub).__name__
        try:
            dtype = dtype_of(own[0].dtype, name)
        except UsageError:
            return None
        shape = list(own[0].shape)
        if kind == "Conv2D" and len(shape) == 4 and getattr(sub, "_data_format", "NCHW") == "NCHW":
            channels = shape[1] * getattr(sub, "_groups", 1)
            return Input(name, dtype, ("batch", channels, "height", "width"))
        if kind == "Linear" and len(shape) == 2:
            return Input(name, dtype, ("batch", shape[0]))
        if kind == "Embedding":
            return Input(name, DType.INT64, ("batch", "length"))
        return None
    return None


__all__ = ["Call", "Input", "Slot", "dtype_of", "from_specs", "from_texts", "guess", "parameters_of", "to_type"]

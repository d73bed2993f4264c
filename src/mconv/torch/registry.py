"""The registry of ATen operators: one function per operator, named by its overloads (``add.Tensor``).

The parameters of a function are those of the operator's schema, by name: tensors come as Values, sizes as ``int`` or
:class:`~mconv.program.dims.Sym`, element types as :class:`~mconv.program.dtypes.DType`, the rest as they are. It gives
a Value, or a tuple or list of Values where the operator has several results.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import Any, Callable, Optional

from mconv.program.plugins import load_families


@dataclass(frozen=True)
class Converter:
    """A registered function and the names of its parameters after the context."""

    function: Callable[..., Any]
    parameters: frozenset[str]


_converters: dict[str, Converter] = {}
_OF_GRADIENTS = (
    "_adaptive_avg_pool2d_backward.default", "avg_pool2d_backward.default", "convolution_backward.default",
    "embedding_dense_backward.default", "max_pool2d_with_indices_backward.default",
    "native_group_norm_backward.default", "native_layer_norm_backward.default",
)  # fmt: skip
_RANDOM = (
    "bernoulli.p", "multinomial.default", "normal_functional.default", "rand.default", "rand_like.default",
    "randint.default", "randint.low", "randint_like.default", "randn.default", "randn_like.default",
    "randperm.default", "uniform.default",
)  # fmt: skip
# what a program for inference cannot have → why
_REFUSED = {
    **dict.fromkeys(_OF_GRADIENTS, "it computes a gradient, and the program is for inference"),
    **dict.fromkeys(_RANDOM, "it gives other numbers each time, so that the result could not be checked"),
    "atan2.out": "it writes into one of its inputs",
    "resize_.default": "it changes its input, which the exported form does not do",
    **dict.fromkeys(
        ("sym_is_contiguous.default", "sym_stride.int", "sym_storage_offset.default"),
        "how a tensor lies in memory is not part of a program",
    ),
}


def aten_op(*overloads: str) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as the converter of ``aten`` overloads, called as ``f(ctx, **arguments)``.

    Operators of other libraries have their whole name: ``torchvision.nms.default``.
    Arguments that the function does not name must have their schema's default, else the node is refused; but for those
    that say nothing about the numbers of any operator (``_SILENT`` of the importer).

    Raises:
        ValueError: an overload has another converter already.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(function).parameters)[1:]
        for overload in overloads:
            known = _converters.get(overload)
            if known is not None and known.function.__qualname__ != function.__qualname__:
                raise ValueError(f"aten.{overload} is converted by {known.function.__qualname__} already")
            _converters[overload] = Converter(function, frozenset(names))
        return function

    return register


def find(name: str) -> Optional[Converter]:
    """The converter of ``aten.<overload>``, or of an operator of another library under its whole name; or None."""
    _load()
    return _converters.get(name.removeprefix("aten."))


def refused(name: str) -> Optional[str]:
    """Why ``aten.<overload>`` has no converter on purpose, or None."""
    return _REFUSED.get(name.removeprefix("aten."))


def known() -> list[str]:
    """The overloads that have a converter, sorted."""
    _load()
    return sorted(_converters)


@functools.cache
def _load() -> None:
    from mconv.torch import ops

    load_families(ops)

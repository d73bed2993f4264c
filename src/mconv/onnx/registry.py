"""The registry of ONNX operators: one function per operator and version in which its meaning changed.

The signature is the schema: positional parameters are the inputs in order (``None`` when left out; a ``*xs``
parameter takes the rest), keyword-only parameters are the attributes with their types and defaults; those that it
passes on as they are it may have from the function that takes them (:func:`mconv.program.schemas.attributes_of`). The function gives a Value, or a tuple of Values in the order of the outputs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Callable, Optional, TypeVar

from mconv.program.plugins import load_families

DEFAULT_DOMAIN = ""
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Converter:
    """A registered function.

    Attributes:
        domain: ``""`` is ai.onnx.
        op: the operator's name in ONNX.
        since: first opset version that it converts.
        optional: positions of inputs that may be left out though others behind them may not.
        until: first opset version that it does not convert any more, or None.
    """

    domain: str
    op: str
    since: int
    function: Callable[..., Any]
    min_inputs: int
    max_inputs: Optional[int]
    attributes: frozenset[str]
    required: frozenset[str]
    optional: frozenset[int] = frozenset()

    @property
    def where(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"


_converters: dict[tuple[str, str], dict[int, Converter]] = {}


def normal_domain(domain: str) -> str:
    """``ai.onnx`` and ``""`` are the same domain."""
    return DEFAULT_DOMAIN if domain == "ai.onnx" else domain


def onnx_op(name: str, *, domain: str = DEFAULT_DOMAIN, since: int = 1) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as the converter of an ONNX operator from opset *since* on.

    It holds until the next registered version. Attributes that the function does not name refuse the node, but for those
    that mean nothing (``_SILENT`` of :mod:`mconv.onnx.arguments`). The function is called as ``f(ctx, *inputs, **attributes)``, where
    *ctx* is a :class:`~mconv.onnx.context.Context`.

    Raises:
        ValueError: the operator has a converter for that version already, or the signature does not follow the form.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        key = (normal_domain(domain), name)
        versions = _converters.setdefault(key, {})
        converter = _describe(key[0], name, since, function)
        if since in versions and versions[since].where != converter.where:
            raise ValueError(f"{name} of opset {since} is converted by {versions[since].where} already")
        versions[since] = converter
        return function

    return register


def _describe(domain: str, name: str, since: int, function: Callable[..., Any]) -> Converter:
    low, high = 0, 0
    unbounded = False
    attributes, required, optional = set(), set(), set()
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if p.kind is p.VAR_POSITIONAL:
            unbounded = True
        elif p.kind is p.KEYWORD_ONLY:
            attributes.add(p.name)
            if p.default is p.empty:
                required.add(p.name)
        elif p.kind is p.VAR_KEYWORD:
            raise ValueError(f"{name}: attributes must be named, not **{p.name} (or `attributes_of` names them)")
        elif i > 0:  # the first is the context
            if p.default is p.empty:
                low += 1
                if "Optional[" in str(p.annotation):
                    optional.add(high)
            high += 1
    return Converter(
        domain, name, since, function, low, None if unbounded else high, frozenset(attributes), frozenset(required),
        frozenset(optional),
    )  # fmt: skip


def find(domain: str, op: str, version: int) -> Optional[Converter]:
    """The converter of *op* for an opset version, or None."""
    _load()
    versions = _converters.get((normal_domain(domain), op), {})
    fitting = [since for since in versions if since <= version]
    return versions[max(fitting)] if fitting else None


def known() -> Iterable[Converter]:
    """Every registered converter, sorted."""
    _load()
    return [versions[since] for _, versions in sorted(_converters.items()) for since in sorted(versions)]


@functools.cache
def _load() -> None:
    """Import every family of operators."""
    from mconv.onnx import ops

    load_families(ops)

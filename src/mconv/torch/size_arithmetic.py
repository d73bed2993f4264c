"""Torch's arithmetic of open sizes while it traces: quick where torch's own is slow, and within a bound.

A size behind windows, paddings and strides is an expression of divisions within divisions (Swin, deformable attention).
For every comparison torch simplifies such ones anew, which takes minutes, and then hours. Here the steps that take nearly
all of it are done in another way with the same result, and beyond a bound the trace ends with an error, so that another
exporter is asked.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from mconv.errors import UnsupportedError

SECONDS = 60.0  # of a processor, for one trace; those of the zoo take up to 20
_FEW = 100  # facts about sizes that may be looked through again whenever one is added


class SizesTooComplex(UnsupportedError):
    """Torch's arithmetic of the open sizes takes longer than the bound."""


@contextlib.contextmanager
def size_arithmetic() -> Iterator[None]:
    """Within it, torch computes with open sizes as this module says.

    Raises:
        SizesTooComplex: the thread takes more than ``SECONDS`` of a processor, whatever torch made of the error within.
    """
    import sympy  # type: ignore[import-untyped,unused-ignore]
    from torch.fx.experimental.symbolic_shapes import ShapeEnv
    from torch.utils._sympy import value_ranges

    end = time.thread_time() + SECONDS
    over: list[SizesTooComplex] = []
    evaluate = ShapeEnv._maybe_evaluate_static

    @functools.wraps(evaluate)  # with its cache
    def bounded(self: Any, *args: Any, **options: Any) -> Any:
        if time.thread_time() > end:
            error = SizesTooComplex(
                f"torch's arithmetic of the open sizes takes more than {SECONDS:.0f} s of a processor",
                "fix the sizes that need not be open with --input, e.g. --input 'x:float32[?,3,512,512]'",
            )
            over.append(error)
            raise error
        # with each new fact torch simplifies all that it knows; the facts stay true as they are
        if self._resimplify_floor_div_axioms and len(self.axioms) > _FEW:
            self._resimplify_floor_div_axioms = False
        return evaluate(self, *args, **options)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sympy, "simplify", _simplified(sympy.simplify)))
        stack.enter_context(mock.patch.object(value_ranges, "sympy_interp", _interpreted()))
        stack.enter_context(mock.patch.object(ShapeEnv, "_maybe_evaluate_static", bounded))
        try:
            yield
        except Exception as e:
            if over:
                raise over[0] from e
            raise


def _simplified(simplify: Callable[..., Any]) -> Callable[..., Any]:
    """``sympy.simplify`` of a quotient whose divisor divides every term of the sum above it."""
    import sympy  # type: ignore[import-untyped,unused-ignore]

    def divided(quotient: Any, **options: Any) -> Any:
        made = sympy.expand_mul(quotient, deep=False)
        below = any(p.exp.could_extract_minus_sign() for p in made.atoms(sympy.Pow))
        if below or any(not r.is_Integer for r in made.atoms(sympy.Rational)):
            return simplify(quotient, **options)
        return made

    return divided


def _interpreted() -> Callable[..., Any]:
    """``sympy_interp`` that looks at an expression once, however often it stands within another."""
    from torch.utils._sympy import interp

    original = interp.sympy_interp
    run = interp._run_sympy_handler

    def interpreted(analysis: Any, env: Any, expr: Any, *, index_dtype: Any = None, missing_handler: Any = None) -> Any:
        options = {} if index_dtype is None else {"index_dtype": index_dtype}
        known: dict[Any, Any] = {}

        def walk(one: Any) -> Any:
            if not one.args:
                return original(analysis, env, one, missing_handler=missing_handler, **options)
            if one not in known:
                known[one] = run(analysis, [walk(arg) for arg in one.args], one, **options)
            return known[one]

        return walk(expr)

    return interpreted


__all__ = ["SECONDS", "SizesTooComplex", "size_arithmetic"]

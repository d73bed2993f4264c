"""Comparing what two runtimes answered, output by output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import numpy as np

from mconv.errors import UsageError

_LEAST = 1e-6  # eight steps of float32 at 1: what is left of inner values of that size where they cancel
_SMALL = 0.05  # of the largest value of an output whose values are small: beyond it a difference is no rounding


@dataclass(frozen=True)
class Tolerance:
    """How far two floating point outputs may be apart: ``absolute · max|reference| + relative · |reference|``.

    Where all values are below 1 the first summand is *absolute* itself, as what they are computed from is larger; but
    not more than a twentieth of the largest one, or 1e-6 where that is more. Integers and booleans must be equal.

    Attributes:
        absolute: times the largest value of the output, see above.
        relative: times the value itself.
        half: what both are raised to for 16-bit floats, whose own steps are larger (bfloat16: eight times that).
        precision: the lowest precision in which either model computes, ``float16`` and ``bfloat16`` being such floats;
            the type of an output counts too.
        stated: the user has given the number: ``absolute`` is meant whatever the size of the values.
    """

    absolute: float = 1e-5
    relative: float = 1e-4
    half: float = 1e-2
    precision: str = "float32"
    stated: bool = False

    @classmethod
    def of(cls, number: Optional[float]) -> Tolerance:
        """The one that ``--tolerance NUMBER`` means; the default for None.

        Raises:
            UsageError: the number is not above 0.
        """
        if number is None:
            return cls()
        if not number > 0:
            raise UsageError(f"--tolerance {number}: must be above 0")
        return cls(number, number, max(number, cls.half), stated=True)

    def at(self, *precisions: str) -> Tolerance:
        """The one for models that compute in these types."""
        return replace(self, precision=lowest([self.precision, *precisions]))

    def limit(self, reference: np.ndarray, dtype: str) -> np.ndarray:
        """The largest difference allowed, element by element; *reference* is finite."""
        least = {"float16": self.half, "bfloat16": 8 * self.half}.get(lowest([dtype, self.precision]), 0.0)
        absolute, relative = max(self.absolute, least), max(self.relative, least)
        magnitude = np.abs(reference)
        scale = float(magnitude.max(initial=0.0))
        small = absolute if self.stated else min(absolute, max(_SMALL * scale, _LEAST))
        return max(absolute * scale, small) + relative * magnitude


def lowest(dtypes: Iterable[str]) -> str:
    """Of floating point types the one with the fewest digits; ``float32`` where none has fewer."""
    return min((*dtypes, "float32"), key=_precision)


@dataclass(frozen=True)
class OutputComparison:
    """One output of one input set.

    Attributes:
        name: the reference's name of the output.
        input_set: which input set, from 0.
        dtype, got_dtype: Paddle's names of the types.
        shape, got_shape: the shapes.
        max_abs: largest absolute difference; None where the arrays cannot be compared.
        max_rel: largest difference relative to the reference, where that is not 0.
        cosine: cosine of the angle between the two as vectors; None for a vector of zeros.
        argmax_same: whether the largest element of each row (last axis) is at the same position; None for scalars.
        ok: whether it is within the tolerance.
        reason: why not.
        distribution: how many elements are how far apart: `0` for equal ones, then by the power of ten that the absolute
            difference reaches (`1e-08`; what is below 1e-12 counts there), `inf` where only one is finite; of outputs
            alone, not of tensors inside.
        allowed: the largest difference that the tolerance leaves to each element, whatever its own size; None where all
            must be equal, or nothing can be compared.
    """

    name: str
    input_set: int
    dtype: str
    got_dtype: str
    shape: tuple[int, ...]
    got_shape: tuple[int, ...]
    max_abs: Optional[float]
    max_rel: Optional[float]
    cosine: Optional[float]
    argmax_same: Optional[bool]
    ok: bool
    reason: str = ""
    distribution: dict[str, int] = field(default_factory=dict)
    allowed: Optional[float] = None

    @property
    def badness(self) -> tuple[bool, float]:
        """What differs is worse than what agrees, and the more the larger the difference."""
        return not self.ok, float("inf") if self.max_abs is None else self.max_abs

    def to_dict(self) -> dict[str, Any]:
        """For reports: only JSON types, infinite differences as None."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self).items()}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


@dataclass
class Comparison:
    """All outputs of all input sets."""

    outputs: list[OutputComparison] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems and bool(self.outputs) and all(o.ok for o in self.outputs)

    @property
    def max_abs(self) -> float:
        """The largest absolute difference of all; infinite where something could not be compared."""
        return float("inf") if self.problems else max((o.badness[1] for o in self.outputs), default=float("inf"))

    @property
    def worst(self) -> str:
        """What is wrong: the worst output, and how many more differ; empty where everything agreed."""
        if self.ok or self.problems:
            return self.problems[0] if self.problems else ""
        bad = [o for o in self.outputs if not o.ok]
        if not bad:
            return "there is nothing to compare"
        worst = max(bad, key=lambda o: o.badness)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return f"output {worst.name}, input set {worst.input_set}: {worst.reason}{more}"

    def to_dict(self) -> dict[str, Any]:
        """For reports: only JSON types, infinite differences as None."""
        outputs = [o.to_dict() for o in self.outputs]
        return {"ok": self.ok, "problems": list(self.problems), "outputs": outputs}


def compare(
    reference: Sequence[Sequence[np.ndarray]],
    got: Sequence[Sequence[np.ndarray]],
    names: Sequence[str],
    *,
    tolerance: Tolerance = Tolerance(),
    dtypes: Optional[Sequence[Sequence[str]]] = None,
    got_dtypes: Optional[Sequence[Sequence[str]]] = None,
    scalar_as_one: bool = False,
    same_dtype: bool = True,
) -> Comparison:
    """Compare outputs by position.

    Args:
        reference, got: per input set, the outputs.
        names: what to call the outputs.
        tolerance: how far apart they may be.
        dtypes, got_dtypes: Paddle's names of the types, where numpy's do not say it (bfloat16 in its bits).
        scalar_as_one: accept shape [1] for a reference without dimensions, which Paddle before 2.5 does not have.
        same_dtype: whether another type of output is a failure by itself.
    """
    result = Comparison()
    if len(reference) != len(got):
        result.problems.append(f"{len(got)} input sets were answered, not {len(reference)}")
        return result
    for index, (wanted, found) in enumerate(zip(reference, got)):
        if len(wanted) != len(found):
            result.problems.append(f"input set {index}: {len(found)} outputs, the reference has {len(wanted)}")
            continue
        for position, (a, b) in enumerate(zip(wanted, found)):
            a_type = dtypes[index][position] if dtypes else a.dtype.name
            b_type = got_dtypes[index][position] if got_dtypes else b.dtype.name
            name = names[position] if position < len(names) else f"output {position}"
            if scalar_as_one and a.shape == () and b.shape == (1,):
                b = b.reshape(())
            result.outputs.append(_one(name, index, a, b, a_type, b_type, tolerance, same_dtype))
    return result


_Figures = tuple[Optional[float], Optional[float], Optional[float], Optional[bool]]


def _one(
    name: str,
    index: int,
    a: np.ndarray,
    b: np.ndarray,
    a_type: str,
    b_type: str,
    tolerance: Tolerance,
    same_dtype: bool,
) -> OutputComparison:
    spread: dict[str, int] = {}
    allowed: Optional[float] = None

    def made(ok: bool, reason: str, figures: _Figures = (None, None, None, None)) -> OutputComparison:
        largest, relative, cosine, argmax = figures
        return OutputComparison(
            name,
            index,
            a_type,
            b_type,
            a.shape,
            b.shape,
            largest,
            relative,
            cosine,
            argmax,
            ok,
            reason,
            spread,
            allowed,
        )

    if a.shape != b.shape:
        return made(False, f"shape {list(b.shape)}, the reference has {list(a.shape)}")
    exact = not any(t.startswith(("float", "bfloat", "complex")) for t in (a_type, b_type))
    x, y = _wide(a, a_type), _wide(b, b_type)
    # the same infinity or NaN at the same position is agreement; anything else there is not
    odd = ~(np.isfinite(x) & np.isfinite(y))
    agree = ~odd | (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(odd, 0, np.abs(x - y))
    figures: _Figures = (
        float("inf") if not agree.all() else float(difference.max(initial=0)),
        _relative(difference, np.where(odd, 0, np.abs(x))) if agree.all() else float("inf"),
        _cosine(np.where(odd, 0, x), np.where(odd, 0, y)),
        _argmax_same(x, y),
    )
    spread = _distribution(difference, int(agree.size - np.count_nonzero(agree)))
    if same_dtype and a_type != b_type:
        return made(False, f"type {b_type}, the reference has {a_type}", figures)
    if not agree.all():
        count = int((~agree).sum())
        return made(False, f"{count} elements are NaN or infinite in one and not in the other", figures)
    if exact:
        wrong = int(np.count_nonzero(a != b))
        return made(not wrong, f"{wrong} of {a.size} elements differ" if wrong else "", figures)
    limit = tolerance.limit(np.where(odd, 0, x), min(a_type, b_type, key=_precision))
    beyond = int((difference > limit).sum())
    allowed = float(limit.min()) if limit.size else None
    reason = (
        f"{beyond} of {a.size} elements differ by more than the tolerance, at most by {difference.max(initial=0):.3g}"
        if beyond
        else ""
    )
    return made(not beyond, reason, figures)


def _precision(dtype: str) -> int:
    return {"bfloat16": 8, "float16": 11, "float32": 24, "complex64": 24}.get(dtype, 53)


def _wide(array: np.ndarray, dtype: str) -> np.ndarray:
    """As float64 or complex128, so that differences neither overflow nor wrap around."""
    if dtype == "bfloat16" and array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


_DECADES = [float(f"1e{power}") for power in range(-12, 13)]


def _distribution(difference: np.ndarray, apart: int) -> dict[str, int]:
    """See :attr:`OutputComparison.distribution`; *apart* elements are finite in one only, and have 0 as *difference*."""
    counts, _ = np.histogram(difference, [*_DECADES, np.inf])
    equal = int(difference.size - np.count_nonzero(difference))
    below = int(difference.size - counts.sum()) - equal  # above 0, and below the first of the decades
    named = {"0": equal - apart, f"{_DECADES[0]:.0e}": below + int(counts[0])}
    named.update({f"{start:.0e}": int(count) for start, count in zip(_DECADES[1:], counts[1:])})
    return {name: count for name, count in {**named, "inf": apart}.items() if count}


def _relative(difference: np.ndarray, magnitude: np.ndarray) -> float:
    return float((difference[magnitude > 0] / magnitude[magnitude > 0]).max(initial=0))


def _cosine(x: np.ndarray, y: np.ndarray) -> Optional[float]:
    x, y = x.ravel(), y.ravel()
    norms = float(np.linalg.norm(x)) * float(np.linalg.norm(y))
    return float(np.clip(np.vdot(x, y).real / norms, -1, 1)) if norms and np.isfinite(norms) else None


def _argmax_same(x: np.ndarray, y: np.ndarray) -> Optional[bool]:
    if x.ndim == 0 or x.size == 0 or x.dtype.kind == "c":
        return None
    return bool((np.argmax(x, -1) == np.argmax(y, -1)).all())

"""Whether a measurement is good enough: right, without errors, and within the limits that CI sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from mconv.bench.latency import FAILED, WRONG
from mconv.bench.service import failure as service_failure
from mconv.errors import MconvError, RuntimeFailedError, TooSlowError, UsageError, VerificationError


@dataclass(frozen=True)
class Case:
    """One thing that is judged: a service under load, or a model in a runtime on one input set.

    Attributes:
        group: the address, or the model; name: the load, or runtime and sizes.
        seconds: of the measurement; figures: in words. error: what is wrong with it.
        judged: whether the command fails with it; not where one of several runtimes cannot run a model.
    """

    group: str
    name: str
    seconds: float
    figures: str
    error: Optional[MconvError] = None
    judged: bool = True


def cases(found: Any, *, max_p99: Optional[float] = None, min_tps: Optional[float] = None) -> list[Case]:
    """What a :class:`~mconv.bench.result.Bench` comes to.

    Args:
        max_p99: milliseconds; min_tps: right answers a second, of a model runs. Of a model, the fastest runtime counts.

    Raises:
        UsageError: see :func:`check`.
    """
    check(max_p99=max_p99, min_tps=min_tps)
    rows = _services(found, max_p99, min_tps) if found.kind == "service" else _models(found, max_p99, min_tps)
    return list(rows)


def check(*, max_p99: Optional[float] = None, min_tps: Optional[float] = None) -> None:
    """Raises UsageError: a limit is not above 0."""
    for option, limit in (("--max-p99", max_p99), ("--min-tps", min_tps)):
        if limit is not None and not limit > 0:
            raise UsageError(f"{option} {limit:g}: must be above 0")


def failure(judged: list[Case]) -> Optional[MconvError]:
    """What the command ends with: a wrong answer before an error, that before a limit that is missed."""
    errors = [case.error for case in judged if case.error is not None and case.judged]
    order = (VerificationError, RuntimeFailedError, TooSlowError)
    return min(errors, key=lambda e: order.index(type(e)), default=None)


def _services(found: Any, max_p99: Optional[float], min_tps: Optional[float]) -> Iterator[Case]:
    load = f"{found.threads} threads x {found.loops} requests"
    for lane in found.addresses:
        f = lane.figures
        said = (
            "" if f is None else f"{lane.tps:.1f} a second, p50 {f.p50:.1f} ms, p95 {f.p95:.1f} ms, p99 {f.p99:.1f} ms"
        )
        error = service_failure([lane])
        if error is None and f is not None:
            error = _missed(lane.label, f.p99, lane.tps, max_p99, min_tps)
        yield Case(lane.label, load, lane.seconds, said, error)


def _models(found: Any, max_p99: Optional[float], min_tps: Optional[float]) -> Iterator[Case]:
    for index, shapes in enumerate(found.input_sets):
        sizes = " ".join(f"{name}{list(shape)}".replace(" ", "") for name, shape in shapes.items())
        for lane in found.contenders:
            size = lane.sizes[index]
            f = size.figures
            runtime = f"{lane.runtime}{', ' + lane.how if lane.how else ''}"
            rivals = [m.sizes[index].relative for m in found.contenders if m.model == lane.model]
            fastest = size.relative is not None and size.relative == min(r for r in rivals if r is not None)
            error: Optional[MconvError] = None
            if size.status == WRONG:
                error = VerificationError(f"{runtime} on {lane.model}: a wrong answer: {size.reason}")
            elif size.status == FAILED:
                error = RuntimeFailedError(size.reason)
            elif f is not None and fastest:
                error = _missed(f"{runtime} on {lane.model}, {sizes}", f.p99, size.per_second, max_p99, min_tps)
            said = "" if f is None else f"p50 {f.p50:.3f} ms, p90 {f.p90:.3f} ms, p99 {f.p99:.3f} ms"
            seconds = f.mean * f.count / 1e3 if f is not None else 0.0
            yield Case(lane.model, f"{runtime}, {sizes}", seconds, said, error, size.status != FAILED)


def _missed(
    name: str, p99: float, tps: Optional[float], max_p99: Optional[float], min_tps: Optional[float]
) -> Optional[MconvError]:
    missed = []
    if max_p99 is not None and p99 > max_p99:
        missed.append(f"p99 is {p99:.1f} ms, more than {max_p99:g}")
    if min_tps is not None and (tps or 0.0) < min_tps:
        missed.append(f"{tps or 0.0:.1f} a second are fewer than {min_tps:g}")
    return TooSlowError(f"{name}: {' and '.join(missed)}", "--max-p99 and --min-tps set the limits") if missed else None

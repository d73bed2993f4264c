"""Inputs that a model takes: sizes and ranges of indices are tried, small ones first, until what runs it does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Optional, TypeVar

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.proof.feeds import IDS, IMAGE, LENGTH, RATE, Dims, InputSpec, Sizes, random_feeds
from mconv.proof.notes import InputsAdvice, Note
from mconv.runtimes.memory import out_of_memory

SECONDS = 90.0  # for trying, after the first failure
Feeds = list[dict[str, np.ndarray]]
T = TypeVar("T")

_TEXT = (48, 32)  # heights of lines of text, of any width
_SQUARES = (224, 384, 512, 640, 256, 128, 32)  # what networks for images are made for
_LENGTHS = (16, 64, 400, 512, 1024)  # a window of a spectrum is 400 samples, a chunk of speech 512
_ROWS = (8, 12)  # of what is no batch: nodes, items that the best of are chosen
_LIMITS = (2, 1)  # of indices: nodes, rows, kinds


def attempts(specs: Sequence[InputSpec]) -> Iterator[Sizes]:
    """What to try for these inputs, likely and small sizes first; each gives other shapes or values than those before.

    Where two sizes of a dimension do not fit, one alone is tried: some models take no other.
    """
    images = [Sizes()]
    images += [Sizes(height=IMAGE, width=IMAGE)]
    images += [Sizes(height=(h,)) for h in _TEXT]
    images += [Sizes(height=(s,), width=(s,)) for s in (*IMAGE[:1], *_SQUARES)]
    images += [Sizes(height=(16,), width=(16,))]
    sounds = (RATE,) if any(_waves(s) for s in specs) else ()  # too long for what compares each position with each
    lengths = [Sizes(length=(n, n + n // 2)) for n in (*_LENGTHS, *sounds)]
    lengths += [Sizes(length=(n,), height=h, width=h) for n in (LENGTH[0], *_LENGTHS, *sounds) for h in (None, (n,))]
    single = [*images, *lengths]
    limits = [Sizes(limit=n) for n in _LIMITS]
    both = [replace(s, limit=limit) for limit in _LIMITS for s in single[1:]]
    pairs = [
        Sizes(length=a.length, height=b.height, width=b.width)
        for a, b in itertools.product(lengths, images[1:])
        if len(a.length) == 1 and a.height is None
    ]
    one = [Sizes(batch=(1,)), Sizes(batch=(1,), limit=1), Sizes(batch=_ROWS)]
    seen = set()
    for sizes in [*single[:1], _as_fixed(specs), *limits, *single[1:], *one, *both, *pairs]:
        key = _key(specs, sizes)
        if key not in seen:
            seen.add(key)
            yield sizes


def _as_fixed(specs: Sequence[InputSpec]) -> Sizes:
    """What is open in one input as it is fixed in another on the same axis: of two that are added one may have it."""
    pictures = [s.shape for s in specs if len(s.shape) == 4]
    rows = [s.shape for s in specs if len(s.shape) in (2, 3)]

    def fixed(shapes: Sequence[Sequence[object]], axis: int) -> Optional[tuple[int, ...]]:
        found = {d for d in (shape[axis] for shape in shapes) if isinstance(d, int) and d > 0}
        return (min(found),) if len(found) == 1 else None

    return Sizes(
        fixed([s.shape for s in specs if s.shape], 0) or Sizes.batch,
        fixed(rows, 1) or Sizes.length,
        fixed(pictures, 2),
        fixed(pictures, 3),
    )


def _waves(spec: InputSpec) -> bool:
    """Whether it may be sound: [batch, samples], [batch, 1, samples]."""
    shape = spec.shape
    return spec.dtype.is_float and (len(shape) == 2 or len(shape) == 3 and shape[1] == 1)


def _key(specs: Sequence[InputSpec], sizes: Sizes) -> tuple:
    count = 2 if any(s.dynamic for s in specs) else 1
    shapes = []
    for index in range(count):
        dims = Dims(index, sizes)
        shapes.append(tuple(dims.resolve(s) for s in specs))
    limits = tuple(min(s.limit or IDS, sizes.limit or IDS) for s in specs if s.dtype.is_int)
    return (*shapes, limits)


def find(
    specs: Sequence[InputSpec],
    run: Callable[[Feeds], T],
    *,
    feeds: Callable[[Sizes], Feeds] = lambda sizes: [],
    seconds: Optional[float] = None,
) -> tuple[Feeds, T, Sizes]:
    """The first input sets that a model takes, and what it answers to them.

    Args:
        specs: its inputs.
        run: runs it on all sets; raises RuntimeFailedError where it does not take them.
        feeds: makes the input sets for sizes, where random ones of *specs* do not do.
        seconds: after which no further ones are tried; :data:`SECONDS` by default.

    Raises:
        RuntimeFailedError: it takes none of those tried; that of the first ones, which says how many there were.
    """
    failure: Optional[RuntimeFailedError] = None
    count, end, most = 0, 0.0, float("inf")
    for sizes in attempts(specs):
        if failure is not None and time.monotonic() > end:
            break
        sets = feeds(sizes) or random_feeds(specs, sizes=sizes)
        if _numbers(sets) >= most:
            continue
        count += 1
        try:
            return sets, run(sets), sizes
        except RuntimeFailedError as e:
            if failure is None:
                failure, end = e, time.monotonic() + (SECONDS if seconds is None else seconds)
            if getattr(e, "stage", None) == "load" or getattr(e, "timed_out", False):
                break  # no input helps, or none that is larger
            if out_of_memory(e):
                most = min(most, _numbers(sets))
    assert failure is not None
    if count > 1:
        failure.message = f"{failure.message} (nor with {count - 1} other sizes and ranges of random inputs)"
    raise failure


def _numbers(sets: Feeds) -> int:
    """How many numbers the largest input set has."""
    return max((sum(a.size for a in feed.values()) for feed in sets), default=0)


@dataclass(frozen=True)
class OneSize:
    """An open dimension of which only one size is known to work.

    Attributes:
        dim: ``x[2]``.
        size: at which both were compared.
        tried: the sizes of the attempts that the source did not take before, in order.
    """

    dim: str
    size: int
    tried: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dim} = {self.size}"


def alone(specs: Sequence[InputSpec], sets: Feeds, refused: Optional[Sequence[Feeds]] = None) -> list[OneSize]:
    """The open dimensions of which *sets*, that the source took, have only one size.

    Args:
        refused: those that it did not take; by default what :func:`find` tries before *sets*.
    """
    if len(sets) < 2:
        return []
    found = [
        (spec.name, axis)
        for spec in specs
        for axis, dim in enumerate(spec.shape)
        if not (isinstance(dim, int) and dim >= 0) and len({feed[spec.name].shape[axis] for feed in sets}) == 1
    ]
    if not found:
        return []
    tried = (
        _before(specs, sets) if refused is None else [{n: a.shape for n, a in f.items()} for s in refused for f in s]
    )
    made = []
    for name, axis in found:
        size = sets[0][name].shape[axis]
        others = sorted({shapes[name][axis] for shapes in tried if len(shapes.get(name, ())) > axis} - {size})
        made.append(OneSize(f"{name}[{axis}]", size, tuple(others)))
    return made


def _before(specs: Sequence[InputSpec], sets: Feeds) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of the inputs in the attempts before the one that made *sets*."""
    tried: list[dict[str, tuple[int, ...]]] = []
    for sizes in attempts(specs):
        made = [{spec.name: dims.resolve(spec) for spec in specs} for dims in (Dims(i, sizes) for i in range(2))]
        if all(feed[name].shape == shape for feed, shapes in zip(sets, made) for name, shape in shapes.items()):
            break
        tried += made
    return tried


def one_size(found: Sequence[OneSize]) -> list[Note]:
    """What to say of such dimensions; nothing where there are none."""
    if not found:
        return []
    each = [f"{one}" + (f" (not at {', '.join(map(str, one.tried))})" if one.tried else "") for one in found]
    said = f"compared at one size only, as the source ran at no two of those tried: {', '.join(each)}"
    return [InputsAdvice(f"{said}; of others nothing is known:", " x.npz gives some")]

"""Sensible random inputs for a model, from the names, types and shapes of its inputs.

A transformer's ``input_ids`` must be below the size of its vocabulary and its ``attention_mask`` must not be
noise, so the values follow the usual names of inputs and, where the program is at hand, the tables that an input
indexes. The same model and seed always give the same arrays.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Union

import numpy as np

from mconv import budget
from mconv.errors import CorruptModelError, NotAModelError, UnsupportedError, UsageError
from mconv.printable import printable
from mconv.program.dtypes import DType
from mconv.program.inputs import assign
from mconv.program.program import Program
from mconv.program.zip_archive import ZipArchive
from mconv.proof.indexed import rows_of_tables

Dim = Union[int, str, None]

# what unknown dimensions become in the first, second, … input set
BATCH = (2, 3, 1)
LENGTH = (12, 19, 7)
IMAGE = (64, 96, 32)  # heights: most networks want multiples of 32
WIDTH = (96, 64, 32)  # others than the heights, so that one taken for the other shows
IDS = 8  # exclusive upper bound of indices when nothing is known: every table has that many rows

LATENT = (16, 24, 8)  # of images with other channels than grey, colour or none: what such networks see is scaled down
LATENT_WIDTH = (24, 16, 8)
RATE = 16000  # samples of sound a second
_LATENT = (1, 2, 3)

_DRAWN = 8  # bytes of a number as it is drawn
_MOST_DIMS = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32


@dataclass(frozen=True)
class InputSpec:
    """What is known of an input.

    Attributes:
        name: its name.
        dtype: its element type.
        shape: its dimensions; -1, None or a name for one that is not fixed. Equal names are equal dimensions.
        limit: exclusive upper bound of its values, when they index a table.
        lod: how many levels of Paddle's LoD it has: its first dimension is that of sequences laid end to end.
    """

    name: str
    dtype: DType
    shape: tuple[Dim, ...]
    limit: Optional[int] = None
    lod: int = 0

    @property
    def dynamic(self) -> bool:
        return any(not isinstance(d, int) or d < 0 for d in self.shape)


@dataclass(frozen=True)
class Sizes:
    """What open dimensions become in the first, second, … input set.

    Attributes:
        batch, length, height, width: of dimensions of that kind; heights and widths of None are the usual ones.
        limit: exclusive upper bound of all indices, beside what is known of each.
    """

    batch: tuple[int, ...] = BATCH
    length: tuple[int, ...] = LENGTH
    height: Optional[tuple[int, ...]] = None
    width: Optional[tuple[int, ...]] = None
    limit: Optional[int] = None


def specs_of(program: Program) -> list[InputSpec]:
    """The inputs of an inference program, with the sizes of the tables that they index.

    Raises:
        UsageError: an input has a type that mconv does not know.
    """
    limits = rows_of_tables(program)
    specs = []
    for port in program.feeds:
        if port.dtype is None:
            raise UsageError(
                f"input {port.name}: its type ({port.var.dtype_number}) cannot be made up", "give --inputs x.npz"
            )
        specs.append(InputSpec(port.name, port.dtype, port.shape, limits.get(port.name), port.var.lod_level))
    return specs


def as_declared(feed: Mapping[str, np.ndarray], program: Program) -> dict[str, np.ndarray]:
    """The feed with numbers without dimensions in the shape [1] that the program declares for them, as those for Paddle
    before 2.5 do, where an operator on such a number and a tensor fails otherwise."""
    single = {port.name for port in program.feeds if port.shape is not None and len(port.shape) == 1}
    return {n: a.reshape(1) if a.ndim == 0 and n in single else a for n, a in feed.items()}


def random_feeds(
    specs: Sequence[InputSpec], *, seed: int = 0, sets: Optional[int] = None, sizes: Sizes = Sizes()
) -> list[dict[str, np.ndarray]]:
    """Input sets for a model.

    Args:
        specs: its inputs.
        seed: what the values are drawn from.
        sets: how many; by default two, of different shapes, when a dimension is not fixed, else one.
        sizes: what open dimensions become.

    Raises:
        LimitError: an input takes more memory than a model may hold while it runs.
        UnsupportedError: one has more dimensions than an array can have.
    """
    if sets is None:
        sets = 2 if any(spec.dynamic for spec in specs) else 1
    found = []
    for index in range(sets):
        dims = Dims(index, sizes)
        shapes = {spec.name: dims.resolve(spec) for spec in specs}
        for name, shape in shapes.items():
            _check(name, shape)
        image = next((s for s in shapes.values() if len(s) == 4), None)
        feed = {}
        for position, spec in enumerate(specs):
            rng = np.random.default_rng([seed, index, position])
            if sizes.limit is not None:
                spec = replace(spec, limit=min(spec.limit or IDS, sizes.limit))
            feed[spec.name] = _value(spec, shapes[spec.name], rng, index, image)
        found.append(feed)
    return found


def _check(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) > _MOST_DIMS:
        raise UnsupportedError(f"input {name} has {len(shape)} dimensions: an array has at most {_MOST_DIMS}")
    if math.prod(shape) * _DRAWN > budget.running():
        raise budget.outgrown(f"input {name} of shape {list(shape)}")


def shapes_of(sets: Iterable[Mapping[str, np.ndarray]]) -> list[dict[str, list[int]]]:
    """Per input set, name → shape, for reports."""
    return [{name: list(array.shape) for name, array in feed.items()} for feed in sets]


def other_values(feed: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The feed with other values in the inputs *names*, of the same range: in reverse, or the other half of a mask."""
    made = dict(feed)
    for name in names:
        array = feed[name]
        turned = np.flip(array).copy()
        if np.array_equal(turned, array):
            turned = ~array if array.dtype.kind == "b" else np.zeros_like(array)
        made[name] = turned
    return made


class Dims:
    """What the open dimensions are in one input set: one value for each name, the same for all batches, …"""

    def __init__(self, index: int, sizes: Sizes = Sizes()):
        self.index = index
        self.sizes = sizes
        self.batch, self.length = (values[index % len(values)] for values in (sizes.batch, sizes.length))
        self.named: dict[str, int] = {}

    def resolve(self, spec: InputSpec) -> tuple[int, ...]:
        return tuple(self.one(dim, index, spec) for index, dim in enumerate(spec.shape))

    def one(self, dim: Dim, index: int, spec: InputSpec) -> int:
        if isinstance(dim, int) and dim >= 0:
            return dim
        if not isinstance(dim, str):
            return self.guess(index, spec)
        if dim not in self.named:
            if re.search(r"batch|^bs$", dim, re.IGNORECASE) or (dim in "nN" and index == 0):
                self.named[dim] = self.batch
            elif re.search(r"height|width|^[hw]$", dim, re.IGNORECASE):
                self.named[dim] = self.image(spec, bool(re.search(r"width|^w$", dim, re.IGNORECASE)))
            elif re.search(r"seq|len|time|^[lts]$", dim, re.IGNORECASE):
                self.named[dim] = self.length
            else:
                self.named[dim] = self.guess(index, spec)
        return self.named[dim]

    def guess(self, index: int, spec: InputSpec) -> int:
        shape = spec.shape
        if index == 0:
            return self.length if spec.lod else self.batch
        if index == 1 and len(shape) == 3 and _known(shape[0]) and _known(shape[2]) and _STATE.search(spec.name):
            return self.batch  # layers, batch, size
        if spec.dtype.is_float and len(shape) >= 3 and index >= 2:
            return self.image(spec, index == len(shape) - 1) if len(shape) > 3 else self.image(spec, False)
        return self.length

    def image(self, spec: InputSpec, wide: bool) -> int:
        """A height, or a width."""
        given = self.sizes.width if wide else self.sizes.height
        pictures = len(spec.shape) != 4 or not _known(spec.shape[1]) or spec.shape[1] in _LATENT
        usual = (WIDTH if wide else IMAGE) if pictures else (LATENT_WIDTH if wide else LATENT)
        values = given or usual
        return values[self.index % len(values)]


_STATE = re.compile(r"^(?:in_?)?(?:h|c|hx|cx|hn|cn|h_?0|c_?0)$|state|hidden|cell|memory", re.IGNORECASE)


def _known(dim: Dim) -> bool:
    return isinstance(dim, int) and dim >= 0


def _value(
    spec: InputSpec, shape: tuple[int, ...], rng: np.random.Generator, index: int, image: Optional[tuple[int, ...]]
) -> np.ndarray:
    name, dtype = spec.name.lower(), spec.dtype
    if re.search(r"mask", name) and not dtype.is_float:
        # the second set has padding, so that a mask that is ignored shows
        value = np.ones(shape, np.int64)
        if index and value.ndim >= 2 and shape[-1] > 2:
            value[: max(1, shape[0] // 2), ..., -(shape[-1] // 3) :] = 0
        return value.astype(dtype.numpy)
    if re.search(r"mask", name):
        return _bits(np.ones(shape, np.float64), dtype)
    if re.search(r"scale_factor", name):
        return _bits(np.ones(shape, np.float64), dtype)
    if re.search(r"im_shape|image_shape", name) and image is not None and shape and shape[-1] in (2, 3):
        return _bits(np.broadcast_to(np.array([*image[2:], 1][: shape[-1]], np.float64), shape), dtype)
    if dtype.is_int:
        limit = spec.limit or (256 if dtype is DType.UINT8 else IDS)
        if not shape and re.search(r"^sr$|sample_?rate|sampling_?rate", name):
            return np.asarray(RATE, dtype.numpy)
        if re.search(r"b?box", name) and shape and shape[-1] == 4:  # corners: the second one is not before the first
            corners = np.sort(rng.integers(0, limit, (*shape[:-1], 2, 2)), axis=-2)
            return corners.reshape(shape).astype(dtype.numpy)
        if re.search(r"position|pos_id", name):
            steps = np.arange(shape[-1] if shape else 1) % limit
            return np.broadcast_to(steps if shape else steps[0], shape).astype(dtype.numpy)
        if re.search(r"token_type|segment|sent_id|type_id", name):
            halves = np.arange(shape[-1] if shape else 1) * 2 // max(1, shape[-1] if shape else 1)
            halves = np.minimum(halves, min(limit, 2) - 1)
            return np.broadcast_to(halves if shape else halves[0], shape).astype(dtype.numpy)
        if re.search(r"len(gth)?s?$|seq_?len", name):
            return np.full(shape, LENGTH[index % len(LENGTH)], dtype.numpy)
        return rng.integers(0, limit, shape).astype(dtype.numpy)
    if dtype is DType.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    if dtype in (DType.COMPLEX64, DType.COMPLEX128):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype.numpy)
    return _bits(rng.standard_normal(shape), dtype)


def _bits(value: np.ndarray, dtype: DType) -> np.ndarray:
    """The values in that type; bfloat16 as its uint16 bits, rounded to nearest."""
    if dtype is not DType.BF16:
        return np.ascontiguousarray(value).astype(dtype.numpy).reshape(value.shape)
    raw = np.ascontiguousarray(value, np.float32).view(np.uint32).reshape(value.shape)
    return ((raw + 0x7FFF + ((raw >> 16) & 1)) >> 16).astype(np.uint16)


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """What a ``.npz`` file holds, by its own names.

    Raises:
        UsageError: it cannot be read.
        LimitError: it unfolds to far more than it is.
    """
    if not Path(path).exists():
        raise UsageError(f"{path}: no such file")
    try:
        with ZipArchive(path) as records:
            records.draw()
    except (CorruptModelError, NotAModelError) as e:
        raise UsageError(f"{path}: not a readable .npz file ({e.message.partition(': ')[2]})") from None
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except Exception as e:  # noqa: BLE001 - numpy's and zipfile's readers raise nearly every class on damaged files
        raise UsageError(f"{path}: not a readable .npz file ({printable(str(e), 200) or type(e).__name__})") from None
    other = next((name for name, value in found.items() if not isinstance(value, np.ndarray)), None)
    if other is not None:
        raise UsageError(f"{path}: not a readable .npz file ({printable(other, 80)} is no array)")
    return found


def input_names(keys: Iterable[str]) -> list[str]:
    """The inputs that a ``.npz`` file's names stand for, see :func:`load_feeds`; empty for an output's."""
    found = []
    for key in keys:
        number, slash, rest = key.partition("/")
        name = re.sub(r"^in_\d+_", "", rest if slash and number.isdigit() else key)
        found.append("" if name.startswith("out_") else name)
    return found


def specs_in(path: Path) -> list[InputSpec]:
    """The inputs that the arrays of a ``.npz`` file are of; their sizes are open.

    Raises:
        UsageError: it cannot be read.
    """
    arrays = npz_arrays(path)
    kinds = {name: arrays[key] for key, name in zip(arrays, input_names(arrays)) if name}
    return [InputSpec(name, DType.of(a.dtype), (None,) * a.ndim) for name, a in kinds.items()]


def load_feeds(path: Path, specs: Sequence[InputSpec]) -> list[dict[str, np.ndarray]]:
    """Input sets from a ``.npz`` file: arrays named after the inputs, or ``in_<i>_<name>`` (outputs, ``out_*``, are
    ignored); for several sets ``<set>/<name>``.

    Raises:
        UsageError: the file cannot be read, an input is missing, unknown, or of another type or shape.
    """
    names = {spec.name for spec in specs}
    sets = grouped(path, names)
    if not sets:
        raise UsageError(f"{path}: holds no inputs", f"it needs {', '.join(sorted(names))}")
    return [check_feed(sets[group], specs, str(path)) for group in sorted(sets, key=int)]


def grouped(path: Path, names: Collection[str]) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a ``.npz`` file by the number of their set, for inputs called *names*; see :func:`load_feeds`.

    Raises:
        UsageError: the file cannot be read.
    """
    sets: dict[str, dict[str, np.ndarray]] = {}
    for key, array in npz_arrays(path).items():
        if key.startswith("out_") and key not in names:
            continue
        number, slash, rest = key.partition("/")
        group, name = (number, rest) if slash and number.isdigit() and key not in names else ("0", key)
        if name not in names:
            name = re.sub(r"^in_\d+_", "", name)
        sets.setdefault(group, {})[name] = array
    return sets


def check_feed(feed: Mapping[str, np.ndarray], specs: Sequence[InputSpec], where: str) -> dict[str, np.ndarray]:
    """The feed in the order and types of *specs*.

    Raises:
        UsageError: an input is missing, unknown, or of another type or shape.
    """
    names = [spec.name for spec in specs]
    for problem, found in (
        ("misses the input", [n for n in names if n not in feed]),
        ("has arrays that are no input:", [n for n in feed if n not in names]),
    ):
        if found:
            raise UsageError(f"{where}: {problem} {', '.join(found)}", f"the model's inputs are {', '.join(names)}")
    checked = {}
    for spec in specs:
        array = feed[spec.name]
        wanted = spec.dtype.numpy
        # widening and float64 → float32 are what a user means; int → float or float → int is a mistake
        if not np.can_cast(array.dtype, wanted, "same_kind") or (array.dtype.kind == "b") != (wanted.kind == "b"):
            raise UsageError(f"{where}: input {spec.name} is {array.dtype}, the model takes {spec.dtype.label}")
        fixed = [(d, a) for d, a in zip(spec.shape, array.shape) if isinstance(d, int) and d >= 0]
        if len(spec.shape) != array.ndim or any(d != a for d, a in fixed):
            sizes = ", ".join(str(d) if isinstance(d, str) or (d is not None and d >= 0) else "?" for d in spec.shape)
            raise UsageError(f"{where}: input {spec.name} has shape {list(array.shape)}, the model takes [{sizes}]")
        checked[spec.name] = array.astype(wanted)
    return checked


def as_pairs(array: np.ndarray) -> np.ndarray:
    """Complex numbers as ``mconv to-onnx`` has them: real and imaginary part in a last dimension of 2."""
    if array.dtype.kind != "c":
        return array
    return np.stack([array.real, array.imag], -1)


def reshaped(specs: Sequence[InputSpec], shapes: Sequence[str], option: str = "--input") -> list[InputSpec]:
    """The inputs with the shapes that ``--input NAME[…]`` gives, or another *option*.

    Raises:
        UsageError: one names no input, or has another rank.
    """
    wanted = assign(shapes, {s.name: s.dtype.label for s in specs}, option)
    found = []
    for spec in specs:
        given = wanted.get(spec.name)
        if given is not None:
            if len(given.dims) != len(spec.shape):
                raise UsageError(f"input {spec.name!r} has {len(spec.shape)} dimensions, not {len(given.dims)}")
            dims = tuple(s if g is None else g for g, s in zip(given.dims, spec.shape))
            spec = replace(spec, shape=dims)
        found.append(spec)
    return found

"""The ranges of shapes that TensorRT wants of a program with open sizes, in the forms that Paddle, servers and tools take.

The message of Paddle's shape file, and what its collector puts into it, were read off Paddle 2.3 and 2.6
(``shape_range_info.proto``, ``AnalysisPredictor::StatisticShapeRangeInfo``): before 2.5 every tensor that the program
computes or is fed, as it is after the run; from then on every tensor that an operator reads, parameters included, as it
is before the operator runs, each time, and the numbers of the integer ones of up to 8 elements, which 2.3's parser
refuses. A tensor without dimensions is written as ``[1]``. From 2.5 on each run counts as often as its number says (every
run hooks the collector in once more), and where a later run has fewer numbers than the first one, Paddle reads beyond
them: what it writes then is by chance, and not done here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mconv.errors import CorruptModelError, UsageError
from mconv.printable import quoted
from mconv.program.copying import read_small
from mconv.program.messages import build_classes
from mconv.program.paths import PathLike
from mconv.program.targets import Target
from mconv.serving.rendering import literal

VALUES_UP_TO = 8  # elements of an integer tensor whose numbers Paddle 2.5 and later record
_VALUES_SINCE = 2005000
_MAX_BYTES = 64 << 20  # the file of BERT-large is 0.4 MB


# sizes, and how often a tensor was seen with them
Samples = Sequence[tuple[Sequence[int], int]]


@dataclass(frozen=True)
class Range:
    """The least, the usual and the largest size of each dimension (or each number of a small integer tensor).

    Attributes:
        min, opt, max: of each dimension.
    """

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]

    @classmethod
    def of(cls, seen: Samples) -> Range:
        """The range of what was *seen*; the usual size is the one seen most often in each dimension, the least of them on a
        tie. A tensor has as many dimensions as it was seen with first: Paddle's collector looks at no others."""
        count = len(seen[0][0])
        kept = [(sizes[:count], often) for sizes, often in seen if len(sizes) >= count]
        usual = []
        for dimension in range(count):
            times: Counter[int] = Counter()
            for sizes, often in kept:
                times[sizes[dimension]] += often
            usual.append(min(times, key=lambda size: (-times[size], size)))
        columns = list(zip(*(sizes for sizes, _ in kept)))
        return cls(tuple(map(min, columns)), tuple(usual), tuple(map(max, columns)))


@dataclass(frozen=True)
class ShapeRanges:
    """The ranges of one TensorRT profile.

    Attributes:
        shapes: tensor → range of its shape.
        inputs: which of them are the program's inputs, in order.
        numbers: small integer tensor → range of its numbers; empty where the target's file has none.
    """

    shapes: dict[str, Range]
    inputs: list[str] = field(default_factory=list)
    numbers: dict[str, Range] = field(default_factory=dict)

    def only(self, names: Sequence[str]) -> ShapeRanges:
        """Those of *names*."""
        wanted = set(names)
        return ShapeRanges(
            {n: r for n, r in self.shapes.items() if n in wanted},
            [n for n in self.inputs if n in wanted],
            {n: r for n, r in self.numbers.items() if n in wanted},
        )


def records_numbers(target: Target) -> bool:
    """Whether the target's shape file has the numbers of small integer tensors, and parameters among the tensors."""
    return target.version >= _VALUES_SINCE


# ------------------------------------------------------------------------------------------------------ Paddle's file

_INFO = (
    ("name", 1, "string"),
    ("min_shape", 2, "*int32"),
    ("max_shape", 3, "*int32"),
    ("opt_shape", 4, "*int32"),
    ("min_value", 5, "*int32"),
    ("max_value", 6, "*int32"),
    ("opt_value", 7, "*int32"),
)
_classes = build_classes(
    "mconv.trt", {"ShapeRangeInfo": _INFO, "ShapeRangeInfos": (("shape_range_info", 1, "*ShapeRangeInfo"),)}
)


def to_paddle(ranges: ShapeRanges) -> str:
    """``shape_range_info.pbtxt``, as ``Config.enable_tuned_tensorrt_dynamic_shape`` reads it."""
    from google.protobuf import text_format

    message = _classes["ShapeRangeInfos"]()
    for name in sorted(ranges.shapes, key=lambda n: n.encode()):  # as std::map has them
        info = message.shape_range_info.add(name=name)
        for kind, table in (("shape", ranges.shapes), ("value", ranges.numbers)):
            if name in table:
                for which in ("min", "max", "opt"):
                    getattr(info, f"{which}_{kind}").extend(getattr(table[name], which))
    return text_format.MessageToString(message, as_utf8=True)


def from_paddle(path: PathLike) -> ShapeRanges:
    """Read Paddle's file.

    Raises:
        UsageError: there is no such file.
        CorruptModelError: it is something else, or its ranges are none.
    """
    from google.protobuf import text_format

    message = _classes["ShapeRangeInfos"]()
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file", "mconv shapes MODEL --out shape_range_info.pbtxt writes one")
    try:
        text_format.Parse(read_small(path, _MAX_BYTES, "are no shape file of Paddle").decode("utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as e:
        raise CorruptModelError(f"{path}: not a shape file of Paddle: {e}", "mconv shapes writes one") from None
    shapes, numbers = {}, {}
    for info in message.shape_range_info:
        found = Range(tuple(info.min_shape), tuple(info.opt_shape), tuple(info.max_shape))
        if not _ordered(found):
            raise CorruptModelError(f"{path}: {info.name}: not min_shape <= opt_shape <= max_shape in each dimension")
        shapes[info.name] = found
        if info.min_value:
            numbers[info.name] = Range(tuple(info.min_value), tuple(info.opt_value), tuple(info.max_value))
    if not shapes:
        raise CorruptModelError(f"{path}: holds no shapes", "mconv shapes writes such a file")
    return ShapeRanges(shapes, [], numbers)


def profiles(path: PathLike) -> list[ShapeRanges]:
    """Those of Paddle's file, or of each in a folder, the smallest first.

    Raises:
        UsageError, CorruptModelError: see :func:`from_paddle`; a folder holds no such files.
    """
    path = Path(path)
    if not path.is_dir():
        return [from_paddle(path)]
    files = sorted(path.glob("*.pbtxt"))
    if not files:
        raise UsageError(
            f"{path}: holds no .pbtxt", "mconv shapes MODEL --out FOLDER/shapes.pbtxt writes one a profile"
        )
    found = [from_paddle(file) for file in files]
    return sorted(found, key=lambda one: sum(math.prod(r.max) for r in one.shapes.values()))


def _ordered(found: Range) -> bool:
    same = len(found.min) == len(found.opt) == len(found.max)
    return same and all(a <= b <= c for a, b, c in zip(found.min, found.opt, found.max))


# ------------------------------------------------------------------------------------------------------- other forms


def tables(ranges: ShapeRanges) -> dict[str, dict[str, list[int]]]:
    """``min``, ``max``, ``opt`` → tensor → shape."""
    return {
        which: {name: list(getattr(found, which)) for name, found in ranges.shapes.items()}
        for which in ("min", "max", "opt")
    }


def to_python(ranges: ShapeRanges) -> str:
    """Three dictionaries, the arguments of ``Config.set_trt_dynamic_shape_info``."""
    found = tables(ranges)
    lines = [f"{which.upper()}_SHAPES = {literal(found[which])}" for which in ("min", "max", "opt")]
    return "\n".join([*lines, "# config.set_trt_dynamic_shape_info(MIN_SHAPES, MAX_SHAPES, OPT_SHAPES)", ""])


def to_serving(ranges: ShapeRanges) -> str:
    """The method of Paddle Serving's ``Op`` in ``web_service.py``."""
    found = tables(ranges)
    lines = ["def set_dynamic_shape_info(self):", "    self.dynamic_shape_info = {"]
    for which in ("min", "max", "opt"):
        lines.append(f'        "{which}_input_shape": {literal(found[which], 2)},')
    return "\n".join([*lines, "    }", ""])


def to_triton(ranges: ShapeRanges) -> str:
    """What belongs into the ``config.pbtxt`` of Triton's paddle backend."""
    parameters = [
        f'      name: "{which}_shape"\n'
        + "".join(
            f'      parameters {{ key: {_pb(name)} value: "{" ".join(map(str, getattr(found, which)))}" }}\n'
            for name, found in ranges.shapes.items()
        )
        for which in ("min", "max", "opt")
    ]
    engine = (
        '      name: "tensorrt"\n'
        '      parameters { key: "precision" value: "trt_fp32" }\n'
        '      parameters { key: "is_dynamic" value: "1" }\n'
    )
    inside = ",\n".join(f"    {{\n{text}    }}" for text in (engine, *parameters))
    return "optimization {\n execution_accelerators {\n  gpu_execution_accelerator: [\n" + inside + "\n  ]\n }\n}\n"


def _pb(text: str) -> str:
    from google.protobuf import text_encoding

    return f'"{text_encoding.CEscape(text, as_utf8=True)}"'  # type: ignore[arg-type] # takes both


def to_paddlex(ranges: ShapeRanges) -> str:
    """What belongs into PaddleX's ``inference.yml``; the first shape is the least, the second the usual one."""
    lines = ["Hpi:", "  backend_configs:", "    paddle_infer:", "      trt_dynamic_shapes:"]
    for name, found in ranges.shapes.items():
        lines.append(f"        {quoted(name)}:")
        lines += [f"        - {list(shape)}" for shape in (found.min, found.opt, found.max)]
    return "\n".join([*lines, ""])


def to_trtexec(ranges: ShapeRanges) -> str:
    """Flags of ``trtexec`` for the ONNX file of the same model, as a shell takes them: inputs alone; a name with its
    separators in it is put in quotes that it reads itself."""
    import shlex

    def named(name: str) -> str:
        return f"'{name}'" if set(name) & set(":,") else name

    def flag(which: str) -> str:
        shapes = (f"{named(name)}:{'x'.join(map(str, getattr(ranges.shapes[name], which)))}" for name in ranges.inputs)
        return shlex.quote(f"--{which}Shapes={','.join(shapes)}")

    return " ".join(flag(which) for which in ("min", "opt", "max")) + "\n"


FORMS = {
    "paddle": to_paddle,
    "python": to_python,
    "serving": to_serving,
    "triton": to_triton,
    "paddlex": to_paddlex,
    "trtexec": to_trtexec,
}

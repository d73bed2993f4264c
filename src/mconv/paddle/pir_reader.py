"""The JSON of a PIR program (Paddle 3's ``NAME.json``) as plain data.

The file is ``{"base_code": {"magic": "pir", "trainable": …, "version": n}, "program": {"regions": […]}}``; names are
shortened to a dialect number and a dot (``1.matmul`` = ``pd_op.matmul``). Seen: version 1 from Paddle 3.0, 2 from 3.1,
3 from 3.2, 4 from 3.3; the four differ in operators and their attributes, not in the form.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from mconv.errors import CorruptModelError, NotAModelError, UnsupportedError
from mconv.paddle.operation import Operation, OperationBlock, OtherType, TensorType, Type
from mconv.printable import printable
from mconv.program.dtypes import DType

# base_code.version → the Paddle that writes it
VERSIONS = {1: "3.0", 2: "3.1", 3: "3.2", 4: "3.3"}
MAX_BYTES = 1 << 30  # the largest real programs are a few MB: weights are not in them
_MAX_DEPTH = 64  # regions in regions, vectors in vectors
_MAX_RANK = 9  # Paddle's own limit
_MAX_DIM = 1 << 62
_DIALECTS = {"0": "builtin", "1": "pd_op", "2": "cf", "3": "custom_op", "4": "pd_dist"}
_AGAIN = "save or download the model again"

_DTYPES = {
    "t_bool": DType.BOOL,
    "t_ui8": DType.UINT8,
    "t_i8": DType.INT8,
    "t_i16": DType.INT16,
    "t_i32": DType.INT32,
    "t_i64": DType.INT64,
    "t_f16": DType.FP16,
    "t_bf16": DType.BF16,
    "t_f32": DType.FP32,
    "t_f64": DType.FP64,
    "t_c64": DType.COMPLEX64,
    "t_c128": DType.COMPLEX128,
}


@dataclass
class PirProgram:
    """A whole program.

    Attributes:
        version: ``base_code.version``; see :data:`VERSIONS`.
        block: the main block.
    """

    version: int
    block: OperationBlock

    @property
    def writer(self) -> str:
        """The Paddle that wrote it, e.g. ``3.3``."""
        return VERSIONS[self.version]

    @property
    def parameters(self) -> list[tuple[str, TensorType]]:
        """Name and type of every stored parameter, in the order of the file (byte order of the names).

        Buffers that were registered with ``persistable=False`` are not stored.
        """
        found: list[tuple[str, TensorType]] = []
        for op in self.block.ops:
            kind = op.outputs[0][1] if op.name == "builtin.parameter" and op.attrs["stored"] else None
            if isinstance(kind, TensorType):
                found.append((op.attrs["parameter_name"], kind))
        return sorted(found, key=lambda p: p[0].encode("utf-8", "surrogateescape"))


def read(path: Union[str, Path]) -> PirProgram:
    """Read a PIR program from a ``.json`` file.

    Raises:
        NotAModelError: the file cannot be read, or is JSON of another kind.
        CorruptModelError: damaged, truncated, or absurd in size or nesting; names the position.
        UnsupportedError: written by a Paddle that mconv does not know.
    """
    try:
        size = os.stat(path).st_size
        if size > MAX_BYTES:
            raise CorruptModelError(f"{path}: {size} bytes of program, more than any Paddle writes")
        data = Path(path).read_bytes()
    except OSError as e:
        raise NotAModelError(f"{path}: cannot be read ({e.strerror})") from None
    return parse(data, str(path))


def _is_text(document: Any) -> bool:
    """Whether the strings of a document are text: JSON can say half of a pair of surrogates, UTF-8 cannot."""
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except RecursionError:  # the reader says where
        return True
    return True


def parse(data: bytes, where: str = "the program") -> PirProgram:
    """:func:`read` for the content of a file; *where* is what errors call it."""
    try:
        document = json.loads(data)
    except RecursionError:
        raise CorruptModelError(f"{where}: nested too deeply for a PIR program") from None
    except ValueError as e:  # a JSONDecodeError, or bytes that are no UTF-8
        raise CorruptModelError(f"{where}: not JSON, or truncated ({e})", _AGAIN) from None
    if (b"\\ud" in data or b"\\uD" in data or b"\xed" in data) and not _is_text(document):
        raise CorruptModelError(f"{where}: half of a pair of surrogates, which is no character", _AGAIN)
    code = document.get("base_code") if isinstance(document, dict) else None
    if not isinstance(code, dict) or code.get("magic") != "pir":
        raise NotAModelError(f"{where}: JSON, but no PIR program (base_code.magic is not 'pir')")
    version = code.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise CorruptModelError(f"{where}: base_code.version is {_shown(version)}, not a number")
    if version not in VERSIONS:
        known = f"{VERSIONS[min(VERSIONS)]} to {VERSIONS[max(VERSIONS)]}"
        age = "newer than" if version > max(VERSIONS) else "from before"
        raise UnsupportedError(
            f"{where}: PIR version {version}, written by a Paddle {age} those that mconv reads "
            f"({known}, PIR versions {min(VERSIONS)} to {max(VERSIONS)})",
            f"save the model with Paddle {known}, or update mconv",
        )
    reader = _Reader(where)
    try:
        program = _dict(document.get("program"), "program")
        regions = _list(program.get("regions"), "program.regions")
        if len(regions) != 1:
            raise _Bad("program.regions", f"{len(regions)} regions where one belongs")
        blocks = reader.region(regions[0], "program.regions[0]", 0)
        if len(blocks) != 1:
            raise _Bad("program.regions[0].blocks", f"{len(blocks)} blocks where one belongs")
    except _Bad as e:
        raise CorruptModelError(f"{where}: {e.path}: {e.why}", _AGAIN) from None
    return PirProgram(version, blocks[0])


class _Bad(Exception):
    """Something at *path* inside of the document is not what it has to be."""

    def __init__(self, path: str, why: str):
        super().__init__(path, why)
        self.path, self.why = path, why


def _shown(value: Any) -> str:
    try:
        return printable(repr(value), 57)
    except ValueError:  # a number of thousands of digits
        return "a huge number"
    except RecursionError:
        return f"a {type(value).__name__}"


def _dict(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Bad(path, "missing" if value is None else f"an object belongs here, not {_shown(value)}")
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Bad(path, "missing" if value is None else f"a list belongs here, not {_shown(value)}")
    return value


def _str(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _Bad(path, "missing" if value is None else f"text belongs here, not {_shown(value)}")
    return value


def _int(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Bad(path, "missing" if value is None else f"a number belongs here, not {_shown(value)}")
    return value


def _whole(value: Any, path: str) -> int:
    """A number that 64 bits hold."""
    number = _int(value, path)
    if not -(1 << 63) <= number < 1 << 63:
        raise _Bad(path, "a number of more than 64 bits")
    return number


class _Reader:
    def __init__(self, where: str):
        self.where = where
        self.seen: set[int] = {0}

    def region(self, raw: Any, path: str, depth: int) -> list[OperationBlock]:
        if depth > _MAX_DEPTH:
            raise _Bad(path, f"more than {_MAX_DEPTH} regions inside of each other")
        blocks = _list(_dict(raw, path).get("blocks"), f"{path}.blocks")
        return [self.block(b, f"{path}.blocks[{i}]", depth) for i, b in enumerate(blocks)]

    def block(self, raw: Any, path: str, depth: int) -> OperationBlock:
        raw = _dict(raw, path)
        args = []
        for i, arg in enumerate(_list(raw.get("args", []), f"{path}.args")):
            args.append(self.argument(_dict(arg, f"{path}.args[{i}]"), f"{path}.args[{i}]"))
        ops = []
        for i, op in enumerate(_list(raw.get("ops"), f"{path}.ops")):
            ops.append(self.op(op, f"{path}.ops[{i}]", depth))
        return OperationBlock(args, ops)

    def op(self, raw: Any, path: str, depth: int) -> Operation:
        raw = _dict(raw, path)
        short = _str(raw.get("#"), f'{path}."#"')
        outputs_raw = raw.get("O", [])
        if short == "p":
            values = _list(raw.get("A"), f"{path}.A")
            if len(values) < 4:
                raise _Bad(f"{path}.A", "a parameter without its name")
            name = _str(values[3], f"{path}.A[3]")
            if not name or "\0" in name:
                raise _Bad(f"{path}.A[3]", f"{_shown(name)} cannot be the name of a parameter")
            output = self.result(outputs_raw, f"{path}.O")
            if not isinstance(output[1], TensorType):
                raise _Bad(f"{path}.O", f"parameter {_shown(name)} is no dense tensor")
            flags = raw.get("OA")  # persistable, stop_gradient, trainable
            stored = not isinstance(flags, list) or not flags or bool(flags[0])
            return Operation("builtin.parameter", {"parameter_name": name, "stored": stored}, [], [output])
        dialect, _, rest = short.partition(".")
        if not rest:
            raise _Bad(f'{path}."#"', f"{_shown(short)} is no operation's name")
        name = f"{_DIALECTS.get(dialect, dialect)}.{rest}"
        here = f"{path} ({name})"
        attrs = {}
        for i, item in enumerate(_list(raw.get("A", []), f"{here}.A")):
            item = _dict(item, f"{here}.A[{i}]")
            key = _str(item.get("N"), f"{here}.A[{i}].N")
            attrs[key] = self.attr(item.get("AT"), f"{here}.A[{i}] {key}", 0)
        inputs = []
        for i, item in enumerate(_list(raw.get("I", []), f"{here}.I")):
            ident = _int(_dict(item, f"{here}.I[{i}]").get("%"), f'{here}.I[{i}]."%"')
            if ident not in self.seen:
                raise _Bad(f"{here}.I[{i}]", f"value {ident} is used before anything gave it")
            inputs.append(ident)
        regions = [
            self.region(r, f"{here}.regions[{i}]", depth + 1)
            for i, r in enumerate(_list(raw.get("regions", []), f"{here}.regions"))
        ]
        outputs = [self.result(o, f"{here}.O[{i}]") for i, o in enumerate(_list(outputs_raw, f"{here}.O"))]
        return Operation(name, attrs, inputs, outputs, regions)

    def result(self, raw: Any, path: str) -> tuple[int, Type]:
        raw = _dict(raw, path)
        ident = _int(raw.get("%"), f'{path}."%"')
        if ident in self.seen and ident != 0:
            raise _Bad(path, f"value {ident} is given twice")
        self.seen.add(ident)
        return ident, self.type(raw.get("TT"), f"{path}.TT", 0)

    def argument(self, raw: dict[str, Any], path: str) -> tuple[int, Type]:
        """A value that a block is entered with: its number is negative, and its own block's."""
        ident = _int(raw.get("#"), f'{path}."#"')
        if ident >= 0:
            raise _Bad(path, f"value {ident} is not negative, as a block's own are")
        self.seen.add(ident)
        return ident, self.type(raw.get("TT"), f"{path}.TT", 0)

    def type(self, raw: Any, path: str, depth: int) -> Type:
        if depth > _MAX_DEPTH:
            raise _Bad(path, "vectors nested too deeply")
        raw = _dict(raw, path)
        if raw.get("#") in (None, "NULL"):
            return None
        kind = _str(raw["#"], f'{path}."#"').partition(".")[2]
        if kind == "t_vec":
            return [self.type(t, f"{path}.D[{i}]", depth + 1) for i, t in enumerate(_list(raw.get("D"), f"{path}.D"))]
        data = raw.get("D")
        element = None
        if isinstance(data, list) and data and isinstance(data[0], dict):
            element = _DTYPES.get(str(data[0].get("#")).partition(".")[2])
        if kind != "t_dtensor":
            return OtherType(kind, element)
        data = _list(data, f"{path}.D")
        if len(data) < 2:
            raise _Bad(f"{path}.D", "a tensor type without shape")
        dims = [_int(d, f"{path}.D[1]") for d in _list(data[1], f"{path}.D[1]")]
        if len(dims) > _MAX_RANK or any(abs(d) > _MAX_DIM for d in dims):
            raise _Bad(f"{path}.D[1]", f"{_shown(dims)} is no shape")
        # Paddle multiplies the -1 of an unknown size along: -12 is as unknown
        return TensorType(element, tuple(max(d, -1) for d in dims))

    def attr(self, raw: Any, path: str, depth: int) -> Any:
        """An attribute's value in Python's terms; of a kind that means nothing here, None."""
        raw = _dict(raw, path)
        if depth > _MAX_DEPTH:
            raise _Bad(path, "arrays nested too deeply")
        kind = _str(raw.get("#"), f'{path}."#"').partition(".")[2]
        if kind in ("a_f32", "a_f64"):
            return self.number(raw, path)
        value = raw.get("D")
        if kind == "a_bool":
            if not isinstance(value, bool):
                raise _Bad(path, f"true or false belongs here, not {_shown(value)}")
            return value
        if kind in ("a_i32", "a_i64"):
            return _whole(value, path)
        if kind == "a_str":
            return _str(value, path)
        if kind == "a_array":
            return [self.attr(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(_list(value, path))]
        if kind == "a_intarray":
            return [_whole(v, path) for v in _list(value, path)]
        if kind == "a_scalar":
            return self.attr(value, path, depth + 1) if isinstance(value, dict) else self.scalar(value, path)
        if kind in ("a_c64", "a_c128"):
            pair = _list(value, path)
            if len(pair) != 2:
                raise _Bad(path, "a complex number has two parts")
            return complex(*(self.number({"D": part}, path) for part in pair))
        if kind == "a_dtype":
            try:
                return DType.of(_str(value, path))
            except (KeyError, TypeError):
                return None
        if kind == "a_type":
            return self.type(value, path, depth + 1)
        return None  # places, layouts, pointers: nothing that a ProgramDesc says

    @staticmethod
    def scalar(value: Any, path: str) -> Any:
        # a Scalar is stored as [type, value]
        found = value[-1] if isinstance(value, list) and value else value
        if isinstance(found, (dict, list)):
            raise _Bad(path, f"a number belongs here, not {_shown(found)}")
        return found

    @staticmethod
    def number(raw: dict[str, Any], path: str) -> float:
        if "VD" in raw:  # what JSON has no numbers for
            text = _str(raw["VD"], path).upper()
            special = {"NAN": math.nan, "INF": math.inf, "+INF": math.inf, "-INF": -math.inf}
            if text not in special:
                raise _Bad(path, f"{_shown(raw['VD'])} is no number")
            return special[text]
        value = raw.get("D")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _Bad(path, f"a number belongs here, not {_shown(value)}")
        try:
            return float(value)
        except OverflowError:
            raise _Bad(path, "a number that is beyond any float") from None

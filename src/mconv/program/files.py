"""Finding the files of a model of any era.

:func:`locate` takes whatever a user calls "the model" and says which files it is; the content decides where a name
leaves it open. The names of the eras: ``docs/formats.md``.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Optional

from mconv import hub
from mconv.errors import CorruptModelError, MconvError, NotAModelError
from mconv.program import quantised, sniff
from mconv.program.params import list_combined, separate_path
from mconv.program.paths import PathLike
from mconv.program.program import Var
from mconv.program.sniff import NEAR_MISSES, Kind
from mconv.program.stored import (
    EXPECTED,
    Era,
    ModelFiles,
    half,
    in_order,
    load_model,
    load_program,
    param_names,
    read_program,
    records,
    write_model,
)

__all__ = ["Era", "ModelFiles", "half", "in_order", "load_model", "load_program", "locate", "records", "write_model"]


_SERVER = "serving_server"


def locate(path: PathLike) -> ModelFiles:
    """Find the model that *path* means.

    Args:
        path: a folder, a program file, a parameter file, or a prefix (``./pb_model`` for ``pb_model.pdmodel``). The
            folder above a ``serving_server/`` means that one, where it holds no other model.

    Raises:
        NotAModelError: nothing there, something else, more than one model, or one half of one.
        CorruptModelError: the program had to be read to tell, and is damaged.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _from_folder(path)
    if os.path.exists(path):
        return _from_file(path)
    return _from_prefix(path)


# ---------------------------------------------------------------------------------------------- a folder


def _scan(folder: Path) -> dict[str, Kind]:
    """The ordinary files directly in a folder, hidden ones left out."""
    try:
        names = sorted(e.name for e in os.scandir(folder) if not e.name.startswith(".") and e.is_file())
    except OSError as e:
        raise NotAModelError(f"{folder}: cannot be read ({e.strerror})") from None
    return {name: _kind(folder / name) for name in names}


def _kind(path: Path) -> Kind:
    if path.suffix == ".prototxt":
        return Kind.PROTOTXT
    # a neighbour that may not be read is no reason to refuse the model; its own files are opened again later
    return sniff.what(path) if os.access(path, os.R_OK) else Kind.OTHER


def _claims_program(name: str) -> bool:
    return name == "__model__" or name.endswith(".pdmodel")


def _claims_params(name: str) -> bool:
    return name == "__params__" or name.endswith(".pdiparams")


def _programs(kinds: dict[str, Kind]) -> list[str]:
    return [
        n
        for n, kind in kinds.items()
        if _claims_program(n) or (kind in (Kind.PROGRAM, Kind.PIR) and not _claims_params(n))
    ]


def _from_folder(folder: Path) -> ModelFiles:
    kinds = _scan(folder)
    programs = _programs(kinds)
    beside = _prefixed(folder) if folder.name else {}
    if not programs:
        if _programs(beside):
            return _from_prefix(folder)
        if _is_conversion(kinds) and _models_below(folder) == [folder / _SERVER]:
            return _from_folder(folder / _SERVER)
        raise _no_program(folder, kinds)
    if len(programs) > 1:
        raise _ambiguous(str(folder), folder, programs)
    if _programs(beside):
        raise _ambiguous(str(folder), folder.parent, [f"{folder.name}{os.sep}{programs[0]}", *_programs(beside)])
    return _pair(folder, programs[0], kinds)


def _is_conversion(kinds: dict[str, Kind]) -> bool:
    """Whether a folder is what ``mconv convert`` and ``mconv to-serving`` write into: a report at most, and folders."""
    return set(kinds) <= {"report.json"}


def _ambiguous(what: str, folder: Path, programs: list[str]) -> MconvError:
    shown = ", ".join(programs[:6]) + (", …" if len(programs) > 6 else "")
    return NotAModelError(
        f"{what}: holds {len(programs)} programs: {shown}", f"name the one to take, e.g. {folder / programs[0]}"
    )


def _no_program(folder: Path, kinds: dict[str, Kind]) -> MconvError:
    inner = _models_below(folder)
    hint = f"did you mean {' or '.join(map(str, inner[:3]))}?" if inner else None
    if not kinds:
        return NotAModelError(
            f"{folder}: {'holds folders only' if any(folder.iterdir()) else 'an empty folder'}", hint or EXPECTED
        )

    def named(*wanted: Kind) -> list[str]:
        return [n for n, kind in kinds.items() if kind in wanted]

    def of(names: list[str]) -> str:
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    if named(Kind.PDPARAMS, Kind.PDOPT):
        found = of(named(Kind.PDPARAMS, Kind.PDOPT))
        return NotAModelError(
            f"{folder}: a training checkpoint ({found}), weights without a program", hint or NEAR_MISSES[Kind.PDPARAMS]
        )
    stored = [n for n, kind in kinds.items() if kind is Kind.PARAMS or _claims_params(n)]
    if stored:
        return _no_program_for(folder / stored[0], len(stored), hint)
    if all(kind is Kind.PROTOTXT for kind in kinds.values()):
        server = folder.parent / "serving_server"
        return NotAModelError(
            f"{folder}: the client side of Paddle Serving, it holds only the configuration",
            hint or f"the model is in {server if server.is_dir() else 'serving_server'}",
        )
    for kind in (Kind.ONNX, Kind.SAFETENSORS, Kind.TORCH, Kind.TENSORFLOW, Kind.TFLITE, Kind.HDF5, Kind.CAFFE):
        if named(kind):
            return NotAModelError(f"{folder}: no Paddle model; {of(named(kind))} is {kind.value}", NEAR_MISSES[kind])
    for kind in (Kind.LFS, Kind.LITE, Kind.ARCHIVE, Kind.PARAMS_INFO):
        if named(kind) and not inner:
            return NotAModelError(f"{folder}: no Paddle model; {of(named(kind))} is {kind.value}", NEAR_MISSES[kind])
    return NotAModelError(f"{folder}: no Paddle program among its files ({of(list(kinds))})", hint or EXPECTED)


def _models_below(folder: Path) -> list[Path]:
    """Folders directly below that seem to hold a model; those that are a Paddle Serving model already come last."""
    found = []
    for child in sorted(folder.iterdir()):
        if not child.name.startswith(".") and child.is_dir() and os.access(child, os.R_OK | os.X_OK):
            kinds = _scan(child)
            partners = {p for n in kinds if _claims_params(n) for p in _program_names(n)}
            if _programs(kinds) or partners & set(kinds):
                found.append((Kind.PROTOTXT in kinds.values(), child))
    return [child for _, child in sorted(found)]


# ---------------------------------------------------------------------------------------------- one file


def _from_file(path: Path) -> ModelFiles:
    kind = sniff.what(path)
    if _programs({path.name: kind}):
        return _pair(path.parent, path.name, {path.name: kind})
    if kind is Kind.PARAMS or _claims_params(path.name):
        return _from_params(path)
    raise NotAModelError(f"{path}: {kind.value}", NEAR_MISSES[kind])


def _from_params(path: Path) -> ModelFiles:
    kinds = _scan(path.parent)
    programs = _programs(kinds)
    named = [n for n in _program_names(path.name) if n in programs]
    named = named or [n for n in programs if _stem(n) == _stem(path.name)]
    if len(named) > 1 or (not named and len(programs) > 1):
        raise _ambiguous(f"{path}: parameters; its folder", path.parent, named or programs)
    if not programs:
        raise _no_program_for(path, 1, None)
    name = (named or programs)[0]
    program = path.parent / name
    _check_program(program, kinds[name])
    own = kinds[name] is Kind.PROGRAM and path.name not in param_names(name) and read_program(program).parameters
    if own and any(v.name == path.name for v in own):  # one of a file for each
        return _pair(path.parent, name, kinds)
    return _checked(path.parent, name, kinds[name], path.parent / path.name)


def _no_program_for(path: Path, count: int, hint: Optional[str]) -> MconvError:
    wanted = " or ".join(_program_names(path.name)) or "__model__ or .pdmodel"
    more = f" and {count - 1} more files" if count > 1 else ""
    return NotAModelError(
        f"{path}{more}: parameters without their program ({wanted} is missing)",
        hint or "parameters alone are no model: give both files",
    )


def _program_names(params: str) -> list[str]:
    """The names that the program of a combined parameter file has by convention."""
    if params.endswith(".pdiparams"):
        return [params[: -len("pdiparams")] + suffix for suffix in ("pdmodel", "json")]
    return {"__params__": ["__model__"], "params": ["model", "__model__"]}.get(params, [])


# ---------------------------------------------------------------------------------------------- the pair


def _pair(folder: Path, name: str, kinds: dict[str, Kind]) -> ModelFiles:
    """The model whose program is *name*; *kinds* are the files known so far."""
    program = folder / name
    for partner in param_names(name):
        if os.path.isfile(folder / partner):
            return _checked(folder, name, kinds[name], folder / partner)
    _check_program(program, kinds[name])
    kinds = _scan(folder)
    loose: set[str] = set()
    if kinds[name] is Kind.PIR:
        variables, wanted = [], _pir_parameters(program)
    else:
        read = read_program(program)
        variables, loose = read.parameters, quantised.parameters(read)
        wanted = len(variables)
    if not wanted:
        return ModelFiles(_era(name, kinds[name], None), program, None, folder)
    present = sum(os.path.isfile(separate_path(folder, v.name)) for v in variables)
    if variables and present == len(variables):
        return ModelFiles(Era.FLUID_SEPARATE, program, None, folder)
    own = {v.name for v in variables}
    taken = {p for other in _programs(kinds) if other != name for p in param_names(other)}
    choices = [n for n, kind in kinds.items() if kind is Kind.PARAMS and n not in own and n not in taken]
    choices = [n for n in choices if _stem(n) == _stem(name)] or choices
    if len(choices) > 1 and variables:
        choices = [n for n in choices if _holds(folder / n, variables, loose)] or choices
    if len(choices) == 1:
        return _checked(folder, name, kinds[name], folder / choices[0])
    if choices:
        raise NotAModelError(
            f"{program}: several files may hold its parameters: {', '.join(choices[:6])}", "give the one to take"
        )
    if present:  # what is missing is named when the records are listed
        return ModelFiles(Era.FLUID_SEPARATE, program, None, folder)
    raise half(program, wanted)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _holds(path: Path, variables: Sequence[Var], loose: Collection[str]) -> bool:
    try:
        list_combined(path, variables, loose)
    except MconvError:
        return False
    return True


def _era(name: str, kind: Kind, params: Optional[str]) -> Era:
    if kind is Kind.PIR:
        return Era.PIR
    if name.endswith(".pdmodel"):
        return Era.PADDLE2
    if name == "__model__" and params in (None, "__params__"):
        return Era.FLUID_COMBINED
    return Era.FLUID_CUSTOM


def _check_program(path: Path, kind: Kind) -> None:
    if kind is Kind.PARAMS:
        raise NotAModelError(f"{path}: holds parameters, not a program", "are the two files swapped?")
    if kind is Kind.EMPTY:
        raise CorruptModelError(f"{path}: an empty file", NEAR_MISSES[kind])
    if kind not in (Kind.PROGRAM, Kind.PIR, Kind.OTHER):
        raise NotAModelError(f"{path}: {kind.value}, whatever its name says", NEAR_MISSES[kind])


def _checked(folder: Path, name: str, kind: Kind, params: Path) -> ModelFiles:
    _check_program(folder / name, kind)
    found = sniff.what(params)
    if found in (Kind.PROGRAM, Kind.PIR):
        raise NotAModelError(f"{params}: holds a program, not parameters", "are the two files swapped?")
    if found not in (Kind.PARAMS, Kind.EMPTY, Kind.OTHER):
        raise NotAModelError(f"{params}: {found.value}, not parameters", NEAR_MISSES[found])
    return ModelFiles(_era(name, kind, params.name), folder / name, params, folder)


def _pir_parameters(path: Path) -> int:
    """How many parameters a PIR program names."""
    try:
        ops = json.loads(path.read_bytes())["program"]["regions"][0]["blocks"][0]["ops"]
        # of a parameter, OA begins with whether it is persistable, that is stored
        return sum(op.get("#") == "p" and bool((op.get("OA") or [1])[0]) for op in ops)
    except (ValueError, RecursionError):
        raise CorruptModelError(f"{path}: not JSON, or truncated", "save the model again") from None
    except (KeyError, IndexError, TypeError, AttributeError):
        raise CorruptModelError(f"{path}: a PIR program without program.regions[0].blocks[0].ops") from None


# ---------------------------------------------------------------------------------------------- a prefix


def _prefixed(path: Path) -> dict[str, Kind]:
    """The files ``PATH.*`` beside a path, and what they hold."""
    if not os.path.isdir(path.parent):
        return {}
    names = [n for n in os.listdir(path.parent) if n.startswith(path.name + ".")]
    return {n: _kind(path.parent / n) for n in sorted(names) if (path.parent / n).is_file()}


def _from_prefix(path: Path) -> ModelFiles:
    # completion by the shell stops at what .pdmodel and .pdiparams share
    for ending in (".pd", "."):
        if path.name.endswith(ending) and len(path.name) > len(ending):
            path = path.with_name(path.name[: -len(ending)])
            break
    kinds = _prefixed(path)
    programs = _programs(kinds)
    if len(programs) > 1:
        raise _ambiguous(f"{path}.*", path.parent, programs)
    if programs:
        return _pair(path.parent, programs[0], kinds)
    stored = [n for n, kind in kinds.items() if kind is Kind.PARAMS or _claims_params(n)]
    if stored:
        return _from_params(path.parent / stored[0])
    for name, kind in kinds.items():
        if kind not in sniff.FOREIGN:
            raise NotAModelError(f"{path}: no Paddle model; {name} is {kind.value}", NEAR_MISSES[kind])
    raise NotAModelError(f"{path}: no such file, folder or prefix", _suggestion(path))


def _suggestion(path: Path) -> str:
    """What the user may have meant."""
    parent, name = path.parent, path.name
    while not os.path.isdir(parent) and parent != parent.parent:
        parent, name = parent.parent, parent.name
    try:
        names = [n for n in os.listdir(parent) if not n.startswith(".")]
    except OSError:
        names = []
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close and parent == path.parent:
        close = difflib.get_close_matches(name, [_stem(n) for n in names if _claims_program(n)], n=1, cutoff=0.6)
    if close:
        return f"did you mean {parent / close[0]}?"
    if parent == path.parent:
        return EXPECTED
    return hub.hint(os.fspath(path)) or f"the folder {path.parent} does not exist"

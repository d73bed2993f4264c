"""Rules that say which tensor of PyTorch belongs where in a layer of Paddle: data files, read and checked.

The format is described in docs/transplant.md. The sets that come with mconv lie in ``rule_sets/``; ``torch-nn``, what
``torch.nn`` and ``paddle.nn`` call differently, is part of every other.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Union

from mconv.errors import CorruptModelError, NotAModelError, UsageError
from mconv.program.copying import read_small
from mconv.yaml_text import NotYaml, parsed

BASE = "torch-nn"
FOLDER = Path(__file__).parent / "rule_sets"
_LIMIT = 1 << 20
_DEPTH = 8


@dataclass(frozen=True)
class Rename:
    """Every place in a name that *pattern* finds is replaced; ``\\1`` stands for its first group."""

    pattern: re.Pattern[str]
    to: str

    def apply(self, name: str) -> str:
        return self.pattern.sub(self.to, name)


@dataclass(frozen=True)
class Split:
    """A tensor whose whole name *pattern* matches is cut into equal parts, with names of their own."""

    pattern: re.Pattern[str]
    to: tuple[str, ...]
    axis: int

    def names(self, name: str) -> Optional[list[str]]:
        found = self.pattern.fullmatch(name)
        return None if found is None else [found.expand(part) for part in self.to]


@dataclass(frozen=True)
class LayerRules:
    """Rules for the names inside of layers of certain classes, relative to the layer.

    Attributes:
        classes: names of the classes; subclasses count.
        rename, drop, split: as for the whole.
        transpose: parameters that PyTorch keeps the other way round.
        reshape: parameters that may have another shape of the same size.
        fill: parameter → the value that it has where PyTorch has the layer but not this parameter.
    """

    classes: tuple[str, ...]
    rename: tuple[Rename, ...] = ()
    drop: tuple[re.Pattern[str], ...] = ()
    split: tuple[Split, ...] = ()
    transpose: tuple[re.Pattern[str], ...] = ()
    reshape: tuple[re.Pattern[str], ...] = ()
    fill: tuple[tuple[re.Pattern[str], float], ...] = ()


@dataclass
class Rules:
    """Rules of one or more sets, in the order in which they apply.

    Attributes:
        sets: names of the sets and files.
        names: name in PyTorch → names in the layer.
        rename, drop, split: on PyTorch's names.
        transpose, as_stored, keep: on the layer's names: to be transposed; not to be, though the class says so; to
            be left as the layer has them.
        fill: the layer's name → value, where PyTorch has no such tensor.
        layers: by class of the layer.
    """

    sets: list[str] = field(default_factory=list)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rename: list[Rename] = field(default_factory=list)
    drop: list[re.Pattern[str]] = field(default_factory=list)
    split: list[Split] = field(default_factory=list)
    transpose: list[re.Pattern[str]] = field(default_factory=list)
    as_stored: list[re.Pattern[str]] = field(default_factory=list)
    keep: list[re.Pattern[str]] = field(default_factory=list)
    fill: list[tuple[re.Pattern[str], float]] = field(default_factory=list)
    layers: list[LayerRules] = field(default_factory=list)

    def add(self, other: Rules) -> None:
        """Let the rules of another set apply after these."""
        self.sets += other.sets
        self.names = {**other.names, **self.names}
        for name in ("rename", "drop", "split", "transpose", "as_stored", "keep", "fill", "layers"):
            getattr(self, name).extend(getattr(other, name))


def shipped() -> list[str]:
    """The names of the sets that come with mconv."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def load(chosen: Iterable[Union[str, os.PathLike[str]]] = ()) -> Rules:
    """The rules of these sets and files, in this order, and of ``torch-nn``.

    Args:
        chosen: names of shipped sets, or paths of YAML files.

    Raises:
        UsageError: there is no such set or file, or one is not as it should be; the message says where.
    """
    rules = Rules()
    for one in [*chosen, BASE]:
        _include(os.fspath(one), Path(), rules, 0)
    return rules


def _include(name: str, beside: Path, rules: Rules, depth: int) -> None:
    path = _find(name, beside)
    label = path.stem if path.parent == FOLDER else str(path)
    if label in rules.sets:
        return
    if depth > _DEPTH:
        raise UsageError(f"{path}: rules extend one another without end")
    reader = _Reader(label, _read(path))
    rules.add(reader.rules())
    for other in reader.texts("extends"):
        _include(other, path.parent, rules, depth + 1)


def _find(name: str, beside: Path) -> Path:
    inside = FOLDER / f"{name}.yaml"
    if re.fullmatch(r"[\w-]+", name) and inside.is_file():
        return inside
    path = beside / name
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, shipped(), 1)
    known = f"did you mean {near[0]}?" if near else f"shipped sets are {', '.join(shipped())}; or give a YAML file"
    raise UsageError(f"--rules {name}: neither a set of rules nor a file", known)


def _read(path: Path) -> Any:
    try:
        raw = read_small(path, _LIMIT, "is more than any set of rules has")
    except (NotAModelError, CorruptModelError) as e:
        raise UsageError(e.message, e.hint) from None
    try:
        return parsed(raw)
    except NotYaml as e:
        line = "" if e.line is None else f", line {e.line}"
        raise UsageError(f"{path}{line}: no YAML ({e})", "docs/transplant.md has examples") from None


class _Reader:
    """One file: every entry checked, every complaint with its position."""

    def __init__(self, where: str, held: Any):
        self.where = where
        self.held: Mapping[str, Any] = self._mapping("", {} if held is None else held)

    def rules(self) -> Rules:
        self._known("", self.held, ("description", "extends", "layers", *_PARTS))
        if not isinstance(self.held.get("description", ""), str):
            raise self._wrong("description", "not a text")
        made = Rules([self.where], self._names())
        for name, read in _PARTS.items():
            if name != "names":
                setattr(made, name, read(self, name, self.held.get(name)))
        layers = self._sequence("layers", self.held.get("layers"))
        made.layers = [self._layer(f"layers[{i}]", part) for i, part in enumerate(layers)]
        return made

    def texts(self, name: str) -> list[str]:
        return self._texts(name, self.held.get(name))

    # parts

    def _names(self) -> dict[str, tuple[str, ...]]:
        found = {}
        for source, targets in self._mapping("names", self.held.get("names") or {}).items():
            key = f"names[{source!r}]"
            if not isinstance(source, str):
                raise self._wrong(key, "not a name")
            found[source] = tuple(self._texts(key, targets))
            if not found[source]:
                raise self._wrong(key, "no name of the layer", "drop says that a tensor is not wanted")
        return found

    def _layer(self, key: str, held: Any) -> LayerRules:
        held = self._mapping(key, held)
        self._known(key, held, ("of", *_LAYER_PARTS))
        classes = self._texts(f"{key}.of", held.get("of"))
        if not classes:
            raise self._wrong(f"{key}.of", "names no class", "e.g. of: paddle.nn.Linear")
        parts = {n: tuple(read(self, f"{key}.{n}", held.get(n))) for n, read in _LAYER_PARTS.items()}
        return LayerRules(tuple(classes), **parts)

    def patterns(self, key: str, held: Any) -> list[re.Pattern[str]]:
        return [self._pattern(f"{key}[{i}]", text) for i, text in enumerate(self._texts(key, held))]

    def renames(self, key: str, held: Any) -> list[Rename]:
        found = []
        for i, part in enumerate(self._sequence(key, held)):
            at = f"{key}[{i}]"
            if isinstance(part, Sequence) and not isinstance(part, str) and len(part) == 2:
                part = {"from": part[0], "to": part[1]}
            part = self._mapping(at, part, "[from, to]")
            self._known(at, part, ("from", "to"))
            pattern = self._pattern(f"{at}.from", part.get("from"))
            found.append(Rename(pattern, self._template(f"{at}.to", part.get("to"), pattern)))
        return found

    def splits(self, key: str, held: Any) -> list[Split]:
        found = []
        for i, part in enumerate(self._sequence(key, held)):
            at = f"{key}[{i}]"
            part = self._mapping(at, part)
            self._known(at, part, ("from", "to", "axis"))
            pattern = self._pattern(f"{at}.from", part.get("from"))
            names = self._texts(f"{at}.to", part.get("to"))
            if len(names) < 2:
                raise self._wrong(f"{at}.to", "needs two names or more", "one for each part, in order")
            axis = part.get("axis", 0)
            if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
                raise self._wrong(f"{at}.axis", "not a number of a dimension: 0, 1, …")
            to = [self._template(f"{at}.to[{k}]", name, pattern) for k, name in enumerate(names)]
            found.append(Split(pattern, tuple(to), axis))
        return found

    def fills(self, key: str, held: Any) -> list[tuple[re.Pattern[str], float]]:
        found = []
        for text, value in self._mapping(key, held or {}).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise self._wrong(f"{key}[{text!r}]", "not a number")
            found.append((self._pattern(key, text), float(value)))
        return found

    # values

    def _pattern(self, key: str, text: Any) -> re.Pattern[str]:
        if not isinstance(text, str) or not text:
            raise self._wrong(key, "no pattern", "a regular expression, in single quotes")
        try:
            return re.compile(text)
        except (re.error, RecursionError, OverflowError) as e:
            raise self._wrong(key, f"{text!r} is no regular expression ({e})") from None

    def _template(self, key: str, text: Any, pattern: re.Pattern[str]) -> str:
        if not isinstance(text, str):
            raise self._wrong(key, "no text", r"\1 stands for the first group of `from`")
        try:
            pattern.sub(text, "")  # reads the text even where nothing is found
        except (re.error, IndexError) as e:
            raise self._wrong(key, f"{text!r} does not fit its pattern ({e})") from None
        return text

    def _texts(self, key: str, held: Any) -> list[str]:
        if held is None:
            return []
        found = [held] if isinstance(held, str) else held
        if not isinstance(found, list) or not all(isinstance(t, str) and t for t in found):
            raise self._wrong(key, "not a text or a list of texts")
        return found

    def _sequence(self, key: str, held: Any) -> list[Any]:
        if held is None:
            return []
        if not isinstance(held, list):
            raise self._wrong(key, "not a list")
        return held

    def _mapping(self, key: str, held: Any, form: str = "") -> Mapping[str, Any]:
        if not isinstance(held, dict):
            raise self._wrong(key, f"not {form + ' or ' if form else ''}a mapping of names")
        return held

    def _known(self, key: str, held: Mapping[Any, Any], names: Sequence[str]) -> None:
        for name in held:
            if name not in names:
                near = difflib.get_close_matches(str(name), names, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"it may have {', '.join(names)}"
                raise self._wrong(f"{key}.{name}" if key else str(name), "no such entry", hint)

    def _wrong(self, key: str, problem: str, hint: Optional[str] = None) -> UsageError:
        return UsageError(f"rules {self.where}{': ' + key if key else ''}: {problem}", hint)


_Read = Callable[[_Reader, str, Any], list[Any]]
_COMMON: dict[str, _Read] = {
    "rename": _Reader.renames,
    "drop": _Reader.patterns,
    "split": _Reader.splits,
    "transpose": _Reader.patterns,
    "fill": _Reader.fills,
}
_PARTS: dict[str, Any] = {**_COMMON, "names": None, "as_stored": _Reader.patterns, "keep": _Reader.patterns}
_LAYER_PARTS: dict[str, Any] = {**_COMMON, "reshape": _Reader.patterns}

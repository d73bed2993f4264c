"""A YAML file as data that knows on which line everything is, checked against the published schema."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import CorruptModelError, MissingDependencyError, NotAModelError, UsageError
from mconv.extras import install
from mconv.printable import printable
from mconv.program.copying import read_small
from mconv.yaml_text import require_short

SCHEMA = Path(__file__).with_name("schema.json")
_LIMIT = 1 << 20  # bytes of a recipe
_DEEPEST = 32
_HUGE = 1 << 64
_MOST_PROBLEMS = 50  # that are listed
_MOST_NODES = 20_000  # aliases of YAML can make a small file an endless one
Keys = tuple[Union[str, int], ...]
# YAML 1.1 wants a dot in a number with an exponent; people write 1e-4
_FLOAT = re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)[eE][-+]?\d+$")


def schema() -> dict[str, Any]:
    """The JSON Schema of recipes."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
    return found


class _Tree:
    """YAML as data: texts as keys, each once; bounded in depth, in size (aliases count as often as they are used) and in
    its numbers.

    Attributes:
        where: what errors call it.
        lines: keys → line, where *lines* asks for it.
    """

    def __init__(self, where: str, *, lines: bool):
        self.where = where
        self.numbered = lines
        self.lines: dict[Keys, int] = {}
        self._count = 0

    def read(self, text: str) -> Any:
        """The content.

        Raises:
            UsageError: it is no YAML of that kind; names the line.
        """
        import yaml

        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if node is None else self._build(node, ())
        except yaml.MarkedYAMLError as e:
            mark = e.problem_mark or e.context_mark
            where = f"{self.where}:{mark.line + 1}" if mark is not None and self.numbered else self.where
            raise UsageError(f"{where}: {e.problem or e.context}") from None
        except yaml.YAMLError as e:
            raise UsageError(f"{self.where}: {' '.join(str(e).split())}") from None
        except RecursionError:
            raise UsageError(f"{self.where}: nested too deeply") from None

    def _location(self, line: int) -> str:
        return f"{self.where}:{line}" if self.numbered else self.where

    def _build(self, node: Any, keys: Keys) -> Any:
        import yaml

        self._count += 1
        line = node.start_mark.line + 1
        if len(keys) > _DEEPEST or self._count > _MOST_NODES:
            raise UsageError(f"{self._location(line)}: nested too deeply, or too much of it")
        self.lines.setdefault(keys, line)
        if isinstance(node, yaml.MappingNode):
            made: dict[str, Any] = {}
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                if not isinstance(key_node, yaml.ScalarNode):
                    raise UsageError(f"{self._location(line)}: a key is a text")
                key = key_node.value
                if key in made:
                    raise UsageError(f"{self._location(line)}: {shown(key)} is there twice")
                inner = (*keys, key)
                self.lines[inner] = line
                made[key] = self._build(value_node, inner)
            return made
        if isinstance(node, yaml.SequenceNode):
            return [self._build(child, (*keys, i)) for i, child in enumerate(node.value)]
        return scalar(node, self._location(line))


class Document:
    """One YAML file.

    Attributes:
        path: the file.
        data: its content.
    """

    def __init__(self, path: Path):
        """Read the file.

        Raises:
            NotAModelError: it cannot be read.
            UsageError: it is no YAML, or no mapping; names the line.
        """
        self.path = path
        hint = "name a recipe: recipes/NAME.yaml"
        try:
            text = read_small(path, _LIMIT, "are more than any recipe has").decode("utf-8")
        except NotAModelError as e:
            raise NotAModelError(e.message, hint) from None
        except CorruptModelError as e:
            raise UsageError(e.message, hint) from None
        except UnicodeDecodeError:
            raise UsageError(f"{path}: not text in UTF-8") from None
        tree = _Tree(str(path), lines=True)
        self.data = tree.read(text)
        self._lines = tree.lines
        if self.data is None:
            self.data = {}
        if not isinstance(self.data, dict):
            raise UsageError(f"{path}:1: a recipe is a mapping that has at least `source:`")

    def line(self, keys: Keys) -> int:
        """The line of a key, or of the nearest one around it."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return self._lines.get(keys, 1)

    def location(self, keys: Keys) -> str:
        """``FILE:LINE: where``, as messages begin."""
        inside = self.inside(keys)
        return f"{self.path}:{self.line(keys)}: {inside}" if inside else f"{self.path}:{self.line(keys)}"

    @staticmethod
    def inside(keys: Keys) -> str:
        """``steps[1].verify``."""
        inside = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys)
        return printable(inside[1:] if inside.startswith(".") else inside, 200)

    def check(self, extra: Optional[Mapping[str, Any]] = None) -> None:
        """Check the content against the schema.

        Args:
            extra: what was set beside the file; it counts as content.

        Raises:
            UsageError: names the file, the line and what is allowed; ``rows`` has all problems.
            MissingDependencyError: the package jsonschema is missing.
        """
        try:
            import jsonschema
        except ImportError:
            raise MissingDependencyError(
                "recipes are checked with the package jsonschema, which is not installed",
                install("recipes"),
            ) from None
        validator = jsonschema.Draft202012Validator(schema())
        # an unknown field before a missing one, which is often the same, mistyped
        errors = sorted(validator.iter_errors({**self.data, **(extra or {})}), key=lambda e: e.validator == "required")
        problems = [self._problem(e) for e in errors]
        problems += list(self._beyond_the_schema())
        problems.sort(key=lambda p: self.line(p[0]))
        if problems:
            keys, what, allowed = problems[0]
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            error = UsageError(f"{self.location(keys)}: {what}{more}", allowed)
            rows = [{"line": self.line(k), "problem": f"{self.inside(k)}: {w}", "allowed": a} for k, w, a in problems]
            if len(rows) > _MOST_PROBLEMS:
                rest = len(rows) - _MOST_PROBLEMS
                rows[_MOST_PROBLEMS:] = [{"line": self.line(problems[-1][0]), "problem": f"{rest} more", "allowed": ""}]
            error.rows = rows if len(rows) > 1 else []
            raise error

    def _problem(self, error: Any) -> tuple[Keys, str, str]:
        """Where, what, and what is allowed instead, of an error of jsonschema."""
        keys = tuple(error.absolute_path)
        value, kind, limit = error.instance, error.validator, error.validator_value
        if kind == "additionalProperties" and isinstance(value, Mapping):
            known = list(error.schema.get("properties", {}))
            unknown = [k for k in value if k not in known]
            return (*keys, unknown[0]), "no such field", _near(unknown[0], known)
        if kind == "enum":
            names = list(dict.fromkeys(map(str, limit)))
            return keys, f"{shown(value)} is none of them", _near(str(value), names)
        if kind == "required":
            missing = next(name for name in limit if name not in value)
            return keys, f"{missing!r} is missing", schema()["$defs"].get(missing, {}).get("description", "")
        if kind == "type":
            wanted = limit if isinstance(limit, str) else " or ".join(limit)
            return keys, f"{_kind(value)}, where {wanted} is wanted", _described(error)
        if kind == "dependentRequired":
            name, needed = next((n, o) for n, others in limit.items() if n in value for o in others if o not in value)
            return (*keys, name), f"only with {needed}", _property(error.schema, needed)
        if kind in ("minProperties", "maxProperties"):
            return keys, f"{len(value)} names where one is wanted", "each step is an entry of its own: `- verify: {…}`"
        if kind == "maxItems":
            return keys, f"{len(value)}, where {limit} are most", _described(error)
        if kind == "maxLength":
            return keys, f"{shown(value)}: {len(value)} characters, where {limit} are most", _described(error)
        if kind == "pattern":
            return keys, f"{shown(value)} does not have the form {limit}", _described(error)
        return keys, printable(error.message, 300), _described(error)

    def _beyond_the_schema(self) -> Iterator[tuple[Keys, str, str]]:
        for keys, source in self._sources():
            if isinstance(source, dict) and ("path" in source) == ("spec" in source):
                both = "path and spec are both given" if "path" in source else "neither path nor spec is given"
                yield keys, both, "path: of a file or folder; spec: what makes a layer"

    def _sources(self) -> Iterator[tuple[Keys, Any]]:
        if "source" in self.data:
            yield ("source",), self.data["source"]
        profiles = self.data.get("profiles")
        for name, profile in (profiles if isinstance(profiles, dict) else {}).items():
            if isinstance(profile, dict) and "source" in profile:
                yield ("profiles", name, "source"), profile["source"]


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:200], known, 1)
    allowed = f"allowed: {', '.join(known)}"
    return f"did you mean {near[0]}? {allowed}" if near else allowed


def _kind(value: Any) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    return kinds.get(type(value), "nothing")


def _property(part: Mapping[str, Any], name: str) -> str:
    text: str = part["properties"][name].get("description", "")
    return text


def _described(error: Any) -> str:
    text = error.schema.get("description", "")
    return text or "`mconv init --schema` prints the schema"


def scalar(node: Any, where: str) -> Any:
    """The value of a scalar: what YAML says, and numbers such as 1e-4, which it takes for text."""
    import yaml

    if node.tag == "tag:yaml.org,2002:str" and node.style is None and _FLOAT.match(node.value):
        value: Any = float(node.value.replace("_", ""))
    elif node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    else:
        try:
            if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
                require_short(node)
            value = yaml.SafeLoader("").construct_object(node)
        # its constructors look neither whether a tagged text is a number nor how long one is
        except (yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as e:
            raise UsageError(f"{where}: {printable(node.value, 80)} is no value: {printable(str(e), 200)}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: {printable(node.value, 80)} is no number that a recipe can hold")
    if isinstance(value, int) and abs(value) >= _HUGE:
        raise UsageError(f"{where}: {printable(node.value, 80)} is no number that a recipe can hold")
    if value is not None and not isinstance(value, (str, int, float)):
        raise UsageError(f"{where}: a {type(value).__name__}, where a text or a number is wanted")
    return value


def shown(value: Any) -> str:
    """A value as a message has it."""
    return printable(repr(value), 80)


def parse_value(text: str, what: str) -> Any:
    """The value of ``--set key=VALUE``: a YAML scalar, list or mapping on one line.

    Raises:
        UsageError: it is none.
    """
    value = _Tree(what, lines=False).read(text)
    return "" if value is None and not text.strip() else value

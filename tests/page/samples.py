"""Documents to make pages of: the real ones of docs/json.md, and a comparison of two graphs of any size."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent.parent / "tools" / "json_examples"
# the commands that have --html
PAGED = ("bench convert downgrade edit half onnx2paddle quantize run serve-check to-onnx to-serving to-static torch2paddle"
         " verify").split()  # fmt: skip
HOSTILE = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202e &lt;b&gt;"


def example(command: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{command}.json").read_text("utf-8"))
    return found


def row(name: str, apart: float = 1e-7, *, ok: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "input_set": 0, "dtype": "float32", "got_dtype": "float32", "shape": [2, 4], "got_shape": [2, 4],
        "max_abs": apart, "max_rel": apart, "cosine": 1.0, "argmax_same": True, "ok": ok,
        "reason": "" if ok else "3 of 8 elements differ by more than the tolerance, at most by 1",
        "distribution": {"0": 3, "1e-08": 4, "1e-07": 1}, "allowed": 1e-5, **more,
    }  # fmt: skip


def layered(
    count: int, first: int | None = None, name: Callable[[int], str] = lambda at: f"t{at}", skip: int = 0
) -> dict[str, Any]:
    """A ``verify --layers --json`` of a chain of *count* operators, different from the tensor *first* on.

    Args:
        skip: where it is given, each Add also reads what stands so many operators before it.
    """
    names = [name(at) for at in range(count)]
    kinds = ("MatMul", "Add", "Relu", "Softmax", "Mul")
    a = [
        {
            "operator": kinds[at % 5],
            "name": "",
            "reads": [
                names[at - 1] if at else "x",
                names[at - skip] if skip <= at and skip and at % 5 == 1 else f"w{at}",
            ],
            "writes": [names[at]],
        }
        for at in range(count)
    ]
    b = [{**node, "operator": node["operator"].lower()} for node in a]
    rows = [
        row(n, 1e-7 if first is None or at < first else 1.0, ok=first is None or at < first)
        for at, n in enumerate(names)
    ]
    bad = [] if first is None else rows[first:]
    return {
        "a": "ONNX Runtime", "b": "Paddle", "ok": not bad, "matched": {"inputs": "name", "outputs": "name"},
        "models": {"a": "m.onnx", "b": "out"}, "tolerance": {"absolute": 1e-5, "relative": 1e-4},
        "input_sets": [{"x": [2, 4]}], "outputs": rows[-1:], "problems": [], "seconds": 1.0,
        "first": bad[0] if bad else None, "compared": count, "layers": rows, "graphs": {"a": a, "b": b}, "notes": [],
    }  # fmt: skip


def changed(value: Any, change: Callable[[str], str], keys: bool = False) -> Any:
    """A document with every text in it, or every key of a mapping from names to something, as *change* says."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [changed(one, change, keys) for one in value]
    if isinstance(value, dict):
        return {key: changed(one, change, keys) for key, one in value.items()}
    return value


class Elements(HTMLParser):
    """The elements of a page, which has to be well formed."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, page: str):
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.names.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

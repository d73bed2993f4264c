"""The page of one or several ``--json`` documents of mconv's commands: a conversion, a comparison, a measurement, …

What a document holds decides what the page shows; nothing else is looked at, so a page can be made later, of
``report.json`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Union

from mconv.errors import MconvError, NotAModelError, OutputExistsError, UsageError
from mconv.page import charts, compared, conversion, edges, heat, measured, verdict
from mconv.page.parts import STYLE, Markup, badness, facts, figured, frame, items, section, spent, table, tag, text
from mconv.printable import json_text, plain
from mconv.program.copying import read_small
from mconv.program.paths import PathLike

Document = Mapping[str, Any]
_LIMIT = 256 << 20  # bytes of a document
_HINT = "give a report.json, or what a command prints with --json"
_RAW = 200_000  # characters of the document at the end of its page
_LARGE = ("graphs", "layers")  # what it is shown without, there: it is in the map


def require(path: PathLike) -> None:
    """Say whether a page can be made there, before minutes of work.

    Raises:
        UsageError: *path* is no name of a page. MissingDependencyError: matplotlib is not installed.
        OutputExistsError: *path* cannot be written.
    """
    file = Path(path)
    if file.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {path}: its name has to end with .html")
    charts.library()
    if file.is_dir():
        raise OutputExistsError(f"--html {path}: is a folder", "name a file: report.html")
    above = next(p for p in (file.parent, *file.parent.absolute().parents) if p.exists())
    if not above.is_dir():
        raise OutputExistsError(f"--html {path}: {above} is no folder")


def write(found: Union[Document, Sequence[Document]], path: PathLike) -> None:
    """Write the page of one document, or of several below each other.

    Raises:
        MissingDependencyError: matplotlib is not installed. OutputExistsError: it cannot be written.
    """
    made = page([found] if isinstance(found, Mapping) else list(found))
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made, encoding="utf-8", errors="backslashreplace")
    except OSError as e:
        raise OutputExistsError(f"{path}: cannot be written ({e.strerror})") from None


def read(path: PathLike) -> Document:
    """A ``report.json``, or what a command printed with ``--json``.

    Raises:
        NotAModelError: it is no such file.
    """
    import json

    try:
        found = json.loads(read_small(Path(path), _LIMIT, "are more than any result has"))
    except (ValueError, RecursionError):
        raise NotAModelError(f"{path}: is no JSON", _HINT) from None
    if not isinstance(found, dict):
        raise NotAModelError(f"{path}: is no document of mconv", _HINT)
    return found


def of(result: Any) -> dict[str, Any]:
    """The document of a command's result: what ``--json`` prints of it."""
    made = plain(result.to_dict() if hasattr(result, "to_dict") else result)
    assert isinstance(made, dict)
    return made


def of_error(error: MconvError) -> dict[str, Any]:
    """The document of an error, with the report of the conversion that it has ended, as far as that came."""
    said = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code, "rows": plain(error.rows)}
    return {**of(error.result()), "error": {"kind": type(error).__name__, **said}}


def page(found: Sequence[Document]) -> str:
    """The page.

    Raises:
        NotAModelError: a document is none of mconv's: fields that belong together are not there.
    """
    try:
        bodies = [body(one, first=at == 0) for at, one in enumerate(found)]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as e:
        raise NotAModelError(
            f"no page can be made: the document is none of mconv's ({type(e).__name__}: {e})",
            _HINT,
        ) from None
    return frame(title(found[0]), "\n".join(bodies), STYLE + heat.STYLE + edges.STYLE)


# a field that only the document of one command has → the command
_TOLD_BY = {
    "casts": "half",
    "methods": "quantize",
    "forms": "serve-check",
    "feeds": "to-serving",
    "changes": "downgrade",
}


def title(found: Document) -> str:
    """What a document is about."""
    if "recipes" in found:
        return ", ".join(str(recipe["name"]) for recipe in found["recipes"][:4]) or "Recipes"
    if "contenders" in found:
        return measured.title(found)
    if verdict.several(found):
        return f"convert: {len(found['models'])} models"
    if "matched" in found:
        names = found.get("models") or {"a": found["a"], "b": found["b"]}
        return f"verify: {Path(names['a']).name} against {Path(names['b']).name}"
    source = found.get("source")
    if isinstance(source, Mapping):
        source = source.get("path") or source.get("spec")
    source = source or found.get("folder") or found.get("path")
    command = found.get("command") or next((name for key, name in _TOLD_BY.items() if key in found), None)
    name = Path(str(source)).name or str(source) if source else "mconv"
    return f"{command}: {name}" if command else name


def body(found: Document, *, first: bool = True) -> str:
    """A document without the frame around it."""
    name = f"<h1>{text(title(found), 120)}</h1>" if first else f"<hr>\n<h1>{text(title(found), 120)}</h1>"
    return "\n".join([name, verdict.of(found).html(), *filter(None, _sections(found)), _raw(found)])


def summary(found: Document) -> str:
    """The verdict and the figures of the outputs: what a notebook shows. No chart: it takes no other package."""
    parts = [f"<h3>{text(title(found))}</h3>", verdict.of(found).html(), conversion.ports(found)]
    proof = found.get("verification") if isinstance(found.get("verification"), Mapping) else found
    rows = [row for row in (proof or {}).get("outputs") or [] if "max_abs" in row]
    parts.append(compared.outputs_of(rows, drawn=False))
    return f'<style>{STYLE}</style><div class="mconv">{"".join(filter(None, parts))}</div>'


def _sections(found: Document) -> Iterator[str]:
    if "recipes" in found:
        yield from _recipes(found)
        return
    if "contenders" in found:
        yield from measured.sections(found)
        return
    if verdict.several(found):
        yield _models(found["models"])
        return
    yield _error(found)
    yield conversion.warnings(found)
    yield conversion.ports(found)
    if isinstance(found.get("verification"), Mapping):
        yield from compared.sections(found["verification"])
    if "matched" in found:
        matched = ", ".join(f"{what} by {how}" for what, how in found["matched"].items())
        head = compared.sets(found) + f'<p class="note">Matched: {text(matched)}.</p>'
        yield section("Outputs", head, compared.outputs_of(found["outputs"]), items(found["problems"]))
        yield from heat.sections(found)
    yield from conversion.half(found)
    yield conversion.forms(found)
    yield conversion.changes(found)
    yield conversion.times(found)
    yield conversion.provenance(found)


def _error(found: Document) -> str:
    """The rows of an error: operators, outputs, files."""
    error = found.get("error")
    rows = error.get("rows") if isinstance(error, Mapping) else None
    if not rows or any("max_abs" in row for row in rows):  # those are among the outputs
        return ""
    head = list(dict.fromkeys(key for row in rows for key in row))
    return section("What it is about", table(head, [[_plain(row.get(key)) for key in head] for row in rows]))


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def _models(found: Sequence[Document]) -> str:
    """The sources of one conversion of several."""
    rows = []
    for one in found:
        status = str(one["verification"] or "failed")
        kind = compared.KINDS.get(status, "plain") if one["ok"] else "bad"
        told = "; ".join(filter(None, [one["reason"], *one["warnings"]]))
        rows.append([tag(kind, status), Path(one["source"]).name, one["kind"], one["out"], spent(one["seconds"]), told])
    head = ["", "source", "kind", "in", "took", "why"]
    return section("Models", table(head, rows, right=["took"]))


_WORDS = {"done": "good", "cached": "good", "failed": "bad", "skipped": "plain"}


def _recipes(found: Document) -> Iterator[str]:
    for recipe in found["recipes"]:
        rows = []
        for step in recipe["steps"]:
            compared_rows = (step["proof"] or {}).get("outputs") or []
            worst: Document = max(compared_rows, key=badness, default={})
            why = step["error"]["message"] if step["error"] else "" if step["status"] == "done" else step["reason"]
            part = step["status"] in ("done", "cached") and (step["proof"] or {}).get("status") == "passed in part"
            rows.append(
                [_step(step["status"], part), step["name"], spent(step["seconds"]), worst.get("name"),
                 figured(worst["max_abs"]) if "max_abs" in worst else None, ", ".join(step["outputs"]), why]
            )  # fmt: skip
        head = ["", "step", "took", "furthest apart", "max abs", "made", "why"]
        told = [f"{step['name']}: {warning}" for step in recipe["steps"] for warning in step["warnings"]]
        where = facts({"file": recipe["file"], "profile": recipe["profile"], "folder": recipe["folder"]})
        yield section(recipe["name"], where, table(head, rows, right=["took", "max abs"]), items(told))
        for step in recipe["steps"]:
            proof = step["proof"] or {}
            rows_of = [row for row in proof.get("outputs") or [] if "argmax_same" in row]
            if rows_of:
                compared_ = f"<p>{text(proof.get('a'))} against {text(proof.get('b'))}</p>" if proof.get("a") else ""
                yield section(f"{recipe['name']}: {step['name']}", compared_, compared.outputs_of(rows_of))


def _step(status: str, part: bool) -> Markup:
    return tag("part", "passed in part") if part else tag(_WORDS.get(status, "plain"), status)


def _raw(found: Document) -> str:
    shown = {key: value for key, value in found.items() if key not in _LARGE}
    said = json_text(shown, indent=1)
    if len(said) > _RAW:
        return ""
    import html

    return f"<details><summary>The document</summary><pre>{html.escape(said)}</pre></details>"

"""docs/json.md and its Chinese: a table for the JSON of every command and for every object in it, from the schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .reference import Texts

Schema = dict[str, Any]

INTRODUCTION = (
    "With `--json`, a command prints one JSON document on stdout, and everything else on stderr. The document has the "
    "form of its [JSON Schema](https://json-schema.org/) in `mconv/schemas/`, which comes with the package; a failure "
    "has the form [below]({failure}) and the exit code that it names; where the command came as far as a result (figures "
    "that differ, findings, a step of several that failed), the document is that result, with `error` beside its other "
    "fields: `convert`, which fails in a step, prints that of the step, which `command` names. Within a version of mconv's schema, fields are "
    "added, never removed or changed. Figures that are infinite or do not exist are `null`. Paths are as they were "
    "given, relative ones to where the command ran."
)
PIPE = (
    "The next command in a pipe takes what this one made: `mconv onnx2paddle m.onnx out --json | mconv to-serving -`."
)
FAILURE = "What every command prints when it fails"


def page(schemas: Mapping[str, Schema], t: Texts) -> str:
    """The page in one language.

    Args:
        schemas: command → its JSON Schema, with a title.
    """
    parts = [
        "<!-- written by tools/make_schemas.py: do not edit -->\n",
        f"# {t('The JSON of every command')}\n",
        t(INTRODUCTION).format(failure=f"#{anchor(t(FAILURE))}") + "\n",
        t(PIPE) + "\n",
    ]
    shared: dict[str, Schema] = {}
    same: dict[str, str] = {}
    for schema in schemas.values():
        title = t(schema["title"]) if schema["title"] == FAILURE else schema["title"]
        parts.append(f"\n## {title}\n")
        shape = json.dumps({k: v for k, v in schema.items() if k in ("properties", "required")}, sort_keys=True)
        if shape in same:
            other = same[shape]
            parts.append(t("The fields of [{title}]({anchor}).").format(title=other, anchor=f"#{anchor(other)}") + "\n")
        else:
            same[shape] = title
            parts.append(table(schema, t))
        shared.update(schema.get("$defs", {}))
        for example in schema.get("examples", []):
            parts.append(f"```json\n{json.dumps(example, ensure_ascii=False, indent=1)}\n```\n")
    parts.append(f"\n## {t('Objects in them')}\n")
    for name in sorted(shared):
        parts.append(f"\n### {name}\n")
        parts.append(table(shared[name], t))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def anchor(text: str) -> str:
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-")


def table(schema: Schema, t: Texts) -> str:
    """The fields of an object; of the error's document, those of the error."""
    if schema.get("properties", {}).keys() == {"error"}:
        schema = schema["properties"]["error"]
    rows = [f"| {t('field')} | {t('type')} | {t('what it holds')} |", "|---|---|---|"]
    for name, field in schema["properties"].items():
        optional = "" if name in schema["required"] else t(" (may be missing)")
        text = t(field.get("description", "")).replace("|", "\\|")
        rows.append(f"| `{name}` | {type_of(field, t)}{optional} | {text} |")
    return "\n".join(rows) + "\n"


def type_of(schema: Schema, t: Texts) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "enum" in schema:
        return t(", ").join(f"`{v}`" for v in schema["enum"])
    if "anyOf" in schema:
        return t(" or ").join(type_of(s, t) for s in schema["anyOf"])
    kinds = schema.get("type", "anything")
    words = []
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind == "array":
            words.append(t("list of {of}").format(of=type_of(schema["items"], t)))
        elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            words.append(t("object of {of}").format(of=type_of(schema["additionalProperties"], t)))
        elif kind == "object" and "properties" in schema:
            words.append(t("object: {of}").format(of=t(", ").join(f"`{n}`" for n in schema["properties"])))
        else:
            words.append(t(kind))
    return t(" or ").join(words)

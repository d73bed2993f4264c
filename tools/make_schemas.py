"""src/mconv/schemas/COMMAND.json and docs/json.md: the form of every command's --json, from the results' classes.

    python tools/make_schemas.py            writes them
    python tools/make_schemas.py --check    says whether they are up to date

The fields and types are those of the dataclass that a command returns, the descriptions those in its docstring; what a
class leaves open (``dict[str, Any]``) is described here. The Chinese of all of it, for docs/json.zh.md, is in
docsite/json.zh.yaml. The examples are real: tests/cli/test_json.py validates them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import re
import sys
import types
import typing
from pathlib import Path, PurePath
from typing import Any

from docsite import json_page

from mconv.artifacts.provenance_check import Checked
from mconv.bench.result import Bench
from mconv.cli.main import COMMANDS, available
from mconv.inspection import Inspection
from mconv.proof.compare import OutputComparison, Tolerance
from mconv.proof.report import Report
from mconv.proof.serve_report import ServeReport
from mconv.recipe import fields
from mconv.recipe.initial import Draft
from mconv.recipe.results import RecipeResult, StepResult
from mconv.runtimes.doctor import Diagnosis
from mconv.runtimes.runtime import RuntimeStatus
from mconv.runtimes.supervisor import Running
from mconv.serving.convert import ServingResult
from mconv.serving.scaffold import Written
from mconv.verbs.convert import Converted
from mconv.verbs.convert_many import ConvertedMany
from mconv.verbs.downgrade import Downgraded
from mconv.verbs.edit import EditReport
from mconv.verbs.half_report import HalfReport
from mconv.verbs.quantize_report import QuantizeReport
from mconv.verbs.report_bug import BugReport
from mconv.verbs.serve import Serving
from mconv.verbs.shapes import Shapes
from mconv.verbs.verify import Verification

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "src" / "mconv" / "schemas"
EXAMPLES = Path(__file__).parent / "json_examples"
DOCS = ROOT / "docs"
CHINESE = json_page.Texts("zh", "json.zh.yaml")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

# building blocks ------------------------------------------------------------------------------------------------------

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}


def nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def mapped(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with exactly these fields."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def said(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


SIZES = said(mapped(listed(WHOLE)), "input → its shape")
SHAPE = said(nullable(listed({"type": ["integer", "string", "null"]})), "a number, a name, or null where it stays open")
NODE = record({"operator": said(TEXT, "its type"), "name": said(TEXT, "of the node, or empty"),
               "reads": said(listed(TEXT), "tensors and weights"), "writes": said(listed(TEXT), "tensors")})  # fmt: skip
PORT = record(
    {
        "name": said(TEXT, "in the source"),
        "dtype": said(nullable(TEXT), "in the source"),
        "paddle_name": said(TEXT, "in the Paddle program"),
        "paddle_dtype": said(nullable(TEXT), "in the Paddle program"),
        "shape": SHAPE,
    }
)
CODED = said(
    listed(record({"code": said(TEXT, "of its kind, such as dimension-fixed; `other`"), "text": TEXT})),
    "the same warnings with a code for programs",
)
OPERATOR = record({"operator": TEXT, "count": WHOLE}, {"domain": said(TEXT, "ai.onnx, aten, …")})
VERIFICATION = record(
    {
        "status": {"enum": ["passed", "passed in part", "failed", "unproved", "not verified"]},
        "reason": said(TEXT, "why it failed, was not done, or is one in part"),
    },
    {
        "reference": said(nullable(TEXT), "what ran the source"),
        "paddle": said(nullable(TEXT), "what ran the Paddle model that was made"),
        "runtime": said(nullable(TEXT), "where: a managed runtime, `current`, or ONNX Runtime for to-onnx"),
        "inputs": said(TEXT, "`random`, or the file that they came from"),
        "input_sets": listed(SIZES),
        "tolerance": ref("Tolerance"),
        "outputs": said(listed(ref("OutputComparison")), "one for each output and input set"),
        "problems": said(listed(TEXT), "what is wrong with the outputs as a whole"),
        "original": said(nullable(ref("verification")), "to-static: Paddle's own program against the layer"),
        "source": said(nullable(ref("verification")), "torch2paddle --into: PyTorch against the layer"),
    },
)
RESERVATION = record(
    {
        "kind": {"enum": ["decision", "size", "input", "state"]},
        "text": said(TEXT, "one sentence"),
    }
)
ERROR = record(
    {
        "error": record(
            {
                "kind": said(TEXT, "the class of the error, such as `UnsupportedError`; `Bug` for a bug of mconv"),
                "message": said(TEXT, "one line"),
                "hint": said(nullable(TEXT), "what to do"),
                "exit_code": said(WHOLE, "as in `mconv --help`"),
                "rows": said(listed({"type": "object"}), "the table, where there is one: operators, outputs, files"),
            }
        )
    }
)
BESIDE = "what the command failed with, where it came as far as a result"
STEP = record({"step": said(TEXT, "the command that does it"), "seconds": NUMBER})
VARIABLE = record({"name": said(TEXT, "the variable"), "alias": said(TEXT, "what clients call it"),
                   "dtype": nullable(TEXT), "shape": said(listed(WHOLE), "the known sizes")})  # fmt: skip
VERSIONS = said(mapped(TEXT), "of mconv, Python and the packages that matter")
SECONDS = said(mapped(NUMBER), "time by phase, and `total`")
PLACE = record(
    {
        "name": TEXT,
        "python": said(TEXT, "its interpreter"),
        "environment": said(mapped(TEXT), "what its processes need"),
    }
)
OUTPUT = record(
    {},
    {
        "folder": said(TEXT, "where the files are"),
        "program": said(nullable(TEXT), "file name"),
        "params": said(nullable(TEXT), "file name"),
        "program_bytes": WHOLE,
        "params_bytes": WHOLE,
        "intermediate": said(nullable(TEXT), "torch2paddle --keep: file name"),
        "file": said(TEXT, "to-onnx: the path"),
        "bytes": said(WHOLE, "to-onnx: of the file"),
    },
)

# (class, field) → what the class leaves open, or says in other words than JSON
OVERRIDES: dict[tuple[str, str], Schema] = {
    ("Report", "source"): said({"type": "object"}, "what was converted: `path` or `spec`, and what is known of it"),
    ("Report", "target"): said(
        record({"name": TEXT}, {"paddle": said(TEXT, "the release whose operators were used"), "opset": WHOLE}),
        "what it is for",
    ),
    ("Report", "status"): {"enum": ["converted", "failed verification"]},
    ("Report", "output"): OUTPUT,
    ("Report", "inputs"): said(listed(ref("port")), "in order"),
    ("Report", "outputs"): said(listed(ref("port")), "in order"),
    ("Report", "renamed"): said(mapped(TEXT), "names that Paddle's files cannot carry → what they are called"),
    ("Report", "operators"): said(listed(ref("operator")), "of the source; of the result for to-onnx"),
    ("Report", "paddle_operators"): said(mapped(WHOLE), "of the Paddle program, without feed and fetch"),
    ("Report", "folded"): said(WHOLE, "nodes that were computed during the conversion"),
    ("Report", "fused"): said(mapped(WHOLE), "what was put together again → how often"),
    ("Report", "expanded"): said(mapped(WHOLE), "operators converted through their function body → how often"),
    ("Report", "warnings"): said(listed(TEXT), "sentences for the user"),
    ("Report", "reservations"): said(listed(RESERVATION), "what the result does not have of the source"),
    ("Report", "verification"): nullable(ref("verification")),
    ("Report", "versions"): VERSIONS,
    ("Report", "seconds"): SECONDS,
    ("Report", "command"): said(TEXT, "the subcommand"),
    ("Report", "engine"): said(TEXT, "what converted it"),
    ("Report", "transplant"): said(nullable({"type": "object"}), "torch2paddle --into: how the weights were matched"),
    ("Report", "schema"): said(WHOLE, "1; fields are added, never changed, within one number"),
    ("Converted", "source"): said({"type": "object"}, "`path`, `kind`, and what is known of it"),
    ("Converted", "target"): record({"name": TEXT, "paddle": TEXT}),
    ("Converted", "inputs"): listed(VARIABLE),
    ("Converted", "outputs"): listed(VARIABLE),
    ("Converted", "steps"): listed(STEP),
    ("Converted", "verification"): ref("verification"),
    ("Converted", "versions"): VERSIONS,
    ("Converted", "seconds"): SECONDS,
    ("Verification", "input_sets"): listed(SIZES),
    ("Verification", "outputs"): said(listed(ref("OutputComparison")), "one for each output and input set"),
    ("Verification", "first"): said(nullable(ref("OutputComparison")), "with --layers, the first tensor that differs"),
    ("Verification", "layers"): said(listed(ref("OutputComparison")), "with --layers, the tensors inside, in A's order"),
    ("Verification", "graphs"): said(mapped(listed(NODE)), "with --layers, the operators of both in order: `a`, `b`"),
    ("Verification", "tolerance"): ref("Tolerance"),
    ("Bench", "tolerance"): ref("Tolerance"),
    ("Bench", "input_sets"): listed(SIZES),
    ("Inspection", "parameter_bytes"): said(mapped(WHOLE), "their data by element type"),
    ("Tensor", "shape"): said(nullable(listed({"type": ["integer", "string"]})), "-1 or a name where it is open; null where the rank is unknown"),
    ("StepResult", "proof"): nullable({"type": "object"}),
    ("StepResult", "error"): nullable({"type": "object"}),
    ("Checked", "target"): nullable(TEXT),
    ("Checked", "options"): said({"type": "object"}, "what changed the bytes"),
}  # fmt: skip

DEFINED: dict[str, Any] = {"port": PORT, "operator": OPERATOR, "verification": VERIFICATION,
                           "OutputComparison": OutputComparison, "Tolerance": Tolerance}  # fmt: skip


# classes → schemas ----------------------------------------------------------------------------------------------------


class Builder:
    """One schema with the definitions that it needs."""

    def __init__(self) -> None:
        self.defs: dict[str, Schema] = {}

    def schema(self, root: Any) -> Schema:
        made = self.of(root) if isinstance(root, type) else root
        if isinstance(made.get("$ref"), str):
            made = self.defs.pop(made["$ref"].rpartition("/")[2])
        self.resolve(made)
        return made

    def resolve(self, schema: Any) -> None:
        """Define what is referred to by name."""
        for name in re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)):
            if name not in self.defs:
                wanted = DEFINED[name]
                self.defs[name] = wanted if isinstance(wanted, dict) else self.record_of(wanted)
                self.resolve(self.defs[name])

    def of(self, kind: Any) -> Schema:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if kind is Any:
            return {}
        if origin in (typing.Union, types.UnionType):
            inner = [a for a in arguments if a is not type(None)]
            made = self.of(inner[0]) if len(inner) == 1 else {"anyOf": [self.of(a) for a in inner]}
            return nullable(made) if len(inner) < len(arguments) else made
        if origin in (list, tuple, set) or kind in (list, tuple):
            return listed(self.of(arguments[0])) if arguments else listed({})
        if origin is dict or (isinstance(origin, type) and issubclass(origin, typing.Mapping)):
            return mapped(self.of(arguments[1])) if arguments[1] is not Any else {"type": "object"}
        if dataclasses.is_dataclass(kind):
            if kind.__name__ not in self.defs:
                self.defs[kind.__name__] = {}
                self.defs[kind.__name__] = self.record_of(kind)
            return ref(kind.__name__)
        if kind is float:
            # figures that are infinite or no number are null or, where they may be either, a text
            return {"type": "number"}
        simple = {bool: "boolean", int: "integer", str: "string"}
        if kind in simple:
            return {"type": simple[kind]}
        if isinstance(kind, type) and issubclass(kind, PurePath):
            return {"type": "string"}
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.name.lower() for member in kind]}
        raise TypeError(f"no schema for {kind!r}")

    def record_of(self, kind: Any) -> Schema:
        hints, described = typing.get_type_hints(kind), attributes_of(kind)
        fields = {}
        for f in dataclasses.fields(kind):
            override = next((o for k in kind.__mro__ if (o := OVERRIDES.get((k.__name__, f.name)))), None)
            made = override if override is not None else self.of(hints[f.name])
            if f.name in described and "description" not in made:
                made = said(made, described[f.name])
            fields[f.name] = made
        if kind is RecipeResult:  # its to_dict() says these, too
            fields |= {"ok": {"type": "boolean"}, "status": {"enum": ["done", "cached", "failed", "skipped"]}}
        return record(fields, {"coded_warnings": CODED} if "warnings" in fields else None)


def attributes_of(kind: Any) -> dict[str, str]:
    """Field → its description in the ``Attributes:`` of a docstring."""
    text = (kind.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    for block in re.split(r"\n {8}(?=\w[\w, ]*:)", text):
        names, colon, rest = block.strip().partition(":")
        if colon and re.fullmatch(r"\w+(, \w+)*", names):
            words = " ".join(rest.split("\n\n")[0].split()).rstrip(".").replace("``", "`").replace(":class:`~", "`")
            found.update(dict.fromkeys(names.split(", "), words))
    return found


RUN = record(
    {
        "schema": WHOLE,
        "ok": {"type": "boolean"},
        "out": said(TEXT, "the folder of the results"),
        "seconds": NUMBER,
        "recipes": listed(ref("RecipeResult")),
    }
)
# command → the class of its result, or the schema itself
RESULTS: dict[str, Any] = {
    "to-static": Report,
    "onnx2paddle": Report,
    "torch2paddle": Report,
    "to-onnx": Report,
    "downgrade": Downgraded,
    "half": HalfReport,
    "quantize": QuantizeReport,
    "edit": EditReport,
    "convert": Converted,
    "convert-many": ConvertedMany,
    "to-serving": ServingResult,
    "scaffold": Written,
    "shapes": Shapes,
    "serve": Serving,
    "serve-stop": record({"stopped": ref("Running")}),
    "serve-check": ServeReport,
    "inspect": Inspection,
    "verify": Verification,
    "bench": Bench,
    "check": Checked,
    "run": None,  # below
    "init": Draft,
    "runtime-list": record({"runtimes": listed(ref("RuntimeStatus"))}),
    "runtime-install": record({"runtimes": listed(PLACE)}),
    "runtime-remove": record({"removed": said(listed(TEXT), "those that were installed")}),
    "runtime-path": PLACE,
    "doctor": Diagnosis,
    "report-bug": BugReport,
    "error": ERROR,
}
# those whose results stay where they end with an error: what they prove, compare, measure or do of several
JUDGED = {"to-static", "onnx2paddle", "torch2paddle", "to-onnx", "edit", "convert", "convert-many",
          "serve-check", "verify", "bench", "check", "run"}  # fmt: skip
RECIPE = ROOT / "src" / "mconv" / "recipe" / "schema.json"  # its steps follow from the option classes
DEFINED.update(
    {"Running": Running, "RuntimeStatus": RuntimeStatus, "RecipeResult": RecipeResult, "StepResult": StepResult}
)
TITLES = {"error": json_page.FAILURE}


def title(name: str) -> str:
    if name in TITLES:
        return TITLES[name]
    if name == "serve-stop":
        return "mconv serve --stop --json"
    return "mconv " + (name.replace("-", " ", 1) if name.startswith("runtime-") else name) + " --json"


def documents() -> dict[Path, str]:
    """Every file that this writes."""
    found: dict[Path, str] = {}
    schemas = {}
    for name, result in RESULTS.items():
        builder = Builder()
        made = builder.schema(RUN if name == "run" else result)
        schema = {"$schema": DIALECT, "$id": f"https://mconv.invalid/schemas/{name}.json", "title": title(name), **made}
        if name in JUDGED:
            schema["properties"]["error"] = said(ERROR["properties"]["error"], BESIDE)
        if builder.defs:
            schema["$defs"] = dict(sorted(builder.defs.items()))
        example = EXAMPLES / f"{name}.json"
        if example.is_file():
            schema["examples"] = [json.loads(example.read_text("utf-8"))]
        schemas[name] = schema
        found[FOLDER / f"{name}.json"] = json.dumps(schema, ensure_ascii=False, indent=2) + "\n"
    recipe = json.loads(RECIPE.read_text("utf-8"))
    recipe["$defs"].update(fields.definitions())
    found[RECIPE] = json.dumps(recipe, ensure_ascii=False, indent=2) + "\n"
    found[DOCS / "json.md"] = json_page.page(schemas, json_page.Texts("en"))
    found[DOCS / "json.zh.md"] = json_page.page(schemas, CHINESE)
    return found


def covered() -> set[str]:
    """The subcommands that have a schema."""
    parts = ("runtime-", "serve-stop")
    return {name.partition("-")[0] if name.startswith(parts) else name for name in RESULTS} - {"error"}


def main() -> int:
    missing = {n for group in COMMANDS.values() for n in group if available(n)} - covered()
    if missing:
        sys.exit(f"no result is named for {', '.join(sorted(missing))}: add it to RESULTS")
    stale = []
    for path, text in documents().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
    told = [f"json.zh.yaml has no Chinese for {text!r}" for text in CHINESE.missing]
    told += [f"json.zh.yaml: nothing says {text!r} any more" for text in CHINESE.stale()]
    print(*told, sep="\n", end="\n" if told else "", file=sys.stderr)
    if "--check" in sys.argv and told:
        sys.exit("say it in tools/docsite/json.zh.yaml")
    if "--check" in sys.argv and stale:
        sys.exit(f"not up to date: {', '.join(stale)}; python tools/make_schemas.py writes them")
    return 0


if __name__ == "__main__":
    sys.exit(main())

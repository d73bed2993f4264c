"""Model families of ``transformers`` by ``mconv torch2paddle``; ``python -m tests.torch.families --write`` records it.

The record, ``families.json``, says for each family and Paddle one of

- ``pass``: proved at several sizes;
- ``in part: …``: proved, and what the result is not;
- ``refused: …``: why mconv does not convert it;
- ``wrong: …``: the proof says that it computes something else (exit code 10): to be fixed;
- ``no exporter: …``: torch.export and both of torch's ONNX exporters fail by themselves, so that no one can.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Union
from unittest import mock

import numpy as np

from mconv import api
from mconv.errors import MconvError
from mconv.torch import exporting
from tests import records
from tests.zoo.torch_families import FAMILIES, Family

RESULTS = Path(__file__).with_name("families.json")
RUNTIMES = {"3.3.1": ("3", "current"), "2.6.2": ("2.6", None), "2.3.2": ("2.3", None)}  # Paddle → target and runtime
CONVERTED = ("pass", "in part: ")


@contextlib.contextmanager
def exported_once() -> Iterator[None]:
    """Within it, what torch.export made of a model at the same sizes is taken again for the next target."""
    known: dict[Any, Union[exporting.Exported, Exception]] = {}
    export = exporting.export

    def once(module: Any, examples: Any, dims: Any, **options: Any) -> exporting.Exported:
        shapes = [(name, tuple(value.shape), str(dims.get(name))) for name, value in examples.items()]
        key = str((id(module), shapes, options))
        if key not in known:
            try:
                known[key] = export(module, examples, dims, **options)
            except Exception as e:  # noqa: BLE001 - raised below, and for the next target
                known[key] = e
        found = known[key]
        if isinstance(found, Exception):
            raise found
        return replace(found, outputs=list(found.outputs), notes=list(found.notes))

    with mock.patch("mconv.verbs.torch_routes.export", once):
        yield


def outcome(model: Any, family: Family, paddle: str) -> str:
    """What becomes of it in one Paddle, as the record says it; a crash is an error."""
    target, runtime = RUNTIMES[paddle]
    chosen: dict[str, Any] = {
        "inputs": family.inputs,
        "deterministic": family.deterministic,
        "tolerance": family.tolerance,
        "accept_frozen": True,
        **({"runtime": runtime} if runtime else {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = api.torch2paddle(model, Path(folder) / "out", target=target, **chosen)
        except MconvError as e:
            if e.exit_code == 10:
                return f"wrong: {e.message}"
            if e.exit_code != 5:
                raise
            reason = unexportable(model, family)
            return f"no exporter: {reason}" if reason else f"refused: {e.message}"
    proof = report.verification
    assert proof is not None and proof["status"].startswith("passed"), proof
    shapes = [{name: tuple(shape) for name, shape in given.items()} for given in proof["input_sets"]]
    fixed = [note for note in report.reservations if "torch fixed the dimension" in note["text"]]
    assert fixed or (len(shapes) > 1 and shapes[0] != shapes[1]), shapes
    if proof["status"] == "passed":
        return "pass"
    return "in part: " + "; ".join([r["text"] for r in report.reservations] or [proof["reason"]])


def unexportable(model: Any, family: Family) -> str:
    """Why none of torch's own exporters takes the model, as it is, with sizes fixed; empty where one does."""
    import torch

    from mconv.options.torch import Torch2Paddle
    from mconv.torch.quiet import quiet
    from mconv.torch.sources import open_source
    from mconv.verbs import torch_inputs

    chosen = Torch2Paddle(model, "out", inputs=family.inputs)
    source = open_source(model, **chosen.opening())
    plan = torch_inputs.declared(source, chosen.inputs, None)
    feed = torch_inputs.random_sets(plan.inputs, source.sizes)[0]
    examples = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feed.items()}
    with torch.no_grad():
        model(**examples)  # the model itself takes them
    names = list(examples)

    class Called(torch.nn.Module):
        """By position, as the TorchScript exporter calls a module."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values)))

    given = tuple(examples.values())
    ways: dict[str, Callable[[str], Any]] = {
        "torch.export": lambda path: torch.export.export(model, (), examples),
        "strict": lambda path: torch.export.export(model, (), examples, strict=True),
        "dynamo": lambda path: torch.onnx.export(model, (), path, kwargs=examples, dynamo=True, verbose=False),
        "TorchScript": lambda path: torch.onnx.export(Called(), given, path, dynamo=False, opset_version=17),
    }
    reasons = []
    for name, export in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                log = mock.patch.object(torch._C, "_jit_onnx_log", lambda *text: None)  # it prints what failed
                with torch.no_grad(), quiet(), log:
                    export(str(Path(folder) / "model.onnx"))
            except Exception as e:  # noqa: BLE001 - whatever an exporter raises is its reason
                reasons.append(f"{name}: {exporting.first_line(e)[:160]}")
            else:
                return ""
    return "; ".join(reasons)


def recorded() -> dict[str, dict[str, str]]:
    """Family → Paddle → outcome."""
    return records.read(RESULTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="families; default all")
    parser.add_argument("--write", action="store_true", help="record the outcomes, each as soon as it is known")
    options = parser.parse_args()
    results = recorded()
    for name in options.names or FAMILIES:
        start = time.perf_counter()
        model = FAMILIES[name].build()
        found = {}
        with exported_once():
            for paddle in RUNTIMES:
                try:
                    found[paddle] = outcome(model, FAMILIES[name], paddle)
                except (AssertionError, MconvError) as e:
                    found[paddle] = f"FAILED: {e}"
        print(name, found, f"{time.perf_counter() - start:.0f} s", flush=True)
        if options.write and not any(v.startswith("FAILED") for v in found.values()):
            results = {**recorded(), name: found}  # another process may have written, too
            records.write(RESULTS, results, FAMILIES)


if __name__ == "__main__":
    main()

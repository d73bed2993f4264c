"""Every architecture of the zoo, exported, converted and run; ``python -m tests.torch.zoo --write`` records the outcome.

The record, ``zoo_results.json``, says for each model and Paddle ``pass``, or why it is refused. Nothing else may happen.
"""

from __future__ import annotations

import argparse
import inspect
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mconv.errors import UnsupportedError
from mconv.torch.exporting import Exported, export
from tests import records
from tests.torch.checks import CURRENT, PADDLE_23, Runtime, check_model
from tests.zoo.torch_audio import AUDIO
from tests.zoo.torch_graphs import GRAPHS
from tests.zoo.torch_language import LANGUAGE
from tests.zoo.torch_models import ZOO, Sample
from tests.zoo.torch_more import MORE
from tests.zoo.torch_vision import VISION_MODELS

MODELS: dict[str, Callable[[], Sample]] = {**ZOO, **MORE, **LANGUAGE, **VISION_MODELS, **AUDIO, **GRAPHS}
RESULTS = Path(__file__).with_name("zoo_results.json")
RUNTIMES = {"3.3.1": CURRENT, "2.3.2": PADDLE_23}


def exported(name: str) -> tuple[Any, Exported, list[dict[str, np.ndarray]]]:
    """The model, its export, and the inputs of both sizes by ``forward``'s names.

    Raises:
        UnsupportedError: torch cannot export it.
    """
    import torch

    sample = MODELS[name]()
    parameters = list(inspect.signature(sample.model.forward).parameters)
    given = list(sample.feeds(*sample.sizes[0]))
    called = dict(zip(given, given if set(given) <= set(parameters) else parameters))
    sets = [{called[k]: v for k, v in sample.feeds(*size).items()} for size in sample.sizes]
    dims = {called[k]: v for k, v in sample.dims.items()}
    examples = {k: torch.from_numpy(v) for k, v in sets[0].items()}
    return sample.model, export(sample.model, examples, dims), sets


def outcome(model: Any, made: Exported, sets: Sequence[dict[str, np.ndarray]], runtime: Runtime) -> str:
    """``pass``, or ``refused: …``; a wrong answer or a crash is an error of the test."""
    import torch

    with torch.no_grad():
        leaves = torch.utils._pytree.tree_leaves(model(**{k: torch.from_numpy(v) for k, v in sets[0].items()}))
    assert all(float(t.abs().max()) > 1e-3 for t in leaves), "the model gives nothing to compare"
    try:
        check_model(model, made, runtime, sets)
    except UnsupportedError as e:
        return f"refused: {e.message}"
    return "pass"


def recorded() -> dict[str, dict[str, str]]:
    """Model → Paddle → outcome."""
    return records.read(RESULTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models; default all")
    parser.add_argument("--write", action="store_true", help="record the outcomes")
    options = parser.parse_args()
    results = recorded()
    for name in options.names or MODELS:
        start = time.perf_counter()
        try:
            parts = exported(name)
        except UnsupportedError as e:
            found = dict.fromkeys(RUNTIMES, f"refused: {e.message}")
        else:
            found = {}
            for paddle, runtime in RUNTIMES.items():
                try:
                    found[paddle] = outcome(*parts, runtime)
                except AssertionError as e:
                    found[paddle] = f"WRONG: {e}"
        print(name, found, f"{time.perf_counter() - start:.0f} s", flush=True)
        results[name] = found
    if options.write:
        if any(v.startswith("WRONG") for found in results.values() for v in found.values()):
            raise SystemExit("a wrong answer is not recorded")
        records.write(RESULTS, results, MODELS)


if __name__ == "__main__":
    main()

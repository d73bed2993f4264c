"""The golden models: made by real Paddles, with their inputs and outputs and the official converter's results.

``tests/data/golden/<paddle version>/<case>/`` holds ``inference_model/``, ``io.npz`` (``in_<i>_<name>`` and ``out_<i>``
in the model's own order), and ``serving_server/``, ``serving_client/``, ``call.json`` of paddle-serving-client 0.9.0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"


@dataclass(frozen=True)
class Case:
    """One golden model."""

    version: str
    name: str

    @property
    def folder(self) -> Path:
        return GOLDEN / f"paddle-{self.version}" / self.name

    @property
    def model(self) -> Path:
        return self.folder / "inference_model"

    @property
    def server(self) -> Path:
        return self.folder / "serving_server"

    @property
    def client(self) -> Path:
        return self.folder / "serving_client"

    @property
    def call(self) -> dict:
        """What the official converter was called with: model_filename, params_filename, feed, fetch."""
        return json.loads((self.folder / "call.json").read_text(encoding="utf-8"))

    @property
    def program_file(self) -> Path:
        return self.model / (self.call["model_filename"] or "__model__")

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Name → array, in the model's own order."""
        return dict(pair for _, pair in sorted(self._io("in_").items()))

    @property
    def outputs(self) -> list[np.ndarray]:
        """In the model's own order."""
        return [array for _, (_, array) in sorted(self._io("out_").items())]

    def _io(self, prefix: str) -> dict[int, tuple[str, np.ndarray]]:
        found = {}
        with np.load(self.folder / "io.npz") as io:
            for key in io.files:
                if key.startswith(prefix):
                    index, _, name = key[len(prefix) :].partition("_")
                    found[int(index)] = (name, io[key])
        return found

    def __str__(self) -> str:
        return f"{self.version}-{self.name}"


CASES = [
    *(Case("1.8.5", f"{net}_{how}") for net in ("mlp", "bert", "conv") for how in ("separate", "combined", "custom")),
    *(Case("2.3.2", net) for net in ("mlp", "bert", "conv", "multi")),
]


def case(text: str) -> Case:
    """The case called e.g. ``2.3.2-bert``."""
    return next(c for c in CASES if str(c) == text)

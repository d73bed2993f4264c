"""Converting the models of ``zoo.py`` and running them in other versions of Paddle."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv import api


def close(want: np.ndarray, got: np.ndarray, tolerance: float = 1e-5) -> Optional[str]:
    """What is wrong with *got*; None when it agrees to *tolerance* of the largest number. [1] may stand for []."""
    if want.size == 1 and got.size == 1:
        got = got.reshape(want.shape)
    if want.shape != got.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype != got.dtype:
        return f"{got.dtype}, not {want.dtype}"
    largest = max(1.0, float(np.abs(want).max(initial=0)))
    worst = float(np.abs(want.astype(np.float64) - got.astype(np.float64)).max(initial=0)) / largest
    return None if worst <= tolerance else f"differs by {worst:.3g} of the largest number"


def answers(folder: Path, name: str) -> tuple[list[dict[str, np.ndarray]], list[list[np.ndarray]]]:
    """The inputs and outputs at both sizes, as ``zoo.py`` wrote them."""
    data = np.load(folder / f"{name}.npz")
    feeds, outs = [], []
    for which in "01":
        feeds.append({k[5:]: data[k] for k in data.files if k.startswith(f"{which}_in_")})
        keys = sorted((k for k in data.files if k.startswith(f"{which}_out_")), key=lambda k: int(k.rpartition("_")[2]))
        outs.append([data[k] for k in keys])
    return feeds, outs


def converted(folder: Path, name: str, out: Path, target: str = "2.3") -> Path:
    """The folder with the converted model; its parameters are the original's file."""
    api.downgrade(folder / f"{name}.json", out, name=name, target=target, force=True, link=True)
    return out


def check(folder: Path, name: str, out: Path, worker: Any, **options: Any) -> list[str]:
    """What is wrong with the converted model's answers at both sizes."""
    feeds, outs = answers(folder, name)
    result = worker.run(out / f"{name}.pdmodel", out / f"{name}.pdiparams", feeds, **options)
    wrong = []
    for which, (want, got) in enumerate(zip(outs, result.outputs)):
        if len(want) != len(got):
            wrong.append(f"{len(got)} outputs, not {len(want)}")
        for i, (w, g) in enumerate(zip(want, got)):
            problem = close(w, g)
            if problem:
                wrong.append(f"size {which}, output {i}: {problem}")
    return wrong

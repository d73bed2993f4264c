"""The zoo's models as ONNX files, by both of torch's exporters."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

from tests.zoo.torch_models import ZOO, Sample

# exporter and opset: the TorchScript one and the dynamo one
KINDS = ("ts11", "ts14", "ts17", "dynamo18", "dynamo20")


def export(name: str, kind: str, folder: Path) -> tuple[Path, Sample]:
    """Write ``<folder>/<name>.<kind>.onnx``; whatever the exporter raises comes through."""
    import torch

    sample = ZOO[name]()
    feeds = sample.feeds(*sample.sizes[0])
    args = tuple(torch.from_numpy(feeds[n]) for n in feeds)
    path = folder / f"{name}.{kind}.onnx"
    opset = int(kind[-2:])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if kind.startswith("dynamo"):
            auto = torch.export.Dim.AUTO
            shapes = tuple({i: auto for i, d in enumerate(sample.dims[n]) if d} for n in feeds)
            made = torch.onnx.export(
                sample.model, args, dynamo=True, opset_version=opset, input_names=list(feeds), dynamic_shapes=shapes,
                verbose=False,
            )  # fmt: skip
            made.save(str(path))
        else:
            axes = {n: {i: d for i, d in enumerate(sample.dims[n]) if d} for n in feeds}
            torch.onnx.export(
                sample.model, args, str(path), dynamo=False, opset_version=opset, input_names=list(feeds),
                dynamic_axes=axes,
            )  # fmt: skip
    return path, sample

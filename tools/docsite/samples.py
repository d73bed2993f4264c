"""The models that the recorded examples work on, made in a scratch folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GOLDEN = Path(__file__).parent.parent.parent / "tests" / "data" / "golden"


def prepare(folder: Path) -> None:
    """Fill *folder*: ``pb_model.*`` (a small BERT of Paddle 2.3.2), ``old_model/`` (a convnet of 1.8.5, one file per
    parameter), ``model.onnx`` (an MLP, batch open), ``cut.pdmodel`` (a damaged program), ``io.npz`` (the BERT's inputs).
    """
    bert = GOLDEN / "paddle-2.3.2" / "bert"
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copy(bert / "inference_model" / f"inference{suffix}", folder / f"pb_model{suffix}")
    shutil.copytree(GOLDEN / "paddle-1.8.5" / "conv_separate" / "inference_model", folder / "old_model")
    (folder / "cut.pdmodel").write_bytes((folder / "pb_model.pdmodel").read_bytes()[:1000])
    with np.load(bert / "io.npz") as io:
        np.savez(folder / "io.npz", **{k.split("_", 2)[2]: io[k] for k in io.files if k.startswith("in_")})
    onnx.save(mlp(), folder / "model.onnx")


def mlp(*, seed: int = 0) -> onnx.ModelProto:
    """x[batch, 8] → Gemm, Relu, Gemm → scores[batch, 3]; weights from *seed*."""
    random = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(random.standard_normal(shape, np.float32), name)
        for name, shape in (("w1", (8, 16)), ("b1", (16,)), ("w2", (16, 3)), ("b2", (3,)))
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="example")
    model.ir_version = 8
    return model

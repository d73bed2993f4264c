"""The models that the recorded examples work on, made in a scratch folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mconv.program import files

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "data" / "golden"
SENTENCE = "一博| 愿你在岁月中更加平湖静月，衣襟生花，你好你坏我们都在，"

# read off models saved by 2.6.2: the outputs that it leaves out
_LEFT_OUT = {"transpose2": ["XShape"], "unsqueeze2": ["XShape"], "squeeze2": ["XShape"], "dropout": ["Mask"]}
NET = """import paddle


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        paddle.seed(0)
        self.hidden = paddle.nn.Linear(8, 16)
        self.out = paddle.nn.Linear(16, 3)

    def forward(self, x):
        return self.out(paddle.nn.functional.gelu(self.hidden(x)))
"""


def _as_saved_by_2_6(source: Path, folder: Path) -> None:
    """*source* as ``pb_model.*``, without the outputs that only training needs."""
    found = files.locate(source)
    program = files.load_program(found)
    for _, op in program.ops():
        for name in _LEFT_OUT.get(op.type, ()):
            op.set_output(name, None)
    program.version = 2006002
    (folder / "pb_model.pdmodel").write_bytes(program.to_bytes())
    shutil.copy(source.with_suffix(".pdiparams"), folder / "pb_model.pdiparams")


def prepare(folder: Path) -> None:
    """Fill *folder*.

    ``pb_model.*``: a small BERT as Paddle 2.6 saves it; ``bert23.*``: the same of Paddle 2.3.2; ``old_model/``: a convnet
    of 1.8.5, one file per parameter; ``model.onnx``: an MLP, batch open; ``cut.pdmodel``: a damaged program; ``io.npz``:
    the BERT's inputs; ``net.py``: a ``paddle.nn.Layer``; ``models/``: those of the recipes; ``tokenizer/``: the words of a
    tokenizer that knows the characters of one sentence.
    """
    bert = GOLDEN / "paddle-2.3.2" / "bert"
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copy(bert / "inference_model" / f"inference{suffix}", folder / f"bert23{suffix}")
    _as_saved_by_2_6(folder / "bert23", folder)
    shutil.copytree(GOLDEN / "paddle-1.8.5" / "conv_separate" / "inference_model", folder / "old_model")
    (folder / "cut.pdmodel").write_bytes((folder / "pb_model.pdmodel").read_bytes()[:1000])
    with np.load(bert / "io.npz") as io:
        np.savez(folder / "io.npz", **{k.split("_", 2)[2]: io[k] for k in io.files if k.startswith("in_")})
    onnx.save(mlp(), folder / "model.onnx")
    shutil.copytree(ROOT / "recipes" / "models", folder / "models", ignore=shutil.ignore_patterns("__pycache__"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(SENTENCE.replace(" ", ""))]
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "net.py").write_text(NET, encoding="utf-8")


def mlp(*, seed: int = 0) -> onnx.ModelProto:
    """x[batch, 8] → Gemm, Relu, Gemm → scores[batch, 3]; weights from *seed*.

    Sums of 512 products: no two libraries of linear algebra agree on their last digits.
    """
    random = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(random.standard_normal(shape, np.float32), name)
        for name, shape in (("w1", (8, 512)), ("b1", (512,)), ("w2", (512, 3)), ("b2", (3,)))
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

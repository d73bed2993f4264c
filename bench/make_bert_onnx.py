"""Writes a BERT-base sized ONNX model (12 layers, width 768, 440 MB) as exporters decompose it: ``make_bert_onnx.py OUT``.

Opset 11, dynamic batch and length; layer norms and GELUs in their parts. Needs onnx and numpy only.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, INNER, WORDS = 768, 12, 3072, 30522


class Graph:
    """Nodes and initializers under construction; every method gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(0)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        return self.constant(name, (self.random.standard_normal(shape, np.float32) * np.float32(0.02)))

    def node(self, op: str, *inputs: str, name: str = "", **attributes: object) -> str:
        output = name or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"node_{output}", **attributes))
        return output

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        product = self.node("MatMul", x, self.weight(f"{name}.weight", rows, columns))
        return self.node("Add", product, self.weight(f"{name}.bias", columns))

    def layer_norm(self, x: str, name: str) -> str:
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[-1]))
        variance = self.node("ReduceMean", self.node("Pow", centred, "two"), axes=[-1])
        scale = self.node("Sqrt", self.node("Add", variance, "epsilon"))
        gamma = self.constant(f"{name}.weight", np.ones(WIDTH, np.float32))
        return self.node(
            "Add", self.node("Mul", self.node("Div", centred, scale), gamma), self.weight(f"{name}.bias", WIDTH)
        )

    def heads(self, x: str, name: str, perm: list[int]) -> str:
        split = self.node("Reshape", self.linear(x, name, WIDTH, WIDTH), "split")
        return self.node("Transpose", split, perm=perm)

    def layer(self, x: str, mask: str, name: str) -> str:
        query, key, value = (
            self.heads(x, f"{name}.{part}", perm)
            for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = self.node("Add", self.node("Div", self.node("MatMul", query, key), "root"), mask)
        context = self.node("MatMul", self.node("Softmax", scores, axis=3), value)
        joined = self.node("Reshape", self.node("Transpose", context, perm=[0, 2, 1, 3]), "joined")
        x = self.layer_norm(self.node("Add", self.linear(joined, f"{name}.out", WIDTH, WIDTH), x), f"{name}.norm1")
        inner = self.linear(x, f"{name}.up", WIDTH, INNER)
        grown = self.node("Add", self.node("Erf", self.node("Div", inner, "root2")), "one")
        gelu = self.node("Mul", self.node("Mul", inner, grown), "half")
        return self.layer_norm(self.node("Add", self.linear(gelu, f"{name}.down", INNER, WIDTH), x), f"{name}.norm2")


def bert(layers: int = 12) -> onnx.ModelProto:
    g = Graph()
    for name, value in (
        ("two", 2), ("epsilon", 1e-12), ("root", 8), ("root2", 2**0.5), ("one", 1), ("half", 0.5), ("low", -10000),
    ):  # fmt: skip
        g.constant(name, np.array(value, np.float32))
    g.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
    g.constant("joined", np.array([0, 0, WIDTH], np.int64))
    g.constant("first", np.array(0, np.int64))
    mask = g.node("Cast", g.node("Unsqueeze", "attention_mask", axes=[1, 2]), to=TensorProto.FLOAT)
    mask = g.node("Mul", g.node("Sub", "one", mask), "low")
    words = g.node("Gather", g.weight("words", WORDS, WIDTH), "input_ids", axis=0)
    positions = g.node("Gather", g.weight("positions", 512, WIDTH), "position_ids", axis=0)
    kinds = g.node("Gather", g.weight("kinds", 2, WIDTH), "token_type_ids", axis=0)
    x = g.layer_norm(g.node("Add", g.node("Add", words, kinds), positions), "norm")
    for number in range(layers):
        x = g.layer(x, mask, f"layer.{number}")
    pooled = g.node("Tanh", g.linear(g.node("Gather", x, "first", axis=1), "pool", WIDTH, WIDTH))
    product = g.node("MatMul", pooled, g.weight("classify.weight", WIDTH, 2))
    g.node("Add", product, g.weight("classify.bias", 2), name="logits")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "token_type_ids", "position_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(g.nodes, "bert", inputs, [output], g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="bench")


if __name__ == "__main__":
    onnx.save(bert(), sys.argv[1])

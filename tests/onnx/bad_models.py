"""ONNX files that are damaged, contradict themselves or ask for the impossible.

``CASES`` gives, by name, how to make the file (or folder of files) and the error that it must end in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Union

import numpy as np
import onnx
from onnx import TensorProto, helper

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError, UntrustedError
from tests.damaged import field, varint
from tests.onnx.make import model, node, port

Made = Union[bytes, onnx.ModelProto]
CASES: dict[str, tuple[Callable[[Path], Made], type[MconvError]]] = {}


def case(name: str, error: type[MconvError], make: Callable[[Path], Made]) -> None:
    CASES[name] = (make, error)


def corrupt(name: str, make: Callable[[], Made]) -> None:
    case(name, CorruptModelError, lambda _: make())


def unsupported(name: str, make: Callable[[], Made]) -> None:
    case(name, UnsupportedError, lambda _: make())


def tensor(dims: list[int], raw: bytes = b"", kind: int = 1, name: str = "w") -> onnx.TensorProto:
    return TensorProto(name=name, dims=dims, data_type=kind, raw_data=raw)


RELU = node("Relu", "x", "y")
W4 = np.zeros((4, 5), np.float32)

# not an ONNX model
for _label, _data in {
    "nothing": b"",
    "a text": b"this is not a model\n" * 100,
    "zeros": bytes(5000),
    "a zip archive": b"PK\x03\x04" + bytes(500),
    "random bytes": np.random.default_rng(0).bytes(4000),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(500),
}.items():
    case(_label, NotAModelError, lambda _, data=_data: data)

# graphs
corrupt("an Einsum that does not fit", lambda: model([node("Einsum", "x x", "y", equation="ijklm,jk->ik")]))
corrupt("a cycle", lambda: model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]))
corrupt("a node that reads itself", lambda: model([node("Add", "x y", "y")]))
corrupt("a missing initializer", lambda: model([node("MatMul", "x W", "y")]))
corrupt("an output that nothing computes", lambda: model([node("Relu", "x", "z")]))
corrupt("two nodes that compute one name", lambda: model([RELU, node("Neg", "x", "y")]))
corrupt("a node that computes an input", lambda: model([node("Neg", "w", "x"), RELU], weights={"w": W4}))
corrupt("two inputs of one name", lambda: model([RELU], [port("x"), port("x", TensorProto.INT64)]))
corrupt("an input without a name", lambda: model([RELU], [port(""), port("x")]))
corrupt(
    "two initializers of one name",
    lambda: model([node("Add", "x w", "y")], tensors=[tensor([4], bytes(16)), tensor([4], bytes(16))]),
)


def _without(field: str) -> onnx.ModelProto:
    made = model([RELU])
    made.graph.ClearField(field)
    return made


corrupt("no outputs", lambda: _without("output"))
corrupt("no nodes", lambda: _without("node"))
corrupt("a domain that is not imported", lambda: model([node("Foo", "x", "y", domain="com.acme")]))
corrupt("opset 0", lambda: model([RELU], opset=0))
corrupt("a negative opset", lambda: model([RELU], opset=-1))
unsupported("an opset from the future", lambda: model([RELU], opset=999))
unsupported("an operator from nowhere", lambda: model([node("Frobnicate", "x", "y")]))
unsupported("a custom operator", lambda: model([node("Foo", "x", "y", domain="com.acme")], domains=["com.acme"]))
unsupported("an operator without a name", lambda: model([node("", "x", "y")]))

# shapes and types
_23 = [port("x", dims=[2, 3])]
corrupt("MatMul of 2×3 and 4×5", lambda: model([node("MatMul", "x w", "y")], _23, weights={"w": W4}))
corrupt("Add of 2×3 and 4×5", lambda: model([node("Add", "x w", "y")], _23, weights={"w": W4}))
corrupt("Add of floats and integers", lambda: model([node("Add", "x w", "y")], weights={"w": np.zeros(4, np.int64)}))
corrupt("an output of another type", lambda: model([RELU], outputs=[port("y", TensorProto.INT64)]))
corrupt("a permutation of other axes", lambda: model([node("Transpose", "x", "y", perm=[0, 7])]))
corrupt("a cast to no type", lambda: model([node("Cast", "x", "y", to=99)]))
corrupt("an axis that is not there", lambda: model([node("Concat", "x x", "y", axis=9)]))
corrupt("too many inputs", lambda: model([helper.make_node("Relu", ["x"] * 5, ["y"])]))
corrupt("no inputs", lambda: model([helper.make_node("Relu", [], ["y"])]))
corrupt("too many outputs", lambda: model([node("Relu", "x", "y z")]))
corrupt("an attribute of another type", lambda: model([node("Transpose", "x", "y", perm="abc")]))
corrupt("dimensions that no memory holds", lambda: model([RELU], [port("x", dims=[1 << 62, 1 << 62])]))
corrupt("a dimension of -5", lambda: model([RELU], [port("x", dims=[-5, 3])]))
unsupported("an input without a rank", lambda: model([RELU], [port("x", dims=None)]))
unsupported("an input of no type", lambda: model([RELU], [port("x", 99)]))
unsupported("an attribute that is not known", lambda: model([node("Relu", "x", "y", foo=3)]))

# initializers
for _label, _tensor in {
    "an initializer that is too short": tensor([4], b"abc"),
    "an initializer that is too long": tensor([4], bytes(400_000)),
    "an initializer of a yottabyte": tensor([1 << 40, 1 << 40]),
    "an initializer with a negative dimension": tensor([-4], bytes(16)),
}.items():
    corrupt(_label, lambda t=_tensor: model([node("Add", "x w", "y")], tensors=[t]))
unsupported("an initializer of no type", lambda: model([node("Add", "x w", "y")], tensors=[tensor([4], bytes(16), 99)]))


# functions
def _function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function(
        "own", name, ["a"], ["b"], list(nodes), [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    )


def _calling(*functions: onnx.FunctionProto) -> onnx.ModelProto:
    return model([node("F0", "x", "y", domain="own")], domains=["own"], functions=functions)


corrupt("a function that calls itself", lambda: _calling(_function("F0", node("F0", "a", "b", domain="own"))))
corrupt(
    "functions that call each other",
    lambda: _calling(
        _function("F0", node("F1", "a", "b", domain="own")), _function("F1", node("F0", "a", "b", domain="own"))
    ),
)
corrupt(
    "functions that grow to a billion calls",
    lambda: _calling(
        *(
            _function(f"F{i}", node(f"F{i + 1}", "a", "t", domain="own"), node(f"F{i + 1}", "t", "b", domain="own"))
            for i in range(30)
        ),
        _function("F30", node("Relu", "a", "b")),
    ),
)


def _nested(depth: int) -> bytes:
    graph = b""
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, graph)
        graph = field(1, field(1, b"c") + field(2, b"o") + field(4, b"If") + field(5, attribute))
    return _wrapped(graph)


corrupt("sub-graphs nested too deeply", lambda: _nested(2000))
corrupt("a million empty nodes", lambda: _wrapped(b"\x0a\x00" * 1_200_000))
corrupt("300 MB of documentation", lambda: _wrapped(b"\x52" + varint(300 << 20) + bytes(300 << 20)))


def _wrapped(graph: bytes) -> bytes:
    """A model whose graph holds these bytes beside a sound one."""
    whole = model([RELU]).graph.SerializeToString() + graph
    return b"\x08\x08" + b"\x3a" + varint(len(whole)) + whole + b"\x42\x02\x10\x11"


# external data
def _external(location: str, offset: str = "0", length: str = "16") -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        (folder / "ok.bin").write_bytes(bytes(64))
        (folder / "sub").mkdir()
        os.symlink("/etc/passwd", folder / "link.bin")
        os.symlink("/etc", folder / "etc")
        os.mkfifo(folder / "pipe")
        made = tensor([4])
        made.data_location = TensorProto.EXTERNAL
        made.ClearField("raw_data")
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            made.external_data.add(key=key, value=value)
        return model([node("Add", "x w", "y")], tensors=[made])

    return make


for _label, _where in {
    "above the folder": "../etc.bin",
    "at an absolute path": "/etc/passwd",
    "behind a link": "link.bin",
    "behind a link to a folder": "etc/passwd",
    "nowhere": "",
}.items():
    case(f"external data {_label}", UntrustedError, _external(_where))
for _label, _place in {
    "that are missing": ("no.bin", "0", "16"),
    "in a folder": ("sub", "0", "16"),
    "in a pipe": ("pipe", "0", "16"),
    "before the beginning": ("ok.bin", "-4", "16"),
    "beyond the end": ("ok.bin", "1000000", "16"),
    "far beyond the end": ("ok.bin", str(1 << 70), "16"),
    "at no number": ("ok.bin", "abc", "16"),
    "of another size": ("ok.bin", "0", "99"),
    "with a NUL in the name": ("a\0b", "0", "16"),
    "in the file itself": ("mconv:inline", "0", "16"),
}.items():
    case(f"external data {_label}", CorruptModelError, _external(*_place))

# names that are no text
corrupt("a name that is not UTF-8", lambda: model([RELU]).SerializeToString().replace(b"the_y", b"th\xff\xfey"))

"""``.onnx`` files, every operator with attributes at random, and external data."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.fuzz import mutate
from tests.fuzz.harness import Format
from tests.onnx.make import mlp, model, node, port

_F = np.float32
CONVERT, INSPECT = ["onnx2paddle", "m.onnx", "out", "--no-verify"], ["inspect", "m.onnx"]


def _small(folder: Path) -> dict[str, onnx.ModelProto]:
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(_F)

    branch = helper.make_graph([node("Relu", "x", "t")], "then", [], [port("t", dims=("n", 4))])
    other = helper.make_graph([node("Neg", "x", "e")], "else", [], [port("e", dims=("n", 4))])
    body = helper.make_graph(
        [node("Add", "c one", "c2"), node("Identity", "go", "go2"), node("Identity", "c2", "s")],
        "body",
        [port("i", TensorProto.INT64, []), port("go", TensorProto.BOOL, []), port("c", dims=["n", 4])],
        [port("go2", TensorProto.BOOL, []), port("c2", dims=["n", 4]), port("s", dims=["n", 4])],
    )
    made = {"mlp": onnx.load(mlp(folder / "mlp.onnx"))}
    made["conv"] = model(
        [
            node("Conv", "x w b", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
            node("BatchNormalization", "c s s s v", "n"),
            node("MaxPool", "n", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", "p", "g"),
            node("Flatten", "g", "f"),
            node("Gemm", "f k", "l", transB=1),
            node("Softmax", "l", "y", axis=-1),
        ],
        [port("x", dims=["n", 3, 16, "w"])],
        weights={"w": w(4, 3, 3, 3), "b": w(4), "s": np.ones(4, _F), "v": np.ones(4, _F), "k": w(5, 4)},
    )
    made["shapes"] = model(
        [
            node("Shape", "x", "s"), node("Gather", "s zero", "n"),
            node("Concat", "n minus", "to", axis=0), node("Reshape", "x to", "r"), node("Transpose", "r", "t", perm=[1, 0]),
            node("Slice", "t starts ends zero", "sl"), node("Tile", "sl two", "ti"), node("Pad", "ti pads", "pa"),
            node("ReduceMean", "pa", "me", axes=[1]), node("ConstantOfShape", "to1", "z"), node("Expand", "me to1", "ex"),
            node("Add", "ex z", "y"),
        ],
        weights={
            "zero": np.array([0]), "minus": np.array([-1]), "starts": np.array([0]), "ends": np.array([3]),
            "two": np.array([2, 1]), "pads": np.array([0, 0, 1, 1]), "to1": np.array([7, 3]),
        },
    )  # fmt: skip
    made["control"] = model(
        [
            node("ReduceSum", "x", "r", keepdims=0), node("Less", "r limit", "small"),
            helper.make_node("If", ["small"], ["i"], then_branch=branch, else_branch=other),
            helper.make_node("Loop", ["turns", "yes", "i"], ["l", "all"], body=body), node("Relu", "l", "y"),
        ],
        weights={"limit": np.array(3, _F), "turns": np.array(3), "yes": np.array(True), "one": np.ones(4, _F)},
    )  # fmt: skip
    made["rnn"] = model(
        [node("LSTM", "x w r", "h last", hidden_size=3), node("Squeeze", "h ax", "y")],
        [port("x", dims=["t", "n", 4])],
        weights={"w": w(1, 12, 4), "r": w(1, 12, 3), "ax": np.array([1])},
    )
    made["quantised"] = model(
        [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d"), node("MatMul", "d w", "y")],
        weights={"s": np.array(0.1, _F), "z": np.array(3, np.uint8), "w": w(4, 2)},
    )
    called = helper.make_function(
        "own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)], []
    )
    made["function"] = model([node("Twice", "x", "y", domain="own")], domains=["own"], functions=[called])
    return made


def _write(made: onnx.ModelProto, rng: random.Random, folder: Path) -> None:
    held = made.SerializeToString()
    folder.joinpath("m.onnx").write_bytes(mutate.data(rng, held) if rng.random() < 0.15 else held)


def _case(models: dict[str, onnx.ModelProto], rng: random.Random, folder: Path) -> list[str]:
    made = onnx.ModelProto()
    made.CopyFrom(models[rng.choice(sorted(models))])
    _write(mutate.message(rng, made), rng, folder)
    how = rng.randrange(10)
    if how == 0:
        return INSPECT
    if how == 1:
        return [*CONVERT, "--target", rng.choice(["2.6", "3", "1.8"])]
    return [*CONVERT, "--json"] if how == 2 else CONVERT


def _sound(models: dict[str, onnx.ModelProto], folder: Path) -> list[list[str]]:
    commands = []
    for name, made in models.items():
        onnx.save(made, folder / f"{name}.onnx")
        commands.append(["onnx2paddle", f"{name}.onnx", f"out-{name}", "--no-verify"])
    return [*commands, ["inspect", "mlp.onnx"]]


ONNX = Format("onnx", _small, _case, _sound)

# ------------------------------------------------------------------------------------------------- every operator

_KINDS = [1, 1, 1, 7, 7, 6, 9, 11, 10, 2, 3, 8]
_SCHEMAS = sorted(
    (s for s in onnx.defs.get_all_schemas() if s.domain in ("", "ai.onnx.ml")), key=lambda s: (s.domain, s.name)
)
_DIMS = [0, 1, 2, 3, 4, 5, 8, "n", "m", 1000]


def _attribute(rng: random.Random, kind: Any) -> Any:
    kinds = onnx.defs.OpSchema.AttrType
    whole = [0, 1, 2, 3, -1, 4, 7]
    if kind == kinds.INT:
        return mutate.integer(rng) if rng.random() < 0.3 else rng.choice(whole)
    if kind == kinds.FLOAT:
        return rng.choice([f for f in mutate.FLOATS if abs(f) != 1e308])
    if kind == kinds.STRING:
        return rng.choice(["NOTSET", "SAME_UPPER", "VALID", "linear", "cubic", "nearest", "constant", "reflect", "edge",
                           "ij,jk->ik", "bilinear", "forward", "reverse", "bidirectional", "none", "add", "max", "", "x",
                           "half_pixel", "align_corners", "DCR", "CRD"])  # fmt: skip
    if kind == kinds.INTS:
        return [
            mutate.integer(rng) if rng.random() < 0.2 else rng.choice(whole)
            for _ in range(rng.choice([1, 2, 2, 3, 4, 0]))
        ]
    if kind == kinds.FLOATS:
        return [rng.choice([f for f in mutate.FLOATS if abs(f) != 1e308]) for _ in range(rng.randrange(4))]
    if kind == kinds.STRINGS:
        return [rng.choice(["Relu", "Tanh", "Sigmoid", "x", ""]) for _ in range(rng.randrange(4))]
    if kind == kinds.TENSOR:
        return helper.make_tensor("", 1, [1], [rng.choice([0.0, 1.0, float("nan")])])
    return None


def _array(rng: random.Random, name: str) -> onnx.TensorProto:
    kind, dims = (
        rng.choice([1, 7, 7, 6, 9, 11]),
        [rng.choice([0, 1, 1, 2, 3, 4]) for _ in range(rng.choice([0, 1, 1, 2, 4]))],
    )
    count = int(np.prod(dims))
    return helper.make_tensor(name, kind, dims, [rng.choice([0, 1, 1, 2, -1, 3, 4]) for _ in range(count)])


def _operator(schemas: Any, rng: random.Random, folder: Path) -> list[str]:
    schema = rng.choice(schemas)
    attributes = {}
    for name, attribute in schema.attributes.items():
        if attribute.required or rng.random() < 0.5:
            held = _attribute(rng, attribute.type)
            if held is not None and held != []:
                attributes[name] = held
    top = min(schema.max_input, schema.min_input + 3, 9)
    count = rng.randint(schema.min_input, max(schema.min_input, top)) if rng.random() < 0.9 else rng.randrange(5)
    names, inputs, weights = [], [], []
    rank = rng.randrange(6)
    kind = rng.choice(_KINDS)
    dims = [rng.choice(_DIMS) for _ in range(rank)]
    for i in range(count):
        name = "" if i >= schema.min_input and rng.random() < 0.1 else f"i{i}"
        names.append(name)
        if not name:
            continue
        if i and rng.random() < 0.5:
            weights.append(_array(rng, name))
        elif rng.random() < 0.7:
            inputs.append(port(name, kind, dims))
        else:
            inputs.append(port(name, rng.choice(_KINDS), [rng.choice(_DIMS) for _ in range(rng.randrange(5))]))
    outputs = [f"o{i}" for i in range(max(1, min(schema.max_output, schema.min_output + rng.randrange(3), 5)))]
    made = helper.make_node(schema.name, names, outputs, domain=schema.domain, **attributes)
    ports = [port(o, rng.choice(_KINDS), None) for o in outputs]
    graph = helper.make_graph([made], "g", inputs or [port("x")], ports, weights)
    opset = rng.choice([schema.since_version, 17, 13, 11, 21, 7])
    imports = [helper.make_opsetid("", max(opset, 1)), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), folder / "m.onnx")
    return INSPECT if rng.random() < 0.05 else CONVERT


def _soundly(_: Any, folder: Path) -> list[list[str]]:
    mlp(folder / "m.onnx")
    return [CONVERT, INSPECT]


ONNX_OPERATORS = Format("onnx_operators", lambda _: _SCHEMAS, _operator, _soundly)

# ------------------------------------------------------------------------------------------------- external data

_LOCATIONS = [
    "w.bin", "w.bin", "w.bin", "w.bin", "./w.bin", "sub/../w.bin", "../w.bin", "/etc/passwd", "missing.bin", "", ".", "..",
    "link", "loop", "pipe", "sub", "sub/w.bin", "m.onnx", "w" * 300, "a\0b", "w\x1b[31m.bin", "W.BIN", "w.bin/", "~/w.bin",
    "out/link/passwd", "sub/link/passwd", "mconv:inline:w", "http://127.0.0.1:9/w.bin", "名前", "large",
]  # fmt: skip
_NUMBERS = ["0", "4", "64", "128", "-4", "1", "", " 4", "4 ", "+4", "0x10", "1e3", "٤", "²", "1_0", "9" * 5000, str(1 << 63),
            str(1 << 70), "nan", "4\0", "128\n"]  # fmt: skip


def _external(_: Path) -> onnx.ModelProto:
    made = model(
        [node("MatMul", "x w", "h"), node("Add", "h b", "y")],
        weights={"w": np.arange(16, dtype=_F).reshape(4, 4), "b": np.arange(16, dtype=_F).reshape(4, 4)[0]},
    )
    for i, held in enumerate(made.graph.initializer):
        held.ClearField("raw_data")
        held.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", str(64 * i)), ("length", str(64 if not i else 16))):
            held.external_data.add(key=key, value=value)
    return made


def _around(folder: Path) -> None:
    """What lies beside the model."""
    folder.joinpath("w.bin").write_bytes(np.arange(32, dtype=_F).tobytes())
    folder.joinpath("sub").mkdir()
    shutil.copy(folder / "w.bin", folder / "sub" / "w.bin")
    folder.joinpath("link").symlink_to("/etc/passwd")
    folder.joinpath("loop").symlink_to("loop")
    folder.joinpath("sub/link").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    with open(folder / "large", "wb") as sparse:
        sparse.truncate(1 << 36)


def _external_case(sound: onnx.ModelProto, rng: random.Random, folder: Path) -> Sequence[str]:
    made = onnx.ModelProto()
    made.CopyFrom(sound)
    held = rng.choice(list(made.graph.initializer))
    for _ in range(rng.choice([1, 1, 2])):
        kind = rng.randrange(6)
        entry = rng.choice(list(held.external_data))
        if kind < 3:
            entry.value = (
                rng.choice(_LOCATIONS) if entry.key == "location" else rng.choice([*_NUMBERS, str(mutate.integer(rng))])
            )
        elif kind == 3:
            entry.key = rng.choice(["location", "offset", "length", "checksum", "LOCATION", "x"])
        elif kind == 4:
            mutate.message(rng, held)
        else:
            held.dims[:] = [mutate.integer(rng, d) for d in held.dims[:1]] + list(held.dims[1:])
        if not held.external_data:
            break
    (folder / "m.onnx").write_bytes(made.SerializeToString())  # onnx.save would look at the entries
    return INSPECT if rng.random() < 0.1 else CONVERT


def _external_sound(sound: onnx.ModelProto, folder: Path) -> list[list[str]]:
    onnx.save(sound, folder / "m.onnx")
    return [CONVERT, INSPECT]


EXTERNAL = Format("external", _external, _external_case, _external_sound, around=_around)

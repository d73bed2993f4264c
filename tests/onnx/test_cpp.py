"""ONNX's C++ runs in a process of its own: what it says comes back, and its death is a result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from mconv.errors import CorruptModelError
from mconv.onnx import cpp
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from tests.onnx.make import model, node, port

X = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3]).SerializeToString()


def ask(made: onnx.NodeProto, kind: bytes = X, check: bool = False) -> dict[str, bytes]:
    key = (made.op_type, 13, "")
    return cpp.node_outputs(key, made.SerializeToString(), {"": 13}, onnx.IR_VERSION, {"x": kind}, {}, check=check)


def relu_is_answered() -> bool:
    made = onnx.TypeProto.FromString(ask(node("Relu", "x", "y"))["y"])
    return [d.dim_value for d in made.tensor_type.shape.dim] == [2, 3]


def test_it_answers_as_onnx_does() -> None:
    made = model([node("Transpose", "x", "t", perm=[1, 0]), node("Relu", "t", "y")], [port("x", dims=[2, 3])])
    inferred = onnx.ModelProto.FromString(cpp.infer_shapes(made.SerializeToString(), strict=True))
    assert inferred == onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True, data_prop=True)
    assert relu_is_answered()


@pytest.mark.parametrize(
    ("made", "check", "kind"),
    [
        (node("Transpose", "x", "y", perm=[0, 5]), False, "InferenceError"),
        (node("Relu", "x", "y", alpha=1.0), True, "ValidationError"),
        (node("Foo", "x", "y"), False, "SchemaError"),
    ],
    ids=["inference", "checker", "schema"],
)
def test_what_onnx_raises_comes_back(made: onnx.NodeProto, check: bool, kind: str) -> None:
    with pytest.raises(cpp.Refused) as error:
        ask(made, check=check)
    assert error.value.kind == kind and not isinstance(error.value, cpp.Died)
    assert relu_is_answered()


def test_its_death_is_a_result_and_the_next_request_is_answered() -> None:
    cpp.start()
    assert cpp._process is not None
    os.kill(cpp._process.process.pid, signal.SIGSEGV)  # as its code does on some models
    with pytest.raises(cpp.Died) as error:
        ask(node("Relu", "x", "y"))
    assert error.value.kind == "SIGSEGV"
    assert relu_is_answered()


@pytest.mark.parametrize("sound", [True, False])
def test_the_node_that_it_dies_of_is_named(sound: bool) -> None:
    made = model(
        [node("Relu", "x", "r"), node("MaxPool", "r", "y", kernel_shape=[1, 1], strides=[1, int(sound)])],
        [port("x", dims=[1, 3, 8, 8])],
    )
    if sound:
        assert convert(OnnxModel(made)).operators["MaxPool"] == 1
    else:
        with pytest.raises(CorruptModelError, match=r"node 'the_y' \(MaxPool\)"):
            convert(OnnxModel(made))


def test_threads_share_it() -> None:
    seen: list[bool] = []

    def work() -> None:
        for _ in range(20):
            seen.append(relu_is_answered())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_its_own() -> None:
    assert relu_is_answered()
    code = (
        "import os, sys\n"
        "from tests.onnx.test_cpp import relu_is_answered\n"
        "ok = relu_is_answered()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if relu_is_answered() else 1)\n"
        "ok &= all(relu_is_answered() for _ in range(50))\n"
        "sys.exit(0 if ok and os.waitpid(child, 0)[1] == 0 else 1)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_it_ends_with_its_parent() -> None:
    code = (
        "import os, signal\n"
        "from mconv.onnx import cpp\n"
        "cpp.start()\n"
        "print(cpp._process.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    child = int(done.stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if _zombie(child):
            return
        threading.Event().wait(0.1)
    raise AssertionError("it is still there")


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
def test_a_runaway_is_a_result() -> None:
    """A model whose functions call each other is beyond what the process may take."""
    functions = []
    for i in range(40):
        called = [helper.make_node(f"f{i + 1}", [a], [b], domain="own") for a, b in (("a", "b"), ("b", "c"))]
        body = called if i < 39 else [helper.make_node("Relu", ["a"], ["c"])]
        functions.append(
            helper.make_function(
                "own", f"f{i}", ["a"], ["c"], body, [helper.make_opsetid(d, 1 if d else 13) for d in ("", "own")]
            )
        )
    made = model([helper.make_node("f0", ["x"], ["y"], domain="own")], [port("x", dims=[2])])
    made.opset_import.add(domain="own", version=1)
    made.functions.extend(functions)
    with pytest.raises(cpp.Refused):
        cpp.infer_shapes(made.SerializeToString(), strict=True)
    assert relu_is_answered()

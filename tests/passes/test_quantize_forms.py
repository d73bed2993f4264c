"""PaddleSlim's programs in all of its forms: brought to each target they compute what its own Paddle computes.

``tests/data/slim`` is what ``slim_models.py`` wrote in Paddle 2.6.2 with PaddleSlim 2.6.0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv import api
from mconv.errors import CorruptModelError
from mconv.passes import quantize_forms
from mconv.passes.rewrite import make
from mconv.program import files
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import ArraySource
from mconv.program.program import Program, Var
from mconv.program.stored import write_model

SLIM = Path(__file__).parents[1] / "data" / "slim"
MODELS = sorted(path.name for path in SLIM.iterdir())
RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}


def answers(name: str) -> tuple[list[dict[str, np.ndarray]], list[np.ndarray]]:
    with np.load(SLIM / name / "io.npz") as held:
        return [{"x": held[f"in_{i}"]} for i in (0, 1)], [held[f"out_{i}"] for i in (0, 1)]


def operators(model: Path) -> Counter[str]:
    return Counter(op.type for _, op in files.load_program(files.locate(model)).ops())


def check(outputs: Sequence[Sequence[np.ndarray]], wanted: Sequence[np.ndarray]) -> None:
    """Equal to a millionth of the largest value: one integer more or less anywhere shows."""
    for (got,), want in zip(outputs, wanted):
        assert got.shape == want.shape
        assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.runtime
@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize(("name", "onednn"), [(n, o) for n in MODELS for o in (False, True) if o or n.endswith("_mlp")])
def test_same_numbers(name: str, target: str, onednn: bool, workers: Callable[[str], Any], tmp_path: Path) -> None:
    feeds, wanted = answers(name)
    made = api.downgrade(SLIM / name, tmp_path / "out", target=target)
    check(workers(RUNTIMES[target]).run(made.program, made.params, feeds, onednn=onednn).outputs, wanted)


@pytest.mark.runtime
@pytest.mark.parametrize("name", [n for n in MODELS if "_new_" in n])
def test_1_8_rounds(name: str, workers: Callable[[str], Any], tmp_path: Path) -> None:
    """It has no ``quantize_linear``: scale, round and clip, and weights as the floats that their integers stand for."""
    feeds, wanted = answers(name)
    made = api.downgrade(SLIM / name, tmp_path / "out", target="1.8")
    found = operators(made.program)
    assert found["round"] == found["clip"] >= 3 and not set(quantize_forms.LINEAR) & set(found)
    check(workers("paddle-1.8.5").run(made.program, made.params, feeds).outputs, wanted)


@pytest.mark.parametrize("name", [n for n in MODELS if "_new_" in n])
def test_2_3_has_no_observers(name: str, tmp_path: Path) -> None:
    """It does not know ``only_observer``, and would quantise there: up to 16% off."""
    before = operators(SLIM / name)
    made = operators(api.downgrade(SLIM / name, tmp_path / "out", target="2.3").program)
    assert 0 < made["quantize_linear"] < before["quantize_linear"]
    assert api.inspect(SLIM / name).notes[-1].startswith("quantised to 8 bits, in the form of quantize_linear")
    assert "only_observer" in str(next(t for t in api.inspect(SLIM / name).targets if t.target == "2.3").reasons)


@pytest.mark.parametrize("name", [n for n in MODELS if "_new_" not in n])
def test_3_has_the_new_form(name: str, tmp_path: Path) -> None:
    """Its oneDNN fails on the old one."""
    made = api.downgrade(SLIM / name, tmp_path / "out", target="3")
    found = operators(made.program)
    assert not [op for op in found if op.startswith("fake_")] and found["dequantize_linear"] > found["quantize_linear"]
    held = Counter(
        r.dtype for r in files.records(files.locate(made.program), files.load_program(files.locate(made.program)))
    )
    assert held[DType.INT8] == sum(found[op] for op in ("conv2d", "depthwise_conv2d", "mul", "matmul_v2"))
    again = api.downgrade(made.program, tmp_path / "again", target="3")
    assert not again.changes and again.params.read_bytes() == made.params.read_bytes()


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["qat_old_conv", "ptq_new_conv", "qat_raw_mlp"])
def test_served(name: str, workers: Callable[[str], Any], tmp_path: Path) -> None:
    feeds, wanted = answers(name)
    made = api.to_serving(SLIM / name, out=tmp_path)
    assert made.program is not None and made.params is not None
    check(workers("paddle-2.3.2").run(made.program, made.params, feeds).outputs, wanted)
    own = "paddle-2.3.2" if "_raw_" in name else "paddle-2.6.2"  # 2.6.2's Predictor fails on what its Executor runs
    assert api.verify(SLIM / name, tmp_path / "serving_server", runtime="paddle-2.3.2", runtime_a=own).ok


@pytest.mark.parametrize("optimised", [False, True], ids=["plain", "optimised"])
@pytest.mark.parametrize("name", MODELS)
def test_onnx_runtime_computes_the_same(name: str, optimised: bool, tmp_path: Path) -> None:
    """Each form becomes QuantizeLinear and DequantizeLinear with int8 weights."""
    runtime = pytest.importorskip("onnxruntime")
    feeds, wanted = answers(name)
    made = api.to_onnx(SLIM / name, tmp_path / "model.onnx", verify=False)
    nodes = {row["operator"]: row["count"] for row in made.operators}
    assert nodes["DequantizeLinear"] > nodes["QuantizeLinear"] >= 3 and "Floor" not in nodes
    options = runtime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    check([session.run(None, feed) for feed in feeds], wanted)


def chain(*ops: Any, params: dict[str, np.ndarray], shape: tuple[int, ...] = (-1, 4)) -> tuple[Program, dict[str, Any]]:
    """x → the operators → the last one's first output."""
    program = Program.from_bytes((SLIM / "qat_old_mlp" / "inference.pdmodel").read_bytes())
    block = program.main
    feed, fetch = block.ops[0], block.ops[-1]
    block.ops[:] = [feed, *ops, fetch]
    fetch.set_input("X", ops[-1].output_names[:1])
    held = {name: ArraySource(array) for name, array in params.items()}
    for name in [n for n in block.vars if n not in ("feed", "fetch")]:
        del block.vars[name]
    for name in {n for op in ops for n in (*op.input_names, *op.output_names)} - set(params) | {"x"}:
        block.add_var(Var.tensor(name, DType.FP32, shape))
    for name, array in params.items():
        block.add_var(Var.tensor(name, DType.of(array.dtype), array.shape, persistable=True))
    return program, held


INT, BOOL, FLOAT = AttrType.INT, AttrType.BOOLEAN, AttrType.FLOAT


@pytest.mark.runtime
@pytest.mark.parametrize("channels", [True, False])
def test_both_in_one(channels: bool, workers: Callable[[str], Any], tmp_path: Path) -> None:
    """``fake_quantize_dequantize_…``, as dygraph QAT saves it, observers between; values on halves and beyond the range."""
    random = np.random.default_rng(5)
    weight = random.normal(size=(4, 3)).astype(np.float32)
    kind = "fake_channel_wise_quantize_dequantize_abs_max" if channels else "fake_quantize_dequantize_abs_max"
    axis = {"quant_axis": (INT, 1)} if channels else {}
    program, held = chain(
        make("moving_average_abs_max_scale", {"X": "x"}, {"Out": "seen", "OutScale": "range"}, is_test=(BOOL, True)),
        make(
            "fake_quantize_dequantize_moving_average_abs_max", {"X": "seen", "InScale": "s"}, {"Out": "q", "OutScale": "s"},
            bit_length=(INT, 8), is_test=(BOOL, True), moving_rate=(FLOAT, 0.9),
        ),
        make(kind, {"X": "w"}, {"Out": "wq", "OutScale": "ws"}, bit_length=(INT, 8), **axis),
        make("matmul_v2", {"X": "q", "Y": "wq"}, {"Out": "y"}, trans_x=(BOOL, False), trans_y=(BOOL, False)),
        params={"w": weight, "s": np.array([1.5], np.float32), "range": np.ones(1, np.float32)},
    )  # fmt: skip
    x = random.normal(size=(6, 4)).astype(np.float32) * 2
    x[0] = [1.5 * 0.5 / 127, -1.5 * 2.5 / 127, 1.5 * 3.5 / 127, -9]
    before = write_model(program, [(v.name, held[v.name]) for v in program.parameters], tmp_path)
    (want,) = workers("paddle-2.6.2").run(*before, {"x": x}).outputs[0]
    count, made = quantize_forms.to_linear(program, held)
    held.update(made)
    assert count == 2 and quantize_forms.without_observers(program) == 1
    assert {op.type for op in program.main.ops} == {
        "feed",
        "quantize_linear",
        "dequantize_linear",
        "matmul_v2",
        "fetch",
    }
    after = write_model(program, [(v.name, held[v.name]) for v in program.parameters], tmp_path, "after")
    for runtime in RUNTIMES.values():
        check(workers(runtime).run(*after, {"x": x}).outputs, [want])


def test_what_is_computed_at_run_time_stays() -> None:
    """The range of an activation, or 4 bits, cannot be said in the linear form."""
    one = np.ones(1, np.float32)
    attrs = {"bit_length": (INT, 4), "is_test": (BOOL, True), "moving_rate": (FLOAT, 0.9)}
    program, held = chain(
        make("fake_quantize_dequantize_abs_max", {"X": "x"}, {"Out": "a", "OutScale": "r"}, bit_length=(INT, 8)),
        make("fake_quantize_dequantize_moving_average_abs_max", {"X": "a", "InScale": "s"},
             {"Out": "y", "OutScale": "s"}, **attrs),
        params={"s": one},
    )  # fmt: skip
    before = program.to_bytes()
    assert quantize_forms.to_linear(program, held) == (0, {})
    assert program.to_bytes() == before


def test_float_weights_are_no_integers(tmp_path: Path) -> None:
    """int8 behind a float32 declaration is a quantised weight's only."""
    program, _ = chain(make("matmul_v2", {"X": "x", "Y": "w"}, {"Out": "y"}), params={"w": np.ones((4, 3), np.float32)})
    write_model(program, [("w", ArraySource(np.ones((4, 3), np.int8)))], tmp_path)
    with pytest.raises(CorruptModelError, match="int8 in the file, float32 in the program"):
        api.downgrade(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("name", MODELS)
def test_stored_programs_name_no_machine(name: str) -> None:
    """``slim_models.py`` takes out the call stacks, in which Paddle keeps the folders of whoever saved a program."""
    assert b"op_callstack" not in (SLIM / name / "inference.pdmodel").read_bytes()

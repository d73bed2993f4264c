"""Programs of newer Paddle brought down to older ones, and run there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from mconv import api, runtimes
from mconv.errors import RuntimeFailedError, UnsupportedError
from mconv.paddle import loadable
from mconv.paddle.legalize import MESSAGE_LIMIT, legalize
from mconv.program import files, targets
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.program import Op, Program, Var
from mconv.program.targets import PADDLE_1_8, PADDLE_2_3, PADDLE_2_6
from tests import newer
from tests.golden import Case, case
from tests.managed import require

SCRIPT = Path(__file__).with_name("make_models.py")


def program(*ops: Op, version: int = 3003001, **variables: tuple[DType, tuple[int, ...]]) -> Program:
    """x → ops → y; *variables* are declared besides."""
    built = Program()
    built.version = version
    main = built.main
    main.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    main.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    declared = {"x": (DType.FP32, (-1, 4)), "y": (DType.FP32, (-1, 4)), **variables}
    for name, (dtype, shape) in declared.items():
        main.add_var(Var.tensor(name, dtype, shape))
    main.ops.append(Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, [("col", AttrType.INT, 0)]))
    main.ops += ops
    main.ops.append(Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, [("col", AttrType.INT, 0)]))
    return built


def only(built: Program, kind: str) -> Op:
    (op,) = [op for _, op in built.ops() if op.type == kind]
    return op


def test_a_model_that_fits_is_left_alone(golden: Case) -> None:
    source = files.load_program(files.locate(golden.model))
    before = source.to_bytes()
    for target in ("2.3", "2.6", "3"):
        done = legalize(source, targets.get(target))
        assert not done.notes and not done.changes and not done.parameters
    assert source.to_bytes() == before


def test_missing_xshape_is_declared() -> None:
    op = Op.make("transpose2", {"X": ["x"]}, {"Out": ["y"]}, [("axis", AttrType.INTS, [1, 0])])
    built = program(op)
    assert any("XShape" in reason for reason in loadable.reasons(built, PADDLE_2_3))
    legalize(built, PADDLE_2_3)
    (name,) = only(built, "transpose2").output("XShape")
    assert built.main.vars[name].shape == (0, -1, 4) and not built.main.vars[name].persistable
    assert not [r for r in loadable.reasons(built, PADDLE_2_3) if "XShape" in r]


def test_newer_targets_keep_the_pruned_form() -> None:
    built = program(Op.make("transpose2", {"X": ["x"]}, {"Out": ["y"]}, [("axis", AttrType.INTS, [1, 0])]))
    legalize(built, PADDLE_2_6)
    assert "XShape" not in only(built, "transpose2").outputs and built.version == 2006002


@pytest.mark.parametrize(
    ("dtype", "values", "name"),
    [
        (DType.FP32, [1.5, -2.0], "fp32_values"),
        (DType.INT64, [1 << 40, -1], "int64_values"),
        (DType.INT32, [3, -4], "int32_values"),
        (DType.BOOL, [True, False], "bool_values"),
    ],
)
def test_scalar_lists_become_typed_lists(dtype: DType, values: list, name: str) -> None:
    op = Op.make(
        "assign_value",
        {},
        {"Out": ["c"]},
        [("shape", AttrType.INTS, [2]), ("dtype", AttrType.INT, int(dtype)), ("values", AttrType.SCALARS, values)],
    )
    built = program(op, Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}), c=(dtype, (2,)))
    assert any("parser refuses" in r for r in loadable.reasons(built, PADDLE_2_3))
    legalize(built, PADDLE_2_3)
    lowered = only(built, "assign_value")
    assert "values" not in lowered.attr_types
    assert lowered.attr(name) == values and max(lowered.attr_types.values()) <= AttrType.FLOAT64S


@pytest.mark.parametrize(
    ("given", "kind", "wanted"),
    [([1, 2], AttrType.LONGS, [1, 2]), ([1 << 40], AttrType.LONGS, None), ([], AttrType.LONGS, [])],
)
def test_lists_of_longs_become_ints_where_they_fit(given: list, kind: AttrType, wanted: list | None) -> None:
    op = Op.make(
        "reduce_all", {"X": ["b"]}, {"Out": ["a"]}, [("dim", kind, given), ("keep_dim", AttrType.BOOLEAN, True)]
    )
    built = program(
        op, Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}), a=(DType.BOOL, (1,)), b=(DType.BOOL, (1,)), version=2004000
    )
    if wanted is None:
        with pytest.raises(UnsupportedError, match="attribute dim is LONGS"):
            legalize(built, PADDLE_2_3)
    else:
        legalize(built, PADDLE_2_3)
        assert only(built, "reduce_all").attr("dim") == wanted
        assert only(built, "reduce_all").attr_types["dim"] == AttrType.INTS


def test_everything_unsupported_is_in_one_error() -> None:
    ops = [Op.make("nonsense", {"X": ["x"]}, {"Out": ["y"]}) for _ in range(3)]
    ops.append(Op.make("warprnnt", {"input": ["x"]}, {"loss": ["y"], "warprnntgrad": ["i"]}))
    ops.append(
        Op.make(
            "cumprod", {"X": ["x"]}, {"Out": ["y"]}, [("dim", AttrType.INT, 0), ("reverse", AttrType.BOOLEAN, True)]
        )
    )
    built = program(*ops, i=(DType.INT64, (-1, 4)))
    with pytest.raises(UnsupportedError) as caught:
        legalize(built, PADDLE_2_3)
    rows = {(r["operator"], r["count"]) for r in caught.value.rows}
    assert rows == {("nonsense", 3), ("warprnnt", 1), ("cumprod", 1)}
    assert "nonsense (3×)" in caught.value.message and "3.3.1 wrote it" in caught.value.message
    reasons = {r["operator"]: r["reason"] for r in caught.value.rows}
    assert "reverse = True" in reasons["cumprod"]


def test_default_values_of_new_attributes_are_harmless() -> None:
    op = Op.make(
        "cumprod", {"X": ["x"]}, {"Out": ["y"]}, [("dim", AttrType.INT, 0), ("reverse", AttrType.BOOLEAN, False)]
    )
    legalize(program(op), PADDLE_2_3)


def test_an_attribute_given_as_a_variable_is_refused() -> None:
    op = Op.make("scale", {"X": ["x"]}, {"Out": ["y"]}, [("extra", AttrType.VAR, "x")])
    with pytest.raises(UnsupportedError, match="scale") as caught:
        legalize(program(op), PADDLE_2_3)
    assert "given as a variable" in caught.value.rows[0]["reason"]


def test_unknown_element_types_are_refused() -> None:
    built = program(Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}))
    built.main.vars["y"].desc.type.lod_tensor.tensor.data_type = 32  # float8_e4m3fn of Paddle 3
    with pytest.raises(UnsupportedError, match="element type 32"):
        legalize(built, PADDLE_2_3)


@pytest.mark.long
def test_big_constants_become_parameters() -> None:
    count = MESSAGE_LIMIT // 4 + 1024
    values = np.arange(count, dtype=np.float32)
    op = Op.make(
        "assign_value", {}, {"Out": ["c"]}, [("shape", AttrType.INTS, [count // 4, 4]), ("dtype", AttrType.INT, 5)]
    )
    op.set_attr("fp32_values", values.tolist(), AttrType.FLOATS)
    built = program(
        op,
        Op.make("elementwise_add", {"X": ["x"], "Y": ["c"]}, {"Out": ["y"]}, [("axis", AttrType.INT, -1)]),
        c=(DType.FP32, (count // 4, 4)),
    )
    assert len(built.to_bytes()) > MESSAGE_LIMIT
    done = legalize(built, PADDLE_2_3)
    assert len(built.to_bytes()) < 10_000
    assert [p.name for p in built.parameters] == ["c"] == list(done.parameters)
    np.testing.assert_array_equal(done.parameters["c"].array().reshape(-1), values)
    assert "assign_value" not in {o.type for _, o in built.ops()}


def test_scalars_get_the_shape_one() -> None:
    built = program(
        Op.make(
            "reduce_sum",
            {"X": ["x"]},
            {"Out": ["s"]},
            [("dim", AttrType.INTS, []), ("reduce_all", AttrType.BOOLEAN, False)],
        ),
        Op.make("unsqueeze2", {"X": ["s"]}, {"Out": ["y"]}, [("axes", AttrType.INTS, [0, 1])]),
        s=(DType.FP32, ()),
    )
    done = legalize(built, PADDLE_2_3)
    assert only(built, "reduce_sum").attr("reduce_all") is True
    assert only(built, "reshape2").attr("shape") == [1, 1] and built.main.vars["s"].shape == (1,)
    assert not done.notes
    built = program(
        Op.make("reduce_mean", {"X": ["x"]}, {"Out": ["y"]}, [("dim", AttrType.INTS, [])]), y=(DType.FP32, ())
    )
    assert any("shape [1]" in note for note in legalize(built, PADDLE_2_3).notes)
    assert built.fetches[0].shape == (1,)


@pytest.mark.parametrize(("dtype", "carrier"), [(DType.BOOL, DType.INT32), (DType.FP64, DType.FP32)])
def test_ports_that_the_old_predictor_cannot_pass(dtype: DType, carrier: DType) -> None:
    built = program(Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}), x=(dtype, (-1, 4)), y=(dtype, (-1, 4)))
    done = legalize(built, PADDLE_2_3)
    assert [p.name for p in built.feeds] == ["x"] and [p.name for p in built.fetches] == ["y"]
    assert built.feeds[0].dtype is carrier and built.fetches[0].dtype is carrier and len(done.notes) == 2
    assert [op.type for op in built.main.ops] == ["feed", "cast", "assign", "cast", "fetch"]
    legalize(newer := program(Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}), y=(dtype, (-1, 4))), PADDLE_2_6)
    assert newer.fetches[0].dtype is dtype


def test_legalising_twice_changes_nothing_more() -> None:
    built = program(Op.make("transpose2", {"X": ["x"]}, {"Out": ["y"]}, [("axis", AttrType.INTS, [1, 0])]))
    legalize(built, PADDLE_2_3)
    before = built.to_bytes()
    assert not legalize(built, PADDLE_2_3).changes and built.to_bytes() == before


# ---------------------------------------------------------------------------------------------- in the real runtimes


def make(folder: Path, *arguments: str) -> Path:
    from mconv import runtimes

    runtime = runtimes.find("paddle-2.6.2")
    done = subprocess.run(
        [str(runtime.python), str(SCRIPT), str(folder), *arguments],
        env=runtime.environ(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def convert_and_run(folder: Path, out: Path, worker) -> None:  # type: ignore[no-untyped-def]
    """To 2.3 and through its Predictor, with the graph optimised and as it is; equal to the source to 1e-5."""
    result = api.to_serving(folder, out=out)
    with np.load(folder / "io.npz") as io:
        feeds = {k.split("_", 2)[2]: io[k] for k in io.files if k.startswith("in_")}
        wanted = [io[f"out_{i}"] for i in range(sum(k.startswith("out_") for k in io.files))]
    types = {v.name: v.dtype.numpy for v in result.feeds}
    feeds = {name: array.astype(types[name]) for name, array in feeds.items()}
    for optimised in (True, False):
        run = worker.run(result.program, result.params, feeds, ir_optim=optimised, engine="predictor")
        assert len(run.outputs[0]) == len(wanted)
        for got, reference in zip(run.outputs[0], wanted):
            assert got.shape == (reference.shape or (1,))
            np.testing.assert_allclose(
                got.astype("float64"), reference.reshape(got.shape).astype("float64"), rtol=1e-5, atol=1e-5
            )


@pytest.mark.runtime
def test_models_of_2_6_that_kill_2_3_run_there(tmp_path: Path) -> None:
    """The case that the project was begun for: a BERT saved by 2.6.2 is a SIGSEGV in the article's runtime."""
    from mconv import runtimes

    make(tmp_path / "m")
    with runtimes.find("paddle-2.3.2").worker() as worker:
        bert = tmp_path / "m" / "bert"
        with np.load(bert / "io.npz") as io:
            feeds = {k.split("_", 2)[2]: io[k] for k in io.files if k.startswith("in_")}
        with pytest.raises(RuntimeFailedError, match="SIGSEGV"):
            worker.run(bert / "inference.pdmodel", bert / "inference.pdiparams", feeds)
        for name in ("bert", "conv", "set_value"):
            convert_and_run(tmp_path / "m" / name, tmp_path / "out" / name, worker)


@pytest.mark.runtime
@pytest.mark.slow
def test_every_kind_of_difference_runs_in_2_3(tmp_path: Path) -> None:
    from mconv import runtimes

    folder = make(tmp_path / "m", "all")
    failures = {}
    models = sorted(p for p in folder.iterdir() if p.is_dir())
    assert len(models) > 55
    with runtimes.find("paddle-2.3.2").worker() as worker:
        for model in models:
            try:
                convert_and_run(model, tmp_path / "out" / model.name, worker)
            except (AssertionError, RuntimeFailedError, UnsupportedError) as e:
                failures[model.name] = str(e)[:300]
    assert not failures


@pytest.mark.runtime
@pytest.mark.slow
def test_what_inspect_says_loads_does_load(tmp_path: Path) -> None:
    """`loads` must never be wrong; `does not load` may be too careful."""
    from mconv import runtimes

    folder = make(tmp_path / "m", "all")
    wrong = {}
    with runtimes.find("paddle-2.3.2").worker() as worker:
        for model in sorted(p for p in folder.iterdir() if p.is_dir()):
            report = next(t for t in api.inspect(model).targets if t.target == "2.3")
            with np.load(model / "io.npz") as io:
                feeds = {k.split("_", 2)[2]: io[k] for k in io.files if k.startswith("in_")}
            found = files.locate(model)
            try:
                worker.run(found.program, found.params, feeds, engine="predictor")
            except RuntimeFailedError as e:
                if report.loads:
                    wrong[model.name] = str(e)[:200]
    assert not wrong


def test_what_1_8_lacks_is_refused_with_the_operators(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        legalize(files.load_program(files.locate(newer.written(tmp_path))), PADDLE_1_8)
    assert {r["operator"] for r in caught.value.rows} >= {newer.LACKED}


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["bert", "mlp", "multi"])
def test_models_of_2_3_run_in_1_8(name: str, tmp_path: Path) -> None:
    """``matmul_v2`` is ``matmul`` there, which broadcasts no batches."""
    require("paddle-1.8.5")
    golden = case(f"2.3.2-{name}")
    made = api.downgrade(golden.model, tmp_path / "out", target="1.8")
    assert [w for w in made.changes if "matmul_v2" in w]
    with runtimes.find("paddle-1.8.5").worker() as worker:
        for times in (1, 3):
            feeds = {n: np.concatenate([a] * times) for n, a in golden.inputs.items()}
            got = worker.run(made.program, made.params, [feeds])
            for mine, theirs in zip(got.outputs[0], golden.outputs):
                np.testing.assert_allclose(mine[: len(theirs)], theirs, 1e-5, 1e-6)
                assert len(mine) == times * len(theirs)

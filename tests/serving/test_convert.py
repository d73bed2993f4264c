"""to-serving against what paddle-serving-client 0.9.0 made of the same models."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.artifacts import provenance
from mconv.errors import MconvError, NotAModelError, OutputExistsError, UnsupportedError, UsageError
from mconv.program import files
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.params import list_combined
from mconv.program.program import Op, Program, Var
from mconv.serving import configure
from tests import newer
from tests.golden import Case, case

CONFIGS = (
    ("serving_server", configure.SERVER_TEXT),
    ("serving_server", configure.SERVER_BINARY),
    ("serving_client", configure.CLIENT_TEXT),
    ("serving_client", configure.CLIENT_BINARY),
)


def official_params(golden: Case) -> Path:
    (path,) = (
        golden.server / n
        for n in ("__params__", "params", "params.pdiparams", "inference.pdiparams")
        if (golden.server / n).exists()
    )
    return path


def test_golden_parity(golden: Case, tmp_path: Path) -> None:
    """Four configuration files and the parameters byte for byte; the program loads with the same outputs in order."""
    result = api.to_serving(golden.model, out=tmp_path, fetch_order="sorted")
    for folder, name in CONFIGS:
        assert (tmp_path / folder / name).read_bytes() == (golden.folder / folder / name).read_bytes(), name
    assert result.params is not None and result.program is not None
    assert result.params.read_bytes() == official_params(golden).read_bytes()
    converted = files.load_program(files.locate(tmp_path / "serving_server"))
    assert [p.name for p in converted.fetches] == sorted(golden.call["fetch"])
    assert [p.name for p in converted.feeds] == golden.call["feed"]
    assert [op.attr("col") for op in converted.main.ops if op.type == "fetch"] == list(range(len(golden.call["fetch"])))


def test_the_models_own_order_is_the_default(tmp_path: Path) -> None:
    golden = case("2.3.2-multi")
    result = api.to_serving(golden.model, out=tmp_path)
    assert [v.name for v in result.fetches] == golden.call["fetch"] != sorted(golden.call["fetch"])
    # nothing to change: the program is the source's, byte for byte
    assert result.program is not None
    assert result.program.read_bytes() == golden.program_file.read_bytes()


def test_exactly_one_pair_that_both_servers_find(golden: Case, tmp_path: Path) -> None:
    api.to_serving(golden.model, out=tmp_path)
    names = {p.name for p in (tmp_path / "serving_server").iterdir()}
    names -= {configure.SERVER_TEXT, configure.SERVER_BINARY, provenance.NAME}
    # the pipeline: __model__ + __params__ or *.pdmodel + *.pdiparams; the C++ server: by these endings
    assert len(names) == 2
    assert names == {"__model__", "__params__"} or sorted(n.rpartition(".")[2] for n in names) == [
        "pdiparams",
        "pdmodel",
    ]
    kept = {"combined": {"__model__", "__params__"}, "custom": {"model.pdmodel", "params.pdiparams"}}
    how = golden.name.rpartition("_")[2]
    assert names == kept.get(how, {"model.pdmodel", "params.pdiparams"} if how == "separate" else names)


@pytest.mark.parametrize("given", ["inference.pdmodel", "inference.pdiparams", "inference", "."])
def test_any_way_to_name_the_model(given: str, tmp_path: Path) -> None:
    golden = case("2.3.2-mlp")
    result = api.to_serving(golden.model / given, out=tmp_path)
    assert result.program == tmp_path / "serving_server" / "inference.pdmodel"


def test_show_writes_nothing(tmp_path: Path) -> None:
    result = api.to_serving(case("2.3.2-bert").model, out=tmp_path, show=True)
    assert result.config.encode() == (case("2.3.2-bert").server / configure.SERVER_TEXT).read_bytes()
    assert list(tmp_path.iterdir()) == [] and result.server is None


def test_link_shares_the_data(tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(case("2.3.2-conv").model, source)
    result = api.to_serving(source, out=tmp_path, link=True)
    assert result.linked and result.params is not None
    assert result.params.stat().st_ino == (source / "inference.pdiparams").stat().st_ino


def test_link_falls_back_to_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    result = api.to_serving(case("2.3.2-conv").model, out=tmp_path, link=True)
    assert not result.linked and any("copied, not linked" in w for w in result.warnings)
    assert result.params is not None
    assert result.params.read_bytes() == official_params(case("2.3.2-conv")).read_bytes()


def test_separate_parameters_cannot_be_linked(tmp_path: Path) -> None:
    result = api.to_serving(case("1.8.5-mlp_separate").model, out=tmp_path, link=True)
    assert not result.linked and any("not one unchanged file" in w for w in result.warnings)


class TestAliases:
    MODEL = case("2.3.2-multi").model

    def test_by_name_not_by_position(self, tmp_path: Path) -> None:
        result = api.to_serving(
            self.MODEL,
            out=tmp_path,
            fetch_order="sorted",
            fetch_alias={"softmax_3.tmp_0": "probability", "argmax_0.tmp_0": "label", "sigmoid_0.tmp_0": "score"},
        )
        assert {v.name: v.alias for v in result.fetches}["softmax_3.tmp_0"] == "probability"
        assert not any("drops" in w for w in result.warnings)

    def test_a_feed_alias_warns(self, tmp_path: Path) -> None:
        result = api.to_serving(self.MODEL, out=tmp_path, feed_alias={"x": "features"})
        assert result.feeds[0].alias == "features"
        assert any("C++ server only" in w and "KeyError" in w for w in result.warnings)

    def test_a_partial_rename_of_fetches_warns(self, tmp_path: Path) -> None:
        result = api.to_serving(self.MODEL, out=tmp_path, fetch_alias={"softmax_3.tmp_0": "p"})
        assert any("silently drops" in w for w in result.warnings)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"feed_alias": {"y": "z"}}, "no feed 'y'"),
            ({"fetch_alias": {"softmax_3.tmp": "z"}}, "no fetch 'softmax_3.tmp'"),
            ({"fetch_alias": {"softmax_3.tmp_0": "a", "sigmoid_0.tmp_0": "a"}}, "would be called 'a'"),
            ({"fetch_alias": {"softmax_3.tmp_0": "sigmoid_0.tmp_0"}}, "would be called"),
            ({"feed_alias": {"x": ""}}, "empty"),
            ({"fetch_order": "random"}, "unknown fetch order"),
            ({"target": "9"}, "unknown target"),
            ({"engine": "other"}, "unknown engine"),
        ],
    )
    def test_what_does_not_fit_is_a_usage_error(self, options: dict, message: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=message):
            api.to_serving(self.MODEL, out=tmp_path, **options)
        assert list(tmp_path.iterdir()) == []

    def test_a_near_miss_is_suggested(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            api.to_serving(self.MODEL, out=tmp_path, fetch_alias={"softmax_3.tmp": "z"})
        assert caught.value.hint == "did you mean 'softmax_3.tmp_0'?"


def test_existing_output_is_kept_without_force(tmp_path: Path) -> None:
    (tmp_path / "serving_client").mkdir()
    (tmp_path / "serving_client" / "mine").write_text("precious")
    with pytest.raises(OutputExistsError):
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"serving_client"}
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path, force=True)
    assert not (tmp_path / "serving_client" / "mine").exists()


def test_into_the_source_itself(tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(case("2.3.2-mlp").model, source)
    with pytest.raises(MconvError):
        api.to_serving(source, out=tmp_path, serving_server="m", force=True)
    assert (source / "inference.pdiparams").exists()


def test_a_model_without_outputs(tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(case("2.3.2-mlp").model, source)
    program = Program.from_bytes((source / "inference.pdmodel").read_bytes())
    program.main.ops[:] = [op for op in program.main.ops if op.type != "fetch"]
    (source / "inference.pdmodel").write_bytes(program.to_bytes())
    with pytest.raises(NotAModelError, match="without outputs"):
        api.to_serving(source, out=tmp_path / "o")


@pytest.mark.parametrize(("dtype", "read"), [(DType.INT64, True), (DType.FP64, False), (DType.BOOL, False)])
def test_inputs_that_the_cpp_server_does_not_read(tmp_path: Path, dtype: DType, read: bool) -> None:
    source = tmp_path / "m"
    shutil.copytree(case("2.3.2-mlp").model, source)
    program = Program.from_bytes((source / "inference.pdmodel").read_bytes())
    program.main.add_var(Var.tensor("more", dtype, (-1, 2)))
    at = [op.type for op in program.main.ops].index("feed")
    program.main.ops.insert(at + 1, Op.make("feed", {"X": ["feed"]}, {"Out": ["more"]}, [("col", AttrType.INT, 1)]))
    (source / "inference.pdmodel").write_bytes(program.to_bytes())
    warnings = api.to_serving(source, out=tmp_path, target="same").warnings
    said = [w for w in warnings if "reads no such type" in w]
    assert (said == []) if read else said[0].startswith(f"input 'more' ({dtype.label})")


def test_an_output_fetched_twice_is_served_once(tmp_path: Path) -> None:
    source = tmp_path / "m"
    shutil.copytree(case("2.3.2-mlp").model, source)
    program = Program.from_bytes((source / "inference.pdmodel").read_bytes())
    second = Op(type(program.main.ops[-1].desc).FromString(program.main.ops[-1].desc.SerializeToString()))
    second.desc.attrs[[a.name for a in second.desc.attrs].index("col")].i = 1
    program.main.ops.append(second)
    (source / "inference.pdmodel").write_bytes(program.to_bytes())
    result = api.to_serving(source, out=tmp_path)
    assert len(result.fetches) == 1 and any("more than once" in w for w in result.warnings)
    assert len(files.load_program(files.locate(tmp_path / "serving_server")).fetches) == 1


def no_parameters(folder: Path) -> Path:
    """A model that only doubles its input."""
    from mconv.program.dtypes import AttrType

    program = Program()
    program.version = 2003002
    main = program.main
    main.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    main.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    for name in ("x", "y"):
        main.add_var(Var.tensor(name, DType.FP32, (-1, 2)))
    main.ops += [
        Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, [("col", AttrType.INT, 0)]),
        Op.make("scale", {"X": ["x"]}, {"Out": ["y"]}, [("scale", AttrType.FLOAT, 2.0)]),
        Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, [("col", AttrType.INT, 0)]),
    ]
    folder.mkdir(parents=True)
    (folder / "double.pdmodel").write_bytes(program.to_bytes())
    return folder


def test_a_model_without_parameters_gets_one(tmp_path: Path) -> None:
    """The official tool fails on it, and the Predictor refuses a program without a parameter file."""
    result = api.to_serving(no_parameters(tmp_path / "m"), out=tmp_path)
    assert result.program is not None and result.program.name == "double.pdmodel"
    assert result.params is not None and result.params.name == "double.pdiparams"
    program = files.load_program(files.locate(tmp_path / "serving_server"))
    (record,) = list_combined(result.params, program.parameters)
    assert record.nbytes == 4 and not any(record.name in op.input_names for op in program.main.ops)


def test_what_the_target_lacks_is_one_error_listing_all(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        api.to_serving(newer.written(tmp_path / "in"), out=tmp_path / "out", target="1.8")
    assert {"operator": newer.LACKED, "count": 1, "reason": "no such operator"} in caught.value.rows
    assert f"{newer.LACKED} (1×)" in caught.value.message and not (tmp_path / "out").exists()
    api.to_serving(case("2.3.2-bert").model, out=tmp_path, target="same")


RUNS = [pytest.param(name, marks=pytest.mark.runtime) for name in ("paddle-2.3.2", "paddle-2.6.2")]


@pytest.fixture(scope="module")
def workers():  # type: ignore[no-untyped-def]
    """One worker for each runtime, started when first asked for."""
    from mconv import runtimes

    running: dict = {}

    def of(name: str):  # type: ignore[no-untyped-def]
        if name not in running:
            running[name] = runtimes.find(name).worker()
        return running[name]

    yield of
    for worker in running.values():
        worker.close()


@pytest.mark.parametrize("runtime", RUNS)
def test_converted_golden_models_give_the_golden_outputs(golden: Case, runtime: str, workers, tmp_path: Path) -> None:
    result = api.to_serving(golden.model, out=tmp_path)
    run = workers(runtime).run(result.program, result.params, golden.inputs)
    assert len(run.outputs[0]) == len(golden.outputs)
    for got, wanted in zip(run.outputs[0], golden.outputs):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.runtime
@pytest.mark.parametrize("name", ["1.8.5-mlp_custom", "1.8.5-bert_separate", "2.3.2-multi"])
def test_the_official_engine_makes_the_golden_files(name: str, tmp_path: Path) -> None:
    golden = case(name)
    result = api.to_serving(golden.model, out=tmp_path, engine="paddle-serving-client")
    assert result.engine == "paddle-serving-client" and result.fetch_order == "sorted"
    for folder, file in CONFIGS:
        assert (tmp_path / folder / file).read_bytes() == (golden.folder / folder / file).read_bytes()
    assert result.params is not None
    assert result.params.read_bytes() == official_params(golden).read_bytes()


@pytest.mark.parametrize("option", [{"link": True}, {"show": True}, {"target": "2.6"}])
def test_the_official_engine_refuses_what_it_does_not_know(option: dict, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not know"):
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path, engine="paddle-serving-client", **option)

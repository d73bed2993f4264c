"""Whatever a user calls the model is found, or told apart from one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mconv.errors import NotAModelError, UnsupportedError
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.files import Era, ModelFiles, load_program, locate, records, write_model
from mconv.program.params import ArraySource
from mconv.program.program import Op, Program, Var
from mconv.program.stored import NO_PARAMETERS
from tests.golden import Case, case

PAIR = case("2.3.2-mlp").model
SEPARATE = case("1.8.5-mlp_separate").model
PIR = {
    "base_code": {"magic": "pir", "trainable": True, "version": 4},
    "program": {"regions": [{"blocks": [{"args": [], "ops": [{"#": "p", "A": [0, 1, 1, "w"]}, {"#": "1.data"}]}]}]},
}


def copy(source: Path, folder: Path, **names: str) -> Path:
    """Copy a model; *names*: extension or file name (``_`` for ``__model__`` …) → new name."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        key = path.suffix[1:] or path.name.strip("_")
        shutil.copy(path, folder / names.get(key, path.name))
    return folder


# ---------------------------------------------------------------------------------------------- what is found

ERAS = {"separate": Era.FLUID_SEPARATE, "combined": Era.FLUID_COMBINED, "custom": Era.FLUID_CUSTOM}


def test_golden_models(golden: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """By folder, program, parameters, prefix, relative path and link, in every era."""
    files = locate(golden.model)
    assert files.era is ERAS.get(golden.name.rpartition("_")[2], Era.PADDLE2)
    assert files.program == golden.program_file
    assert files.folder == golden.model
    assert files.separate == (golden.call["params_filename"] is None)
    wanted = golden.call["params_filename"]
    assert files.params == (wanted and golden.model / wanted)
    program = load_program(files)
    found = records(files, program)
    assert [r.name for r in found] == [v.name for v in program.parameters]
    assert locate(files.program) == files
    assert locate(found[0].path) == files, "a parameter file means its model"
    if files.era is Era.PADDLE2:
        assert locate(files.program.with_suffix("")) == files
        assert locate(str(files.program.with_suffix("")) + ".pd") == files, "where the shell's completion stops"
    monkeypatch.chdir(golden.model)
    assert locate(".").program == Path(files.program.name)
    assert locate(files.program.name).program == Path(files.program.name)


def test_serving_folders(golden: Case) -> None:
    files = locate(golden.server)
    assert load_program(files).feeds[0].name == golden.call["feed"][0]
    assert len(records(files, load_program(files))) > 3


@pytest.mark.parametrize(
    ("program", "params"),
    [
        ("model", "params"),
        ("encoder.bin", "encoder.weights"),
        ("net", "data"),
        ("model.pdmodel", "params.pdiparams"),
        ("__model__", "weights"),
        ("a.b.pdmodel", "a.b.pdiparams"),
        ("модель.pdmodel", "модель.pdiparams"),
        ("model with spaces", "its parameters"),
        ("x.params", "x.model"),
    ],
)
def test_any_pair_of_names(tmp_path: Path, program: str, params: str) -> None:
    """The content says which is which; other files beside them do not disturb."""
    copy(PAIR, tmp_path / "m", pdmodel=program, pdiparams=params)
    for name, content in {"README.md": "hello", "config.json": "{}", "vocab.txt": "a", "serving.prototxt": ""}.items():
        (tmp_path / "m" / name).write_text(content, encoding="utf-8")
    (tmp_path / "m" / ".hidden").write_bytes((PAIR / "inference.pdmodel").read_bytes())
    for given in (tmp_path / "m", tmp_path / "m" / program, tmp_path / "m" / params):
        files = locate(given)
        assert files.program.name == program
        assert files.params is not None
        assert files.params.name == params
        assert len(records(files, load_program(files))) == 4


def test_two_models_in_one_folder(tmp_path: Path) -> None:
    for name in ("encoder", "decoder"):
        copy(PAIR, tmp_path, pdmodel=f"{name}.bin", pdiparams=f"{name}.weights")
    for given in ("encoder", "encoder.bin", "encoder.weights"):
        files = locate(tmp_path / given)
        assert (files.program.name, files.params and files.params.name) == ("encoder.bin", "encoder.weights")
    with pytest.raises(NotAModelError, match=r"holds 2 programs: decoder\.bin, encoder\.bin") as e:
        locate(tmp_path)
    assert str(tmp_path / "decoder.bin") in e.value.hint


def test_parameters_that_fit_are_chosen(tmp_path: Path) -> None:
    """Among files that could be the parameters, the one that holds this program's tensors is."""
    copy(PAIR, tmp_path, pdmodel="net", pdiparams="second")
    shutil.copy(case("2.3.2-conv").model / "inference.pdiparams", tmp_path / "first")
    assert locate(tmp_path).params == tmp_path / "second"
    shutil.copy(tmp_path / "second", tmp_path / "third")
    with pytest.raises(NotAModelError, match="several files may hold its parameters: second, third"):
        locate(tmp_path)
    assert locate(tmp_path / "third").params == tmp_path / "third"


def test_prefix_beside_a_folder_of_that_name(tmp_path: Path) -> None:
    copy(PAIR, tmp_path, pdmodel="pb_model.pdmodel", pdiparams="pb_model.pdiparams")
    (tmp_path / "pb_model").mkdir()
    assert locate(tmp_path / "pb_model").program.name == "pb_model.pdmodel"
    copy(PAIR, tmp_path / "pb_model")
    with pytest.raises(NotAModelError, match="holds 2 programs"):
        locate(tmp_path / "pb_model")


def test_links(tmp_path: Path) -> None:
    """As in the caches of model hubs, where every file is a link into a store."""
    (tmp_path / "m").mkdir()
    for path in PAIR.iterdir():
        (tmp_path / "m" / path.name).symlink_to(path.resolve())
    (tmp_path / "link").symlink_to("m")
    assert locate(tmp_path / "link").program == tmp_path / "link" / "inference.pdmodel"


def test_pir(tmp_path: Path) -> None:
    (tmp_path / "inference.json").write_text(json.dumps(PIR), encoding="utf-8")
    with pytest.raises(NotAModelError, match="a program without its 1 parameters"):
        locate(tmp_path)
    shutil.copy(PAIR / "inference.pdiparams", tmp_path)
    (tmp_path / "config.json").write_text('{"Global": {"model_name": "PP-LCNet"}}', encoding="utf-8")
    for given in ("", "inference", "inference.json", "inference.pdiparams"):
        files = locate(tmp_path / given)
        assert files == ModelFiles(Era.PIR, tmp_path / "inference.json", tmp_path / "inference.pdiparams", tmp_path)
    with pytest.raises(UnsupportedError, match="a PIR program") as e:
        load_program(files)
    assert "FLAGS_enable_pir_api=0" in e.value.hint
    shutil.copy(PAIR / "inference.pdmodel", tmp_path)
    for given in ("", "inference"):
        with pytest.raises(NotAModelError, match=r"holds 2 programs: inference\.json, inference\.pdmodel"):
            locate(tmp_path / given)


@pytest.mark.parametrize(
    ("text", "pir"),
    [
        (json.dumps(PIR, indent=2), True),
        (json.dumps(dict(reversed(PIR.items()))), True),
        ("\ufeff" + json.dumps(PIR), True),
        (json.dumps({"base_code": {"magic": "other"}}), False),
        (json.dumps({"base_code": "pir"}), False),
        (json.dumps([PIR]), False),
        ('{"note": "base_code", "magic": "pir"}', False),
        ("[" * 100_000, False),
        ('{"base_code": ' + "[" * 100_000, False),
        ("", False),
        ("{", False),
    ],
)
def test_json_that_is_pir(tmp_path: Path, text: str, pir: bool) -> None:
    path = tmp_path / "net.json"
    path.write_text(text, encoding="utf-8")
    shutil.copy(PAIR / "inference.pdiparams", tmp_path / "net.pdiparams")
    if pir:
        assert locate(path).era is Era.PIR
    else:
        with pytest.raises(NotAModelError, match=r"net\.json: (a JSON file that is no PIR program|an empty file)"):
            locate(path)


# ---------------------------------------------------------------------------------------------- no parameters


def without_parameters() -> Program:
    program = Program()
    block = program.main
    block.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    block.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    block.add_var(Var.tensor("x", DType.FP32, (-1, 4)))
    block.add_var(Var.tensor("y", DType.FP32, (-1, 4)))
    block.ops += [
        Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, [("col", AttrType.INT, 0)]),
        Op.make("relu", {"X": ["x"]}, {"Out": ["y"]}),
        Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, [("col", AttrType.INT, 0)]),
    ]
    return program


@pytest.mark.parametrize("name", ["net.pdmodel", "__model__", "net"])
def test_model_without_parameters(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(without_parameters().to_bytes())
    for given in (tmp_path, tmp_path / name):
        files = locate(given)
        assert files.params is None
        assert not files.separate
        assert records(files, load_program(files)) == []
    (tmp_path / "net.pdiparams").touch()
    files = locate(tmp_path / name)
    assert records(files, load_program(files)) == []


def test_writing_a_model_without_parameters(tmp_path: Path) -> None:
    """Paddle 2.3 and 2.6 refuse to load a parameter file with no parameter in it."""
    program = without_parameters()
    write_model(program, [], tmp_path)
    files = locate(tmp_path)
    assert [r.name for r in records(files, load_program(files))] == [NO_PARAMETERS]
    assert not program.parameters, "the caller's program is left alone"


def test_write_model(tmp_path: Path, golden: Case) -> None:
    files = locate(golden.model)
    program = load_program(files)
    found = records(files, program)
    paths = write_model(program, ((r.name, r) for r in found), tmp_path, "net")
    assert paths == (tmp_path / "net.pdmodel", tmp_path / "net.pdiparams")
    again = locate(tmp_path)
    assert again == ModelFiles(Era.PADDLE2, *paths, tmp_path)
    assert load_program(again).to_bytes() == program.to_bytes()
    for ours, theirs in zip(records(again, program), found):
        assert ours.array().tobytes() == theirs.array().tobytes()


@pytest.mark.parametrize("names", [[], ["w", "x"], ["v"], ["x"]], ids=str)
def test_write_model_wants_the_programs_parameters(tmp_path: Path, names: list[str]) -> None:
    program = without_parameters()
    program.main.add_var(Var.tensor("w", DType.FP32, (2,), persistable=True))
    with pytest.raises(ValueError, match="parameter"):
        write_model(program, [(n, ArraySource(np.zeros(2, np.float32))) for n in names], tmp_path)

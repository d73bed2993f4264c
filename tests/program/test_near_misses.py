"""What is no Paddle inference model gets a message of its own, and a hint what to do."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Callable

import pytest

from mconv import api
from mconv.errors import CorruptModelError, MconvError, NotAModelError
from mconv.program.files import load_program, locate, records
from mconv.program.sniff import FOREIGN, what
from tests.golden import case
from tests.program.test_files import PAIR, SEPARATE, copy


def make(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name.replace("__dot__", ".")).write_bytes(content)


PARAMS = (PAIR / "inference.pdiparams").read_bytes()
PROGRAM = (PAIR / "inference.pdmodel").read_bytes()
PICKLE = pickle.dumps({"w": 1}, protocol=4)
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x032.0:\x05graph"
SAFETENSORS = struct.pack("<Q", 60) + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}      ' + bytes(4)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def torch_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", PICKLE)


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(PAIR / "inference.pdmodel", "inference.pdmodel")


# name of the file → content or maker, what the message says, what the hint says
FILES: dict[str, tuple[object, str, str]] = {
    "net.pdparams": (PICKLE, "a pickled state dict of Paddle", "mconv to-static"),
    "net.pdopt": (PICKLE, "the state of an optimizer", ".pdmodel"),
    "net.pdiparams.info": (PICKLE, "paddle.jit.save puts beside", ".pdmodel"),
    "net.onnx": (ONNX, "an ONNX model", "mconv onnx2paddle"),
    "net.pdiparams": (PARAMS, "parameters without their program (net.pdmodel or net.json is missing)", "both files"),
    "__params__": (PARAMS, "parameters without their program (__model__ is missing)", "both files"),
    "odd": (PARAMS, "parameters without their program", "both files"),
    "net.pdmodel": (PROGRAM, "a program without its 4 parameters (net.pdiparams is missing", "both files"),
    "__model__": (PROGRAM, "a program without its 4 parameters (__params__ or params is missing", "both files"),
    "net.pt": (torch_zip, "a PyTorch file", "mconv torch2paddle"),
    "net.pth": (PICKLE, "a PyTorch file", "mconv torch2paddle"),
    "pytorch_model.bin": (torch_zip, "a PyTorch file", "mconv torch2paddle"),
    "net.safetensors": (SAFETENSORS, "a safetensors file", "mconv torch2paddle"),
    "saved_model.pb": (b"\x08\x01\x12\xff", "a TensorFlow model", "tf2onnx"),
    "net.tflite": (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model", "tf2onnx"),
    "net.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "tf2onnx"),
    "net.tar": (tar, "an archive", "unpack"),
    "net.tar.gz": (b"\x1f\x8b\x08\x00", "an archive", "unpack"),
    "net.zip": (b"PK\x03\x04....", "an archive", "unpack"),
    "lfs.pdmodel": (LFS, "a Git LFS pointer", "git lfs pull"),
    "lfs.pdiparams": (LFS, "parameters without their program", "both files"),
    "config.json": (b'{"a": 1}', "a JSON file that is no PIR program", "magic"),
    "serving_server_conf.prototxt": (b"feed_var {", "a configuration of Paddle Serving", "serving_server folder"),
    "notes.txt": (b"hello", "a text file", "a model is an .onnx file"),
    "passwd": (b"root:x:0:0:root:/root:/bin/bash\n" * 200, "a text file", "a model is an .onnx file"),
    "中文": ("说明\n".encode() * 1000, "a text file", "a model is an .onnx file"),
    "inference.yml": (
        b"Global:\n  model_name: PP-OCRv4_mobile_rec\nPreProcess: {}\n",
        "the configuration of a PaddleX or PaddleOCR model",
        "give the folder",
    ),
    "recipe.yaml": (b"source: m.onnx\n", "a YAML file", "mconv run"),
    "net.py": (b"import torch\n", "a Python file", "FILE.py:CLASS"),
    "model.bin": (b"<!DOCTYPE html><title>Sign in</title>", "a web page", "login"),
    "x.png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture", "a model is an .onnx file"),
    "paper.pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document", "a model is an .onnx file"),
    "ls": (b"\x7fELF\x02\x01" + bytes(99), "a program or a library", "a model is an .onnx file"),
    "secret": (bytes(range(255, 0, -1)) * 9, "no kind of model that mconv knows", "decrypted"),
    "nothing": (b"", "an empty file", "again"),
    "net.nb": (b"\x00\x01\x02", "a Paddle Lite model", "made from"),
    "pickle": (PICKLE, "a Python pickle", ".pdmodel"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("as_folder", [False, True], ids=["file", "folder"])
def test_near_misses(tmp_path: Path, name: str, as_folder: bool) -> None:
    """Each gets a message of its own, by itself and as the only file of a folder."""
    content, message, hint = FILES[name]
    if callable(content):
        content(tmp_path / name)
    else:
        assert isinstance(content, bytes)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(NotAModelError) as e:
        locate(tmp_path if as_folder else tmp_path / name)
    told = e.value.message
    assert "\n" not in told
    assert told.startswith(str(tmp_path))
    assert e.value.hint
    if not as_folder:
        assert message in told
        assert hint in e.value.hint
    elif FOREIGN & {what(tmp_path / name)} or name in ("nothing", "config.json", "pickle"):
        assert f"no Paddle program among its files ({name})" in told
    elif name.endswith((".pdparams", ".pdopt")):
        assert f"a training checkpoint ({name})" in told
    elif name.endswith(".prototxt"):
        assert "the client side of Paddle Serving" in told
    else:
        assert message in told
        assert name in told


def test_messages_differ() -> None:
    assert len({message for _, message, _ in FILES.values()}) >= 20


@pytest.mark.parametrize(
    ("arrange", "given", "error", "message"),
    [
        (lambda p: None, "", NotAModelError, "an empty folder"),
        (lambda p: (p / "a").mkdir(), "", NotAModelError, "holds folders only"),
        (lambda p: None, "missing", NotAModelError, "no such file, folder or prefix"),
        (lambda p: None, "a/b/c", NotAModelError, "no such file, folder or prefix"),
        (lambda p: os.mkfifo(p / "pipe"), "pipe", NotAModelError, "not an ordinary file"),
        (lambda p: make(p, x__dot__pdmodel=b""), "", CorruptModelError, "x.pdmodel: an empty file"),
        (
            lambda p: make(p, __model__=PARAMS, __params__=PROGRAM),
            "",
            NotAModelError,
            "holds parameters, not a program",
        ),
        (lambda p: make(p, __model__=PROGRAM, __params__=PROGRAM), "__model__", NotAModelError, "holds a program, not"),
        (lambda p: make(p, x__dot__pdmodel=ONNX), "", NotAModelError, "an ONNX model, whatever its name says"),
        (
            lambda p: make(p, x__dot__pdmodel=PROGRAM, x__dot__pdiparams=PICKLE),
            "",
            NotAModelError,
            "a Python pickle, not parameters",
        ),
        (
            lambda p: make(p, x__dot__pdmodel=PROGRAM[:4000]),
            "",
            CorruptModelError,
            "not a Paddle program, or a damaged",
        ),
        (lambda p: make(p, x__dot__json=b'{"base_code": {"magic": "pir"}, "pro'), "", CorruptModelError, "not JSON"),
        (lambda p: make(p, x__dot__json=b'{"base_code": {"magic": "pir"}}'), "", CorruptModelError, "without program."),
        (lambda p: make(p, x__dot__onnx=ONNX), "x", NotAModelError, "x.onnx is an ONNX model"),
        (lambda p: make(p, x__dot__pdparams=PICKLE), "x", NotAModelError, "x.pdparams is a pickled state dict"),
        (lambda p: make(p, x__dot__pdiparams=PARAMS), "x", NotAModelError, "parameters without their program"),
    ],
)
def test_arrangements(
    tmp_path: Path, arrange: Callable[[Path], None], given: str, error: type[MconvError], message: str
) -> None:
    arrange(tmp_path)
    with pytest.raises(error) as e:
        files = locate(tmp_path / given)
        records(files, load_program(files))
    assert message in e.value.message


def test_separate_file_is_missing(tmp_path: Path) -> None:
    copy(SEPARATE, tmp_path)
    (tmp_path / "fc_1.w_0").unlink()
    files = locate(tmp_path)
    assert files.separate
    with pytest.raises(CorruptModelError, match=r"the file of parameter 'fc_1\.w_0' is missing"):
        records(files, load_program(files))


def test_suggestions(tmp_path: Path) -> None:
    copy(PAIR, tmp_path / "models" / "pb_model")

    def hint(given: str) -> str:
        with pytest.raises(NotAModelError) as e:
            locate(tmp_path / given)
        assert e.value.hint
        return e.value.hint

    inner = tmp_path / "models" / "pb_model"
    (tmp_path / "pir" / "x").mkdir(parents=True)
    make(tmp_path / "pir" / "x", net__dot__json=b"{}", net__dot__pdiparams=PARAMS)
    assert hint("pir") == f"did you mean {tmp_path / 'pir' / 'x'}?"
    assert hint("models") == f"did you mean {inner}?"
    assert hint("models/pb_modle") == f"did you mean {inner}?"
    assert hint("modles/pb_model") == f"did you mean {tmp_path / 'models'}?"
    assert hint("models/pb_model/inferense.pdmodel") == f"did you mean {inner / 'inference.pdmodel'}?"
    custom = case("1.8.5-bert_custom").model.parent  # model + params beside a serving folder and an .npz
    with pytest.raises(NotAModelError, match="no Paddle program among its files") as e:
        locate(custom)
    assert e.value.hint == f"did you mean {custom / 'inference_model'} or {custom / 'serving_server'}?"
    assert hint("nowhere/at/all") == f"the folder {tmp_path / 'nowhere' / 'at'} does not exist"


def test_the_folder_above_a_served_model_means_that_model(tmp_path: Path) -> None:
    """What ``mconv convert`` and ``to-serving`` have written into is taken as it is, by every command."""
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path / "out", pipeline={})
    (tmp_path / "out" / "report.json").write_text("{}")
    assert locate(tmp_path / "out") == locate(tmp_path / "out" / "serving_server")
    (tmp_path / "out" / "notes.txt").write_text("anything else")
    with pytest.raises(NotAModelError) as e:
        locate(tmp_path / "out")
    assert e.value.hint == f"did you mean {tmp_path / 'out' / 'serving_server'}?"


def test_serving_client_points_at_the_server(tmp_path: Path) -> None:
    golden = case("2.3.2-mlp")
    with pytest.raises(NotAModelError, match="the client side") as e:
        locate(golden.client)
    assert str(golden.server) in (e.value.hint or "")
    shutil.copytree(golden.folder, tmp_path / "m")
    with pytest.raises(NotAModelError) as e:
        locate(tmp_path / "m")
    assert str(tmp_path / "m" / "serving_server") in (e.value.hint or "")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 5000])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotAModelError, match="no such file"):
        locate(tmp_path / name)

"""What generated services make of requests: tensors, texts through tokenizers, pictures; against other libraries."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mconv.program.dtypes import DType
from mconv.proof.service import picture, png
from tests.serving.generated import load, service

I64, F32 = DType.INT64, DType.FP32


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes ``Inputs`` of the service that is planned for some inputs."""

    def make(inputs: dict, **options: Any) -> Any:
        planned = service(inputs, **options)
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        return load(planned, folder, f"{planned.kind}_input.py", monkeypatch).Inputs()

    return make


# tensors ------------------------------------------------------------------------------------------------------

VALUES = np.linspace(-1e3, 1e-3, 2000, dtype=np.float32).reshape(20, 100)


def printed(array: np.ndarray) -> str:
    with np.printoptions(threshold=sys.maxsize):
        return repr(array)


@pytest.mark.parametrize(
    ("text", "wanted", "dtype"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]], I64),
        ("[[1.0, 2.0]]", [[1, 2]], I64),
        ("[1.5, NaN, Infinity]", [1.5, np.nan, np.inf], F32),
        ("7", 7, I64),
        ("[true, false]", [True, False], DType.BOOL),
        (printed(VALUES), VALUES, F32),
        (printed(np.arange(6).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]], I64),
        (printed(np.zeros(3, bool)), [False] * 3, DType.BOOL),
    ],
    ids=["json", "whole floats", "nan", "scalar", "bool", "long repr", "repr", "bool repr"],
)
def test_texts_become_arrays(reader: Any, text: str, wanted: object, dtype: DType) -> None:
    feed = reader({"x": (dtype, [-1] * np.ndim(wanted))}).read({"x": text})
    np.testing.assert_allclose(feed["x"], np.asarray(wanted, dtype.numpy), rtol=1e-6)
    assert feed["x"].dtype == dtype.numpy and feed["x"].shape == np.shape(wanted)


def test_arrays_pass_through(reader: Any) -> None:
    feed = reader({"x": (F32, (-1, 3))}).read({"x": np.ones((2, 3), np.float64)})
    assert list(feed) == ["x"] and feed["x"].dtype == np.float32


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"y": "[1]"}, "the request has no x; inputs: x, y"),
        ({}, "no x, y"),
        ({"x": "[[1, 2]]", "y": "[1]", "z": "1"}, "unknown: z; inputs: x, y"),
        ({"x": "[1", "y": "[1]"}, "x is no array of float32"),
        ({"x": "__import__('os').getcwd()", "y": "[1]"}, "x is no array of float32"),
        ({"x": '[["a", "b"]]', "y": "[1]"}, "x is no array of float32"),
        ({"x": "[[1], [1, 2]]", "y": "[1]"}, "x is no array of float32"),
        ({"x": "[" * 100_000, "y": "[1]"}, "x is no array of float32"),
        ({"x": '{"a": 1}', "y": "[1]"}, "x is no array of float32"),
        ({"x": "[[1, 2, 3]]", "y": "[1]"}, r"x has shape \[1, 3\], the model takes \[\?, 2\]"),
        ({"x": "[1, 2]", "y": "[1]"}, r"x has shape \[2\]"),
        ({"x": np.zeros((0, 2)), "y": "[1]"}, r"x has shape \[0, 2\]"),
        ({"x": "[[1, 2]]", "y": "[1.5]"}, "y is no array of int64: the values do not fit"),
        ({"x": "[[1, 2]]", "y": "[NaN]"}, "y is no array of int64"),
        ({"x": "[[1, 2]]", "y": "[1e30]"}, "y is no array of int64"),
    ],
    ids=[
        "missing", "nothing", "unknown", "cut", "code", "text", "ragged", "deep", "object", "size", "rank", "empty",
        "fraction", "nan", "large",
    ],
)  # fmt: skip
def test_bad_tensors_are_refused(reader: Any, request_: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader({"x": (F32, (-1, 2)), "y": (I64, (-1,))}).read(request_)


# texts --------------------------------------------------------------------------------------------------------

BERT = dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), (I64, (-1, -1)))
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##want", "##ed", "runn", "##ing", ",", "愿", "你", "hello"]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    return folder


def test_wordpiece_as_transformers_has_it(reader: Any, vocab: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.BertTokenizer(str(vocab / "vocab.txt"))
    texts = ["UNwantéd, running 愿你", "hello", "zzz"]
    want = theirs(texts, padding=True, return_tensors="np")
    feed = reader(BERT, tokenizer=vocab).read(dict(zip("012", texts)))
    assert list(feed) == list(BERT)
    for name in BERT:
        np.testing.assert_array_equal(feed[name], want[name])
        assert feed[name].dtype == np.int64


def test_tokenizer_json_as_the_library_has_it(reader: Any, vocab: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizers.BertWordPieceTokenizer(str(vocab / "vocab.txt")).save(str(vocab / "tokenizer.json"))
    feed = reader(BERT, tokenizer=vocab).read({"a": "hello hello", "b": "hello"})
    assert feed["input_ids"].tolist() == [[2, 12, 12, 3], [2, 12, 3, 0]]
    assert feed["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_long_texts_are_cut_and_fixed_rows_filled(reader: Any, vocab: Path) -> None:
    feed = reader(BERT, tokenizer=vocab, max_length=5).read({"a": "hello " * 50})
    assert feed["input_ids"].tolist() == [[2, 12, 12, 12, 3]]
    fixed = {**dict.fromkeys(BERT, (I64, (-1, 6))), "position_ids": (I64, (-1, 6))}
    feed = reader(fixed, tokenizer=vocab).read({"a": "hello"})
    assert feed["input_ids"].tolist() == [[2, 12, 3, 0, 0, 0]] and feed["position_ids"].tolist() == [list(range(6))]


def test_a_model_of_fixed_batch_takes_so_many(reader: Any, vocab: Path) -> None:
    fixed = dict.fromkeys(BERT, (I64, (2, -1)))
    read = reader(fixed, tokenizer=vocab).read
    assert read({"a": "hello", "b": "hello"})["input_ids"].shape == (2, 3)
    with pytest.raises(ValueError, match="1 texts, the model takes 2 at a time"):
        read({"a": "hello"})
    read = reader({"x": (F32, (1, 3, 32, 32))}).read
    assert read({"a": TEXT})["x"].shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="2 pictures, the model takes 1 at a time"):
        read({"a": TEXT, "b": TEXT})


def test_roles_and_types_are_the_users(reader: Any, vocab: Path) -> None:
    inputs = {"w": (DType.INT32, (-1, -1)), "m": (F32, (-1, -1))}
    feed = reader(inputs, service="text", tokenizer=vocab, text_inputs={"w": "ids", "m": "mask"}).read({"a": "hello"})
    assert feed["w"].dtype == np.int32 and feed["m"].dtype == np.float32 and feed["m"].tolist() == [[1, 1, 1]]


def test_sentencepiece(reader: Any, tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    text = tmp_path / "corpus.txt"
    text.write_text("\n".join(f"the cat number {i} sat on the mat" for i in range(50)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "spiece"),
        vocab_size=30,
        control_symbols="[CLS],[SEP]",
        minloglevel=2,
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    feed = reader({"input_ids": (I64, (-1, -1))}, tokenizer=tmp_path / "spiece.model").read({"0": "the cat sat"})
    cls, sep = (theirs.piece_to_id(piece) for piece in ("[CLS]", "[SEP]"))
    assert feed["input_ids"].tolist() == [[cls, *theirs.encode("the cat sat"), sep]]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "the request has no text"),
        ({"0": "x" * 100_001}, "0 has 100001 characters"),
        ({str(i): "x" for i in range(65)}, "65 texts"),
        ({"0": np.zeros(3)}, "0 is no text"),
        (dict.fromkeys(BERT, "[[101, 102]]"), "is an input of the model, this service takes texts"),
    ],
    ids=["nothing", "long", "many", "array", "arrays as the model has them"],
)
def test_bad_texts_are_refused(reader: Any, vocab: Path, request_: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader(BERT, tokenizer=vocab).read(request_)


def test_a_text_may_look_like_an_array(reader: Any, vocab: Path) -> None:
    assert reader(BERT, tokenizer=vocab).read({"0": "[[101, 102]]"})[next(iter(BERT))].shape[0] == 1
    assert reader(BERT, tokenizer=vocab).read(dict.fromkeys(BERT, "the cat"))[next(iter(BERT))].shape[0] == len(BERT)


# pictures -----------------------------------------------------------------------------------------------------

PIXELS = picture(60, 100)
PNG = png(PIXELS)
TEXT = base64.b64encode(PNG).decode()
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def image(height: int = -1, width: int = -1, channels: int = 3, dtype: DType = F32) -> dict:
    return {"x": (dtype, (-1, channels, height, width))}


def test_the_png_is_one() -> None:
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(PNG))), PIXELS)


def test_stretched_as_pillow_and_imagenet_have_it(reader: Any) -> None:
    feed = reader(image(32, 48)).read({"a": TEXT, "b": f"data:image/png;base64,{TEXT}"})
    resized = np.asarray(Image.fromarray(PIXELS).resize((48, 32), Image.Resampling.BILINEAR))
    want = ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)
    assert feed["x"].shape == (2, 3, 32, 48) and feed["x"].dtype == np.float32
    np.testing.assert_allclose(feed["x"][0], want, atol=1e-5)
    np.testing.assert_array_equal(feed["x"][0], feed["x"][1])


def test_cropped_as_hugging_face_has_it(reader: Any, tmp_path: Path) -> None:
    module = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    theirs = module.CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    source = tmp_path / "source"
    theirs.save_pretrained(source)
    want = theirs(Image.fromarray(PIXELS), return_tensors="np")["pixel_values"]
    feed = reader(image(), beside=source).read({"a": TEXT})
    assert feed["x"].shape == want.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(feed["x"], want, atol=2e-5)


def test_padded_as_pp_ocr_has_it(reader: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    options = {"image_fit": "pad", "mean": [0.5], "std": [0.5], "channel_order": "bgr", "image_library": "opencv"}
    feed = reader(image(48, 192), **options).read({"a": TEXT})["x"]
    resized = cv2.resize(np.ascontiguousarray(PIXELS[:, :, ::-1]), (80, 48))
    want = np.zeros((3, 48, 192), np.float32)
    want[:, :, :80] = (resized.astype("float32").transpose(2, 0, 1) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(feed[0], want, atol=1e-6)


def test_open_sizes_follow_the_picture(reader: Any) -> None:
    assert reader(image(48)).read({"a": TEXT})["x"].shape == (1, 3, 48, 80)
    both = reader(image(48)).read({"a": TEXT, "b": base64.b64encode(png(picture(48, 200))).decode()})["x"]
    assert both.shape == (2, 3, 48, 200) and not both[0, :, :, 80:].any()
    assert reader(image()).read({"a": TEXT})["x"].shape == (1, 3, 64, 96)
    wide = base64.b64encode(png(picture(400, 1600))).decode()
    assert reader(image()).read({"a": wide})["x"].shape == (1, 3, 256, 960)


@pytest.mark.parametrize("library", ["pillow", "opencv"])
def test_channels_layouts_and_types(reader: Any, library: str) -> None:
    if library == "opencv":
        pytest.importorskip("cv2")
    shape = {"x": (DType.UINT8, (-1, 60, 100, 3))}
    np.testing.assert_array_equal(reader(shape, image_library=library).read({"a": TEXT})["x"][0], PIXELS)
    np.testing.assert_array_equal(
        reader(shape, image_library=library, channel_order="bgr").read({"a": TEXT})["x"][0], PIXELS[:, :, ::-1]
    )
    feed = reader(image(60, 100, 1), service="image", image_library=library).read({"a": TEXT})["x"]
    want = np.asarray(Image.fromarray(PIXELS).convert("L")) / 255
    np.testing.assert_allclose(feed[0, 0], want, atol=1.5 / 255)


def test_bytes_of_rpc_clients(reader: Any) -> None:
    read = reader(image(32, 32)).read
    np.testing.assert_array_equal(read({"a": np.frombuffer(PNG, np.uint8)})["x"], read({"a": TEXT})["x"])


def bomb() -> bytes:
    """A PNG of few bytes that claims to have 100 million pixels."""
    data = bytearray(png(picture(1, 1)))
    data[16:24] = (10_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("library", ["pillow", "opencv"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("%%%", "no picture: not base64"),
        (base64.b64encode(b"text").decode(), "0 is no picture"),
        (base64.b64encode(PNG[:200]).decode(), "0 is no picture"),
        (base64.b64encode(bomb()).decode(), "0 is no picture"),
        ("", "0 is no picture"),
    ],
    ids=["no base64", "no picture", "cut", "bomb", "empty"],
)
def test_bad_pictures_are_refused(reader: Any, library: str, value: str, message: str) -> None:
    if library == "opencv":
        pytest.importorskip("cv2")
    with pytest.raises(ValueError, match=message) as raised:
        reader(image(32, 32), image_library=library).read({"0": value})
    assert "Assertion" not in str(raised.value) and ".cpp" not in str(raised.value)


@pytest.mark.parametrize("library", ["pillow", "opencv"])
def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path, library: str) -> None:
    pytest.importorskip("cv2" if library == "opencv" else "PIL")
    service(image(32, 32), image_library=library).write(tmp_path)
    # OpenCV reads its limit when it is imported, which other tests have done in this process
    code = "import sys, image_input\nimage_input.Inputs().read({'0': sys.argv[1]})"
    done = subprocess.run(
        [sys.executable, "-c", code, base64.b64encode(bomb()).decode()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search("ValueError: 0 is no picture: .*[0-9] pixels", done.stderr)


def test_strips_of_pixels_are_refused(reader: Any) -> None:
    strip = base64.b64encode(png(picture(1, 2_000))).decode()
    for options in ({"image_size": "48x?"}, {"image_size": "64", "image_fit": "crop"}):
        with pytest.raises(ValueError, match="0 is too long a picture"):
            reader(image(), **options).read({"0": strip})


def test_too_many_or_no_pictures_are_refused(reader: Any) -> None:
    read = reader(image(32, 32)).read
    for request, message in (({}, "no picture; send"), ({str(i): TEXT for i in range(17)}, "17 pictures")):
        with pytest.raises(ValueError, match=message):
            read(request)


def test_a_client_says_in_one_line_that_the_service_is_down(tmp_path: Path) -> None:
    service({"x": (F32, (2,))}).write(tmp_path)
    path = tmp_path / "http_client.py"
    with socket.socket() as free:  # nothing listens there
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/model/prediction"
        done = subprocess.run(
            [sys.executable, str(path), "--url", url, "x=[1, 2]"], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"{url}: ") and "refused" in done.stderr and done.stderr.count("\n") == 1


def test_clients_make_requests_of_their_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    client = load(service(image(32, 32)), tmp_path, "http_client.py", monkeypatch)
    assert client.request_of([str(tmp_path / "a.png")]) == {"0": TEXT}
    client = load(service({"x": (F32, (2,))}), tmp_path, "rpc_client.py", monkeypatch)
    (tmp_path / "y.json").write_text("[[3]]")
    assert client.request_of(["x=" + json.dumps([1, 2]), "y=@y.json"]) == {"x": "[1, 2]", "y": "[[3]]"}

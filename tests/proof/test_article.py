"""The article's chapters 1 and 2 with mconv, as one test: BERT, static, serving, the service, HTTP and RPC.

The BERT is a small one with the parameters and the three inputs of PaddleNLP's; everything else is what the article
does: the names of the files, the request, the ports, ``config.yml``, the pipeline of Paddle Serving 0.9.0 on Paddle
2.3.2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.dygraph import layers
from tests.managed import require
from tests.proof.services import post, running

pytestmark = pytest.mark.runtime

REQUEST = {"key": ["0"], "value": ["一博| 愿你在岁月中更加平湖静月，衣襟生花，你好你坏我们都在，"]}
OTHERS = ["你好", "愿你静月 unknown 生花，生花"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def mconv(folder: Path, *args: str) -> dict:
    """Run the command in *folder*; its result."""
    done = subprocess.run(
        [sys.executable, "-m", "mconv", *args, "--json"],
        cwd=folder, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict = json.loads(done.stdout)
    return result


@pytest.mark.long
def test_chapters_1_and_2(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    paddle, transformers = pytest.importorskip("paddle"), pytest.importorskip("transformers")
    characters = sorted({c for c in REQUEST["value"][0] if not c.isspace()})
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, *characters]) + "\n", encoding="utf-8")
    count = len(SPECIAL) + len(characters)
    paddle.seed(7)
    model = layers.Bert(vocab=count)
    model.eval()
    paddle.save(model.state_dict(), str(tmp_path / "model_state.pdparams"))
    shutil.copy(layers.__file__, tmp_path / "modeling.py")

    # "Model 转换为 Inference Model"
    made = mconv(
        tmp_path, "to-static", "modeling.py:Bert", "pb_model.pdmodel", "--arg", f"vocab={count}",
        "--weights", "model_state.pdparams", *(part for name in INPUTS for part in ("--input", f"{name}:int64[?,?]")),
    )  # fmt: skip
    assert made["verification"]["status"] == "passed"
    # "Inference Model转Paddle Serving Model", and chapter 2's service
    result = mconv(tmp_path, "to-serving", "./pb_model", "--pipeline", "--name", "bert", "--max-length", "64")
    assert [v["alias"] for v in result["feeds"]] == list(INPUTS)
    service = result["service"]
    assert (service["kind"], service["rpc_port"], service["http_port"]) == ("text", 8088, 18082)
    assert {"serving_server", "serving_client", "service"} <= {p.name for p in tmp_path.iterdir()}
    local = yaml.safe_load((tmp_path / "service" / "config.yml").read_text())["op"]["bert"]["local_service_conf"]
    assert (local["client_type"], local["ir_optim"], local["device_type"]) == ("local_predictor", True, 0)

    tokenizer = transformers.BertTokenizer(str(tmp_path / "vocab.txt"))

    def source(texts: list[str]) -> np.ndarray:
        """What the layer itself answers, on the tokens of another tokenizer."""
        encoded = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="np")
        with paddle.no_grad():
            out: np.ndarray = model(**{name: paddle.to_tensor(encoded[name]) for name in INPUTS}).numpy()
        return out

    # "启动服务", "验证服务", "测试样例"
    with running(tmp_path) as pipeline:
        status, text = pipeline.post(json.dumps(REQUEST, ensure_ascii=False).encode())
        answer = json.loads(text)
        assert status == 200 and answer["err_no"] == 0 and answer["key"] == [result["fetches"][0]["alias"]]
        want = source(REQUEST["value"])
        assert np.ptp(want) > 1e-3
        np.testing.assert_allclose(json.loads(answer["value"][0]), want, atol=1e-5)
        request = dict(zip(REQUEST["key"], REQUEST["value"]))
        several = dict(zip("012", REQUEST["value"] + OTHERS))
        for form in ("http key/value", "rpc strings"):
            for texts in (request, several, {"0": REQUEST["value"][0] * 20}):
                replied = pipeline.ask(form, texts)
                assert not replied.error
                np.testing.assert_allclose(replied.values[answer["key"][0]], source(list(texts.values())), atol=1e-5)
        for client, address in (("http_client.py", pipeline.url), ("rpc_client.py", pipeline.endpoint)):
            replied = pipeline.run(client, *address, *REQUEST["value"])
            np.testing.assert_allclose(replied.values[answer["key"][0]], want, atol=1e-5)
        # 4.4: without key and value nothing arrives, which the answer says
        status, text = pipeline.post(json.dumps({"sentence": REQUEST["value"][0]}).encode())
        assert json.loads(text)["err_no"] == 400 and '{"key": ["0"]' in json.loads(text)["err_msg"]
        assert post(pipeline, keys=REQUEST["key"], values=REQUEST["value"])["err_no"] == 0

    # and the command that checks all this
    report = mconv(tmp_path, "serve-check", "serving_server")
    assert report["ok"] and report["kind"] == "text" and Path(report["service"]) == tmp_path / "service"
    assert [form["form"] for form in report["forms"]][-3:] == ["http_client.py", "rpc_client.py", "bad requests"]

"""When a generated service uses oneDNN, and to which lengths its texts are filled up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Optional

import numpy as np
import pytest
import yaml

from mconv.program.dtypes import DType
from mconv.program.program import Op, Program, Var
from mconv.serving import onednn
from mconv.serving.rendering import render
from mconv.serving.scaffold import options_from, plan
from mconv.serving.servers.paddle_serving_files import CONFIG
from tests.managed import require
from tests.serving.generated import model

I64, F32 = DType.INT64, DType.FP32
BERT = dict.fromkeys(("input_ids", "attention_mask"), (I64, (-1, -1)))
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello"]


def settings(inputs: dict, folder: Path, outputs: dict, **options: object) -> tuple[dict, str, str]:
    """``local_service_conf``, the text of ``config.yml``, and ROW_LENGTHS of a text service."""
    (folder / "vocab.txt").write_text("\n".join(VOCAB))
    planned = plan(*model(inputs, list(outputs), outputs=outputs), options_from(options), beside=folder)
    text = planned.files[CONFIG]
    (line,) = [
        x for x in planned.files.get("text_input.py", "ROW_LENGTHS = ").splitlines() if x.startswith("ROW_LENGTHS =")
    ]
    return yaml.safe_load(text)["op"]["model"]["local_service_conf"], text, line.partition("= ")[2]


@pytest.mark.parametrize(
    ("inputs", "outputs", "options", "on", "comment"),
    [
        ({"x": (F32, (-1, 4))}, {"y": (-1, 2)}, {}, True, None),
        ({"x": (F32, (-1, -1))}, {"y": (-1, 2)}, {}, False, "sizes of the inputs change"),
        ({"x": (F32, (-1, -1))}, {"y": (-1, 2)}, {"onednn": True}, True, None),
        ({"x": (F32, (-1, 4))}, {"y": (-1, 2)}, {"onednn": False}, False, "--no-onednn was asked for"),
        ({"x": (F32, (-1, 4))}, {"y": (-1, 2)}, {"device_type": 1}, False, "no CPU"),
        ({"x": (F32, (-1, 3, -1, -1))}, {"y": (-1, 2)}, {"image_size": "32"}, True, None),
        ({"x": (F32, (-1, 3, 48, -1))}, {"y": (-1, 2)}, {}, False, "sizes of the inputs change"),
        (BERT, {"y": (-1, 2)}, {"max_length": 64}, True, None),
        (BERT, {"y": (-1, 2)}, {"max_length": 64, "onednn": False}, False, "--no-onednn was asked for"),
        (BERT, {"y": (2,)}, {"max_length": 64}, False, "sizes of the inputs change"),
        (BERT, {"y": (-1, 2)}, {"max_length": 64, "onednn": True}, True, None),
        (BERT, {"y": (-1, -1, 2)}, {"max_length": 64}, True, None),
        ({"input_ids": (I64, (-1, -1))}, {"y": (-1, 2)}, {}, False, "sizes of the inputs change"),
    ],
    ids=[
        "fixed",
        "open",
        "asked",
        "refused",
        "gpu",
        "picture",
        "wide picture",
        "texts",
        "texts, refused",
        "texts that are not joined",
        "filled up",
        "tokens",
        "no mask",
    ],
)
def test_onednn_is_on_where_shapes_are_few(
    tmp_path: Path, inputs: dict, outputs: dict, options: dict, on: bool, comment: str
) -> None:
    local, text, steps = settings(inputs, tmp_path, outputs, **options)
    assert local["use_mkldnn"] is on
    (line,) = [x for x in text.splitlines() if "# oneDNN, for a CPU" in x]
    assert (comment in line) if comment else line.endswith("# oneDNN, for a CPU")
    if inputs is BERT:
        assert steps == ("[16, 24, 32, 48, 64]" if options.get("onednn") else "None")
        assert local["onednn_fc"] is bool(options.get("onednn"))


def test_few_lengths_take_little_memory() -> None:
    assert onednn.lengths(128, 40 << 20) == [16, 24, 32, 48, 64, 96, 128]
    assert onednn.lengths(512, 340 << 20) == [16, 32, 64, 128, 256, 512]
    assert onednn.lengths(512, 1 << 30) is None
    assert onednn.lengths(8, 0) == [8] and onednn.lengths(100, 0) == [16, 20, 25, 37, 50, 75, 100]
    assert onednn.settle(None, True, 6, 340 << 20) == onednn.OneDNN(True, True, 6)
    assert onednn.settle(True, True, None, 340 << 20).passes is False
    assert onednn.settle(None, True, 1, 4 << 30).passes is False
    assert onednn.settle(None, True, 1, 1 << 20).shapes == 10


def test_the_weights_of_products_are_counted() -> None:
    program = Program()
    program.main.add_var(Var.tensor("w", F32, (10, 20), persistable=True))
    program.main.add_var(Var.tensor("x", F32, (-1, 10)))
    program.main.ops.append(Op.make("matmul_v2", {"X": ["x"], "Y": ["w"]}, {"Out": ["y"]}))
    program.main.ops.append(Op.make("matmul_v2", {"X": ["x"], "Y": ["x"]}, {"Out": ["z"]}))
    assert onednn.product_bytes(program) == 800 and onednn.product_bytes(None) == 0
    program.main.add_var(Var.tensor("filters", DType.INT8, (7, 3), persistable=True))
    assert onednn.weight_bytes(program) == 821 and onednn.weight_bytes(None) == 0


@pytest.mark.parametrize(
    ("inputs", "options", "width", "processes"),
    [
        (BERT, {}, 2, 2),
        ({"x": (F32, (-1, 3, 32, 32))}, {}, 2, 2),
        ({"x": (F32, (-1, 4))}, {}, 2, 2),
        ({"x": (F32, (-1, 4))}, {"concurrency": 1}, 2, 1),
        ({"x": (F32, (-1, 4))}, {"device_type": 1}, 2, 1),
        ({"x": (F32, (-1, 4))}, {}, (768 << 18), 2),
        ({"x": (F32, (-1, 4))}, {}, (768 << 18) + 1, 1),  # a copy each takes too much memory
    ],
)
def test_a_cpu_gets_two_processes(tmp_path: Path, inputs: dict, options: dict, width: int, processes: int) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB))
    config, program = model(inputs, ["y"], outputs={"y": (-1, 2)})
    program.main.add_var(Var.tensor("w", F32, (width,), persistable=True))
    planned = plan(config, program, options_from(options), beside=tmp_path)
    assert yaml.safe_load(planned.files[CONFIG])["op"]["model"]["concurrency"] == processes


class Config:
    """Stands in for Paddle Inference's."""

    def __init__(self) -> None:
        self.appended: list[str] = []
        self.operators: set[str] = set()
        self.deleted: list[str] = []

    def pass_builder(self) -> Config:
        return self

    def all_passes(self) -> list[str]:
        return self.appended

    def append_pass(self, name: str) -> None:
        self.appended.append(name)

    def delete_pass(self, name: str) -> None:
        self.deleted.append(name)

    def set_mkldnn_op(self, names: set[str]) -> None:
        self.operators = names

    def enable_tensorrt_engine(self, **options: object) -> None: ...


@pytest.mark.parametrize(
    ("version", "conf", "passes", "operators"),
    [
        ("2.3.2", {"use_mkldnn": True, "onednn_fc": True}, onednn.PASSES, {"conv2d"}),
        ("2.3.2", {"use_mkldnn": True, "onednn_fc": False}, (), {"conv2d"}),
        ("2.3.2", {"use_mkldnn": True, "mkldnn_op_list": ["relu"]}, (), set()),  # Paddle Serving sets that one
        ("2.3.2", {"use_mkldnn": True, "onednn_fc": True, "device_type": 1}, (), set()),
        ("2.3.2", {"use_mkldnn": False, "onednn_fc": True}, (), set()),
        ("2.6.2", {"use_mkldnn": True, "onednn_fc": True}, (), set()),
    ],
)
def test_what_the_service_sets_up(
    version: str, conf: dict, passes: tuple[str, ...], operators: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict = {}
    exec(render("predictor.py"), made)
    assert (tuple(made["FC_PASSES"]), tuple(made["ONEDNN_EXCEPT"])) == (onednn.PASSES, onednn.EXCEPT)
    kernels = {"conv2d": ["library_type[MKLDNN]}"], "conv2d_transpose": ["library_type[MKLDNN]}"], "assert": ["PLAIN]"]}
    core = SimpleNamespace(_get_all_register_op_kernels=lambda: kernels)
    inference = SimpleNamespace(Config=Config, create_predictor=lambda config: config)
    paddle = SimpleNamespace(__version__=version, fluid=SimpleNamespace(core=core), inference=inference)
    monkeypatch.setitem(sys.modules, "paddle", paddle)  # type: ignore[arg-type]
    made["tune"]({"device_type": 0, **conf})
    config = inference.create_predictor(Config())  # type: ignore[arg-type]
    assert (tuple(config.appended), config.operators) == (passes, operators)  # type: ignore[attr-defined]


EVERY = "fma avx2 avx512f avx512cd avx512bw avx512dq avx512vl"


@pytest.mark.parametrize(
    ("processor", "conf", "before", "kernels"),
    [
        (f"vendor_id\t: AuthenticAMD\nflags\t\t: fpu {EVERY}\n", True, None, "7"),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu fma avx2 avx512f\n", True, None, "5"),
        ("vendor_id\t: HygonGenuine\nflags\t\t: fpu fma avx2\n", True, None, "5"),
        ("vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx\n", True, None, None),
        (f"vendor_id\t: GenuineIntel\nflags\t\t: fpu {EVERY}\n", True, None, None),
        ("processor\t: 0\nFeatures\t: fp asimd\n", True, None, None),  # ARM
        ("", True, None, None),
        (f"vendor_id\t: AuthenticAMD\nflags\t\t: fpu {EVERY}\n", False, None, None),
        (f"vendor_id\t: AuthenticAMD\nflags\t\t: fpu {EVERY}\n", True, "4", "4"),  # whoever starts it has decided
    ],
)
def test_mkl_takes_the_kernels_that_a_processor_has(
    processor: str,
    conf: bool,
    before: Optional[str],
    kernels: Optional[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "cpuinfo").write_text(processor)
    made: dict = {}
    exec(render("predictor.py").replace("/proc/cpuinfo", str(tmp_path / "cpuinfo")), made)
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", before or "")
    if before is None:
        monkeypatch.delenv("MKL_DEBUG_CPU_TYPE")
    inference = SimpleNamespace(Config=Config, create_predictor=lambda config: config)
    monkeypatch.setitem(sys.modules, "paddle", SimpleNamespace(__version__="2.3.2", inference=inference))  # type: ignore[arg-type]
    made["tune"]({"device_type": 0, "use_mkldnn": False, "mkl_all_processors": conf})
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == kernels


PRODUCT = """
import ctypes, glob, json, os, sys
import paddle
exec(open(sys.argv[1]).read())
tune({"device_type": 0, "use_mkldnn": False, "mkl_all_processors": sys.argv[2] == "on"})
import numpy
x = paddle.to_tensor(numpy.random.RandomState(0).rand(64, 300).astype("float32"))
product = paddle.matmul(x, x, transpose_y=True).numpy()
(library,) = {line.split()[-1] for line in open("/proc/self/maps") if "libmklml_intel" in line}
print(json.dumps([ctypes.CDLL(library).mkl_serv_cpu_detect(), product.astype(float).tolist()]))
"""


@pytest.mark.runtime
def test_mkl_itself_uses_them(tmp_path: Path) -> None:
    """What MKL in the runtime of services says that it computes with; on Intel's processors nothing is changed."""
    runtime = require("paddle-2.3.2")
    (tmp_path / "predictor.py").write_text(render("predictor.py"))
    found = {}
    for mode in ("off", "on"):
        command = [str(runtime.python), "-c", PRODUCT, str(tmp_path / "predictor.py"), mode]
        done = subprocess.run(command, env=runtime.environ(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found[mode] = json.loads(done.stdout.splitlines()[-1])
    made: dict = {}
    exec(render("predictor.py"), made)
    wanted = made["mkl_kernels"](Path("/proc/cpuinfo").read_text())
    assert found["on"][0] == (found["off"][0] if wanted is None else int(wanted))
    np.testing.assert_allclose(found["on"][1], found["off"][1], rtol=1e-5)


@pytest.mark.parametrize(("version", "deleted"), [("2.3.2", ["fc_fuse_pass"]), ("2.6.2", [])])
def test_passes_without_half_kernels_are_left_out(
    version: str, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict = {}
    exec(render("predictor.py"), made)
    inference = SimpleNamespace(Config=Config, create_predictor=lambda config: config)
    monkeypatch.setitem(sys.modules, "paddle", SimpleNamespace(__version__=version, inference=inference))  # type: ignore[arg-type]
    made["tune"]({"device_type": 1, "use_mkldnn": False, "without_passes": ["fc_fuse_pass"]})
    config = inference.create_predictor(Config())  # type: ignore[arg-type]
    assert config.deleted == deleted  # type: ignore[attr-defined]

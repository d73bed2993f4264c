"""Models that went through ONNX Runtime's own tools before: optimised, fused, quantised, in half precision.

Compared with ONNX Runtime on the same file, at two sizes, in the default Predictor of three Paddles. A file of 8-bit
activations may round one of them to its neighbour where the two add up in another order, so there the bound is that of
such steps; where the numbers of bits only packs weights, it is that of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mconv.onnx.convert import convert
from mconv.program.stored import write_model
from mconv.proof.runners import OnnxRunner

RUNTIMES = ("current", "paddle-2.6.2", "paddle-2.3.2")
FLOAT, HALF, STEPS = 1e-4, 1e-2, 2e-2  # of the largest value
# T5 puts distances into buckets by int(8·log(n/8)/log(16)), which is a whole number at n = 16: 2 in float32 and where
# each step is rounded to float16 (Paddle 3), 1 in ONNX Runtime, which keeps the steps in float32 but has log(16) in
# float16 (1.9994), and in Paddle 2, which rounds log(2) towards zero. One attention bias is another then.
BUCKETS = 3e-2
Make = Callable[[Path, Path, list[dict[str, np.ndarray]]], Any]


def _optimised(family: str, *, half: bool = False) -> Make:
    def make(source: Path, out: Path, _: Any) -> None:
        from onnxruntime.transformers import optimizer

        made = optimizer.optimize_model(str(source), model_type=family, num_heads=0, hidden_size=0, opt_level=1)
        if half:
            made.convert_float_to_float16(keep_io_types=True)
        made.save_model_to_file(str(out))

    return make


def _saved(source: Path, out: Path, _: Any) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 4
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _dynamic(source: Path, out: Path, _: Any) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(str(source), str(out))


def _static(form: str, *, signed: bool = False) -> Make:
    def make(source: Path, out: Path, feeds: list[dict[str, np.ndarray]]) -> None:
        from onnxruntime import quantization as q

        class Reader(q.CalibrationDataReader):
            left = list(feeds)

            def get_next(self) -> Any:
                return self.left.pop(0) if self.left else None

        kind = q.QuantType.QInt8 if signed else q.QuantType.QUInt8
        q.quantize_static(
            str(source), str(out), Reader(), quant_format=q.QuantFormat[form], activation_type=kind,
            weight_type=q.QuantType.QInt8, per_channel=signed,
        )  # fmt: skip

    return make


def _four_bits(source: Path, out: Path, _: Any) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    made = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=False)
    made.process()
    onnx.save(made.model.model, out)


# what was done → (how, the bound, an operator that must be there, the models: those in make test first)
KINDS: dict[str, tuple[Make, float, str, tuple[str, ...]]] = {
    "optimiser": (_optimised("bert"), FLOAT, "SkipLayerNormalization", ("bert.ts14", "roberta.ts14", "electra.ts14", "bert.dynamo18")),
    "optimiser, gpt2": (_optimised("gpt2"), FLOAT, "FastGelu", ("gpt2.ts14",)),
    "optimiser, t5": (_optimised("t5"), FLOAT, "SkipSimplifiedLayerNormalization", ("t5_encoder.ts17",)),
    "optimiser, vit": (_optimised("vit"), FLOAT, "BiasGelu", ("vit.ts17",)),
    "half precision": (_optimised("bert", half=True), HALF, "Cast", ("distilbert.ts14", "bert.ts14", "roberta.ts14")),
    "half precision, t5": (_optimised("t5", half=True), HALF, "Cast", ("t5_encoder.ts17",)),
    "saved by a session": (_saved, FLOAT, "", ("segformer.ts17", "bert.ts14", "mobilenet_v3.ts17", "unet.ts11", "llama.ts14", "lstm.ts14")),
    "dynamically quantised": (_dynamic, STEPS, "DynamicQuantizeLinear", ("bert.ts14", "resnet18.ts14", "gpt2.ts14", "vit.ts17")),
    "QDQ": (_static("QDQ"), STEPS, "DequantizeLinear", ("resnet18.ts14", "mobilenet_v2.ts17", "vit.ts17", "densenet.ts14", "lstm.ts14")),
    "QDQ by channel": (_static("QDQ", signed=True), STEPS, "DequantizeLinear", ("mobilenet_v3.ts17", "unet.ts14", "gpt2.ts14")),
    "QOperator": (_static("QOperator"), STEPS, "QLinearConv", ("densenet.ts14", "mobilenet_v3.ts17", "resnet18.ts14")),
    "4-bit weights": (_four_bits, FLOAT, "MatMulNBits", ("bert.ts14", "llama.ts14")),
}  # fmt: skip
CASES = [
    pytest.param(kind, name, id=f"{kind}-{name}", marks=[pytest.mark.slow] if i else [])
    for kind, (_, _, _, names) in KINDS.items()
    for i, name in enumerate(names)
]


@pytest.mark.runtime
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_after_onnxruntimes_tools(kind: str, name: str, tmp_path: Path, workers: Callable[[str], Any]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from tests.zoo.export import export

    make, bound, operator, _ = KINDS[kind]
    source, sample = export(*name.rsplit(".", 1), tmp_path)  # type: ignore[call-arg]
    known = {i.name for i in onnx.load(source).graph.input}
    feeds = [{k: v for k, v in sample.feeds(*size).items() if k in known} for size in sample.sizes]
    path = tmp_path / "made.onnx"
    make(source, path, feeds)
    assert not operator or operator in {n.op_type for n in onnx.load(path).graph.node}
    wanted = OnnxRunner(path).run(feeds).outputs
    made = convert(path)
    files = write_model(made.program, made.params.items(), tmp_path)
    for runtime in RUNTIMES:
        for want, got in zip(wanted, workers(runtime).run(*files, feeds).outputs):
            for w, g in zip(want, got):
                assert w.shape == g.shape and w.dtype == g.dtype
                worst = np.abs(w - g).max() / max(np.abs(w).max(), 1e-6)
                allowed = BUCKETS if kind == "half precision, t5" and w.shape[1] > 16 else bound
                assert worst < allowed, f"{runtime}, {w.shape}: {worst:.2e}"

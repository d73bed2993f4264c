"""Programs of PaddleSlim in all of its forms, with inputs and what its own Paddle makes of them:

``python tests/passes/slim_models.py FOLDER``, in a Python with Paddle 2.6.2 and PaddleSlim 2.6.0 (``pip install --no-deps
paddleslim``, and what it imports). What it wrote is in ``tests/data/slim``.

- ``qat``: trained with quantisation for a few steps, converted; ``ptq``: calibrated after training;
- ``raw``: trained as ``qat`` and saved without converting, with ``fake_quantize_dequantize_…`` operators;
- ``old``: ``fake_quantize_…`` and ``fake_channel_wise_dequantize_…``; ``new``: ``quantize_linear``, ``dequantize_linear``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import paddle
import paddle.static as st
from paddle.nn import functional as F
from paddleslim.quant import convert, quant_aware, quant_post_static

OPERATORS = ["conv2d", "depthwise_conv2d", "mul", "matmul_v2"]
RANDOM = np.random.RandomState(3)


def conv(x: Any) -> Any:
    y = F.relu(st.nn.batch_norm(st.nn.conv2d(x, 8, 3, padding=1, bias_attr=False)))
    y = F.relu(st.nn.conv2d(y, 8, 3, padding=1, groups=8))
    y = F.adaptive_avg_pool2d(st.nn.conv2d(F.max_pool2d(y, 2, 2), 16, 1), 1)
    return st.nn.fc(paddle.flatten(y, 1), 5)


def mlp(x: Any) -> Any:
    y = st.nn.fc(x, 16, activation="relu")
    return st.nn.fc(y + st.nn.fc(y, 16), 5)


NETS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {"conv": (conv, (4, 3, 16, 16)), "mlp": (mlp, (4, 12))}


def build(net: Callable[[Any], Any], shape: tuple[int, ...]) -> tuple[Any, ...]:
    main, start = st.Program(), st.Program()
    main.random_seed = start.random_seed = 7
    with st.program_guard(main, start), paddle.utils.unique_name.guard():
        x, label = st.data("x", [None, *shape[1:]], "float32"), st.data("label", [None, 1], "int64")
        y = net(x)
        test = main.clone(for_test=True)
        loss = paddle.mean(F.cross_entropy(y, label))
        paddle.optimizer.SGD(0.05).minimize(loss)
    return main, start, test, y.name, loss


class Rows(paddle.io.Dataset):
    def __init__(self, shape: tuple[int, ...]):
        self.rows = [RANDOM.randn(*shape[1:]).astype("float32") for _ in range(8)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (self.rows[index],)


def save(folder: Path, program: Any, output: str, exe: Any) -> None:
    block = program.global_block()
    st.save_inference_model(str(folder / "inference"), [block.var("x")], [block.var(output)], exe, program=program)


def trained(folder: Path, net: str, form: str, exe: Any) -> None:
    config = {
        "quantize_op_types": OPERATORS,
        "onnx_format": form == "new",
        "weight_quantize_type": "channel_wise_abs_max",
        "activation_quantize_type": "moving_average_abs_max",
    }
    shape = NETS[net][1]
    with st.scope_guard(st.Scope()):
        main, start, test, output, loss = build(*NETS[net])
        exe.run(start)
        train = quant_aware(main, paddle.CPUPlace(), config, for_test=False)
        evaluate = quant_aware(test, paddle.CPUPlace(), config, for_test=True)
        for _ in range(10):
            feed = {"x": RANDOM.randn(*shape).astype("float32"), "label": RANDOM.randint(0, 5, (shape[0], 1))}
            exe.run(train, feed=feed, fetch_list=[loss])
        made = evaluate if form == "raw" else convert(evaluate, paddle.CPUPlace(), config)
        save(folder, made, output, exe)


def calibrated(folder: Path, net: str, form: str, exe: Any) -> None:
    shape, plain = NETS[net][1], folder.parent / f"float_{net}"
    with st.scope_guard(st.Scope()):
        _, start, test, output, _ = build(*NETS[net])
        exe.run(start)
        save(plain, test, output, exe)
    with st.program_guard(st.Program()):
        x = st.data("x", [None, *shape[1:]], "float32")
    loader = paddle.io.DataLoader(
        Rows(shape), feed_list=[x], batch_size=4, return_list=False, places=[paddle.CPUPlace()]
    )
    with st.scope_guard(st.Scope()):
        quant_post_static(
            exe, str(plain), str(folder), data_loader=loader, model_filename="inference.pdmodel",
            params_filename="inference.pdiparams", batch_size=4, batch_nums=2, algo="KL", onnx_format=form == "new",
            is_full_quantize=False, quantizable_op_type=OPERATORS, weight_quantize_type="channel_wise_abs_max",
            save_model_filename="inference.pdmodel", save_params_filename="inference.pdiparams",
        )  # fmt: skip


def answers(folder: Path, net: str, exe: Any) -> None:
    shape = NETS[net][1]
    made = {}
    for number, rows in enumerate((3, 1)):
        made[f"in_{number}"] = RANDOM.randn(rows, *shape[1:]).astype("float32")
        with st.scope_guard(st.Scope()):
            program, _, fetches = st.load_inference_model(str(folder / "inference"), exe)
            (made[f"out_{number}"],) = exe.run(program, feed={"x": made[f"in_{number}"]}, fetch_list=fetches)
    np.savez_compressed(folder / "io.npz", **made)


def without_callstacks(path: Path) -> None:
    """Every operator remembers the Python files and lines that made it: folders of whoever ran this."""
    from paddle.base.proto.framework_pb2 import ProgramDesc

    program = ProgramDesc.FromString(path.read_bytes())
    for op in (op for block in program.blocks for op in block.ops):
        kept = [attr for attr in op.attrs if attr.name != "op_callstack"]
        del op.attrs[:]
        op.attrs.extend(kept)
    path.write_bytes(program.SerializeToString())


def main() -> None:
    paddle.enable_static()
    out, exe = Path(sys.argv[1]), st.Executor(paddle.CPUPlace())
    for net in NETS:
        for how, form in (("qat", "old"), ("qat", "new"), ("qat", "raw"), ("ptq", "old"), ("ptq", "new")):
            folder = out / f"{how}_{form}_{net}"
            (trained if how == "qat" else calibrated)(folder, net, form, exe)
            without_callstacks(folder / "inference.pdmodel")
            answers(folder, net, exe)


if __name__ == "__main__":
    main()

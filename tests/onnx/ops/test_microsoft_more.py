"""Operators of com.microsoft of decoders, quantised encoders and diffusion models, and those that ONNX has, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx.checks import CURRENT, Runtime, check_model, check_op, check_refused, everywhere, graph_model, rand

DOMAIN = "com.microsoft"
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]


# decoders -------------------------------------------------------------------------------------------------------------


def grouped(
    batch: int, past: int, length: int, seqlens: list[int], heads: int = 4, kv: int = 2, d: int = 16
) -> dict[str, Any]:
    """Inputs of GroupQueryAttention; a total of past + length."""
    made: dict[str, Any] = {
        "q": rand(batch, length, heads * d), "k": rand(batch, length, kv * d, seed=1), "v": rand(batch, length, kv * d, seed=2),
        "pk": rand(batch, kv, past, d, seed=3), "pv": rand(batch, kv, past, d, seed=4),
        "s": np.array(seqlens, np.int32), "t": np.array(past + length, np.int32),
    }  # fmt: skip
    return made


@everywhere
@pytest.mark.parametrize("how", [
    {}, {"do_rotary": 1}, {"do_rotary": 1, "rotary_interleaved": 1}, {"scale": 0.3}, {"local_window_size": 2}, {"softcap": 0.7},
], ids=str)  # fmt: skip
def test_grouped_queries_behind_a_cache(runtime: Runtime, how: dict) -> None:
    rotary = "do_rotary" in how
    angles = np.outer(np.arange(32), 1 / 100 ** (np.arange(8) / 8)).astype(np.float32)
    tables = {"cos": np.cos(angles), "sin": np.sin(angles)} if rotary else {}
    # a token at a time behind caches of any length, and a whole prompt
    sets = [grouped(2, 5, 1, [5, 5]), grouped(3, 9, 1, [9, 9, 9]), grouped(2, 0, 6, [5, 5])]
    names = ["q", "k", "v", "pk", "pv", "s", "t", *tables]
    node = helper.make_node(
        "GroupQueryAttention", names, ["y", "nk", "nv"], domain=DOMAIN, num_heads=4, kv_num_heads=2, **how
    )
    sets = [{**one, **tables} for one in sets]
    inputs = {n: [one[n] for one in sets] for n in names if n not in tables}
    model = graph_model([node], inputs, ["y", "nk", "nv"], opsets=OPSETS, constants=tables)
    check_model(runtime, model, [{n: one[n] for n in inputs} for one in sets])


@everywhere
def test_grouped_queries_of_one_tensor_and_rows_of_other_lengths(runtime: Runtime) -> None:
    """Packed queries, keys and values; a batch whose rows have caches of other lengths."""
    one = grouped(2, 6, 1, [6, 3])
    packed = np.concatenate([one["q"], one["k"], one["v"]], -1)
    names = ["q", "", "", "pk", "pv", "s", "t"]
    node = helper.make_node("GroupQueryAttention", names, ["y", "nk", "nv"], domain=DOMAIN, num_heads=4, kv_num_heads=2)
    feeds = {"q": packed, **{n: one[n] for n in ("pk", "pv", "s", "t")}}
    model = graph_model([node], {n: [v] for n, v in feeds.items()}, ["y", "nk", "nv"], opsets=OPSETS)
    got = check_rows(runtime, model, feeds)
    assert got


def check_rows(runtime: Runtime, model: Any, feeds: dict[str, np.ndarray]) -> bool:
    """What counts of each row is alike; the rest of a cache is of no meaning."""
    from tests.onnx.checks import reference, run

    (got,), want = run(runtime, model, [feeds]), reference(model, feeds)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-3, atol=1e-5)
    for a, b in zip(got[1:], want[1:]):
        for row, count in enumerate(feeds["s"]):
            np.testing.assert_allclose(a[row, :, : count + 1], b[row, :, : count + 1], rtol=1e-4, atol=1e-6)
    return True


def test_a_sink_in_grouped_queries_is_refused() -> None:
    one = grouped(2, 5, 1, [5, 5])
    sets = [[one[n] for n in ("q", "k", "v", "pk", "pv", "s", "t")]]
    check_refused(
        CURRENT,
        "GroupQueryAttention",
        *sets,
        domain=DOMAIN,
        num_heads=4,
        kv_num_heads=2,
        smooth_softmax=1,
        match="a sink",
    )


# ONNX Runtime has these two on GPUs only


@everywhere
@pytest.mark.parametrize("both", [0, 1])
def test_relative_position_bias(runtime: Runtime, both: int) -> None:
    import torch
    from transformers.models.t5.modeling_t5 import T5Attention

    table, sets, expected = rand(16, 3), [], []
    for n in (7, 40):
        distance = torch.arange(n)[None] - torch.arange(n)[:, None]
        buckets = T5Attention._relative_position_bucket(distance, bool(both), num_buckets=16, max_distance=20)
        sets.append([table, np.array([n], np.int64), np.array([n], np.int64)])
        expected.append([table[buckets.numpy()].transpose(2, 0, 1)[None]])
    how = {"const": [0], "max_distance": 20, "is_bidirectional": both}
    check_op(runtime, "RelativePositionBias", *sets, domain=DOMAIN, expected=expected, **how)


@everywhere
def test_gated_relative_position_bias(runtime: Runtime) -> None:
    w, b, eco, query_bias, rel = (
        rand(8, 8),
        rand(8, seed=1),
        rand(1, 2, 1, 1, seed=2),
        rand(16, seed=3),
        rand(1, 2, 5, 5, seed=4),
    )
    sets, expected = [], []
    for n in (2, 3):
        x = rand(n, 5, 16)
        heads = (x + query_bias).reshape(n, 5, 2, 8).transpose(0, 2, 1, 3)
        gates = 1 / (1 + np.exp(-(heads @ w + b).reshape(n, 2, 5, 2, 4).sum(-1)))
        first, second = gates[..., :1], gates[..., 1:]
        sets.append([x, query_bias, rel, w, b, eco])
        expected.append([((first * (second * eco - 1) + 2) * rel).astype(np.float32)])
    check_op(
        runtime, "GatedRelativePositionBias", *sets, domain=DOMAIN, const=[1, 3, 4, 5], num_heads=2, expected=expected
    )


@everywhere
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize(
    "kind", [TensorProto.UINT4, TensorProto.INT4, TensorProto.UINT8], ids=["uint4", "int4", "uint8"]
)
def test_gather_of_blocks(runtime: Runtime, kind: int, zero: bool) -> None:
    rng = np.random.default_rng(0)
    scales = rand(10, 2, low=0.1, high=1)
    packed = rng.integers(0, 256, (10, 16), np.uint8)  # 32 numbers of 4 bits in each row
    data = helper.make_tensor("w", kind, [10, 16 if kind == TensorProto.UINT8 else 32], packed.tobytes(), raw=True)
    zeros = helper.make_tensor(
        "z", kind, [10, 1 if kind == TensorProto.UINT8 else 2], rng.integers(0, 256, 10, np.uint8).tobytes(), raw=True
    )
    node = helper.make_node(
        "GatherBlockQuantized", ["w", "i", "s", *(["z"] if zero else [])], ["y"], domain=DOMAIN, block_size=16,
        gather_axis=0, quantize_axis=1, **({"bits": 4} if kind == TensorProto.UINT8 else {}),
    )  # fmt: skip
    sets = [np.array([[1, 9, 0]]), np.array([[2, 3, 4, 5], [0, 0, 9, 8]])]
    model = graph_model([node], {"i": sets}, ["y"], opsets=OPSETS, constants={"s": scales})
    model.graph.initializer.extend([data, *([zeros] if zero else [])])
    check_model(runtime, model, [{"i": one} for one in sets])


# quantised encoders ------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantised_attention(runtime: Runtime, kind: type) -> None:
    # beyond 63 the pairs that a processor without VNNI adds up saturate, in ONNX Runtime
    w = rand(16, 48, dtype=kind, low=0 if kind is np.uint8 else -60, high=60)
    b, ws, wz = rand(48, seed=1), np.array(0.01, np.float32), np.array(7 if kind is np.uint8 else 0, kind)
    sets = []
    for batch, length in ((2, 5), (3, 4)):
        x = rand(batch, length, 16, dtype=np.uint8, low=0, high=255)
        mask = np.tile(np.arange(length) < length - 1, (batch, 1)).astype(np.int32)
        sets.append([x, w, b, np.array(0.02, np.float32), ws, mask, np.array(128, np.uint8), wz])
    check_op(runtime, "QAttention", *sets, domain=DOMAIN, const=[1, 2, 3, 4, 6, 7], num_heads=4, types=[1])


@everywhere
def test_quantised_embeddings(runtime: Runtime) -> None:
    def table(*shape: int) -> np.ndarray:
        return rand(*shape, dtype=np.uint8, low=0, high=255)

    scale, zero = np.array(0.01, np.float32), np.array(100, np.uint8)
    tables = [table(9, 8), table(6, 8), table(2, 8), table(8), table(8)]
    sets = []
    for n in (2, 3):
        ids = [rand(n, 5, dtype=np.int32, low=0, high=8), rand(n, 5, dtype=np.int32, low=0, high=1, seed=1)]
        sets.append([*ids, *tables, np.ones((n, 5), np.int32), *[scale] * 5, *[zero] * 5])
    const = [2, 3, 4, 5, 6, *range(8, 18)]
    check_op(runtime, "QEmbedLayerNormalization", *sets, domain=DOMAIN, const=const, outputs=2, types=[1, 6])


@everywhere
def test_quantised_where_and_convolution_of_channels_last(runtime: Runtime) -> None:
    def part(scale: float, zero: int) -> list[np.ndarray]:
        return [np.array(scale, np.float32), np.array(zero, np.uint8)]

    sets = []
    for n in (2, 5):
        x, y = (rand(n, 6, dtype=np.uint8, low=0, high=255, seed=i) for i in (1, 2))
        sets.append([rand(n, 6, dtype=np.bool_), x, *part(0.1, 3), y, *part(0.2, 9), *part(0.15, 5)])
    check_op(runtime, "QLinearWhere", *sets, domain=DOMAIN, const=[2, 3, 5, 6, 7, 8], types=[2])
    w = rand(4, 3, 3, 3, dtype=np.uint8, low=0, high=255)
    sets = [[rand(1, n, n, 3, dtype=np.uint8, low=0, high=255), *part(0.02, 128), w, *part(0.01, 100), *part(0.4, 120)]
            for n in (5, 8)]  # fmt: skip
    how = {"channels_last": 1, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    check_op(runtime, "QLinearConv", *sets, domain=DOMAIN, const=[1, 2, 3, 4, 5, 6, 7], types=[2], **how)


@everywhere
def test_pooling_of_channels_last(runtime: Runtime) -> None:
    sets = [[rand(1, n, n, 3, dtype=np.uint8, low=0, high=255)] for n in (6, 9)]
    check_op(
        runtime, "NhwcMaxPool", *sets, domain=DOMAIN, types=[2], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )


# what ONNX has, too -------------------------------------------------------------------------------------------------------


@everywhere
def test_tensors_as_such(runtime: Runtime) -> None:
    check_op(runtime, "Trilu", [rand(4, 5)], [rand(6, 5)], domain=DOMAIN, upper=0)
    check_op(
        runtime,
        "ExpandDims",
        [rand(4, 5), np.array(-1, np.int32)],
        [rand(6, 5), np.array(-1, np.int32)],
        domain=DOMAIN,
        const=[1],
    )
    check_op(
        runtime,
        "Pad",
        [rand(4, 5), np.array([1, 0, 0, 2])],
        [rand(6, 5), np.array([1, 0, 0, 2])],
        domain=DOMAIN,
        const=[1],
    )
    index = np.array([[0, 1], [2, 3]])
    check_op(runtime, "GatherND", [rand(4, 5), index], [rand(6, 5), index], domain=DOMAIN)
    check_op(runtime, "CDist", [rand(4, 3), rand(5, 3)], [rand(6, 3), rand(2, 3)], domain=DOMAIN, metric="euclidean")
    check_op(runtime, "Inverse", [rand(2, 3, 3) + 3 * np.eye(3, dtype=np.float32)], domain=DOMAIN)
    check_op(
        runtime,
        "Unique",
        [np.array([3, 1, 1, 2, 3], np.float32)],
        [np.array([5, 5, 4], np.float32)],
        domain=DOMAIN,
        outputs=3,
        types=[1, 7, 7],
    )
    numbers = [np.array(v, np.int64) for v in (1, 9, 3)]
    check_op(runtime, "Range", numbers, domain=DOMAIN, const=[2], types=[7])


# diffusion models: of these ONNX Runtime has GPU kernels only --------------------------------------------------------------


def erf(x: np.ndarray) -> np.ndarray:
    import math

    return np.vectorize(math.erf)(x)


@everywhere
def test_fused_for_diffusion_models(runtime: Runtime) -> None:
    b = rand(16, seed=1)
    sets = [[rand(n, 3, 16), b] for n in (2, 5)]
    whole = [x + b for x, _ in sets]
    gelu = [(v[..., :8] * v[..., 8:] * 0.5 * (1 + erf(v[..., 8:] / np.sqrt(2)))).astype(np.float32) for v in whole]
    check_op(runtime, "BiasSplitGelu", *sets, domain=DOMAIN, expected=[[v] for v in gelu])
    g, be = rand(4, seed=2), rand(4, seed=3)
    sets = [[rand(n, 3, 5, 4), g, be, rand(n, 3, 5, 4, seed=4)] for n in (2, 3)]
    expected = []
    for x, *_, skip in sets:
        total = x + skip
        parts = total.reshape(len(x), 15, 2, 2)
        mean, var = parts.mean((1, 3), keepdims=True), parts.var((1, 3), keepdims=True)
        made = ((parts - mean) / np.sqrt(var + 1e-5)).reshape(total.shape) * g + be
        expected.append([(made / (1 + np.exp(-made))).astype(np.float32), total])
    how = {"groups": 2, "activation": 1, "channels_last": 1, "outputs": 2}
    check_op(runtime, "SkipGroupNorm", *sets, domain=DOMAIN, types=[1, 1], expected=expected, **how)
    w = rand(6, 5, seed=5)
    x = [rand(n, 3, 6) for n in (2, 4)]
    tanh = [0.5 * (v @ w) * (1 + np.tanh(np.sqrt(2 / np.pi) * ((v @ w) + 0.044715 * (v @ w) ** 3))) for v in x]
    check_op(
        runtime, "GemmFastGelu", *[[v, w] for v in x], domain=DOMAIN, expected=[[v.astype(np.float32)] for v in tanh]
    )

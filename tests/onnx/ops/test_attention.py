"""com.microsoft's transformer and convolution operators, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, check_op, check_refused, everywhere, rand

DOMAIN = "com.microsoft"
SIZES = [(2, 5), (3, 7)]  # batch, length


@everywhere
@pytest.mark.parametrize("op, weights", [("SkipLayerNormalization", 3), ("SkipSimplifiedLayerNormalization", 2)])
def test_skip_layer_norm(runtime, op, weights):
    sets = [[rand(b, s, 8), rand(b, s, 8, seed=1), *[rand(8, seed=i) for i in range(weights)]] for b, s in SIZES]
    outputs = ["y", "", "", "sum"]
    check_op(
        runtime, op, *sets, domain=DOMAIN, const=range(2, 2 + weights), outputs=outputs, types=[1] * 4, epsilon=1e-5
    )


@everywhere
def test_simplified_layer_norm(runtime):
    sets = [[rand(b, s, 8), rand(8)] for b, s in SIZES]
    expected = [
        [(x / np.sqrt((x.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-5) * w).astype(np.float32)]
        for x, w in sets
    ]
    check_op(runtime, "SimplifiedLayerNormalization", *sets, domain=DOMAIN, const=(1,), expected=expected)


@everywhere
@pytest.mark.parametrize("mask", [False, True])
def test_embed_layer_norm(runtime, mask):
    tables = [rand(20, 8), rand(9, 8, seed=1), rand(2, 8, seed=2), rand(8, seed=3), rand(8, seed=4)]
    sets = []
    for b, s in SIZES:
        ids, segments = rand(b, s, dtype=np.int32, low=0, high=19), rand(b, s, dtype=np.int32, low=0, high=1)
        shown = (np.arange(s) < np.arange(b)[:, None] + 3).astype(np.int32)
        sets.append([ids, segments, *tables, *([shown] if mask else [])])
    how = {"domain": DOMAIN, "const": range(2, 7), "outputs": 2, "types": [1, 6], "epsilon": 1e-5}
    check_op(runtime, "EmbedLayerNormalization", *sets, **how)


@everywhere
@pytest.mark.parametrize("mask", ["none", "lengths", "keys", "pairs"])
@pytest.mark.parametrize("unidirectional", [0, 1])
def test_attention(runtime, mask, unidirectional):
    weights, bias = rand(8, 24, low=-1, high=1), rand(24)
    sets = []
    for b, s in SIZES:
        lengths = np.arange(b) + 3
        keys = (np.arange(s) < lengths[:, None]).astype(np.int32)
        masks = {"lengths": lengths.astype(np.int32), "keys": keys, "pairs": np.repeat(keys[:, None], s, 1)}
        sets.append([rand(b, s, 8), weights, bias, *([masks[mask]] if mask != "none" else [])])
    how = {"domain": DOMAIN, "const": (1, 2), "num_heads": 2, "unidirectional": unidirectional}
    check_op(runtime, "Attention", *sets, **how)


@everywhere
@pytest.mark.parametrize("behind", ["nothing", "starts", "cumulated lengths"])
def test_a_mask_of_one_dimension(runtime, behind):
    """Where keys end; then, of twice as many numbers, where they start, or what ONNX Runtime's CPU does not read."""
    weights, bias = rand(8, 24, low=-1, high=1), rand(24)
    sets = []
    for b, s in SIZES:
        ends = np.arange(b) + 3
        more = {"nothing": [], "starts": np.arange(b) % 3, "cumulated lengths": np.arange(2 * b + 2) + 1}[behind]
        sets.append([rand(b, s, 8), weights, bias, np.array([*ends, *more], np.int32)])
    check_op(runtime, "Attention", *sets, domain=DOMAIN, const=(1, 2), num_heads=2)


@everywhere
@pytest.mark.parametrize("op", ["Attention", "MultiHeadAttention"])
@pytest.mark.parametrize("filled", [-10000.0, -1.0])
def test_a_query_whose_keys_are_hidden_does_not_see_those_behind_it(runtime, op, filled):
    weights, bias = rand(8, 24, low=-1, high=1), rand(24)
    sets = []
    for b, s in SIZES:
        keys = (np.arange(s) >= np.arange(b)[:, None] + 1).astype(np.int32)  # the first queries see none of theirs
        three = [rand(b, s, 8, seed=i) for i in range(3)]
        sets.append([*three, bias, keys] if op == "MultiHeadAttention" else [three[0], weights, bias, keys])
    how = {"domain": DOMAIN, "num_heads": 2, "unidirectional": 1, "mask_filter_value": filled}
    check_op(runtime, op, *sets, const=(3,) if op == "MultiHeadAttention" else (1, 2), **how)


@everywhere
@pytest.mark.parametrize("before", [(4, 4), (0, 3), (3, 0)], ids=str)
def test_attention_with_past(runtime, before):
    weights, bias = rand(8, 24, low=-1, high=1), rand(24)
    sets = [[rand(b, s, 8), weights, bias, None, rand(2, b, 2, p, 4)] for (b, s), p in zip(SIZES, before)]
    how = {"domain": DOMAIN, "const": (1, 2), "num_heads": 2, "unidirectional": 1, "outputs": 2, "types": [1, 1]}
    check_op(runtime, "Attention", *sets, **how)


@everywhere
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_multi_head_attention(runtime, bias, mask):
    sets = []
    for b, s in SIZES:
        keys = (np.arange(6) < (np.arange(b) + 3)[:, None]).astype(np.int32)
        inputs = [rand(b, s, 8), rand(b, 6, 8, seed=1), rand(b, 6, 8, seed=2), rand(24) if bias else None]
        sets.append([*inputs, keys if mask else None, rand(1, 2, s, 6)])
    check_op(runtime, "MultiHeadAttention", *sets, domain=DOMAIN, const=(3,) if bias else (), num_heads=2)


@everywhere
def test_lengths_of_keys_and_what_is_behind_them(runtime):
    sets = []
    for b, s in SIZES:
        lengths = [*np.arange(b) + 2, *np.arange(b + 1) * s, *np.arange(b + 1) * 6]
        sets.append([*[rand(b, n, 8, seed=n) for n in (s, 6, 6)], None, np.array(lengths, np.int32)])
    check_op(runtime, "MultiHeadAttention", *sets, domain=DOMAIN, num_heads=2)


def test_a_mask_of_another_batch_is_refused():
    sets = [rand(2, 5, 8), rand(8, 24), rand(24), np.arange(3, dtype=np.int32)]
    check_refused(CURRENT, "Attention", sets, domain=DOMAIN, const=(1, 2), num_heads=2, match="a mask of 3 numbers")


@everywhere
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_rotary_embedding(runtime, interleaved, flat, first):
    caches = [rand(16, 4), rand(16, 4, seed=1)]
    sets = []
    for b, s in SIZES:
        x = rand(b, s, 16) if flat else rand(b, 2, s, 8)
        ids = np.array([3], np.int64) if first else np.tile(np.arange(s, dtype=np.int64), (b, 1))
        sets.append([x, ids, *caches])
    check_op(runtime, "RotaryEmbedding", *sets, domain=DOMAIN, const=(2, 3), interleaved=interleaved)


@everywhere
@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Clip"])
def test_fused_conv(runtime, activation):
    params = {"LeakyRelu": [0.1], "HardSigmoid": [0.3, 0.4], "Clip": [-0.5, 0.7]}.get(activation)
    sets = [[x, rand(6, 4, 3, 3), rand(6)] for x in (rand(2, 4, 8, 7), rand(3, 4, 6, 9))]
    how = {"activation_params": params} if params else {}
    check_op(runtime, "FusedConv", *sets, domain=DOMAIN, const=(1, 2), activation=activation, pads=[1] * 4, **how)


@everywhere
def test_channels_last(runtime):
    w, bias = rand(6, 4, 3, 3), rand(6)
    sets = [[x, w, bias] for x in (rand(2, 8, 7, 4), rand(3, 6, 9, 4))]
    from tests.onnx.checks import node_model, reference

    expected = []
    for x, *_ in sets:
        model = node_model("Conv", [[x.transpose(0, 3, 1, 2), w, bias]], pads=[1] * 4)
        feeds = {"x0": np.ascontiguousarray(x.transpose(0, 3, 1, 2)), "x1": w, "x2": bias}
        expected.append([reference(model, feeds)[0].transpose(0, 2, 3, 1)])
    check_op(runtime, "NhwcConv", *sets, domain=DOMAIN, const=(1, 2), pads=[1] * 4, expected=expected)


@everywhere
def test_the_scores_of_onnx_attention_at_open_sizes(runtime):
    """ONNX's inference of shapes says that there are 0 of them where the number of keys is open."""
    sets = [[rand(b, 2, s, 4), rand(b, 2, s + 1, 4, seed=1), rand(b, 2, s + 1, 4, seed=2)] for b, s in SIZES]
    how = {"opset": 23, "qk_matmul_output_mode": 3, "outputs": ["y", "", "", "scores"], "types": [1] * 4}
    check_op(runtime, "Attention", *sets, **how)

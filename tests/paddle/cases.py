"""One call of every public function of paddle.nn.functional, paddle.tensor and paddle.vision.ops.

``CASES`` maps a function (``F.relu``, ``T.add``, ``V.nms``) to a call and the arrays it is called with; ``EXCLUDED``
gives the reason for every function that is not there. ``sweep.py`` checks that nothing is forgotten.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional
import paddle.vision.ops


class Functions:
    """The functions of a module. One that this Paddle lacks fails when it is called, as one that it cannot save."""

    def __init__(self, module: ModuleType):
        self.module = module

    def has(self, name: str) -> bool:
        return hasattr(self.module, name)

    def __getattr__(self, name: str) -> Any:
        def lacking(*operands: Any, **attributes: Any) -> Any:
            raise AttributeError(f"{self.module.__name__} has no {name}")

        found = getattr(self.module, name, lacking)
        return Functions(found) if isinstance(found, ModuleType) else found


F, V = Functions(paddle.nn.functional), Functions(paddle.vision.ops)
paddle = Functions(paddle)

_random = np.random.default_rng(7)


def f(*shape: int) -> np.ndarray:
    """Normal float32 numbers."""
    return _random.standard_normal(shape).astype(np.float32)


def p(*shape: int) -> np.ndarray:
    """Float32 numbers in (0.2, 2)."""
    return _random.uniform(0.2, 2, shape).astype(np.float32)


def u(*shape: int) -> np.ndarray:
    """Float32 numbers in (-0.9, 0.9)."""
    return _random.uniform(-0.9, 0.9, shape).astype(np.float32)


def q(*shape: int) -> np.ndarray:
    """Float32 numbers in (0.1, 0.9)."""
    return _random.uniform(0.1, 0.9, shape).astype(np.float32)


def i(*shape: int, high: int = 5, low: int = 0) -> np.ndarray:
    """int64 in [low, high)."""
    return _random.integers(low, high, shape).astype(np.int64)


def b(*shape: int) -> np.ndarray:
    return _random.random(shape) > 0.5


def spd(n: int) -> np.ndarray:
    """A symmetric positive definite matrix."""
    a = _random.standard_normal((n, n)).astype(np.float32)
    return a @ a.T + n * np.eye(n, dtype=np.float32)


def c(*shape: int) -> np.ndarray:
    return (_random.standard_normal(shape) + 1j * _random.standard_normal(shape)).astype(np.complex64)


def odd(*shape: int) -> np.ndarray:
    """With infinities and not-a-numbers."""
    x = f(*shape)
    x.reshape(-1)[:3] = [np.inf, -np.inf, np.nan]
    return x


X = (2, 3, 4)
IMG = (2, 4, 8, 8)
VOL = (2, 4, 4, 4, 4)

_UNARY_F = "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid log_softmax logsigmoid mish normalize relu relu6 selu sigmoid silu softmax softplus softshrink softsign swish tanh tanhshrink thresholded_relu".split()
_UNARY_T = {
    f: """abs amax amin angle argmax argmin argsort asinh atan ceil conj cos cosh cumsum deg2rad erf exp expm1 flatten floor
        frac isreal logcumsumexp logsumexp max mean min neg negative numel ones_like zeros_like positive prod rad2deg ravel
        rank round sgn shape sigmoid sign signbit sin sinc sinh sort square stanh std sum tan tanh trunc var i0 i0e i1 i1e
        count_nonzero median nanmean nanmedian nansum msort is_empty nonzero frexp""",
    p: "digamma gammaln lgamma log log10 log1p log2 reciprocal rsqrt sqrt",
    u: "acos asin atanh erfinv",
    q: "logit",
}


def _build() -> dict[str, tuple]:
    cases: dict[str, tuple] = {f"F.{n}": (getattr(F, n), f(*X)) for n in _UNARY_F if F.has(n)}
    for numbers, names in _UNARY_T.items():
        for n in names.split():
            module = paddle if paddle.has(n) else paddle.tensor
            if module.has(n):
                cases[f"T.{n}"] = (getattr(module, n), numbers(*X))
    for n in "isfinite isinf isnan isneginf isposinf nan_to_num".split():
        cases[f"T.{n}"] = (getattr(paddle, n), odd(*X))
    cases.update(_functional())
    cases.update(_losses())
    cases.update(_tensor())
    cases.update(_more())
    cases.update(_vision())
    return cases


def _functional() -> dict[str, tuple]:
    qkv = [f(2, 5, 2, 8) for _ in range(3)]
    return {
        "F.adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 4), f(2, 3, 8)),
        "F.adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, [2, 4]), f(*IMG)),
        "F.adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 2), f(*VOL)),
        "F.adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 4), f(2, 3, 8)),
        "F.adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, 2), f(*IMG)),
        "F.adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, 2), f(*VOL)),
        "F.affine_grid": (lambda t: F.affine_grid(t, [2, 3, 4, 4]), f(2, 2, 3)),
        "F.alpha_dropout": (lambda x: F.alpha_dropout(x, 0.5, training=False), f(*X)),
        "F.avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 2), f(2, 3, 8)),
        "F.avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), f(*IMG)),
        "F.avg_pool3d": (lambda x: F.avg_pool3d(x, 2, 2), f(*VOL)),
        "F.batch_norm": (lambda x, m, v, w, o: F.batch_norm(x, m, v, w, o), f(*IMG), f(4), p(4), f(4), f(4)),
        "F.bilinear": (lambda x, y, w: F.bilinear(x, y, w), f(3, 4), f(3, 5), f(6, 4, 5)),
        "F.channel_shuffle": (lambda x: F.channel_shuffle(x, 2), f(*IMG)),
        "F.conv1d": (lambda x, w, o: F.conv1d(x, w, o, padding=1), f(2, 3, 8), f(5, 3, 3), f(5)),
        "F.conv1d_transpose": (lambda x, w: F.conv1d_transpose(x, w, stride=2), f(2, 3, 8), f(3, 5, 3)),
        "F.conv2d": (lambda x, w, o: F.conv2d(x, w, o, 2, 1), f(*IMG), f(6, 4, 3, 3), f(6)),
        "F.conv2d_transpose": (lambda x, w, o: F.conv2d_transpose(x, w, o, 2), f(*IMG), f(4, 6, 3, 3), f(6)),
        "F.conv3d": (lambda x, w: F.conv3d(x, w, padding="SAME"), f(*VOL), f(3, 4, 2, 2, 2)),
        "F.conv3d_transpose": (lambda x, w: F.conv3d_transpose(x, w, stride=2), f(*VOL), f(4, 3, 2, 2, 2)),
        "F.cosine_similarity": (F.cosine_similarity, f(3, 4), f(3, 4)),
        "F.diag_embed": (lambda x: F.diag_embed(x, 1), f(2, 3)),
        "F.dropout": (lambda x: F.dropout(x, 0.3, training=False, mode="downscale_in_infer"), f(*X)),
        "F.dropout1d": (lambda x: F.dropout1d(x, 0.3, training=False), f(*X)),
        "F.dropout2d": (lambda x: F.dropout2d(x, 0.3, training=False), f(*IMG)),
        "F.dropout3d": (lambda x: F.dropout3d(x, 0.3, training=False), f(*VOL)),
        "F.embedding": (lambda x, w: F.embedding(x, w, padding_idx=1), i(3, 4), f(5, 6)),
        "F.feature_alpha_dropout": (lambda x: F.feature_alpha_dropout(x, 0.3, training=False), f(*X)),
        "F.fold": (lambda x: F.fold(x, [4, 5], 2), f(2, 12, 12)),
        "F.fractional_max_pool2d": (lambda x: F.fractional_max_pool2d(x, 3, random_u=0.4), f(*IMG)),
        "F.fractional_max_pool3d": (lambda x: F.fractional_max_pool3d(x, 2, random_u=0.4), f(*VOL)),
        "F.gather_tree": (F.gather_tree, i(3, 2, 2), i(3, 2, 2, high=2)),
        "F.glu": (lambda x: F.glu(x), f(2, 3, 4)),
        "F.grid_sample": (lambda x, g: F.grid_sample(x, g), f(*IMG), u(2, 5, 6, 2)),
        "F.group_norm": (lambda x, w, o: F.group_norm(x, 2, weight=w, bias=o), f(*IMG), f(4), f(4)),
        "F.instance_norm": (lambda x, w, o: F.instance_norm(x, weight=w, bias=o), f(*IMG), f(4), f(4)),
        "F.interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), f(*IMG)),
        "F.interpolate[size]": (lambda x: F.interpolate(x, [5, 6], mode="bicubic", align_corners=True), f(*IMG)),
        "F.interpolate[area]": (lambda x: F.interpolate(x, [4, 4], mode="area"), f(*IMG)),
        "F.interpolate[linear]": (lambda x: F.interpolate(x, [6], mode="linear", data_format="NCW"), f(2, 3, 8)),
        "F.interpolate[trilinear]": (lambda x: F.interpolate(x, [6, 5, 4], mode="trilinear", data_format="NCDHW"), f(*VOL)),
        "F.label_smooth": (lambda x: F.label_smooth(x), q(3, 4)),
        "F.layer_norm": (lambda x, w, o: F.layer_norm(x, 4, w, o), f(*X), f(4), f(4)),
        "F.linear": (F.linear, f(*X), f(4, 5), f(5)),
        "F.local_response_norm": (lambda x: F.local_response_norm(x, 3), f(*IMG)),
        "F.lp_pool1d": (lambda x: F.lp_pool1d(x, 2.0, 2), p(2, 3, 8)),
        "F.lp_pool2d": (lambda x: F.lp_pool2d(x, 2.0, 2), p(*IMG)),
        "F.max_pool1d": (lambda x: F.max_pool1d(x, 2, 2), f(2, 3, 8)),
        "F.max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), f(*IMG)),
        "F.max_pool2d[mask]": (lambda x: F.max_pool2d(x, 2, 2, return_mask=True), f(*IMG)),
        "F.max_pool3d": (lambda x: F.max_pool3d(x, 2, 2), f(*VOL)),
        "F.max_unpool1d": (lambda x: F.max_unpool1d(*F.max_pool1d(x, 2, 2, return_mask=True), kernel_size=2), f(2, 3, 8)),
        "F.max_unpool2d": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, 2, return_mask=True), kernel_size=2), f(*IMG)),
        "F.max_unpool3d": (lambda x: F.max_unpool3d(*F.max_pool3d(x, 2, 2, return_mask=True), kernel_size=2), f(*VOL)),
        "F.maxout": (lambda x: F.maxout(x, 2), f(*IMG)),
        "F.one_hot": (lambda x: F.one_hot(x, 5), i(3, 4)),
        "F.pad": (lambda x: F.pad(x, [1, 2, 0, 1], mode="reflect"), f(*IMG)),
        "F.pad[constant]": (lambda x: F.pad(x, [1, 2, 0, 1, 2, 0], value=0.5, pad_from_left_axis=True), f(*X)),
        "F.pairwise_distance": (F.pairwise_distance, f(3, 4), f(3, 4)),
        "F.pdist": (lambda x: F.pdist(x), f(4, 3)),
        "F.pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), f(*IMG)),
        "F.pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), f(*IMG)),
        "F.prelu": (F.prelu, f(*IMG), f(4)),
        "F.rrelu": (lambda x: F.rrelu(x, 0.1, 0.3, training=False), f(*X)),
        "F.scaled_dot_product_attention": (lambda a, k, v: F.scaled_dot_product_attention(a, k, v, is_causal=True), *qkv),
        "F.scaled_dot_product_attention[mask]": (
            lambda a, k, v, m: F.scaled_dot_product_attention(a, k, v, m), *qkv, f(2, 1, 5, 5),
        ),
        "F.sequence_mask": (lambda x: F.sequence_mask(x, 6), i(3)),
        "F.swiglu": (lambda *a: F.swiglu(*a), f(*X), f(*X)),
        "F.swiglu[one]": (lambda x: F.swiglu(x), f(*X)),
        "F.temporal_shift": (lambda x: F.temporal_shift(x, 2, 0.25), f(*IMG)),
        "F.unfold": (lambda x: F.unfold(x, 2, 2), f(*IMG)),
        "F.upsample": (lambda x: F.upsample(x, scale_factor=[2, 3]), f(*IMG)),
        "F.zeropad2d": (lambda x: F.zeropad2d(x, [1, 2, 0, 1]), f(*IMG)),
    }  # fmt: skip


def _losses() -> dict[str, tuple]:
    return {
        "F.binary_cross_entropy": (F.binary_cross_entropy, q(3, 4), q(3, 4)),
        "F.binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, f(3, 4), q(3, 4)),
        "F.cosine_embedding_loss": (
            lambda x, y, t: F.cosine_embedding_loss(x, y, t), f(3, 4), f(3, 4), np.array([1, -1, 1], np.int64),
        ),
        "F.cross_entropy": (lambda x, y: F.cross_entropy(x, y), f(3, 5), i(3)),
        "F.cross_entropy[soft]": (lambda x, y: F.cross_entropy(x, y, soft_label=True), f(3, 5), q(3, 5)),
        "F.ctc_loss": (
            lambda x, y, a, n: F.ctc_loss(x, y, a, n), f(6, 2, 5), i(2, 3, low=1).astype(np.int32),
            np.array([6, 6], np.int64), np.array([3, 2], np.int64),
        ),
        "F.dice_loss": (F.dice_loss, q(3, 4, 2), i(3, 4, 1, high=2)),
        "F.gaussian_nll_loss": (F.gaussian_nll_loss, f(3, 4), f(3, 4), p(3, 4)),
        "F.hinge_embedding_loss": (F.hinge_embedding_loss, f(3, 4), np.sign(f(3, 4))),
        "F.hsigmoid_loss": (lambda x, y, w: F.hsigmoid_loss(x, y, 5, w), f(3, 4), i(3, 1), f(4, 4)),
        "F.kl_div": (F.kl_div, f(3, 4), q(3, 4)),
        "F.kl_div[log]": (lambda x, y: F.kl_div(x, y, log_target=True), f(3, 4), f(3, 4)),
        "F.l1_loss": (F.l1_loss, f(3, 4), f(3, 4)),
        "F.log_loss": (F.log_loss, q(3, 1), q(3, 1)),
        "F.margin_ranking_loss": (F.margin_ranking_loss, f(3, 4), f(3, 4), np.sign(f(3, 4))),
        "F.mse_loss": (F.mse_loss, f(3, 4), f(3, 4)),
        "F.multi_label_margin_loss": (
            lambda *a: F.multi_label_margin_loss(*a), f(2, 4), np.array([[3, 0, -1, 1], [1, 2, -1, 0]], np.int64),
        ),
        "F.multi_label_soft_margin_loss": (F.multi_label_soft_margin_loss, f(3, 4), np.sign(f(3, 4))),
        "F.multi_margin_loss": (F.multi_margin_loss, f(3, 5), i(3)),
        "F.nll_loss": (F.nll_loss, f(3, 5), i(3)),
        "F.npair_loss": (F.npair_loss, f(3, 4), f(3, 4), f(3)),
        "F.poisson_nll_loss": (F.poisson_nll_loss, f(3, 4), p(3, 4)),
        "F.rnnt_loss": (
            lambda x, y, a, n: F.rnnt_loss(x, y, a, n), f(1, 4, 3, 5), i(1, 2, low=1).astype(np.int32),
            np.array([4], np.int32), np.array([2], np.int32),
        ),
        "F.sigmoid_focal_loss": (F.sigmoid_focal_loss, f(3, 4), b(3, 4).astype(np.float32)),
        "F.smooth_l1_loss": (F.smooth_l1_loss, f(3, 4), f(3, 4)),
        "F.soft_margin_loss": (F.soft_margin_loss, f(3, 4), np.sign(f(3, 4))),
        "F.softmax_with_cross_entropy": (F.softmax_with_cross_entropy, f(3, 5), i(3, 1)),
        "F.square_error_cost": (F.square_error_cost, f(3, 4), f(3, 4)),
        "F.triplet_margin_loss": (F.triplet_margin_loss, f(3, 4), f(3, 4), f(3, 4)),
        "F.triplet_margin_with_distance_loss": (F.triplet_margin_with_distance_loss, f(3, 4), f(3, 4), f(3, 4)),
    }  # fmt: skip


_BINARY_FLOAT = "add subtract sub multiply mul maximum minimum fmax fmin less_than less lt less_equal le greater_than greater gt greater_equal ge equal eq not_equal ne logaddexp hypot copysign heaviside nextafter dist equal_all allclose isclose atan2 divide div true_divide mod remainder floor_mod floor_divide pow".split()
_BINARY_INT = "bitwise_and bitwise_or bitwise_xor gcd lcm".split()
_BINARY_BOOL = "logical_and logical_or logical_xor".split()


def _tensor() -> dict[str, tuple]:
    cases: dict[str, tuple] = {}
    for n in _BINARY_FLOAT:
        if paddle.has(n):
            cases[f"T.{n}"] = (getattr(paddle, n), f(*X), p(*X))
    for n in _BINARY_INT:
        cases[f"T.{n}"] = (getattr(paddle, n), i(3, 4, low=1, high=20), i(3, 4, low=1, high=20))
    for n in _BINARY_BOOL:
        cases[f"T.{n}"] = (getattr(paddle, n), b(3, 4), b(3, 4))
    cases.update({
        "T.add[broadcast]": (paddle.add, f(4), f(2, 3, 4)),
        "T.add[scalar]": (lambda x: x + 1.5, f(*X)),
        "T.multiply[int]": (lambda x: x * 3 - 1, i(3, 4)),
        "T.floor_divide[int]": (paddle.floor_divide, i(3, 4, low=-9, high=9), i(3, 4, low=1, high=5)),
        "T.mod[int]": (paddle.mod, i(3, 4, low=-9, high=9), i(3, 4, low=1, high=5)),
        "T.pow": (paddle.pow, p(*X), f(*X)),
        "T.pow[scalar]": (lambda x: paddle.pow(x, 2.5), p(*X)),
        "T.bitwise_not": (paddle.bitwise_not, i(3, 4)),
        "T.bitwise_invert": (paddle.bitwise_invert, i(3, 4)),
        "T.bitwise_left_shift": (paddle.bitwise_left_shift, i(3, 4).astype(np.int32), i(3, 4, high=4).astype(np.int32)),
        "T.bitwise_right_shift": (
            paddle.bitwise_right_shift, i(3, 4, high=99).astype(np.int32), i(3, 4, high=4).astype(np.int32),
        ),
        "T.logical_not": (paddle.logical_not, b(3, 4)),
        "T.all": (lambda x: paddle.all(x, 1), b(3, 4)),
        "T.any": (lambda x: paddle.any(x), b(3, 4)),
        "T.add_n": (lambda x, y: paddle.add_n([x, y]), f(*X), f(*X)),
        "T.addmm": (lambda x, y, z: paddle.addmm(x, y, z, 0.5, 2.0), f(3, 5), f(3, 4), f(4, 5)),
        "T.arange": (lambda x: paddle.arange(0, x.shape[1]) + x.astype("int64"), i(3, 4)),
        "T.argwhere": (lambda *a: paddle.argwhere(*a), b(3, 4)),
        "T.argmax[axis]": (lambda x: paddle.argmax(x, 1, True), f(*X)),
        "T.argsort[descending]": (lambda x: paddle.argsort(x, 1, True), f(*X)),
        "T.array_length": (lambda x: paddle.tensor.array_length(_array(x)), f(3, 4)),
        "T.array_read": (lambda x: paddle.tensor.array_read(_array(x), paddle.zeros([1], "int64")) + 1, f(3, 4)),
        "T.array_write": (lambda x: paddle.tensor.array_read(_array(x), paddle.zeros([1], "int64")), f(3, 4)),
        "T.create_array": (lambda x: paddle.tensor.array_length(_array(x)) + x.astype("int64").sum(), f(3, 4)),
        "T.as_complex": (lambda x: paddle.as_real(paddle.as_complex(x)), f(3, 2)),
        "T.as_real": (lambda x: paddle.as_real(x), c(3, 2)),
        "T.atleast_1d": (lambda x: paddle.atleast_1d(x), f(3)),
        "T.atleast_2d": (lambda x: paddle.atleast_2d(x), f(3)),
        "T.atleast_3d": (lambda x: paddle.atleast_3d(x), f(3)),
        "T.baddbmm": (lambda x, y, z: paddle.baddbmm(x, y, z), f(2, 3, 5), f(2, 3, 4), f(2, 4, 5)),
        "T.bincount": (lambda x: paddle.bincount(x, minlength=6), i(9)),
        "T.block_diag": (lambda x, y: paddle.block_diag([x, y]), f(2, 3), f(3, 2)),
        "T.bmm": (paddle.bmm, f(2, 3, 4), f(2, 4, 5)),
        "T.broadcast_tensors": (lambda x, y: paddle.broadcast_tensors([x, y]), f(1, 4), f(3, 1)),
        "T.broadcast_to": (lambda x: paddle.broadcast_to(x, [2, 3, 4]), f(3, 4)),
        "T.bucketize": (lambda x, y: paddle.bucketize(x, paddle.sort(y)), f(3, 4), f(5)),
        "T.cartesian_prod": (lambda x, y: paddle.cartesian_prod([x, y]), f(3), f(2)),
        "T.cast": (lambda x: paddle.cast(x, "int32"), f(*X)),
        "T.cdist": (lambda x, y: paddle.cdist(x, y), f(3, 4), f(5, 4)),
        "T.cholesky": (paddle.cholesky, spd(4)),
        "T.cholesky_inverse": (lambda x: paddle.linalg.cholesky_inverse(x), np.linalg.cholesky(spd(4))),
        "T.cholesky_solve": (lambda x, y: paddle.linalg.cholesky_solve(x, y), f(4, 2), np.linalg.cholesky(spd(4))),
        "T.chunk": (lambda x: paddle.chunk(x, 2, 2), f(*X)),
        "T.clamp": (lambda x: paddle.clamp(x, -0.5), f(*X)),
        "T.clip": (lambda x: paddle.clip(x, -0.5, 0.5), f(*X)),
        "T.clip[int]": (lambda x: paddle.clip(x, 1, 3), i(3, 4)),
        "T.column_stack": (lambda x, y: paddle.column_stack([x, y]), f(3), f(3)),
        "T.combinations": (lambda x: paddle.combinations(x, 2), f(4)),
        "T.complex": (lambda x, y: paddle.as_real(paddle.complex(x, y)), f(3, 4), f(3, 4)),
        "T.concat": (lambda x, y: paddle.concat([x, y], 1), f(*X), f(*X)),
        "T.cond": (lambda x: paddle.linalg.cond(x), spd(4)),
        "T.conj": (lambda x: paddle.conj(x), c(3, 4)),
        "T.corrcoef": (lambda x: paddle.linalg.corrcoef(x), f(3, 6)),
        "T.cov": (lambda x: paddle.linalg.cov(x), f(3, 6)),
        "T.cross": (lambda x, y: paddle.cross(x, y, 1), f(4, 3), f(4, 3)),
        "T.cummax": (lambda x: paddle.cummax(x, 1), f(*X)),
        "T.cummin": (lambda x: paddle.cummin(x, 1), f(*X)),
        "T.cumprod": (lambda x: paddle.cumprod(x, 1), f(*X)),
        "T.cumsum[axis]": (lambda x: paddle.cumsum(x, -1), f(*X)),
        "T.cumulative_trapezoid": (lambda x: paddle.cumulative_trapezoid(x), f(3, 4)),
        "T.diag": (lambda x: paddle.diag(x, 1), f(3, 3)),
        "T.diag_embed": (lambda x: paddle.diag_embed(x), f(2, 3)),
        "T.diagflat": (lambda x: paddle.diagflat(x), f(2, 3)),
        "T.diagonal": (lambda x: paddle.diagonal(x, 1, 1, 2), f(2, 3, 4)),
        "T.diagonal_scatter": (lambda x, y: paddle.diagonal_scatter(x, y), f(3, 3), f(3)),
        "T.diff": (lambda x: paddle.diff(x, axis=1), f(*X)),
        "T.dot": (paddle.dot, f(3, 4), f(3, 4)),
        "T.dsplit": (lambda x: paddle.dsplit(x, 2), f(*X)),
        "T.hsplit": (lambda x: paddle.hsplit(x, 3), f(*X)),
        "T.vsplit": (lambda x: paddle.vsplit(x, 2), f(4, 3)),
        "T.tensor_split": (lambda x: paddle.tensor_split(x, 3, 2), f(*X)),
        "T.dstack": (lambda x, y: paddle.dstack([x, y]), f(3, 4), f(3, 4)),
        "T.hstack": (lambda x, y: paddle.hstack([x, y]), f(3, 4), f(3, 4)),
        "T.vstack": (lambda x, y: paddle.vstack([x, y]), f(3, 4), f(3, 4)),
        "T.row_stack": (lambda x, y: paddle.row_stack([x, y]), f(3, 4), f(3, 4)),
        "T.eigh": (lambda x: paddle.linalg.eigh(x)[0], spd(4)),
        "T.eigvalsh": (lambda x: paddle.linalg.eigvalsh(x), spd(4)),
        "T.einsum": (lambda x, y: paddle.einsum("bij,bjk->bik", x, y), f(2, 3, 4), f(2, 4, 5)),
        "T.empty": (lambda x: paddle.empty([2, 3]) * 0 + x, f(2, 3)),
        "T.empty_like": (lambda x: paddle.empty_like(x) * 0 + x, f(2, 3)),
        "T.expand": (lambda x: paddle.expand(x, [2, 3, -1]), f(3, 4)),
        "T.expand_as": (paddle.expand_as, f(1, 4), f(3, 4)),
        "T.eye": (lambda x: paddle.eye(3, 4) + x, f(3, 4)),
        "T.fill_constant": (lambda x: paddle.tensor.fill_constant([3, 4], "float32", 2.5) + x, f(3, 4)),
        "T.flatten": (lambda x: paddle.flatten(x, 1), f(*X)),
        "T.flip": (lambda x: paddle.flip(x, [0, 2]), f(*X)),
        "T.reverse": (lambda x: paddle.reverse(x, [1]), f(*X)),
        "T.full": (lambda x: paddle.full([3, 4], 0.1) + x, f(3, 4)),
        "T.full_like": (lambda x: paddle.full_like(x, 3), f(3, 4)),
        "T.gammainc": (paddle.gammainc, p(3, 4), p(3, 4)),
        "T.gammaincc": (paddle.gammaincc, p(3, 4), p(3, 4)),
        "T.gather": (lambda x, y: paddle.gather(x, y, 1), f(*X), i(5, high=3)),
        "T.gather_nd": (paddle.gather_nd, f(*X), i(4, 2, high=2)),
        "T.histogram": (lambda x: paddle.histogram(x, 5, -2, 2), f(3, 4)),
        "T.histogramdd": (lambda x: paddle.histogramdd(x, [3, 4], ranges=[-2.0, 2.0, -2.0, 2.0])[0], f(6, 2)),
        "T.householder_product": (lambda x, t: paddle.linalg.householder_product(x, t), f(4, 3), f(3)),
        "T.ormqr": (lambda x, t, y: paddle.linalg.ormqr(x, t, y), f(4, 4), f(4), f(4, 2)),
        "T.imag": (lambda x: paddle.imag(x), c(3, 4)),
        "T.real": (lambda x: paddle.real(x), c(3, 4)),
        "T.polar": (lambda x, y: paddle.as_real(paddle.polar(x, y)), p(3, 4), f(3, 4)),
        "T.increment": (lambda x: paddle.increment(x, 2.0), f(1)),
        "T.index_add": (lambda x, n, v: paddle.index_add(x, n, 0, v), f(3, 4), i(2, high=3), f(2, 4)),
        "T.index_fill": (lambda x, n: paddle.index_fill(x, n, 0, 0.5), f(3, 4), i(2, high=3)),
        "T.index_put": (lambda x, n, v: paddle.index_put(x, (n,), v), f(3, 4), np.array([2, 0], np.int64), f(2, 4)),
        "T.index_sample": (paddle.index_sample, f(3, 4), i(3, 2, high=4)),
        "T.index_select": (lambda x, n: paddle.index_select(x, n, 1), f(*X), i(2, high=3)),
    })  # fmt: skip
    return cases


def _array(x: object) -> object:
    zero = paddle.zeros([1], "int64")
    return paddle.tensor.array_write(x, zero)


def _more() -> dict[str, tuple]:
    return {
        "T.inner": (paddle.inner, f(3, 4), f(5, 4)),
        "T.inverse": (paddle.inverse, spd(4)),
        "T.is_empty": (paddle.is_empty, f(3, 4)),
        "T.isin": (paddle.isin, i(3, 4), i(3)),
        "T.istft": (lambda x: paddle.signal.istft(x, 8, 4), c(2, 5, 6)),
        "T.stft": (lambda x: paddle.as_real(paddle.signal.stft(x, 8, 4)), f(2, 32)),
        "T.kron": (paddle.kron, f(2, 3), f(3, 2)),
        "T.kthvalue": (lambda x: paddle.kthvalue(x, 2, 1), f(*X)),
        "T.ldexp": (paddle.ldexp, f(3, 4), i(3, 4).astype(np.int32)),
        "T.lerp": (paddle.lerp, f(3, 4), f(3, 4), q(3, 4)),
        "T.linspace": (lambda x: paddle.linspace(0, 1, 4) + x, f(3, 4)),
        "T.logcumsumexp": (lambda x: paddle.logcumsumexp(x, 1), f(*X)),
        "T.logsumexp": (lambda x: paddle.logsumexp(x, 1), f(*X)),
        "T.lstsq": (lambda x, y: paddle.linalg.lstsq(x, y)[0], f(5, 3), f(5, 2)),
        "T.lu": (lambda x: paddle.linalg.lu(x), spd(4)),
        "T.lu_solve": (lambda y, x: paddle.linalg.lu_solve(y, *paddle.linalg.lu(x)), f(4, 2), spd(4)),
        "T.lu_unpack": (lambda x: paddle.linalg.lu_unpack(*paddle.linalg.lu(x)), spd(4)),
        "T.masked_fill": (lambda x, m: paddle.masked_fill(x, m, 0.5), f(3, 4), b(3, 4)),
        "T.masked_scatter": (paddle.masked_scatter, f(3, 4), b(3, 4), f(12)),
        "T.masked_select": (paddle.masked_select, f(3, 4), b(3, 4)),
        "T.matmul": (lambda x, y: paddle.matmul(x, y, transpose_y=True), f(2, 3, 4), f(5, 4)),
        "T.matmul[vector]": (paddle.matmul, f(4), f(4)),
        "T.matrix_power": (lambda x: paddle.linalg.matrix_power(x, 3), f(4, 4)),
        "T.matrix_transpose": (paddle.matrix_transpose, f(*X)),
        "T.max": (lambda x: paddle.max(x, [1, 2], True), f(*X)),
        "T.mean": (lambda x: paddle.mean(x, -1), f(*X)),
        "T.median": (lambda x: paddle.median(x, 1), f(3, 5)),
        "T.meshgrid": (lambda x, y: paddle.meshgrid(x, y), f(3), f(4)),
        "T.mm": (paddle.mm, f(3, 4), f(4, 5)),
        "T.mode": (lambda x: paddle.mode(x.astype("float32"), 1), i(3, 6, high=3)),
        "T.moveaxis": (lambda x: paddle.moveaxis(x, 0, 2), f(*X)),
        "T.multi_dot": (lambda x, y, z: paddle.linalg.multi_dot([x, y, z]), f(3, 4), f(4, 5), f(5, 2)),
        "T.multiplex": (lambda x, y, n: paddle.multiplex([x, y], n), f(3, 4), f(3, 4), i(3, 1, high=2).astype(np.int32)),
        "T.mv": (paddle.mv, f(3, 4), f(4)),
        "T.nanmedian": (lambda x: paddle.nanmedian(x), np.where(b(3, 5), f(3, 5), np.nan).astype(np.float32)),
        "T.nanmean": (lambda x: paddle.nanmean(x, 1), np.array([[1, np.nan, 2], [3, 4, np.nan]], np.float32)),
        "T.nansum": (lambda x: paddle.nansum(x, 1), np.array([[1, np.nan, 2], [3, 4, np.nan]], np.float32)),
        "T.nanquantile": (lambda x: paddle.nanquantile(x, 0.4, 1), np.array([[1, np.nan, 2], [3, 4, np.nan]], np.float32)),
        "T.quantile": (lambda x: paddle.quantile(x, 0.4, 1), f(3, 5)),
        "T.norm": (lambda x: paddle.norm(x, 2, 1), f(*X)),
        "T.norm[fro]": (lambda x: paddle.norm(x), f(*X)),
        "T.numel": (lambda x: paddle.numel(x), f(*X)),
        "T.ones": (lambda x: paddle.ones([3, 4]) + x, f(3, 4)),
        "T.zeros": (lambda x: paddle.zeros([3, 4], "int64") + x, i(3, 4)),
        "T.outer": (paddle.outer, f(3), f(4)),
        "T.permute": (lambda x: paddle.permute(x, [1, 0, 2]), f(*X)),
        "T.pinv": (lambda x: paddle.linalg.pinv(x), f(4, 3)),
        "T.polygamma": (lambda x: paddle.polygamma(x, 1), p(3, 4)),
        "T.prod": (lambda x: paddle.prod(x, 1), f(*X)),
        "T.put_along_axis": (
            lambda x, n, v: paddle.put_along_axis(x, n, v, 1), f(3, 4), i(3, 1, high=4), f(3, 1),
        ),
        "T.qr": (lambda x: paddle.linalg.qr(x), f(4, 3)),
        "T.rank": (lambda x: paddle.rank(x) + x.astype("int32").sum(), f(*X)),
        "T.reduce_as": (paddle.reduce_as, f(2, 3, 4), f(3, 1)),
        "T.renorm": (lambda x: paddle.renorm(x, 2.0, 1, 1.0), f(*X)),
        "T.repeat": (lambda x: paddle.tensor.repeat(x, 2, 1), f(3, 4)),
        "T.repeat_interleave": (lambda x: paddle.repeat_interleave(x, 2, 1), f(*X)),
        "T.repeat_interleave[tensor]": (
            lambda x, n: paddle.repeat_interleave(x, n, 1), f(2, 3), np.array([1, 2, 1], np.int32),
        ),
        "T.reshape": (lambda x: paddle.reshape(x, [0, -1]), f(*X)),
        "T.reshape[shape]": (lambda x: paddle.reshape(x, [x.shape[0] * 3, 4]), f(*X)),
        "T.roll": (lambda x: paddle.roll(x, 2, 1), f(*X)),
        "T.rot90": (lambda x: paddle.rot90(x), f(3, 4)),
        "T.round": (lambda x: paddle.round(x, decimals=1), f(3, 4)),
        "T.scale": (lambda x: paddle.scale(x, 2.0, 1.0, False), f(*X)),
        "T.scatter": (lambda x, n, v: paddle.scatter(x, n, v), f(3, 4), np.array([2, 0], np.int64), f(2, 4)),
        "T.scatter_add": (lambda x, n, v: paddle.scatter_add(x, 1, n, v), f(3, 4), i(3, 2, high=4), f(3, 2)),
        "T.scatter_reduce": (
            lambda x, n, v: paddle.scatter_reduce(x, 1, n, v, "amax"), f(3, 4), i(3, 2, high=4), f(3, 2),
        ),
        "T.scatter_nd": (lambda n, v: paddle.scatter_nd(n, v, [4, 5]), i(3, 1, high=4), f(3, 5)),
        "T.scatter_nd_add": (paddle.scatter_nd_add, f(4, 5), i(3, 1, high=4), f(3, 5)),
        "T.searchsorted": (lambda x, y: paddle.searchsorted(paddle.sort(x), y), f(6), f(3, 4)),
        "T.select_scatter": (lambda x, y: paddle.select_scatter(x, y, 1, 2), f(3, 4), f(3)),
        "T.shard_index": (lambda x: paddle.shard_index(x, 20, 2, 0), i(3, 1, high=20)),
        "T.slice": (lambda x: paddle.slice(x, [1, 2], [0, -3], [2, -1]), f(*X)),
        "T.slice[getitem]": (lambda x: x[:, 1:, -1], f(*X)),
        "T.slice[ellipsis]": (lambda x: x[..., None, ::2], f(*X)),
        "T.slice[index]": (lambda x, n: x[:, n], f(2, 3, 4), i(2, 2, high=3)),
        "T.slice[mask]": (lambda x: x[x > 0], f(3, 4)),
        "T.slice_scatter": (lambda x, y: paddle.slice_scatter(x, y, [1], [1], [3], [1]), f(3, 4), f(3, 2)),
        "T.slice_scatter[setitem]": (lambda x: paddle.static.setitem(x, (slice(None), 1), 0.5), f(3, 4)),
        "T.slice_scatter[tensor]": (lambda x, v: paddle.static.setitem(x, (slice(None), slice(1, 3)), v), f(3, 4), f(2)),
        "T.slice_scatter[mask]": (lambda x: paddle.static.setitem(x, x > 0, 0.5), f(3, 4)),
        "T.slogdet": (lambda x: paddle.linalg.slogdet(x), spd(3)),
        "T.softmax": (lambda x: paddle.tensor.softmax(x, 1), f(*X)),
        "T.solve": (paddle.linalg.solve, spd(4), f(4, 2)),
        "T.sort": (lambda x: paddle.sort(x, 1, True), f(*X)),
        "T.split": (lambda x: paddle.split(x, [1, -1], 1), f(*X)),
        "T.split[num]": (lambda x: paddle.split(x, 2, 2), f(*X)),
        "T.split_with_sizes": (lambda x: paddle.tensor.split_with_sizes(x, [1, 3], 2), f(*X)),
        "T.squeeze": (lambda x: paddle.squeeze(x, 1), f(3, 1, 4)),
        "T.stack": (lambda x, y: paddle.stack([x, y], 1), f(*X), f(*X)),
        "T.std": (lambda x: paddle.std(x, 1), f(3, 5)),
        "T.var": (lambda x: paddle.var(x, 1), f(3, 5)),
        "T.strided_slice": (lambda x: paddle.strided_slice(x, [2], [3], [0], [-2]), f(*X)),
        "T.sum": (lambda x: paddle.sum(x, [0, 2]), f(*X)),
        "T.sum[int]": (lambda x: paddle.sum(x), i(3, 4)),
        "T.svd": (lambda x: paddle.linalg.svd(x)[1], f(4, 3)),
        "T.svdvals": (lambda x: paddle.linalg.svdvals(x), f(4, 3)),
        "T.swapaxes": (lambda x: paddle.swapaxes(x, [1, 0, 2]), f(*X)),
        "T.swapdims": (lambda x: paddle.tensor.swapdims(x, [1, 0, 2]), f(*X)),
        "T.t": (paddle.t, f(3, 4)),
        "T.take": (lambda x, n: paddle.take(x, n), f(3, 4), i(2, 3, high=12)),
        "T.take_along_axis": (lambda x, n: paddle.take_along_axis(x, n, 1), f(3, 4), i(3, 2, high=4)),
        "T.take_along_dim": (lambda x, n: paddle.tensor.take_along_dim(x, n, 1), f(3, 4), i(3, 2, high=4)),
        "T.tensordot": (lambda x, y: paddle.tensordot(x, y, 1), f(2, 3, 4), f(4, 5)),
        "T.tile": (lambda x: paddle.tile(x, [2, 1, 3]), f(3, 4)),
        "T.to_tensor": (lambda x: paddle.to_tensor([[1.0, 2.5, 3.0, 4.0]]) + x, f(3, 4)),
        "T.topk": (lambda x: paddle.topk(x, 2, 1), f(*X)),
        "T.trace": (lambda x: paddle.trace(x, 1), f(3, 4)),
        "T.transpose": (lambda x: paddle.transpose(x, [2, 0, 1]), f(*X)),
        "T.trapezoid": (lambda x: paddle.trapezoid(x), f(3, 4)),
        "T.tril": (lambda x: paddle.tril(x, 1), f(3, 4)),
        "T.triu": (lambda x: paddle.triu(x, -1), f(3, 4)),
        "T.unbind": (lambda x: paddle.unbind(x, 1), f(*X)),
        "T.unflatten": (lambda x: paddle.unflatten(x, 2, [2, 2]), f(*X)),
        "T.unique": (lambda x: paddle.unique(x, return_index=True, return_inverse=True, return_counts=True), i(9)),
        "T.unique_consecutive": (lambda x: paddle.unique_consecutive(x, return_counts=True), i(9, high=2)),
        "T.unsqueeze": (lambda x: paddle.unsqueeze(x, [0, -1]), f(*X)),
        "T.unstack": (lambda x: paddle.unstack(x, 1), f(*X)),
        "T.vander": (lambda x: paddle.vander(x, 3), f(4)),
        "T.vecdot": (lambda x, y: paddle.vecdot(x, y), f(3, 4), f(3, 4)),
        "T.view_as_complex": (lambda x: paddle.as_real(paddle.tensor.view_as_complex(x)), f(3, 2)),
        "T.view_as_real": (lambda x: paddle.tensor.view_as_real(x), c(3, 2)),
        "T.where": (paddle.where, b(3, 4), f(3, 4), f(3, 4)),
        "T.where[broadcast]": (lambda m, x: paddle.where(m, x, paddle.zeros([1])), b(3, 1), f(3, 4)),
        "T.nonzero": (paddle.nonzero, b(3, 4)),
        "T.multigammaln": (lambda x: paddle.multigammaln(x, 2), p(3, 4) + 2),
        "T.acosh": (paddle.acosh, p(3, 4) + 1),
        "T.amax": (lambda x: paddle.amax(x, 1), f(*X)),
        "T.slice_int": (lambda x: x[0], f(*X)),
    }  # fmt: skip


def _vision() -> dict[str, tuple]:
    boxes = np.array([[1, 1, 6, 6], [2, 2, 7, 7], [0, 0, 3, 4]], np.float32)
    number = np.array([2, 1], np.int32)
    return {
        "V.box_coder": (
            lambda p_, v, t: V.box_coder(p_, v, t, "decode_center_size", axis=0), boxes + 1, np.full((3, 4), 0.1, np.float32),
            f(2, 3, 4),
        ),
        "V.deform_conv2d": (lambda x, o, w: V.deform_conv2d(x, o, w), f(2, 3, 6, 6), u(2, 18, 4, 4), f(4, 3, 3, 3)),
        "V.distribute_fpn_proposals": (
            lambda r, n: V.distribute_fpn_proposals(r, 2, 4, 3, 16, rois_num=n)[0], boxes * 8, number,
        ),
        "V.generate_proposals": (
            lambda s, d, m, a, v: V.generate_proposals(s, d, m, a, v, return_rois_num=True)[:2],
            q(1, 3, 4, 4), f(1, 12, 4, 4) * 0.1, np.array([[32, 32]], np.float32),
            np.tile(np.array([0, 0, 9, 9], np.float32), (4, 4, 3, 1)), np.full((4, 4, 3, 4), 0.1, np.float32),
        ),
        "V.matrix_nms": (
            lambda x, s: V.matrix_nms(x, s, 0.1, 0.05, 10, 5)[0], boxes[None], q(1, 2, 3),
        ),
        "V.nms": (lambda x: V.nms(x, 0.3), boxes),
        "V.prior_box": (lambda x, m: V.prior_box(x, m, [2.0], [4.0], [1.0, 2.0]), f(*IMG), f(2, 3, 32, 32)),
        "V.psroi_pool": (lambda x, r, n: V.psroi_pool(x, r, n, 2), f(2, 8, 8, 8), boxes, number),
        "V.roi_align": (lambda x, r, n: V.roi_align(x, r, n, 2), f(*IMG), boxes, number),
        "V.roi_pool": (lambda x, r, n: V.roi_pool(x, r, n, 2), f(*IMG), boxes, number),
        "V.yolo_box": (
            lambda x, s: V.yolo_box(x, s, [10, 13, 16, 30], 2, 0.01, 32), f(2, 14, 4, 4),
            np.array([[128, 128], [96, 96]], np.int32),
        ),
        "V.yolo_loss": (
            lambda x, g, n: V.yolo_loss(x, g, n, [10, 13, 16, 30], [0, 1], 2, 0.7, 32), f(2, 14, 4, 4), q(2, 3, 4),
            i(2, 3, high=2).astype(np.int32),
        ),
    }  # fmt: skip


CASES = _build()
# which dimensions broadcast has to be known
STATIC = {"T.reduce_as"}

_RANDOM = "random numbers"
_TRAINING = "for training only"
_GPU = "runs on a GPU only"
_INFO = "gives no tensor"
EXCLUDED: dict[str, str] = {
    **dict.fromkeys(
        "T.bernoulli_ T.binomial T.cauchy_ T.exponential_ T.geometric_ T.log_normal T.multinomial T.normal T.poisson T.rand "
        "T.rand_like T.randint T.randint_like T.randn T.randn_like T.random_ T.randperm T.standard_normal T.uniform "
        "T.top_p_sampling F.gumbel_softmax T.pca_lowrank T.svd_lowrank".split(),
        _RANDOM,
    ),
    **dict.fromkeys("F.class_center_sample F.embedding_renorm_ T.create_parameter".split(), _TRAINING),
    **dict.fromkeys(
        "F.flash_attention_v3_varlen F.flash_attn_qkvpacked F.flash_attn_varlen_qkvpacked F.moe_permute F.moe_unpermute "
        "F.sparse_attention F.sdp_kernel F.flashmask_attention F.rms_norm F.margin_cross_entropy".split(),
        _GPU,
    ),
    **dict.fromkeys(
        "T.broadcast_shape T.broadcast_shapes T.is_complex T.is_floating_point T.is_integer T.is_tensor T.set_printoptions "
        "V.check_type V.check_variable_and_dtype V.convert_np_dtype_to_dtype_ V.convert_to_list V.in_dygraph_mode "
        "V.in_dynamic_or_pir_mode V.in_pir_mode V.overload".split(),
        _INFO,
    ),
    "T.eig": "gives complex numbers in an order and scale that are not determined",
    "T.eigvals": "gives complex numbers in an order that is not determined",
    "T.create_tensor": "makes a variable without a value",
    "T.range": "the old name of arange",
    **dict.fromkeys("T.resize_ T.set_ T.as_strided T.narrow T.unfold T.view T.view_as".split(), "in dynamic mode only"),
    "T.histogram_bin_edges": "Paddle 3.3.1 cannot build it under PIR",
    "F.adaptive_log_softmax_with_loss": "branches on values: not to be built without dy2static",
    "V.decode_jpeg": "reads a file",
    "V.read_file": "reads a file",
}

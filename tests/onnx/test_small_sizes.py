"""What is cut from an open size that is too small for it is what ONNX Runtime gives, in every Paddle."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx.parser
import pytest

from tests.onnx import no_elements, small_sizes, tried
from tests.onnx.checks import CURRENT, ONEDNN, PADDLE_23, PADDLE_26, PLAIN, Runtime, in_runtimes, worker
from tests.onnx.random_graphs import compared

REFUSED = frozenset({"a loop of no turns"})  # also where the size is always 0
NO_CASE = frozenset({"LSTM over no steps", "one hot"})  # ONNX Runtime does not run them with some fronts


def _check(runtime: Runtime, pairs: Iterable[tuple[str, str]]) -> None:
    found = {pair: small_sizes.outcome(*pair, runtime.target, worker(runtime.name), runtime.onednn) for pair in pairs}
    faults = {p: f for p, f in found.items() if f[0] != "works"}
    assert {p: f for p, f in faults.items() if not (f[0] == "refused" and p[1] in REFUSED)
            and not (f[0] == "no case" and p[1] in NO_CASE)} == {}  # fmt: skip


@in_runtimes(CURRENT, ONEDNN[0])
def test_each_front_and_each_body(runtime: Runtime) -> None:
    _check(runtime, small_sizes.pairs())


@pytest.mark.slow
@in_runtimes(CURRENT, PLAIN, PADDLE_26, PADDLE_23, *ONEDNN[:2])
def test_all_pairs(runtime: Runtime) -> None:
    _check(runtime, small_sizes.pairs(every=True))


@in_runtimes(CURRENT)
def test_what_cannot_be_carried_is_converted_for_sizes_that_are_large_enough(runtime: Runtime) -> None:
    """Of nothing a window with padding makes elements, which the element of padding would not give."""
    weights = "w = Constant<value: tensor = float[2, 4, 1] {1, 2, 3, 4, 5, 6, 7, 8}>()"
    body = f"{weights} t = Transpose<perm = [0, 2, 1]>(e) y = Conv<pads = [1, 1]>(t, w)"
    front = small_sizes.FRONTS["behind the first"][1]
    model = no_elements.parsed(small_sizes.HEAD, front, ("float[n, 2, k] y", body))
    made = tried.converted(model, runtime.target)
    assert not isinstance(made, tuple) and any("Conv (y):" in note for note in made.notes)
    feeds = small_sizes.feeds("behind the first")[1:]
    assert compared(model, feeds, runtime.target, worker(runtime.name), runtime.onednn)[0] == "works"


CUTS = """\
<ir_version: 8, opset_import: ["" : 17]> g (float[n, m, k] v) => (float[n, p, q] y)
<int64[2] ones = {1, 1}, int64[2] large = {99, 99}, int64[2] axes = {1, 2}, int64[1] one = {1}, int64[1] last = {99},
 int64[1] first = {1}, int64[1] second = {2}, int64[1] none = {0}> { BODY }"""


@in_runtimes(CURRENT, PLAIN, PADDLE_26, PADDLE_23, *ONEDNN[:2])
@pytest.mark.parametrize("bounds", [(2, 9999), (3, 4), (2, 2**31 - 1), (2, -1), (-1, 1), (-2, -2), (1, -1)], ids=str)
def test_starts_far_behind_the_end(runtime: Runtime, bounds: tuple[int, int]) -> None:
    start, end = bounds
    body = f"s = Constant<value_ints: ints = [{start}]>() t = Constant<value_ints: ints = [{end}]>() y = Slice(v, s, t, first)"
    model = onnx.parser.parse_model(CUTS.replace("BODY", body))
    feeds = [{"v": np.arange(10 * m, dtype=np.float32).reshape(2, m, 5)} for m in (1, 2, 3, 7)]
    assert compared(model, feeds, runtime.target, worker(runtime.name), runtime.onednn)[0] == "works"


SEVERAL = {
    "at once": "y = Slice(v, ones, large, axes)",
    "cropped": "p = Constant<value_ints: ints = [0, -1, -1, 0, -1, 0]>() y = Pad(v, p)",
    "one after the other": "a = Slice(v, one, last, first) y = Slice(a, one, last, second)",
    "with something between": "a = Slice(v, one, last, first) r = Relu(a) y = Slice(r, one, last, second)",
    "joined": "a = Slice(v, ones, large, axes) y = Concat<axis = 1>(a, a)",
    "joined to what is there": "a = Slice(v, one, last, second) b = Slice(v, one, last, first) c = Slice(b, one, last, second) y = Concat<axis = 1>(a, c)",
    "with one that is always nothing": "a = Slice(v, one, last, first) c = Slice(a, one, one, none) p = Constant<value_ints: ints = [1, 0, -1, 0, 0, 0]>() y = Pad(c, p)",
    "normalised": "a = Slice(v, ones, large, axes) y = Softmax<axis = 2>(a)",
    "reduced": "a = Slice(v, ones, large, axes) y = ReduceSum<keepdims = 1>(a, second)",
}  # fmt: skip


@in_runtimes(CURRENT, PLAIN, PADDLE_26, PADDLE_23, *ONEDNN[:2])
@pytest.mark.parametrize("body", SEVERAL)
def test_several_sizes_of_one_tensor(runtime: Runtime, body: str) -> None:
    """Each of them is 0, or none, or all."""
    model = onnx.parser.parse_model(CUTS.replace("BODY", SEVERAL[body]))
    rng = np.random.default_rng(0)
    smallest = 2 if body == "cropped" else 1
    sizes = [(m, k) for m in (smallest, 4) for k in (smallest, 5)]
    feeds = [{"v": rng.uniform(-1, 1, (2, m, k)).astype(np.float32)} for m, k in sizes]
    assert compared(model, feeds, runtime.target, worker(runtime.name), runtime.onednn)[0] == "works"

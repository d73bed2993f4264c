"""ONNX's own backend tests there and back: ONNX to Paddle 3, and that to ONNX again, answers what the tests ask for.

No Paddle runs in it: what the program in between computes, ``tests/onnx/test_suite.py`` holds to the real one.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mconv import api
from tests.onnx import suite

ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(not onnx.__version__.startswith("1.23."), reason="the list is of onnx 1.23")

OPSETS = (11, 13, 15, 17, 18, 20, 21, 23, 26)
PARTS = 8  # of all cases
EACH = 40  # one of so many is in the fast tests
NUMPY = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _names() -> list[str]:
    names = suite.pass_list("3").read_text(encoding="utf-8").split()
    # what runs other code than ONNX's own operators, and drawn numbers, which are others each time
    return sorted(n for n in names if not n.endswith("_expanded"))


def _opset(name: str, model: onnx.ModelProto) -> int:
    """One of the opsets, always the same of a case, that has what the case is of in ONNX Runtime."""
    regions = any(
        node.op_type in ("RoiAlign", "MaxRoiPool") for node in model.graph.node
    )  # up to 21, see ``ops/vision.py``
    opsets = [o for o in OPSETS if o < 22 or not regions]
    return opsets[zlib.crc32(name.encode()) % len(opsets)]


def _check(name: str, folder: Path) -> bool:
    """Whether the case could be compared; asserts that it agrees."""
    case = {c.name: c for c in suite.cases()}[name]
    model, sets = suite.load(case)
    if suite.not_run(model, name):
        return False
    onnx.save(model, folder / "m.onnx")
    api.onnx2paddle(folder / "m.onnx", folder / "p", target="3", verify=False, force=True)
    opset = _opset(name, model)
    api.to_onnx(folder / "p", folder / "back.onnx", opset=opset, verify=False, force=True)
    onnx.checker.check_model(str(folder / "back.onnx"), full_check=True)
    session = ort.InferenceSession(str(folder / "back.onnx"), providers=["CPUExecutionProvider"])
    kinds = {i.name: i.type for i in session.get_inputs()}
    compared = False
    for inputs, outputs in sets:
        given = dict(zip([i.name for i in model.graph.input], inputs))
        if any(v is None for v in (*inputs, *outputs)):
            continue
        feed = {n: np.asarray(given[n]) for n in kinds}
        if any(str(feed[n].dtype) != NUMPY.get(kind) for n, kind in kinds.items()):
            continue  # of types that Paddle, or numpy, has not got
        for wanted, got in zip(outputs, session.run(None, feed), strict=True):
            _same(np.asarray(wanted), got, f"{name} at opset {opset}")
        compared = True
    return compared


def _same(wanted: np.ndarray, got: Any, where: str) -> None:
    assert got.shape == wanted.shape, where
    if wanted.dtype.kind in "fc" and wanted.dtype.itemsize >= 2:
        limit = 1e-3 if wanted.dtype.itemsize > 2 else 2e-2
        np.testing.assert_allclose(got.astype("f8"), wanted.astype("f8"), rtol=limit, atol=limit / 10, err_msg=where)
    elif wanted.dtype.kind in "iub":
        np.testing.assert_array_equal(got, wanted, err_msg=where)


@pytest.mark.parametrize("start", range(4))
def test_some_of_the_suite_there_and_back(start: int, tmp_path: Path) -> None:
    names = _names()
    chosen = range(start * EACH // 4, len(names), EACH)
    assert sum(_check(names[i], tmp_path) for i in chosen) > len(chosen) // 2


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_suite_there_and_back(part: int, tmp_path: Path) -> None:
    names = _names()
    chosen = range(part, len(names), PARTS)
    failed = []
    for i in chosen:
        try:
            _check(names[i], tmp_path)
        except Exception as e:  # noqa: BLE001 - each is named
            failed.append(f"{names[i]}: {type(e).__name__}: {str(e).strip()[:200]}")
    assert not failed, "\n".join(failed)

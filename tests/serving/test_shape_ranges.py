"""The forms in which ranges of shapes are written, each read again by what it is for."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mconv import api
from mconv.errors import CorruptModelError, MconvError, UsageError
from mconv.program.files import locate
from mconv.serving.rendering import render
from mconv.serving.shape_ranges import (
    Range,
    ShapeRanges,
    from_paddle,
    to_paddle,
    to_paddlex,
    to_python,
    to_serving,
    to_triton,
    to_trtexec,
)
from tests.managed import require, run_in
from tests.verbs.test_shapes import branch

ENGINES = Path(__file__).with_name("engines_by_size.py")
ODD = 'odd "name"\\\x1b'
RANGES = ShapeRanges(
    {"x": Range((1, 3), (2, 3), (8, 3)), ODD: Range((1,), (1,), (1,))}, ["x"], {"x": Range((0,), (1,), (9,))}
)
MIN = {"x": [1, 3], ODD: [1]}
MAX = {"x": [8, 3], ODD: [1]}


def test_paddles_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "s.pbtxt").write_text(to_paddle(RANGES))
    found = from_paddle(tmp_path / "s.pbtxt")
    assert (dict(found.shapes), dict(found.numbers)) == (dict(RANGES.shapes), dict(RANGES.numbers))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (None, UsageError, "no such file"),
        ("", CorruptModelError, "holds no shapes"),
        ("{}", CorruptModelError, "not a shape file of Paddle"),
        ("\udcff", CorruptModelError, "not a shape file of Paddle"),
        (
            'shape_range_info { name: "x" min_shape: 2 max_shape: 1 opt_shape: 1 }',
            CorruptModelError,
            "x: not min_shape <= opt_shape <= max_shape",
        ),
    ],
    ids=["none", "empty", "json", "bytes", "order"],
)
def test_what_is_no_shape_file(text: Any, error: type[MconvError], said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "s.pbtxt").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(error, match=said):
        from_paddle(tmp_path / "s.pbtxt")


def test_python_and_the_op_of_paddle_serving() -> None:
    found: dict[str, Any] = {}
    exec(to_python(RANGES), found)
    assert (found["MIN_SHAPES"], found["MAX_SHAPES"]) == (MIN, MAX)

    class Op:
        exec(to_serving(RANGES))

    op: Any = Op()
    op.set_dynamic_shape_info()
    assert (op.dynamic_shape_info["min_input_shape"], op.dynamic_shape_info["max_input_shape"]) == (MIN, MAX)
    assert op.dynamic_shape_info["opt_input_shape"]["x"] == [2, 3]


def test_paddlex_has_the_usual_shape_in_the_middle() -> None:
    document = yaml.safe_load(to_paddlex(RANGES))
    shapes = document["Hpi"]["backend_configs"]["paddle_infer"]["trt_dynamic_shapes"]
    assert shapes == {"x": [[1, 3], [2, 3], [8, 3]], ODD: [[1], [1], [1]]}


def test_trtexec_takes_inputs_alone() -> None:
    assert to_trtexec(RANGES).split() == ["--minShapes=x:1x3", "--optShapes=x:2x3", "--maxShapes=x:8x3"]


def test_flags_are_those_of_a_shell() -> None:
    import shlex

    odd = ShapeRanges({ODD: Range((1,), (1,), (1,))}, [ODD])
    assert shlex.split(to_trtexec(odd))[0] == f"--minShapes={ODD}:1"
    tensorflows = ShapeRanges({"x:0": Range((1,), (1,), (1,))}, ["x:0"])
    assert shlex.split(to_trtexec(tensorflows))[0] == "--minShapes='x:0':1"


def test_triton_reads_it_as_its_model_configuration() -> None:
    """The message of Triton's ``model_config.proto``, as far as it matters here."""
    from google.protobuf import text_format

    from mconv.program.messages import build_classes

    schema = {
        "Entry": (("key", 1, "string"), ("value", 2, "string")),
        "Accelerator": (("name", 1, "string"), ("parameters", 2, "*Entry")),
        "Accelerators": (("gpu_execution_accelerator", 1, "*Accelerator"),),
        "Optimization": (("execution_accelerators", 4, "Accelerators"),),
        "Config": (("optimization", 9, "Optimization"),),
    }
    message = build_classes("mconv.test.triton", schema)["Config"]()
    text_format.Parse(to_triton(RANGES), message)
    accelerators = message.optimization.execution_accelerators.gpu_execution_accelerator
    assert [a.name for a in accelerators] == ["tensorrt", "min_shape", "max_shape", "opt_shape"]
    assert {p.key: p.value for p in accelerators[2].parameters} == {"x": "8 3", ODD: "1"}


def test_the_usual_size_is_the_most_frequent_and_the_least_on_a_tie() -> None:
    once = [((1, 5), 1), ((2, 5), 1), ((2, 7), 1), ((1, 7), 1)]
    assert Range.of(once) == Range((1, 5), (1, 5), (2, 7))
    assert Range.of([((3,), 1), ((1,), 1), ((3,), 1)]) == Range((1,), (3,), (3,))
    assert Range.of([((3,), 1), ((1,), 2)]) == Range((1,), (1,), (3,))


def test_a_tensor_has_as_many_dimensions_as_it_was_seen_with_first() -> None:
    assert Range.of([((3, 4), 1), ((5,), 7), ((1, 6, 9), 2)]) == Range((1, 4), (1, 6), (3, 6))


def test_literals_stay_plain() -> None:
    """No form needs more than a parser of literals to be read."""
    rows = to_python(RANGES).split(" = ", 1)[1].split("\nMAX_SHAPES")[0]
    assert ast.literal_eval(rows) == json.loads(json.dumps(MIN))


@pytest.mark.runtime
def test_a_request_goes_to_the_first_engine_that_it_fits(tmp_path: Path) -> None:
    where = require("paddle-2.3.2")
    api.onnx2paddle(branch(tmp_path), tmp_path / "model", verify=False)
    (tmp_path / "predictor.py").write_text(render("predictor.py"))
    found = locate(tmp_path / "model")
    ended = run_in(where, ENGINES, tmp_path / "predictor.py", found.program, found.params, tmp_path / "out.json")
    assert ended.returncode == 0, ended.stderr[-2000:]
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["engine"] for row in rows] == [0, 0, 1, 1, 1, 0]  # what fits none goes to the largest
    assert [len(row["answer"]) for row in rows] == [1, 2, 3, 8, 20, 1]
    for row in rows:  # the mean is positive: x @ 1
        count = len(row["answer"])
        assert np.allclose(row["answer"], np.arange(count * 4).reshape(count, 4))

"""What ``mconv verify`` compares: each kind of source, opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from mconv.errors import MconvError, NotAModelError, UnsupportedError
from mconv.proof.opened import Choices, OpenedOnnx, OpenedPaddle, OpenedService, open_model
from tests.golden import case
from tests.onnx.make import mlp

CHOICES = Choices()


def test_each_kind_is_opened_by_what_it_holds(tmp_path: Path) -> None:
    onnx = open_model(mlp(tmp_path / "m.onnx"), CHOICES)
    assert isinstance(onnx, OpenedOnnx)
    assert [s.name for s in onnx.specs() or []] == [i.name for i in onnx.model.proto.graph.input]
    golden = case("2.3.2-mlp")
    for source in (golden.model, golden.server):
        paddle = open_model(source, CHOICES)
        assert isinstance(paddle, OpenedPaddle) and paddle.program is not None
        assert [s.name for s in paddle.specs() or []] == [p.name for p in paddle.program.feeds]
    service = open_model("http://127.0.0.1:1/x/prediction", CHOICES)
    assert isinstance(service, OpenedService)
    with pytest.raises(UnsupportedError, match="nobody can look inside of a service"):
        service.tensors()


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("import paddle\nclass Net(paddle.nn.Layer):\n    pass\n", UnsupportedError, "no file to run"),
        (None, NotAModelError, "gone"),
    ],
)
def test_what_cannot_be_opened(text: str, error: type[MconvError], said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "net.py").write_text(text)
    with pytest.raises(error, match=said):
        open_model(f"{tmp_path / 'net.py'}:Net" if text is not None else tmp_path / "gone", CHOICES)

"""Generated services in tests: planned for made-up models, written down, and imported without Paddle Serving."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import pytest

from mconv.program.dtypes import DType
from mconv.program.program import Op, Program, Var
from mconv.serving.configure import TYPES, ServingConfig, ServingVar
from mconv.serving.ocr import Source
from mconv.serving.ocr import plan as plan_ocr
from mconv.serving.paddlex import PaddleX
from mconv.serving.scaffold import Service, options_from, plan

Shape = Sequence[int]  # -1: open
X: dict[str, tuple[DType, Shape]] = {"x": (DType.FP32, (-1, 4))}


def model(
    inputs: dict[str, tuple[DType, Shape]],
    fetches: Sequence[str] = ("y",),
    aliases: Optional[dict[str, str]] = None,
    outputs: Optional[dict[str, Shape]] = None,
) -> tuple[ServingConfig, Program]:
    """A model that only has inputs and outputs."""
    program = Program()
    aliases = aliases or {}
    feeds = []
    for name, (dtype, shape) in inputs.items():
        program.main.add_var(Var.tensor(name, dtype, tuple(shape)))
        program.main.ops.append(Op.make("feed", {"X": ["feed"]}, {"Out": [name]}))
        feeds.append(ServingVar(name, aliases.get(name, name), TYPES[dtype], [d for d in shape if d >= 0]))
    for name, shape in (outputs or {}).items():
        program.main.add_var(Var.tensor(name, DType.FP32, tuple(shape)))
        program.main.ops.append(Op.make("fetch", {"X": [name]}, {"Out": ["fetch"]}))
    return ServingConfig(feeds, [ServingVar(f, f, TYPES[DType.FP32], [2]) for f in fetches]), program


def service(inputs: dict[str, tuple[DType, Shape]], beside: Optional[Path] = None, **options: Any) -> Service:
    """The service planned for a model."""
    return plan(*model(inputs), options_from(options), beside=beside)


_MAP, _ROW = {"name": "DBPostProcess"}, {"Topk": {"label_list": ["0_degree", "180_degree"]}}
_LINE = {"name": "CTCLabelDecode", "character_dict": ["a", "b"]}
# stage of a service of several models → size of its input, its output, what that is read as
STAGES: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "det": ((-1, 3, -1, -1), (-1, 1, -1, -1), _MAP),
    "cls": ((-1, 3, 48, 192), (-1, 2), _ROW),
    "rec": ((-1, 3, 48, -1), (-1, -1, 4), _LINE),
}


def ocr_service(stages: Sequence[str] = tuple(STAGES), **options: Any) -> Service:
    """The service planned for several models."""
    sources = {}
    for name in stages:
        taken, given, read = STAGES[name]
        config, program = model({"x": (DType.FP32, taken)}, outputs={"y": given})
        sources[name] = Source(name, config, program, PaddleX(Path(name) / "inference.yml", name, (), read))
    return plan_ocr(sources, options_from(options))


def load(planned: Service, folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a service, imported from *folder*, which becomes the current one."""
    planned.write(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    name = module[: -len(".py")]
    for file in planned.files:  # modules of these names are those of another test's service
        if file.endswith(".py"):
            monkeypatch.delitem(sys.modules, file[: -len(".py")], raising=False)
    spec = importlib.util.spec_from_file_location(name, folder / module)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, made)
    spec.loader.exec_module(made)
    return made


class FakeRequestOp:
    def unpack_request_package(self, request: Any) -> Any:
        return dict(zip(request.key, request.value)), 0, None, ""

    def proto_tensor_2_numpy(self, tensor: Any) -> Any:
        raise AssertionError("the pipeline's own was called")


class FakeTimeout(RuntimeError):
    """What a channel raises that has nothing within the time."""


class FakeOp:
    def __init__(self, name: str = "", input_ops: Sequence[Any] = ()):
        self.name, self.input_ops = name, input_ops
        self.set_dynamic_shape_info()

    def set_dynamic_shape_info(self) -> None: ...


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put stand-ins where Paddle Serving and grpc would be."""
    logger_config = {
        "version": 1,
        "formatters": {"normal_fmt": {"format": "%(levelname)s %(message)s"}},
        "handlers": {
            name: {"class": "logging.FileHandler", "level": "INFO", "formatter": "normal_fmt", "filename": "/nowhere"}
            for name in ("f_pipeline.log", "f_pipeline.log.wf", "f_tracer.log")
        },
        "root": {"level": "DEBUG", "handlers": ["f_pipeline.log", "f_pipeline.log.wf"]},
    }
    contents: dict[str, dict[str, Any]] = {
        "": {},
        ".pipeline": {"RequestOp": FakeRequestOp},
        ".pipeline.logger": {"logger_config": logger_config},
        ".pipeline.channel": {"ChannelData": object, "ChannelTimeoutError": FakeTimeout, "ProcessChannel": object},
        ".pipeline.dag": {},
        ".pipeline.error_catch": {},
        ".pipeline.operator": {},
        ".pipeline.pipeline_server": {"PipelineServicer": object},
        ".pipeline.util": {"PipelineProcSyncManager": None},
        ".pipeline.proto": {"pipeline_service_pb2": None, "pipeline_service_pb2_grpc": None},
        ".web_service": {"Op": FakeOp, "WebService": type("WebService", (), {})},
    }
    for name, content in contents.items():
        module = types.ModuleType(f"paddle_serving_server{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        package, _, short = module.__name__.rpartition(".")
        if package:
            monkeypatch.setattr(sys.modules[package], short, module, raising=False)
    monkeypatch.setitem(sys.modules, "grpc", types.ModuleType("grpc"))
    monkeypatch.setenv("SERVING_LOG_PATH", "")  # which the service sets
    for name in (
        *("channels", "op_processes", "restarts", "http_server", "lifecycle"),
        *("arriving", "pipeline_op", "request_data", "batching", "configuration", "setting_checks"),
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)

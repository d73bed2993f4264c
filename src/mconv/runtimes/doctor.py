"""``mconv doctor``: what is installed, which commands work with it, what to install for the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mconv.errors import MconvError
from mconv.extras import install
from mconv.runtimes.install import check
from mconv.runtimes.interpreters import find_interpreter
from mconv.runtimes.recipes import RECIPES, recipe_for
from mconv.runtimes.runtime import RuntimeStatus, runtimes_folder, statuses

# module → the distributions that provide it, mconv's extra that installs it (none: part of the core)
PACKAGES: dict[str, tuple[tuple[str, ...], Optional[str]]] = {
    "numpy": (("numpy",), None),
    "google.protobuf": (("protobuf",), None),
    "onnx": (("onnx",), None),
    "yaml": (("PyYAML",), None),
    "rich": (("rich",), None),
    "typer": (("typer",), None),
    "paddle": (("paddlepaddle", "paddlepaddle-gpu"), "paddle"),
    "torch": (("torch",), "torch"),
    "onnxscript": (("onnxscript",), "torch"),
    "safetensors": (("safetensors",), "torch"),
    "transformers": (("transformers",), "huggingface"),
    "onnxruntime": (("onnxruntime", "onnxruntime-gpu"), "verify"),
    "x2paddle": (("x2paddle",), "x2paddle"),
    "paddle2onnx": (("paddle2onnx",), "paddle2onnx"),
    "jsonschema": (("jsonschema",), "recipes"),
    "fsspec": (("fsspec",), "remote"),
    "ray": (("ray",), "ray"),
    "aiohttp": (("aiohttp",), "bench"),
    "matplotlib": (("matplotlib",), "bench"),
}


@dataclass(frozen=True)
class Need:
    """Something that a command cannot do without, or (*optional*) that part of it needs.

    Attributes:
        purpose: what it is for.
        any_of: modules or ``runtime:NAME``; one of them is enough.
        optional: whether the command also works without.
    """

    purpose: str
    any_of: tuple[str, ...]
    optional: bool = False


_RUN_PADDLE = ("paddle", "runtime:paddle-2.3.2", "runtime:paddle-2.6.2", "runtime:paddle-3.3.1")
_OTHER_SERVERS = (
    Need("services of --server http", ("runtime:http",), optional=True),
    Need("services of --server triton", ("runtime:triton",), optional=True),
    Need("--server triton --backend paddle", ("runtime:paddle-2.6.2",), optional=True),
)
NEEDS: dict[str, tuple[Need, ...]] = {
    "to-serving": (Need("--engine paddle-serving-client", ("runtime:paddle-2.3.2",), optional=True),),
    "inspect": (),
    "downgrade": (),
    "half": (),
    "quantize": (Need("calibration and proof", _RUN_PADDLE),),
    "edit": (
        Need("ONNX models: --verify and --fold", ("onnxruntime",), optional=True),
        Need("Paddle models: --verify and --fold", _RUN_PADDLE, optional=True),
    ),
    "convert": (
        Need("PyTorch models", ("torch",), optional=True),
        Need("paddle.nn.Layer sources", ("paddle",), optional=True),
        Need("--verify: running an .onnx source", ("onnxruntime",), optional=True),
        Need("--verify: running the result", _RUN_PADDLE, optional=True),
    ),
    "onnx2paddle": (
        Need("--verify: running the source", ("onnxruntime",), optional=True),
        Need("--verify: running the result", _RUN_PADDLE, optional=True),
        Need("--engine x2paddle", ("x2paddle", "runtime:x2paddle-1.6.0"), optional=True),
    ),
    "torch2paddle": (
        Need("reading the model", ("torch",)),
        Need("Hugging Face folders", ("transformers",), optional=True),
        Need("safetensors weights", ("safetensors",), optional=True),
        Need("--via onnx: PyTorch's newer exporter", ("onnxscript",), optional=True),
        Need("--verify: running the result", _RUN_PADDLE, optional=True),
        Need("--engine x2paddle", ("x2paddle", "runtime:x2paddle-1.6.0"), optional=True),
    ),
    "to-static": (Need("building the layer", ("paddle",)),),
    "to-onnx": (
        Need("--engine paddle2onnx", ("paddle2onnx", "runtime:paddle2onnx-2.1.0"), optional=True),
        Need("--verify: running the source", _RUN_PADDLE, optional=True),
        Need("--verify: running the result", ("onnxruntime",), optional=True),
    ),
    "verify": (
        Need("running Paddle models", _RUN_PADDLE),
        Need("running .onnx models", ("onnxruntime",), optional=True),
        Need("running PyTorch models", ("torch",), optional=True),
    ),
    "check": (),
    "run": (
        Need("checking recipes", ("jsonschema",)),
        Need("the steps that verify", _RUN_PADDLE, optional=True),
        Need("sources at https://, s3://, gs://", ("fsspec",), optional=True),
        Need("--executor ray", ("ray",), optional=True),
    ),
    "init": (Need("models at https://, s3://, gs://", ("fsspec",), optional=True),),
    "scaffold": (),
    "shapes": (Need("sizes of what is computed", _RUN_PADDLE, optional=True),),
    "bench": (
        Need("Paddle models", _RUN_PADDLE, optional=True),
        Need("models in ONNX Runtime", ("onnxruntime",), optional=True),
        Need("services", ("aiohttp",), optional=True),
        Need("--plot, --html", ("matplotlib",), optional=True),
    ),
    "serve": (
        Need("a server", ("runtime:paddle-2.3.2", "runtime:http", "runtime:triton")),
        Need("services of Paddle Serving", ("runtime:paddle-2.3.2",), optional=True),
        *_OTHER_SERVERS,
    ),
    "serve-check": (
        Need("Paddle Serving, and the answers that every service is compared with", ("runtime:paddle-2.3.2",)),
        *_OTHER_SERVERS,
    ),
}


@dataclass(frozen=True)
class PackageStatus:
    """A package. *version* is None when it is missing; *problem* says why an installed one cannot be used."""

    module: str
    package: str
    version: Optional[str]
    extra: Optional[str]
    problem: Optional[str] = None


@dataclass(frozen=True)
class CommandStatus:
    """A command. *install* holds the shell commands that make it work, *limits* what it does not do as it is."""

    command: str
    works: bool
    limits: list[str]
    install: list[str]


@dataclass(frozen=True)
class Diagnosis:
    """Everything ``mconv doctor`` knows."""

    python: str
    system: str
    cache: Path
    cache_free_gb: float
    packages: list[PackageStatus]
    runtimes: list[RuntimeStatus]
    interpreters: dict[str, Optional[str]] = field(default_factory=dict)
    commands: list[CommandStatus] = field(default_factory=list)


def diagnose(*, test: bool = False) -> Diagnosis:
    """Look at this installation.

    Args:
        test: also import every package in a process of its own and run a model in every installed runtime
            (seconds each), instead of believing that what is installed works.
    """
    packages = [_package(module, test) for module in PACKAGES]
    runtimes = [_tested(status) if test and status.installed else status for status in statuses()]
    present = {p.module for p in packages if p.version and not p.problem}
    present |= {f"runtime:{status.name}" for status in runtimes if status.installed}
    folder = runtimes_folder()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return Diagnosis(
        f"{platform.python_version()} ({sys.executable})",
        f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()).strip() or 'unknown C library'}",
        folder,
        round(shutil.disk_usage(existing).free / 1e9, 1),
        packages,
        runtimes,
        {name: _interpreter(name) for name in RECIPES},
        [_command(name, needs, present) for name, needs in NEEDS.items()],
    )


def _package(module: str, test: bool) -> PackageStatus:
    distributions, extra = PACKAGES[module]
    for name in distributions:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return PackageStatus(module, name, version, extra, _broken(module) if test else None)
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        found = False
    # importable without metadata: a build in a folder on PYTHONPATH
    return PackageStatus(
        module, distributions[0], "unknown" if found else None, extra, _broken(module) if test and found else None
    )


def _broken(module: str) -> Optional[str]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, errors="replace", timeout=120
        )
    except subprocess.TimeoutExpired:
        return "importing it takes more than two minutes"
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"importing it ends with status {done.returncode}"


def _tested(status: RuntimeStatus) -> RuntimeStatus:
    try:
        check(recipe_for(status.name))
    except MconvError as e:
        return RuntimeStatus(
            status.name,
            status.summary,
            False,
            f"does not work: {e.message}",
            status.path,
            status.python,
            status.size_gb,
        )
    return status


def _interpreter(name: str) -> Optional[str]:
    try:
        return str(find_interpreter(recipe_for(name).pythons)[0])
    except MconvError:
        return None


def _command(name: str, needs: tuple[Need, ...], present: set[str]) -> CommandStatus:
    unmet = [need for need in needs if not present & set(need.any_of)]
    limits = [f"{need.purpose}: needs {' or '.join(map(_label, need.any_of))}" for need in unmet]
    install = list(dict.fromkeys(_remedy(need.any_of[0]) for need in unmet))
    return CommandStatus(name, all(need.optional for need in unmet), limits, install)


def _label(thing: str) -> str:
    kind, colon, name = thing.partition(":")
    return f"the runtime {name}" if colon else kind


def _remedy(thing: str) -> str:
    if thing.startswith("runtime:"):
        return f"mconv runtime install {thing.partition(':')[2]}"
    extra = PACKAGES[thing][1]
    return install(extra) if extra else f"pip install {PACKAGES[thing][0][0]}"

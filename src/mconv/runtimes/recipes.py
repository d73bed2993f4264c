"""The managed runtimes as data: which packages, on which Python, what they are checked by.

Sources of the version limits: the packages' own metadata, and ``docs/runtimes.md`` for what was found by running.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Optional

from mconv import service_packages as packages
from mconv.errors import UsageError


@dataclass(frozen=True)
class Step:
    """One call of ``pip install``: its requirements and further options."""

    label: str
    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()

    def fingerprint(self, python: str) -> str:
        """Changes when the step would install something else; *python* is the interpreter's version."""
        content = json.dumps([self.requirements, self.options, python])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Recipe:
    """How a managed runtime is made.

    Attributes:
        name: what users call it.
        summary: one line for ``mconv runtime list``.
        pythons: the minor versions of Python that it works on, best first.
        steps: the installations, in order.
        size_gb: roughly what it takes on disk when installed.
        needs_dl_sym: whether its Paddle wants glibc's former ``_dl_sym`` (see ``shim/dl_sym.c``).
        runs_models: whether a model is run in it to check the installation.
        imports: modules whose import is checked at the end of the installation.
        probe: a program that is run by its interpreter then, and has to end with status 0.
        glibc: the oldest that its packages load with; None: any.
    """

    name: str
    summary: str
    pythons: tuple[str, ...]
    steps: tuple[Step, ...]
    size_gb: float
    needs_dl_sym: bool = False
    runs_models: bool = True
    imports: tuple[str, ...] = field(default=())
    probe: str = ""
    glibc: Optional[tuple[int, int]] = None


# charset_normalizer 3.5 crashes on Python 3.8 when imported after Paddle; Paddle 3 imports setuptools but does not
# declare it, and newer setuptools have no pkg_resources
_COMMON = ("charset_normalizer<3.5", "setuptools<81")
# what mconv itself needs where it is run by the runtime's own Python, beside what Paddle brings
_MCONV = Step("mconv's needs", ("blake3>=0.3",))
# the server itself, which says how it is called, and what its python backend wants of this Python
_TRITON = """
import importlib.util, os, subprocess, sys, sysconfig
home = os.path.join(os.path.dirname(importlib.util.find_spec("pytriton").origin), "tritonserver")
said = subprocess.run([os.path.join(home, "bin", "tritonserver"), "--help"], stdout=-1, stderr=-2, text=True).stdout
if not said.startswith("Usage: tritonserver"):
    sys.exit("tritonserver does not start: " + said[:300])
version = "%d.%d" % sys.version_info[:2]
if not os.path.exists(os.path.join(home, "python_backend_stubs", version)):
    sys.exit("Triton has no stub for Python " + version)
library = "libpython%s.so.1.0" % version
if not os.path.exists(os.path.join(sysconfig.get_config_var("LIBDIR"), library)):
    sys.exit("this Python has no " + library + ", which Triton's python backend loads")
"""
_CPYTHONS = ("3.10", "3.11", "3.9", "3.12", "3.8")

_ENGINES = (packages.OPENVINO, packages.ONNXRUNTIME)  # of the services for the servers http and triton
_HTTP_IMPORTED = ("fastapi", "uvicorn", "httptools", "uvloop", "orjson", "prometheus_client", "yaml")
_ENGINES_IMPORTED = ("openvino", "onnxruntime")
_INPUTS_IMPORTED = ("tokenizers", "sentencepiece", "PIL.Image", "cv2", "pyclipper")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "paddle-2.3.2",
            "Paddle 2.3.2 with Paddle Serving 0.9.0 (client, server, app): what Serving models run on",
            ("3.8",),
            (
                # the plain package does not exist in 2.3; without a GPU this one runs on the CPU
                Step("Paddle", ("paddlepaddle-gpu==2.3.2", "protobuf==3.20.0", "numpy<1.24", "six", *_COMMON)),
                Step(
                    "Paddle Serving",
                    ("paddle-serving-client==0.9.0", "paddle-serving-server==0.9.0", "protobuf==3.20.0", "numpy<1.24"),
                ),
                Step(
                    "companions",
                    (
                        "opencv-python-headless<5",
                        "pyclipper<1.4",
                        "shapely<2.1",
                        "sentencepiece<0.3",
                        "func-timeout",
                        "numpy<1.24",
                    ),
                ),
                # its opencv pin has no wheel and does not build
                Step("Paddle Serving app", ("paddle-serving-app==0.9.0",), ("--no-deps",)),
                # for the services that `mconv to-serving --pipeline` writes: the last tokenizers for Python 3.8, whose
                # one dependency only downloads
                Step("service inputs", ("tokenizers==0.20.3", "pillow<11"), ("--no-deps",)),
            ),
            2.2,
            needs_dl_sym=True,
            imports=(
                "paddle_serving_client.io",
                "paddle_serving_server.web_service",
                "paddle_serving_app.local_predict",
                "tokenizers",
                "PIL.Image",
                "cv2",
            ),
        ),
        Recipe(
            "paddle-1.8.5",
            "Paddle 1.8.5, for models from before 2.0",
            ("3.7", "3.8"),
            (Step("Paddle", ("paddlepaddle==1.8.5", "protobuf<3.21", "numpy<1.24", *_COMMON)),),
            0.8,
            needs_dl_sym=True,
        ),
        Recipe(
            "paddle-2.6.2",
            "Paddle 2.6.2, the last 2.x",
            _CPYTHONS,
            (Step("Paddle", ("paddlepaddle==2.6.2", "numpy<2", *_COMMON)), _MCONV),
            0.8,
        ),
        *(
            Recipe(
                f"paddle-{version}",
                f"Paddle {version}",
                ("3.10", "3.11", "3.9", "3.12", "3.13"),
                (Step("Paddle", (f"paddlepaddle=={version}", *_COMMON)), _MCONV),
                0.9,
            )
            for version in ("3.0.0", "3.1.1", "3.2.2", "3.3.1")
        ),
        Recipe(
            "paddle-gpu-2.6.2",
            "Paddle 2.6.2 for GPUs, to see without one what it makes of a model in half precision",
            _CPYTHONS,
            (Step("Paddle", ("paddlepaddle-gpu==2.6.2", "numpy<2", *_COMMON)), _MCONV),
            3.0,
        ),
        Recipe(
            "x2paddle-1.6.0",
            "X2Paddle 1.6.0 on Paddle 2.6.2, the other way from ONNX to Paddle",
            ("3.10", "3.9", "3.8", "3.11"),
            (
                Step("Paddle", ("paddlepaddle==2.6.2", "numpy<2", *_COMMON)),
                # six and requests: imported by X2Paddle, not declared by it
                Step(
                    "X2Paddle",
                    ("x2paddle==1.6.0", "onnx<1.17", "six", "requests", "numpy<2", "protobuf<=3.20.2", *_COMMON),
                ),
            ),
            1.0,
            imports=("x2paddle.convert",),
        ),
        Recipe(
            "paddle2onnx-2.1.0",
            "paddle2onnx 2.1.0 on Paddle 3.3.1: a second opinion for `mconv to-onnx`",
            ("3.10", "3.11", "3.9", "3.12"),
            (
                Step("Paddle", ("paddlepaddle==3.3.1", *_COMMON)),
                Step("paddle2onnx", ("paddle2onnx==2.1.0", "onnx==1.17.0", "packaging", *_COMMON)),
            ),
            1.0,
            imports=("paddle2onnx",),
        ),
        Recipe(
            "paddlenlp-3.0.0b4",
            "PaddleNLP 3.0.0b4 on Paddle 3.0.0: its models, for `mconv to-static`",
            ("3.10", "3.11", "3.9"),
            (
                Step("Paddle", ("paddlepaddle==3.0.0", "numpy<2", *_COMMON)),
                # later versions of these have dropped what it imports
                Step(
                    "PaddleNLP",
                    (
                        "paddlenlp==3.0.0b4",
                        "huggingface_hub<1",
                        "aistudio_sdk<=0.2.6",
                        "pyarrow<18",
                        "datasets<3",
                        "numpy<2",
                        *_COMMON,
                    ),
                ),
                _MCONV,
            ),
            2.6,
            imports=("paddlenlp.transformers",),
        ),
        Recipe(
            "http",
            "FastAPI and uvicorn over OpenVINO or ONNX Runtime: what `mconv scaffold --server http` writes runs on",
            ("3.11", "3.10", "3.12", "3.13"),
            (
                Step("server", packages.HTTP_SERVER),
                Step("engines", (*_ENGINES, "numpy>=2,<3")),
                Step("service inputs", (*packages.INPUTS, "numpy>=2,<3")),
            ),
            0.9,
            runs_models=False,
            imports=(*_HTTP_IMPORTED, *_ENGINES_IMPORTED, *_INPUTS_IMPORTED),
        ),
        Recipe(
            "http-paddle",
            "FastAPI and uvicorn over Paddle 3.3.1: services of `mconv scaffold --server http --backend paddle`",
            ("3.11", "3.10", "3.12", "3.13"),
            (
                Step("server", packages.HTTP_SERVER),
                Step("Paddle", (packages.PADDLE, "numpy>=2,<3", *_COMMON)),
                Step("service inputs", (*packages.INPUTS, "numpy>=2,<3")),
            ),
            1.0,
            imports=(*_HTTP_IMPORTED, *_INPUTS_IMPORTED),
        ),
        Recipe(
            "triton",
            "Triton Inference Server 2.51 with its python backend, OpenVINO and ONNX Runtime; no Docker, no GPU",
            ("3.10", "3.11", "3.12"),
            (
                # the wheel holds the server; what it declares is for its own way of writing models
                Step("Triton", ("nvidia-pytriton==0.7.0",), ("--no-deps",)),
                Step("front", (packages.FRONT_HTTP,)),
                Step("front for gRPC", (packages.FRONT_GRPC,)),
                Step("engines", (*_ENGINES, "numpy<2")),
                Step("service inputs", (*packages.INPUTS, "numpy<2")),
            ),
            1.0,
            runs_models=False,
            imports=("aiohttp", "grpc", *_ENGINES_IMPORTED, *_INPUTS_IMPORTED),
            probe=_TRITON,
            glibc=(2, 35),
        ),
    )
}


def recipe_for(name: str) -> Recipe:
    """The recipe of that name; a bare version (``2.3.2``) means ``paddle-2.3.2``.

    Raises:
        UsageError: there is none.
    """
    recipe = RECIPES.get(name) or RECIPES.get(f"paddle-{name}")
    if recipe is None:
        raise UsageError(f"there is no runtime {name!r}", f"runtimes that mconv can install: {', '.join(RECIPES)}")
    return recipe

"""What a pipeline service is like: of ``scaffold``, and of ``convert`` and ``to-serving`` with ``--pipeline``.

None stands for the usual, which :class:`mconv.serving.service_options.ServiceOptions` knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from mconv.options.declare import IMAGES, INPUT, SERVICE, TEXTS, Options, again, argument, fields, one_of, option
from mconv.options.parsing import numbers, roles, upper
from mconv.options.proving import Bounded, Force, PathLike

PIPELINES = ("ocr",)


class Service(Options):
    service: Optional[str] = option(
        default=None,
        metavar="KIND",
        help="text, image or tensor; guessed from the model's inputs by default.",
        group=SERVICE,
    )
    server: Optional[str] = option(
        default=None,
        metavar="NAME",
        help="What it runs on: paddle-serving (default), http, triton, openvino-model-server (files alone).",
        group=SERVICE,
    )
    backend: Optional[str] = option(
        default=None,
        metavar="NAME",
        help="What runs the model, where the server has a choice; by default the first that it names.",
        group=SERVICE,
    )
    precision: Optional[str] = option(
        default=None,
        metavar="fp32|bf16",
        help="With OpenVINO: in what a float32 model is computed; default fp32. bf16: where the processor has instructions for it, faster, to 2 or 3 digits.",
        group=SERVICE,
    )
    name: Optional[str] = option(
        default=None, help="The service's name, part of the URL; default model.", group=SERVICE
    )
    rpc_port: Optional[int] = option(default=None, help="Default 8088.", group=SERVICE)
    http_port: Optional[int] = option(default=None, help="Default 18082.", group=SERVICE)
    health_port: Optional[int] = option(
        default=None, help="Of /health and /metrics; default one above --http-port.", group=SERVICE
    )
    workers: Optional[int] = option(
        default=None, help="Threads that take requests; default 4, of texts with a mask 32.", group=SERVICE
    )
    concurrency: Optional[int] = option(
        default=None,
        help="Processes that run the model, each with a copy of it; default 1, of Paddle Serving's on a CPU and of texts 2.",
        group=SERVICE,
    )
    threads: Optional[int] = option(default=None, help="Threads of Paddle in each of them; default 1.", group=SERVICE)
    device_type: Optional[int] = option(
        default=None,
        help="0 CPU (default), 1 GPU (default in half precision), 2 TensorRT, 3 ARM CPU, 4 Kunlun XPU.",
        group=SERVICE,
    )
    shapes: Optional[PathLike] = option(
        default=None,
        metavar="FILE|FOLDER",
        help="TensorRT: the shapes of all tensors, from `mconv shapes`, a folder for an engine each; default the inputs' alone.",
        group=SERVICE,
    )
    onednn: Optional[bool] = option(
        default=None,
        help="On a CPU: use oneDNN; by default where sizes of inputs are few.",
        group=SERVICE,
    )
    log_file: Optional[str] = option(
        default=None, metavar="FILE", help="The service's log; default PipelineServingLogs/pipeline.log.", group=SERVICE
    )
    log_level: Optional[str] = option(
        default=None, parse=upper, help="DEBUG, INFO (default), WARNING or ERROR.", group=SERVICE
    )
    labels: Optional[PathLike] = option(
        default=None,
        metavar="FILE",
        help="The names of the classes, one a line, for a label in the answers; default id2label of config.json.",
        group=SERVICE,
    )
    tokenizer: Optional[PathLike] = option(
        default=None,
        metavar="FILE",
        help="Text: tokenizer.json, vocab.txt or SentencePiece's .model, or a folder with one; by default the one beside the model.",
        group=TEXTS,
    )
    max_length: Optional[int] = option(default=None, help="Text: longer ones are cut to so many tokens.", group=TEXTS)
    lowercase: Optional[bool] = option(
        default=None,
        help="Text, with vocab.txt: make texts lower case first.",
        group=TEXTS,
    )
    text_inputs: Optional[Mapping[str, str]] = option(
        default=None,
        metavar="NAME=ROLE",
        flags=["--text-input"],
        typed=list[str],
        parse=roles,
        help="Text: what an input holds: ids, types, mask or positions; repeatable.",
        group=TEXTS,
    )
    image_size: Optional[str] = option(
        default=None,
        metavar="SIZE",
        help="Image: 224, 48x192 (height x width), 48x? or ?; by default the model's.",
        group=IMAGES,
    )
    image_fit: Optional[str] = option(
        default=None,
        metavar="HOW",
        help="Image: stretch (default), crop (the middle), pad (zeros right and below).",
        group=IMAGES,
    )
    short_edge: Optional[int] = option(
        default=None, help="Image, with crop: what the short edge is resized to first.", group=IMAGES
    )
    mean: Optional[Sequence[float]] = option(
        default=None,
        metavar="A,B,C",
        typed=str,
        parse=numbers,
        help="Image: subtracted after --scale; default ImageNet's.",
        group=IMAGES,
    )
    std: Optional[Sequence[float]] = option(
        default=None,
        metavar="A,B,C",
        typed=str,
        parse=numbers,
        help="Image: divided by in the end; default ImageNet's.",
        group=IMAGES,
    )
    scale: Optional[float] = option(
        default=None, help="Image: what the pixels, 0 to 255, are multiplied by; default 1/255.", group=IMAGES
    )
    channel_order: Optional[str] = option(default=None, help="Image: rgb (default), bgr or gray.", group=IMAGES)
    layout: Optional[str] = option(
        default=None, help="Image: nchw or nhwc; by default as the model has it.", group=IMAGES
    )
    resample: Optional[str] = option(
        default=None, help="Image: nearest, bilinear (default), bicubic, area or lanczos.", group=IMAGES
    )
    image_library: Optional[str] = option(default=None, help="Image: pillow (default) or opencv.", group=IMAGES)

    ir_optim: Optional[bool] = option(
        default=None, help="Whether Paddle may optimise the graph; default true.", group=SERVICE, cli=False
    )


class Scaffold(Service, Force, Bounded):
    """Of ``scaffold``."""

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv scaffold deploy/serving_server --name bert",
        SERVICE: "mconv scaffold --pipeline ocr det/ cls/ rec/ service/",
    }

    path: Union[PathLike, Sequence[PathLike]] = argument(
        metavar="FOLDER",
        typed=list[str],
        help="A serving_server/ folder made by `mconv to-serving`; with --pipeline, the models in any order, then the "
        "service's folder.",
        kw_only=False,
    )
    out: Optional[PathLike] = option(
        default=None,
        flags=["--out", "-o"],
        metavar="DIR",
        help="The service's folder; default service beside it.",
        group=SERVICE,
        kw_only=False,
    )
    pipeline: Optional[str] = option(
        default=None,
        metavar="KIND",
        help="One service of several models: ocr finds, turns and reads lines of text; each model has an inference.yml.",
        group=SERVICE,
        choices=PIPELINES,
    )
    force: bool = again(Force, "force", help="Replace what is there.")
    limit: Optional[Union[str, int]] = again(Bounded, "limit", cli=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("--pipeline", self.pipeline, PIPELINES)

    def said(self) -> dict[str, Any]:
        """What was said of the service, for :func:`mconv.serving.scaffold.options_from`."""
        return {name: value for name, value in self.stated().items() if name in {f.name for f in fields(Service)}}

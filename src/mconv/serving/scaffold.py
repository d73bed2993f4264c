"""The Paddle Serving pipeline service around a converted model: a folder that runs as it is, and that users maintain.

Its files are the templates in ``templates/``, in which ``@NAMES@`` are replaced by literals. What the service does
differently from a bare ``Op`` was measured with paddle-serving-server 0.9.0 (``docs/serving.md``).
"""

from __future__ import annotations

import dataclasses
import json
import os
import posixpath
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.errors import NotAModelError, UsageError
from mconv.program import files
from mconv.program.copying import copy_file
from mconv.program.output import staged
from mconv.program.params import PathLike
from mconv.program.program import Program
from mconv.serving import configure, image_settings, tokenizer_files
from mconv.serving.configure import ServingConfig
from mconv.serving.image_settings import ImageOptions
from mconv.serving.kinds import KINDS, ModelInput, image_layout, inputs_of, text_roles

CONFIG, SERVICE, LABELS = "config.yml", "web_service.py", "labels.txt"
# its presence says what kind of service a folder holds
MODULES = {kind: f"{kind}_input.py" for kind in KINDS}
TEMPLATES = Path(__file__).with_name("templates")
DEVICES = {0: "CPU", 1: "GPU", 2: "TensorRT", 3: "ARM CPU", 4: "Kunlun XPU"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_MODEL_HOME = "/home/model-server"  # in the container, as in the article
_MAX_BATCH = 10  # of the shapes that TensorRT prepares for


@dataclass(frozen=True)
class ServiceOptions:
    """What a service is to be like.

    Attributes:
        service: ``text``, ``image`` or ``tensor``; None: guessed from the model's inputs.
        name: the service's name, a word; HTTP requests go to ``/<name>/prediction``.
        rpc_port, http_port: where it listens.
        workers: threads that take requests.
        concurrency: how many copies of the model run.
        threads: threads of Paddle's mathematics library.
        device_type: one of :data:`DEVICES`.
        ir_optim: whether Paddle may optimise the graph.
        log_file, log_level: of the pipeline's log; the file as seen from the service's folder.
        labels: a file with the name of one class a line.
        tokenizer: a tokenizer file, or a folder with one; None: the one beside the source.
        lowercase: for a vocab.txt: whether texts are made lower case first.
        max_length: the most tokens of a text.
        text_inputs: input → what it holds, where its name does not say so.
        image: how pictures become the model's input.
    """

    service: Optional[str] = None
    name: str = "model"
    rpc_port: int = 8088
    http_port: int = 18082
    workers: int = 4
    concurrency: int = 1
    threads: int = 2
    device_type: int = 0
    ir_optim: bool = True
    log_file: str = "PipelineServingLogs/pipeline.log"
    log_level: str = "INFO"
    labels: Optional[PathLike] = None
    tokenizer: Optional[PathLike] = None
    lowercase: Optional[bool] = None
    max_length: Optional[int] = None
    text_inputs: Mapping[str, str] = field(default_factory=dict)
    image: ImageOptions = ImageOptions()


# option → field of ImageOptions
_PICTURES = {
    "image_size": "size",
    "image_fit": "fit",
    "short_edge": "short_edge",
    "mean": "mean",
    "std": "std",
    "scale": "scale",
    "channel_order": "order",
    "layout": "layout",
    "resample": "resample",
    "image_library": "library",
}


def options_from(given: Mapping[str, Any]) -> ServiceOptions:
    """Options by the names that the command line and recipes have: ``name``, ``tokenizer``, ``image_size``, …

    Raises:
        UsageError: there is no such option.
    """
    own = {f.name for f in dataclasses.fields(ServiceOptions)} - {"image"}
    unknown = sorted(set(given) - own - set(_PICTURES))
    if unknown:
        known = ", ".join(sorted(own | set(_PICTURES)))
        raise UsageError(f"a service has no option {', '.join(unknown)}", f"options are {known}")
    image = {_PICTURES[k]: v for k, v in given.items() if k in _PICTURES}
    return ServiceOptions(**{k: v for k, v in given.items() if k in own}, image=ImageOptions(**image))


@dataclass
class Written:
    """A service that was written.

    Attributes:
        kind: ``text``, ``image`` or ``tensor``.
        folder: where it is.
        files: what is in it.
        name, rpc_port, http_port: how it is asked.
        summary: one line on what it does with requests.
        notes: what was guessed and may be wrong.
    """

    kind: str
    folder: Path
    files: list[str]
    name: str
    rpc_port: int
    http_port: int
    summary: str
    notes: list[str]


@dataclass
class Service:
    """A service that is ready to be written.

    Attributes:
        kind: ``text``, ``image`` or ``tensor``.
        files: name → content.
        copies: name → the file that is copied.
        summary: one line on what it does with requests.
        notes: what was guessed and may be wrong.
    """

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)
    summary: str = ""
    notes: list[str] = field(default_factory=list)

    def written(self, folder: Path, options: ServiceOptions) -> Written:
        """What is to be said of it when it is in *folder*."""
        names = sorted([*self.files, *self.copies])
        return Written(
            self.kind, folder, names, options.name, options.rpc_port, options.http_port, self.summary, self.notes
        )

    def write(self, folder: Path) -> None:
        """Put the files into an empty folder."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        for name, source in self.copies.items():
            copy_file(source, folder / name)


def scaffold(
    server: PathLike, out: Optional[PathLike] = None, options: ServiceOptions = ServiceOptions(), *, force: bool = False
) -> Written:
    """Write a service around a ``serving_server/`` folder.

    Args:
        server: the folder.
        out: the service's folder; default ``service`` beside it.
        force: replace what is there.

    Raises:
        NotAModelError: *server* is no such folder.
        MconvError: see :func:`plan`.
        OutputExistsError: *out* is there already.
    """
    server = Path(server)
    if not (server / configure.SERVER_TEXT).is_file():
        raise NotAModelError(
            f"{server}: not a serving_server folder (there is no {configure.SERVER_TEXT})",
            "make one with `mconv to-serving MODEL`",
        )
    folder = Path(os.path.realpath(server)).parent / "service" if out is None else Path(out)
    program = files.load_program(files.locate(server))
    config = configure.read(server / configure.SERVER_TEXT)
    service = plan(config, program, options, model=relative(server, folder), beside=server)
    with staged(folder, force=force, protect=[server, *service.copies.values()]) as stage:
        service.write(stage)
    return service.written(folder, options)


def plan(
    config: ServingConfig,
    program: Optional[Program],
    options: ServiceOptions,
    *,
    model: str = "../serving_server",
    beside: Optional[Path] = None,
) -> Service:
    """Work out a service.

    Args:
        config: the inputs and outputs as the servers see them.
        program: the model, for the shapes of its inputs.
        model: the ``serving_server/`` folder, as seen from the service's.
        beside: the source's folder, where a tokenizer or ``preprocessor_config.json`` may be.

    Raises:
        UsageError: the options contradict each other or the model.
        UnsupportedError: an input cannot be served.
        CorruptModelError: a tokenizer or ``preprocessor_config.json`` is damaged.
    """
    _check(options)
    inputs = inputs_of(config, program)
    tokenizer = tokenizer_files.find(options.tokenizer, beside)
    service = Service(options.service or _guess(inputs, options, tokenizer is not None))
    for what, given, kind in (
        ("--tokenizer", options.tokenizer, "text"),
        ("--text-input", options.text_inputs or None, "text"),
        ("--max-length", options.max_length, "text"),
        ("--lowercase", options.lowercase, "text"),
        ("the options of pictures", None if options.image == ImageOptions() else options.image, "image"),
    ):
        if given is not None and service.kind != kind:
            hint = f"--service {kind} says what it is" if options.service is None else f"leave out {what}"
            raise UsageError(f"{what}: this is no service of kind {kind} but {service.kind}", hint)
    if service.kind == "text":
        shapes = _text(service, inputs, options, tokenizer)
    elif service.kind == "image":
        shapes = _image(service, inputs, options, beside)
    else:
        shapes = _tensor(service, inputs, options)
    if options.labels is not None:
        service.copies[LABELS] = _labels(Path(options.labels), program)
    _around(service, config, options, model, shapes)
    return service


def _guess(inputs: Sequence[ModelInput], options: ServiceOptions, tokenizer: bool) -> str:
    if text_roles(inputs, options.text_inputs) is not None and tokenizer:
        return "text"
    return "image" if image_layout(inputs) is not None else "tensor"


def _check(options: ServiceOptions) -> None:
    if options.service is not None and options.service not in KINDS:
        raise UsageError(f"--service: {options.service!r} is not one of {', '.join(KINDS)}")
    if not re.fullmatch(r"[A-Za-z]\w*", options.name, re.ASCII):
        raise UsageError(f"--name: {options.name!r} is no word of letters, digits and _", "it is part of the URL")
    ports = {"--rpc-port": options.rpc_port, "--http-port": options.http_port}
    for option, port in ports.items():
        if not 1024 <= port <= 65535:  # what the pipeline accepts
            raise UsageError(f"{option}: {port} is not between 1024 and 65535")
    if options.rpc_port == options.http_port:
        raise UsageError(f"--rpc-port and --http-port are both {options.rpc_port}")
    for option, count in (
        ("--workers", options.workers),
        ("--concurrency", options.concurrency),
        ("--threads", options.threads),
        ("--max-length", 1 if options.max_length is None else options.max_length),
    ):
        if count < 1:
            raise UsageError(f"{option}: {count} is less than 1")
    if options.device_type not in DEVICES:
        known = ", ".join(f"{number} {name}" for number, name in DEVICES.items())
        raise UsageError(f"--device-type: {options.device_type} is not one of {known}")
    if options.log_level not in LEVELS:
        raise UsageError(f"--log-level: {options.log_level!r} is not one of {', '.join(LEVELS)}")


# ------------------------------------------------------------------------------------- what requests become

_Shapes = dict[str, tuple[list[int], list[int], list[int]]]  # input → its smallest, largest and usual shape


def _text(
    service: Service,
    inputs: Sequence[ModelInput],
    options: ServiceOptions,
    tokenizer: Optional[tokenizer_files.TokenizerFile],
) -> _Shapes:
    roles = text_roles(inputs, options.text_inputs)
    if roles is None:
        shapes = ", ".join(f"{i.name}: {i.dtype.label}{i.sizes}" for i in inputs)
        raise UsageError(
            f"a text service needs to know what each input holds, of two dimensions each; the inputs are {shapes}",
            "--text-input NAME=ids (or types, mask, positions) says it",
        )
    if tokenizer is None:
        raise UsageError("a text service needs a tokenizer, and there is none beside the model", "--tokenizer FILE")
    if options.lowercase is not None and tokenizer.kind != "vocab":
        raise UsageError(f"--lowercase: {tokenizer.path.name} itself says what is done to texts")
    fixed = {i.shape[1] for i in inputs if i.shape[1] is not None}
    if len(fixed) > 1:
        raise UsageError(f"the inputs take texts of different lengths: {', '.join(map(str, sorted(fixed)))}")
    row = next(iter(fixed), None)
    length = options.max_length or row or tokenizer.length or tokenizer_files.DEFAULT_LENGTH
    if row is not None and length > row:
        raise UsageError(f"--max-length {length}: the model takes {row} tokens")
    loader = render(
        f"tokenizer_{tokenizer.kind}.py",
        **({"LOWERCASE": tokenizer.lowercase if options.lowercase is None else options.lowercase}
           if tokenizer.kind == "vocab" else {}),
    )  # fmt: skip
    service.files[MODULES["text"]] = render(
        MODULES["text"],
        INPUTS=literal({i.name: (roles[i.name], i.dtype.label) for i in inputs}),
        TOKENIZER=tokenizer.name,
        PAD_ID=tokenizer.pad,
        MAX_LENGTH=length,
        ROW_LENGTH=row,
        LOADER=loader.rstrip("\n"),
    )
    service.copies[tokenizer.name] = tokenizer.path
    service.summary = f"texts become {', '.join(roles)} through {tokenizer.name}, at most {length} tokens"
    if tokenizer.kind == "sentencepiece":
        service.notes.append(
            "SentencePiece's file does not say which special tokens the model wants: see text_input.py"
        )
    longest = row or length
    return {i.name: ([1, row or 1], [_MAX_BATCH, longest], [1, longest]) for i in inputs}


def _image(service: Service, inputs: Sequence[ModelInput], options: ServiceOptions, beside: Optional[Path]) -> _Shapes:
    found = image_settings.settle(inputs, options.image, beside)
    service.files[MODULES["image"]] = render(
        MODULES["image"],
        INPUT=f"{literal(inputs[0].name)}, {literal(inputs[0].dtype.label)}",
        LAYOUT=found.layout,
        CHANNELS=found.order,
        HEIGHT=found.height,
        WIDTH=found.width,
        FIT=found.fit,
        SHORT_EDGE=found.short_edge,
        LIBRARY=found.library,
        RESAMPLE=found.resample,
        SCALE=found.scale,
        MEAN=found.mean,
        STD=found.std,
    )
    service.summary = found.summary
    service.notes += found.notes

    def shape(batch: int, size: int) -> list[int]:
        edges = [found.height or size, found.width or size]
        return [batch, *((len(found.mean), *edges) if found.layout == "nchw" else (*edges, len(found.mean)))]

    return {inputs[0].name: (shape(1, 32), shape(_MAX_BATCH, 960), shape(1, 640))}


def _tensor(service: Service, inputs: Sequence[ModelInput], options: ServiceOptions) -> _Shapes:
    service.files[MODULES["tensor"]] = render(
        MODULES["tensor"], INPUTS=literal({i.name: (i.dtype.label, list(i.shape)) for i in inputs})
    )
    service.summary = "tensors: " + ", ".join(f"{i.name}: {i.dtype.label}{i.sizes}" for i in inputs)
    if options.service is None and text_roles(inputs) is not None:
        service.notes.append("this looks like a text model; --tokenizer FILE makes a service that takes texts")
    shapes: _Shapes = {}
    for each in inputs:
        small, large = ([n if d is None else d for d in each.shape] for n in (1, _MAX_BATCH))
        shapes[each.name] = (small, large, small)
    return shapes


def _labels(path: Path, program: Optional[Program]) -> Path:
    try:
        with path.open(encoding="utf-8") as file:
            count = sum(1 for _ in file)
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"--labels: {path}: {getattr(e, 'strerror', None) or e}") from None
    outputs = [] if program is None else program.fetches
    classes = outputs[0].shape[-1] if outputs and outputs[0].shape else -1
    if classes not in (-1, count):
        raise UsageError(f"--labels: {path} has {count} names, the output {outputs[0].name} {classes} numbers in a row")
    return path


# ------------------------------------------------------------------------------------- the files around it


def _around(service: Service, config: ServingConfig, options: ServiceOptions, model: str, shapes: _Shapes) -> None:
    module = MODULES[service.kind]
    names = {"NAME": options.name, "RPC_PORT": options.rpc_port, "HTTP_PORT": options.http_port}
    service.files[CONFIG] = render(
        CONFIG,
        **names,
        WORKERS=options.workers,
        CONCURRENCY=options.concurrency,
        MODEL=quoted(model),
        DEVICE_TYPE=options.device_type,
        DEVICES='"0"' if options.device_type in (1, 2, 4) else '""',
        THREADS=options.threads,
        IR_OPTIM=str(options.ir_optim).lower(),
        FETCHES=json.dumps([var.alias for var in config.fetches], ensure_ascii=False),
    )
    service.files[SERVICE] = render(
        SERVICE,
        NAME=options.name,
        SUMMARY={"text": "texts in", "image": "pictures in", "tensor": "tensors in"}[service.kind] + ", JSON out",
        MODULE=module[: -len(".py")],
        LOG_FILE=quoted(options.log_file),
        LOG_LEVEL=quoted(options.log_level),
        LABELS=literal(LABELS if LABELS in service.copies else None),
        **{
            f"{which}_SHAPES": literal({name: values[at] for name, values in shapes.items()}, 1)
            for at, which in enumerate(("MIN", "MAX", "OPT"))
        },
    )
    for client in ("http_client.py", "rpc_client.py"):
        imports = ["base64", "json", "sys"] if service.kind == "image" else ["json", "sys"]
        port = {k: v for k, v in names.items() if k != ("RPC_PORT" if client.startswith("http") else "HTTP_PORT")}
        if client.startswith("rpc"):
            del port["NAME"]
        service.files[client] = render(
            client,
            **port,
            IMPORTS="\n".join(f"import {name}" for name in imports),
            USAGE={"text": "TEXT ...", "image": "PICTURE ...", "tensor": "NAME=JSON ..."}[service.kind],
            REQUEST=render(f"client_{service.kind}.py").rstrip("\n"),
        )
    home = posixpath.join(_MODEL_HOME, "service")
    copied = [CONFIG, SERVICE, module, *sorted(service.copies)]
    ports = {k: names[k] for k in ("RPC_PORT", "HTTP_PORT")}
    service.files["Dockerfile"] = render("Dockerfile", **ports, WORKDIR=home, COPIED=" ".join(copied))
    service.files["docker-compose.yml"] = render(
        "docker-compose.yml",
        **names,
        COMPOSE_NAME=options.name.lower(),
        MODEL_SOURCE=quoted(model).replace("$", "$$"),
        MODEL_TARGET=quoted(posixpath.normpath(posixpath.join(home, model))).replace("$", "$$"),
    )
    service.files["requirements.txt"] = render("requirements.txt")


def render(template: str, **values: Any) -> str:
    """A template with its ``@NAMES@`` replaced; nothing of it is evaluated.

    Raises:
        KeyError: a name without a value; a bug, as is a value without a name.
    """
    text = (TEMPLATES / f"{template}.in").read_text(encoding="utf-8")
    unused = set(values)

    def value(match: re.Match[str]) -> str:
        unused.discard(match[1])
        return str(values[match[1]])

    made = re.sub(r"@([A-Z][A-Z_]*)@", value, text)
    assert not unused, f"{template} has no {', '.join(sorted(unused))}"
    return made


def quoted(text: str) -> str:
    """A string as a literal of JSON, YAML and Python."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def literal(value: Any, depth: int = 0) -> str:
    """A value as a literal of Python; dictionaries take one line for each entry."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        rows = "".join(f"{quoted(k)}: {literal(v)},\n" for k, v in value.items())
        return "{\n" + textwrap.indent(rows, "    " * (depth + 1)) + "    " * depth + "}"
    if isinstance(value, (list, tuple)):
        inside = ", ".join(literal(v) for v in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return repr(value)


# ------------------------------------------------------------------------------------- services on disk


def kind_of(folder: Path) -> Optional[str]:
    """The kind of the generated service in a folder; None when there is none."""
    if not all((folder / name).is_file() for name in (CONFIG, SERVICE)):
        return None
    return next((kind for kind, module in MODULES.items() if (folder / module).is_file()), None)


def relative(model: Path, service: Path) -> str:
    """The model's folder as seen from the service's, where it will be."""
    return os.path.relpath(os.path.realpath(model), os.path.realpath(service)).replace(os.sep, "/")

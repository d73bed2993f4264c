"""A service of several models: pages in; the texts on them, their boxes and how sure they are out (PP-OCR).

One model finds lines, one turns what is upside down (it may be left out), one reads. What comes before and after each is
what a service of that model alone does; ``crops.py`` and ``ocr_input.py`` are what lies between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mconv.artifacts.described import NAME as DESCRIPTION
from mconv.errors import MconvError, UnsupportedError, UsageError
from mconv.printable import printable
from mconv.program.files import load_program, locate
from mconv.program.program import Program
from mconv.serving import configure, input_modules, paddlex, scaffold, servers
from mconv.serving.configure import ServingConfig
from mconv.serving.image_settings import ImageOptions
from mconv.serving.input_modules import ANSWERS, LABELS, MAX_PAGES, MODULES, Service
from mconv.serving.kinds import OCR, inputs_of
from mconv.serving.paddlex import PaddleX
from mconv.serving.rendering import literal, render
from mconv.serving.servers import Model, Stage
from mconv.serving.service_options import ServiceOptions, check

# what ``inference.yml`` says that outputs are read as → the stage
STAGES = {"boxes": "det", "labels": "cls", "text": "rec"}
_WHAT = {"det": "a text detector", "cls": "a classifier of directions", "rec": "a text recogniser"}
_MOST_EDGE = 6000  # of a page, as the detector sees it: 736 x 5888 is a page of 1 to 8


@dataclass(frozen=True)
class Source:
    """One model of such a service, as the user gives it.

    Attributes:
        name: what the user called it.
        config, program: of the ``serving_server/`` folder that was made of it.
        described: its ``inference.yml``.
    """

    name: str
    config: ServingConfig
    program: Program
    described: PaddleX


def read(source: str, server: Path) -> tuple[str, Source]:
    """The stage that a ``serving_server/`` folder is for, by its ``inference.yml``.

    Raises:
        UsageError: it is none of these.
        CorruptModelError: the file is damaged.
    """
    # *server* is a copy that nobody knows of: what is wrong with it is said of its source
    folder = Path(source).parent if Path(source).is_file() else Path(source)
    try:
        name, stage = _read(source, server)
    except MconvError as e:
        e.message = e.message.replace(str(server), str(folder))
        raise
    return name, replace(stage, described=replace(stage.described, path=folder / DESCRIPTION))


def _read(source: str, server: Path) -> tuple[str, Source]:
    described = paddlex.find(server)
    name = None if described is None else STAGES.get(described.answer or "")
    if described is None or name is None:
        what = f"it has no {DESCRIPTION}" if described is None else f"its {DESCRIPTION} is of something else"
        raise UsageError(
            f"{source}: no detector, classifier or recogniser of text: {what}",
            f"{DESCRIPTION} of PaddleX and PaddleOCR says what is done to pictures and with outputs; it lies beside "
            "the model; where that came without one, as from RapidOCR, put there that of the folder it was made from",
        )
    config = configure.read(server / configure.SERVER_TEXT)
    return name, Source(source, config, load_program(locate(server)), described)


def require(sources: Mapping[str, Source]) -> None:
    """Refuse what is no whole.

    Raises:
        UsageError: a stage is missing.
    """
    for name in ("det", "rec"):
        if name not in sources:
            raise UsageError(
                f"--pipeline {OCR}: there is no {_WHAT[name][2:]} among {', '.join(s.name for s in sources.values())}",
                f"it takes {_WHAT['det']}, {_WHAT['rec']} and, if wanted, {_WHAT['cls']}",
            )


def plan(sources: Mapping[str, Source], options: ServiceOptions) -> Service:
    """Work out a service of these, by their stages, whose models are in its server's folder for them.

    Raises:
        UsageError: options that mean nothing to it, or a stage is missing.
        UnsupportedError: a model is not what its ``inference.yml`` says.
        CorruptModelError: such a file is damaged.
    """
    _refuse(options)
    check(options)
    made_for = servers.chosen(options)
    folder = models_of(options)
    require(sources)
    service = Service(OCR, rpc=made_for.rpc)
    order = [name for name in STAGES.values() if name in sources]
    stages: dict[str, Stage] = {}
    for name in order:
        source = sources[name]
        one, shapes = _one(name, source)
        service.files.update(one.files)
        service.notes += [f"{name}: {note}" for note in one.notes]
        model = Model(source.config, source.program, f"{folder}/{name}", shapes)
        stages[name] = Stage(one, model, scaffold.settled(options, source.program))
    service.files["crops.py"] = render("crops.py")
    service.files[MODULES[OCR]] = render(MODULES[OCR], STAGES=literal(order), LABELS=LABELS, MAX_PAGES=MAX_PAGES)
    service.summary = f"pages go through {', '.join(order)}; answers are texts, boxes and scores"
    made_for.pipeline(service, stages, options)
    return service


def models_of(options: ServiceOptions) -> str:
    """The folder of the models, as seen from the service's.

    Raises:
        UsageError: the server takes one model alone.
    """
    server = servers.named(options.server)
    if not server.models:
        able = ", ".join(name for name, each in servers.SERVERS.items() if each.models)
        raise UsageError(f"--server {server.name}: takes one model, not a pipeline of several", f"one of {able}")
    return server.models


def _refuse(options: ServiceOptions) -> None:
    for flag, given in (
        ("--service", options.service),
        ("--labels", options.labels),
        ("--tokenizer", options.tokenizer),
        ("--text-input", options.text_inputs or None),
        ("--max-length", options.max_length),
        ("--lowercase", options.lowercase),
        ("--shapes", options.shapes),
        ("the options of pictures", None if options.image == ImageOptions() else options.image),
    ):
        if given is not None:
            raise UsageError(f"{flag}: a service of several models takes it from each {DESCRIPTION}", "leave it out")


def _one(name: str, source: Source) -> tuple[Service, input_modules.Shapes]:
    """What comes before and after the model of a stage, under that stage's name."""
    one = Service("image")
    inputs = inputs_of(source.config, source.program)
    more = {"most_edge": _MOST_EDGE} if name == "det" else {}
    shapes = input_modules.image(one, inputs, ServiceOptions(), None, source.described, **more)
    input_modules.labels(one, ServiceOptions(), source.program, None, source.described)
    input_modules.answers(one, source.program, source.described)
    outputs = [port.shape for port in source.program.fetches]
    wanted, rank = {"det": (ANSWERS["boxes"], 4), "cls": (LABELS, 2), "rec": (ANSWERS["text"], 3)}[name]
    why = None
    if wanted not in one.files:
        why = one.notes[-1] if one.notes else f"{DESCRIPTION} has no {wanted}"
    elif not outputs or len(outputs[0]) != rank:
        found = list(outputs[0]) if outputs else "nothing"
        why = f"the output is {found}, one of {rank} dimensions is read as {wanted[: -len('.py')]}"
    elif inputs[0].shape[0] not in (None, 1 if name == "det" else None):
        why = f"it takes {inputs[0].shape[0]} pictures at a time, any number is needed"
    elif name == "cls" and not any("180" in label for label in source.described.words or []):
        why = f"none of the labels {printable(', '.join(source.described.words or [])[:60], 80)} says 180"
    if why is not None:
        raise UnsupportedError(f"{source.name}: cannot be {_WHAT[name]} of this service: {why}")
    one.files[f"{name}_input.py"] = one.files.pop(MODULES["image"])
    return one, shapes

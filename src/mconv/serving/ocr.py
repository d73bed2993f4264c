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
from mconv.printable import printable, quoted
from mconv.program.files import load_program, locate
from mconv.program.program import Program
from mconv.serving import configure, input_modules, paddlex, scaffold
from mconv.serving.configure import ServingConfig
from mconv.serving.image_settings import ImageOptions
from mconv.serving.input_modules import ANSWERS, LABELS, MODULES, Service
from mconv.serving.kinds import OCR, inputs_of
from mconv.serving.paddlex import PaddleX
from mconv.serving.rendering import literal, render
from mconv.serving.servers import DEFAULT
from mconv.serving.servers import paddle_serving_files as files
from mconv.serving.servers.interface import Model
from mconv.serving.service_options import ServiceOptions, check

# what ``inference.yml`` says that outputs are read as → the stage
STAGES = {"boxes": "det", "labels": "cls", "text": "rec"}
_WHAT = {"det": "a text detector", "cls": "a classifier of directions", "rec": "a text recogniser"}
MODELS = "models"  # the folder of the service that has one for each stage
_MOST_EDGE = 6000  # of a page, as the detector sees it: 736 x 5888 is a page of 1 to 8
_MAX_PAGES = 4
_WORKERS = 8  # threads that take requests: the three models are at work on different ones


@dataclass(frozen=True)
class Stage:
    """One model of such a service.

    Attributes:
        source: what the user called it.
        config, program: of the ``serving_server/`` folder that was made of it.
        described: its ``inference.yml``.
    """

    source: str
    config: ServingConfig
    program: Program
    described: PaddleX


def read(source: str, server: Path) -> tuple[str, Stage]:
    """The stage that a ``serving_server/`` folder is for, by its ``inference.yml``.

    Raises:
        UsageError: it is none of these.
        CorruptModelError: the file is damaged.
    """
    # *server* is a copy that nobody knows of: what is wrong with it is said of its source
    place = Path(source).parent if Path(source).is_file() else Path(source)
    try:
        name, stage = _read(source, server)
    except MconvError as e:
        e.message = e.message.replace(str(server), str(place))
        raise
    return name, replace(stage, described=replace(stage.described, path=place / DESCRIPTION))


def _read(source: str, server: Path) -> tuple[str, Stage]:
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
    return name, Stage(source, config, load_program(locate(server)), described)


def require(stages: Mapping[str, Stage]) -> None:
    """Refuse what is no whole.

    Raises:
        UsageError: a stage is missing.
    """
    for name in ("det", "rec"):
        if name not in stages:
            raise UsageError(
                f"--pipeline {OCR}: there is no {_WHAT[name][2:]} among {', '.join(s.source for s in stages.values())}",
                f"it takes {_WHAT['det']}, {_WHAT['rec']} and, if wanted, {_WHAT['cls']}",
            )


def plan(stages: Mapping[str, Stage], options: ServiceOptions) -> Service:
    """Work out a service of these stages, whose models are in ``models/`` beside its files.

    Raises:
        UsageError: options that mean nothing to it, or a stage is missing.
        UnsupportedError: a model is not what its ``inference.yml`` says.
        CorruptModelError: such a file is damaged.
    """
    _refuse(options)
    check(options)
    require(stages)
    service = Service(OCR)
    order = [name for name in STAGES.values() if name in stages]
    operators: list[str] = []
    ranges = {}
    for name in order:
        stage = stages[name]
        settled = scaffold.settled(options, stage.program)
        one, shapes = _one(name, stage)
        service.files.update(one.files)
        service.notes += [f"{name}: {note}" for note in one.notes]
        model = Model(stage.config, stage.program, f"{MODELS}/{name}", shapes)
        ranges[name] = files.dynamic_shape_info(model.ranges)
        operator = files.operator(name, one, model, settled)
        operators.append(operator if not operators else _without_comments(operator))
    also = f"# the service's name, part of the URL\nname: {options.name}\n"
    service.files[files.CONFIG] = files.settings(options, "\n".join(operators), _WORKERS, also)
    service.files[files.SERVICE] = render(
        "ocr_service.py",
        SUMMARY="pages in, texts and their boxes out",
        NAME=options.name,
        LOG_FILE=quoted(options.log_file),
        LOG_LEVEL=quoted(options.log_level),
        DYNAMIC_SHAPES=literal(ranges),
    )
    service.files["crops.py"] = render("crops.py")
    service.files[MODULES[OCR]] = render(MODULES[OCR], STAGES=literal(order), LABELS=LABELS, MAX_PAGES=_MAX_PAGES)
    service.summary = f"pages go through {', '.join(order)}; answers are texts, boxes and scores"
    files.add_around(service, options, f"./{MODELS}")
    return service


def _refuse(options: ServiceOptions) -> None:
    for flag, given in (
        ("--service", options.service),
        ("--server", None if options.server == DEFAULT else options.server),
        ("--backend", options.backend),
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


def _one(name: str, stage: Stage) -> tuple[Service, input_modules.Shapes]:
    """What comes before and after the model of a stage, under that stage's name."""
    one = Service("image")
    inputs = inputs_of(stage.config, stage.program)
    more = {"most_edge": _MOST_EDGE} if name == "det" else {}
    shapes = input_modules.image(one, inputs, ServiceOptions(), None, stage.described, **more)
    input_modules.labels(one, ServiceOptions(), stage.program, None, stage.described)
    input_modules.answers(one, stage.program, stage.described)
    outputs = [port.shape for port in stage.program.fetches]
    wanted, rank = {"det": (ANSWERS["boxes"], 4), "cls": (LABELS, 2), "rec": (ANSWERS["text"], 3)}[name]
    why = None
    if wanted not in one.files:
        why = one.notes[-1] if one.notes else f"{DESCRIPTION} has no {wanted}"
    elif not outputs or len(outputs[0]) != rank:
        found = list(outputs[0]) if outputs else "nothing"
        why = f"the output is {found}, one of {rank} dimensions is read as {wanted[: -len('.py')]}"
    elif inputs[0].shape[0] not in (None, 1 if name == "det" else None):
        why = f"it takes {inputs[0].shape[0]} pictures at a time, any number is needed"
    elif name == "cls" and not any("180" in label for label in stage.described.words or []):
        why = f"none of the labels {printable(', '.join(stage.described.words or [])[:60], 80)} says 180"
    if why is not None:
        raise UnsupportedError(f"{stage.source}: cannot be {_WHAT[name]} of this service: {why}")
    one.files[f"{name}_input.py"] = one.files.pop(MODULES["image"])
    return one, shapes


def _without_comments(text: str) -> str:
    """Another operator's settings: what they mean is said at the first."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))

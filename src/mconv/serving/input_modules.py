"""What the requests of a service become: the module for texts, pictures or tensors, its settings, and what goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from mconv.artifacts.described import NAME as DESCRIPTION
from mconv.errors import MconvError, UsageError
from mconv.program.copying import copy_file
from mconv.program.program import Program
from mconv.serving import image_settings, onednn, tokenizer_files
from mconv.serving.kinds import KINDS, OCR, ModelInput, Written, image_layout, text_roles
from mconv.serving.paddlex import PaddleX
from mconv.serving.rendering import literal, render
from mconv.serving.service_options import ServiceOptions
from mconv.serving.sidecars import read_json, read_text

# its presence says what kind of service a folder holds
MODULES = {kind: f"{kind}_input.py" for kind in (*KINDS, OCR)}
LABELS, CHARACTERS = "labels.txt", "characters.txt"
# what reads a model's outputs, by what PaddleX calls that
ANSWERS = {"text": "text_answer.py", "boxes": "box_answer.py"}
MAX_PAGES = 4  # of a request to a service that reads texts off them
_MAX_BATCH = 10  # of the shapes that TensorRT prepares for
_MAX_RESIZED = 2_000_000  # pixels of one picture: 24 MB as the model takes it
_MAX_PAGE = 6_000_000  # of a page in its own proportions: an A4 sheet at 200 dots per inch has 3.9 million
_MOST_EDGE = 4000  # of such a page, as in PaddleX

Shapes = dict[str, tuple[list[int], list[int], list[int]]]  # input → its smallest, largest and usual shape


@dataclass
class Service:
    """A service that is ready to be written.

    Attributes:
        kind: ``text``, ``image`` or ``tensor``.
        files: name → content.
        copies: name → the file that is copied.
        summary: one line on what it does with requests.
        notes: what was guessed and may be wrong.
        padding: input → what fills up rows that are shorter than others of a batch; None where that would change what
            the model answers.
        sizes: how many shapes the inputs have besides the number of rows; None: any number.
        rpc: whether it takes Paddle Serving's RPC as well.
        path: where requests over HTTP go; ``NAME`` is the service's name.
        later: names of the files that *finish* adds.
        finish: adds what the server wants of the model itself: called with the service's folder and the model's, once
            both are written.
    """

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)
    summary: str = ""
    notes: list[str] = field(default_factory=list)
    padding: Optional[dict[str, int]] = None
    sizes: Optional[int] = None
    rpc: bool = True
    path: str = "/NAME/prediction"
    later: list[str] = field(default_factory=list)
    finish: Optional[Callable[[Path, Path], None]] = None

    @property
    def input_module(self) -> str:
        """The module that turns requests into the model's inputs, as Python imports it."""
        return MODULES[self.kind][: -len(".py")]

    @property
    def answer_module(self) -> Optional[str]:
        """The module that reads the outputs; None: they are answered as they are."""
        return next((name[: -len(".py")] for name in ANSWERS.values() if name in self.files), None)

    @property
    def labels_file(self) -> Optional[str]:
        """The file with the names of the classes; None: there is none."""
        return LABELS if LABELS in {*self.copies, *self.files} else None

    def written(self, folder: Path, options: ServiceOptions) -> Written:
        """What is to be said of it when it is in *folder*."""
        names = sorted([*self.files, *self.copies, *self.later])
        rpc_port = options.rpc_port if self.rpc else None
        return Written(
            self.kind, folder, names, options.name, rpc_port, options.http_port, self.summary, self.notes,
            options.server, self.path.replace("NAME", options.name),
        )  # fmt: skip

    def write(self, folder: Path, model: Optional[Path] = None) -> None:
        """Put the files into an empty folder.

        Args:
            model: the ``serving_server/`` folder, for servers that want the model itself beside them.

        Raises:
            UnsupportedError: the server cannot read the model.
        """
        for name, text in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for name, source in self.copies.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy_file(source, folder / name)
        if self.finish is not None and model is not None:
            self.finish(folder, model)


def guess(inputs: Sequence[ModelInput], options: ServiceOptions, tokenizer: bool) -> str:
    if text_roles(inputs, options.text_inputs) is not None and tokenizer:
        return "text"
    return "image" if image_layout(inputs) is not None else "tensor"


def text(
    service: Service,
    inputs: Sequence[ModelInput],
    options: ServiceOptions,
    tokenizer: Optional[tokenizer_files.TokenizerFile],
    weights: Optional[int] = None,
) -> Shapes:
    """The module for texts.

    Args:
        weights: bytes of the model's fully connected layers, where texts may be filled up to one of a few lengths; None:
            they may not, as outputs follow the length.
    """
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
    batch = next((i.shape[0] for i in inputs if i.shape[0] is not None), None)
    length = options.max_length or row or tokenizer.length or tokenizer_files.DEFAULT_LENGTH
    if row is not None and length > row:
        raise UsageError(f"--max-length {length}: the model takes {row} tokens")
    masked = "mask" in roles.values() and row is None
    steps = None
    if masked and weights is not None and options.onednn and options.device_type == 0:
        steps = onednn.lengths(length, weights)
    service.sizes = 1 if row is not None else None if steps is None else len(steps)
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
        ROW_LENGTHS=steps,
        BATCH=batch,
        LOADER=loader.rstrip("\n"),
    )
    service.copies[tokenizer.name] = tokenizer.path
    if masked:
        service.padding = {name: tokenizer.pad if role == "ids" else 0 for name, role in roles.items()}
    service.summary = f"texts become {', '.join(roles)} through {tokenizer.name}, at most {length} tokens"
    if tokenizer.kind == "sentencepiece":
        service.notes.append(
            "SentencePiece's file does not say which special tokens the model wants: see text_input.py"
        )
    longest = row or length
    most = batch or _MAX_BATCH
    return {i.name: ([batch or 1, row or 1], [most, longest], [batch or 1, longest]) for i in inputs}


def image(
    service: Service,
    inputs: Sequence[ModelInput],
    options: ServiceOptions,
    beside: Optional[Path],
    described: Optional[PaddleX] = None,
    most_edge: int = _MOST_EDGE,
) -> Shapes:
    """The module for pictures, of which none is longer than *most_edge* where it keeps its proportions."""
    found = image_settings.settle(inputs, options.image, beside, described)
    page = found.height is None and found.width is None
    service.files[MODULES["image"]] = render(
        MODULES["image"],
        INPUT=f"{literal(inputs[0].name)}, {literal(inputs[0].dtype.label)}",
        LAYOUT=found.layout,
        CHANNELS=found.order,
        HEIGHT=found.height,
        WIDTH=found.width,
        FIT=found.fit,
        SHORT_EDGE=found.short_edge,
        WIDTHS=found.widths,
        EDGE=found.edge,
        LIMIT=found.limit,
        LIBRARY=found.library,
        RESAMPLE=found.resample,
        SCALE=found.scale,
        MEAN=found.mean,
        STD=found.std,
        BATCH=inputs[0].shape[0],
        MOST_EDGE=most_edge,
        MAX_RESIZED=_MAX_PAGE if page else max(_MAX_RESIZED, 8 * (found.height or 0) * (found.width or 0)),
    )
    service.summary = found.summary
    service.sizes = 1 if found.height and found.width else None
    service.notes += found.notes

    least, most = found.widths or (1, 1 << 16)

    def shape(batch: int, size: int) -> list[int]:
        edges = [found.height or size, found.width or min(max(size, least), most)]
        return [batch, *((len(found.mean), *edges) if found.layout == "nchw" else (*edges, len(found.mean)))]

    batch = inputs[0].shape[0]
    return {inputs[0].name: (shape(batch or 1, 32), shape(batch or _MAX_BATCH, 960), shape(batch or 1, 640))}


def tensor(service: Service, inputs: Sequence[ModelInput], options: ServiceOptions) -> Shapes:
    service.files[MODULES["tensor"]] = render(
        MODULES["tensor"], INPUTS=literal({i.name: (i.dtype.label, list(i.shape)) for i in inputs})
    )
    service.sizes = 1 if all(None not in i.shape[1:] for i in inputs) else None
    service.summary = "tensors: " + ", ".join(f"{i.name}: {i.dtype.label}{i.sizes}" for i in inputs)
    if options.service is None and text_roles(inputs) is not None:
        service.notes.append("this looks like a text model; --tokenizer FILE makes a service that takes texts")
    shapes: Shapes = {}
    for each in inputs:
        small, large = ([n if d is None else d for d in each.shape] for n in (1, _MAX_BATCH))
        shapes[each.name] = (small, large, small)
    return shapes


def labels(
    service: Service,
    options: ServiceOptions,
    program: Optional[Program],
    beside: Optional[Path],
    described: Optional[PaddleX] = None,
) -> None:
    """Add the names of the classes: those of the user's file, else those of ``inference.yml`` or ``id2label`` of
    ``config.json`` beside the source, or beside the tokenizer that the user names.

    Raises:
        UsageError: the user's file cannot be read, or has not as many names as the first output has numbers in a row.
    """
    outputs = [] if program is None else program.fetches
    classes = outputs[0].shape[-1] if outputs and outputs[0].shape else -1
    if options.labels is not None:
        path = Path(options.labels)
        try:
            lines = read_text(path).split("\n")
        except MconvError as e:
            raise UsageError(f"--labels: {e.message}") from None
        count = len(lines) - (lines[-1] == "")
        if classes not in (-1, count):
            name = outputs[0].name
            raise UsageError(f"--labels: {path} has {count} names, the output {name} {classes} numbers in a row")
        service.copies[LABELS] = path
    elif described is not None and described.answer == "labels" and described.words is not None:
        if classes in (-1, len(described.words)):
            service.files[LABELS] = "".join(f"{name}\n" for name in described.words)
        else:
            service.notes.append(
                f"{DESCRIPTION} has {len(described.words)} labels, the output {classes} numbers in a row: answers have none"
            )
    elif classes > 0:
        folders = [] if beside is None else [beside]
        if options.tokenizer is not None:
            tokenizer = Path(options.tokenizer)
            folders.append(tokenizer if tokenizer.is_dir() else tokenizer.parent)
        wanted = [str(i) for i in range(classes)]
        for folder in folders:
            names = read_json(folder / "config.json").get("id2label")
            # those that a library makes up say nothing
            if isinstance(names, dict) and sorted(names) == sorted(wanted) and names["0"] != "LABEL_0":
                service.files[LABELS] = "".join(" ".join(str(names[i]).split()) + "\n" for i in wanted)
                break


def answers(service: Service, program: Optional[Program], described: Optional[PaddleX]) -> None:
    """Add what reads the outputs as ``inference.yml`` says: texts of a recogniser, boxes of a detector of
    text.

    Raises:
        CorruptModelError: ``inference.yml`` is damaged.
    """
    module = None if described is None else ANSWERS.get(described.answer or "")
    if described is None or module is None:
        return
    if module == ANSWERS["boxes"]:
        found = described.boxes()
        others = {"score_mode": "fast", "box_type": "quad"}
        unlike = [f"{k}: {described.after[k]}" for k, v in others.items() if described.after.get(k, v) != v]
        if unlike:
            service.notes.append(f"{DESCRIPTION} has {', '.join(unlike)}: boxes are {', '.join(others.values())}")
        service.files[module] = render(
            module, THRESHOLD=found["thresh"], BOX_THRESHOLD=found["box_thresh"], GROWTH=found["unclip_ratio"],
            MAX_BOXES=found["max_candidates"], DILATED=found["use_dilation"],
        )  # fmt: skip
        return
    words = described.words or []
    shape = program.fetches[0].shape if program is not None and program.fetches else ()
    if shape and shape[-1] not in (-1, len(words)):
        service.notes.append(
            f"{DESCRIPTION} has {len(words) - 2} characters, the output {shape[-1]} numbers in a row: answers have no text"
        )
        return
    service.files[CHARACTERS] = "".join(f"{word}\n" for word in words)
    service.files[module] = render(module, CHARACTERS=CHARACTERS)

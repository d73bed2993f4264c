"""A part of a program: from other inputs, to other outputs, and nothing that they do not need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

from mconv.errors import UnsupportedError, UsageError
from mconv.program.dead import eliminate_dead
from mconv.program.dtypes import AttrType, VarKind
from mconv.program.ends import inputs_of, reached, require_once
from mconv.program.near import unknown
from mconv.program.program import Op, Program, Var

_LISTED = "mconv inspect --vars lists the variables"


def cut(
    program: Program, *, inputs: Optional[Sequence[str]] = None, outputs: Optional[Sequence[str]] = None
) -> Program:
    """The part of an inference program between these variables of its main block.

    Args:
        inputs: the new inputs, in order: old ones, or what an operator computes, which then need not be computed. None:
            those of the old ones that the outputs need.
        outputs: the new outputs, in order. None: the old ones.

    Raises:
        UsageError: there is no such variable, or it can be no input or output; the outputs need another input, or do not
            need one that was named.
        UnsupportedError: a variable is no tensor, or is written more than once.
    """
    made = program.copy()
    before = [port.name for port in made.fetches]
    wanted = before if outputs is None else list(outputs)
    require_once("--outputs", wanted)
    for name in wanted:
        _check_output(made, name)
    given = None if inputs is None else list(inputs)
    if given is not None:
        require_once("--inputs", given)
        for name in given:
            _check_input(made, name)
    feeds = [port.name for port in made.feeds]
    stop = set(feeds if given is None else given)
    body = [op for op in made.main.ops if op.type not in ("feed", "fetch")]
    needed, _ = reached(body, wanted, stop, made.reads, lambda op: op.output_names)
    given = inputs_of(wanted, feeds, needed, given)
    _set_ports(made, given, wanted)
    eliminate_dead(made)
    return made


def variable(program: Program, name: str, option: str) -> Var:
    """A tensor of the main block.

    Raises:
        UsageError: there is none of that name. UnsupportedError: it is no tensor.
    """
    var = program.main.vars.get(name)
    if var is None:
        if any(name in block.vars for block in program.blocks[1:]):
            raise UsageError(
                f"{option}: {name!r} is a variable inside of a branch or loop, which cannot be handed out",
                "name what the branch or loop gives",
            )
        raise unknown(option, "variable", name, tensors(program))
    if var.kind != VarKind.LOD_TENSOR or var.dtype is None:
        raise UnsupportedError(f"{option}: {name!r} is no tensor, but {var!r}", _LISTED)
    if any(name in op.output("XShape") for op in program.main.ops):
        raise UsageError(f"{option}: {name!r} holds no numbers: it is the shape that a gradient would need", _LISTED)
    return var


def tensors(program: Program) -> list[str]:
    """What operators of the main block compute, and its inputs: the names that can be given."""
    names = [port.name for port in program.feeds]
    names += [n for op in program.main.ops if op.type not in ("feed", "fetch") for n in op.output_names]
    held = program.main.vars
    return [
        n for n in dict.fromkeys(names) if n in held and held[n].kind == VarKind.LOD_TENSOR and not held[n].persistable
    ]


def _check_output(program: Program, name: str) -> None:
    var = variable(program, name, "--outputs")
    if var.persistable:
        raise UsageError(f"--outputs: {name!r} is a weight; nothing computes it", _LISTED)
    if name not in tensors(program):
        raise UsageError(f"--outputs: nothing computes {name!r}", _LISTED)


def _check_input(program: Program, name: str) -> None:
    var = variable(program, name, "--inputs")
    if var.persistable:
        raise UsageError(f"--inputs: {name!r} is a weight", "--const and a weight are no inputs: name what is computed")
    writers = [op for op in program.main.ops if op.type != "feed" and name in op.output_names]
    inside = any(name in op.output_names for block in program.blocks[1:] for op in block.ops)
    is_feed = any(port.name == name for port in program.feeds)
    if inside or len(writers) + is_feed > 1 or any(op.blocks for op in writers):
        raise UnsupportedError(
            f"--inputs: {name!r} is written more than once, or in a branch or loop: there is no one value to feed",
            "cut before or behind of it",
        )


def _set_ports(program: Program, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    main = program.main
    feeds = {port.name: port.op for port in program.feeds}
    body = [op for op in main.ops if op.type not in ("feed", "fetch")]
    for name in inputs:
        if name in feeds:
            continue
        for op in body:
            if name in op.output_names:  # what computes it may be needed for something else
                spare = unused(program, f"{name}.mconv_cut")
                main.add_var(Var.tensor(spare, main.vars[name].dtype, main.vars[name].shape or ()))
                op.rename({name: spare}, inputs=False)
        var = main.vars[name]
        var.desc.need_check_feed = True
        var.desc.stop_gradient = True
    head = [_port("feed", name, i) for i, name in enumerate(inputs)]
    tail = [_port("fetch", name, i) for i, name in enumerate(outputs)]
    main.ops[:] = [*head, *body, *tail]
    for name, kind in (("feed", VarKind.FEED_MINIBATCH), ("fetch", VarKind.FETCH_LIST)):
        if name not in main.vars:
            main.add_var(Var.of_kind(name, kind, persistable=True))


def _port(kind: str, name: str, col: int) -> Op:
    ends = ({"X": ["feed"]}, {"Out": [name]}) if kind == "feed" else ({"X": [name]}, {"Out": ["fetch"]})
    return Op.make(kind, *ends, [("col", AttrType.INT, col)])


def unused(program: Program, hint: str) -> str:
    """A name that no variable has."""
    taken = {name for block in program.blocks for name in block.vars}
    name, number = hint, 0
    while name in taken:
        number += 1
        name = f"{hint}_{number}"
    return name


# operator that chooses among overlapping boxes → its inputs: what the network has found
SUPPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "multiclass_nms": ("BBoxes", "Scores"),
    "multiclass_nms2": ("BBoxes", "Scores"),
    "multiclass_nms3": ("BBoxes", "Scores"),
    "matrix_nms": ("BBoxes", "Scores"),
    "locality_aware_nms": ("BBoxes", "Scores"),
    "retinanet_detection_output": ("BBoxes", "Scores", "Anchors"),
    "nms": ("Boxes",),
}


def before_suppression(program: Program) -> list[str]:
    """The outputs of a detector without its NMS: boxes and scores in place of what depends on it, the others as they are.

    Of several, in a row, it is the last one: a network of two stages keeps the one between them.

    Raises:
        UnsupportedError: the program has none in its main block.
    """
    ops = [op for op in program.main.ops if op.type in SUPPRESSIONS]
    if not ops:
        inside = any(op.type in SUPPRESSIONS for _, op in program.ops())
        where = " outside of a branch or loop" if inside else ""
        raise UnsupportedError(
            f"--without-nms: the model has no operator that suppresses boxes{where}",
            f"--outputs NAME,… says where to cut; known are {', '.join(SUPPRESSIONS)}",
        )
    behind = {id(op): _behind(program, op.output_names) for op in ops}
    last = [op for op in ops if not any(behind[id(op)] & set(other.input_names) for other in ops if other is not op)]
    gone = set().union(*(behind[id(op)] for op in last))
    found: list[str] = []
    for port in program.fetches:
        names = [port.name]
        if port.name in gone:
            names = [
                n for op in last if port.name in behind[id(op)] for p in SUPPRESSIONS[op.type] for n in op.input(p)
            ]
        found += [n for n in names if n not in found]
    return found


def independent(program: Program) -> list[str]:
    """The outputs that no input leads to: the same in every run."""
    known = _behind(program, [port.name for port in program.feeds])
    return [port.name for port in program.fetches if port.name not in known]


def _behind(program: Program, names: Iterable[str]) -> set[str]:
    """What depends on *names*, and these."""
    found = set(names)
    for op in program.main.ops:
        if op.type not in ("feed", "fetch") and found & program.reads(op):
            found.update(op.output_names)
    return found

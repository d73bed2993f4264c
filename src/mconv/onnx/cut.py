"""A part of an ONNX model: from other inputs, to other outputs, and nothing that they do not need. In place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from mconv.errors import UnsupportedError, UsageError
from mconv.onnx.clean import set_nodes
from mconv.printable import require_visible
from mconv.program.ends import inputs_of, reached, require_once
from mconv.program.near import unknown

# operator that chooses among overlapping boxes → its inputs that the network has found
SUPPRESSIONS: Mapping[str, tuple[int, ...]] = {
    "NonMaxSuppression": (0, 1),
    "EfficientNMS_TRT": (0, 1),
    "BatchedNMS_TRT": (0, 1),
    "BatchedNMSDynamic_TRT": (0, 1),
}


def reads(node: Any) -> Iterator[str]:
    """What a node reads of its own graph: its inputs, and what the graphs inside of it take from outside."""
    yield from (n for n in node.input if n)
    for graph in _inner(node):
        yield from _captured(graph)


def _inner(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _captured(graph: Any) -> Iterator[str]:
    own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        yield from (n for n in reads(node) if n not in own)
        own.update(node.output)
    yield from (o.name for o in graph.output if o.name not in own)


def fed(graph: Any) -> list[str]:
    """The inputs that are fed: an initializer that could be overridden is none."""
    constants = {t.name for t in graph.initializer}
    return [i.name for i in graph.input if i.name not in constants]


def computed(graph: Any) -> list[str]:
    """The inputs and what the nodes of the main graph compute: the names that can be given."""
    return list(dict.fromkeys([*fed(graph), *(o for node in graph.node for o in node.output if o)]))


def cut(
    model: Any,
    infos: Mapping[str, Any],
    *,
    inputs: Optional[Sequence[str]] = None,
    outputs: Optional[Sequence[str]] = None,
) -> None:
    """Keep what is between these tensors of the main graph.

    Args:
        model: the ModelProto.
        infos: tensor → ValueInfoProto, as far as it is known.
        inputs, outputs: as of :func:`mconv.passes.cut.cut`.

    Raises:
        UsageError: there is no such tensor; the outputs need another input, or do not need one that was named.
        UnsupportedError: nothing is known of a new input's type.
    """
    graph = model.graph
    before = [o.name for o in graph.output]
    wanted = before if outputs is None else list(outputs)
    known, weights = computed(graph), {t.name for t in graph.initializer}
    for option, names in (("--outputs", wanted), ("--inputs", inputs)):
        if names is not None:
            require_once(option, names)
        for name in names or ():
            if name in weights:
                raise UsageError(f"{option}: {name!r} is a weight", "name what the model computes")
            if name not in known:
                raise unknown(option, "tensor", name, known)
    feeds = fed(graph)
    stop = set(feeds if inputs is None else inputs)
    needed, _ = reached(graph.node, wanted, stop, reads, lambda node: node.output)
    given = inputs_of(wanted, feeds, needed, inputs, named=outputs is not None)
    _detach(graph, set(given) - set(feeds))
    for what, names in ((graph.input, given), (graph.output, wanted)):
        made = [_info(n, infos, what is graph.input) for n in names]
        if what is graph.input:
            made += [i for i in graph.input if i.name in weights]
        del what[:]
        what.extend(made)
    remove_dead(graph)


def _detach(graph: Any, names: set[str]) -> None:
    """Let no node compute what is fed from now on."""
    taken = set(computed(graph))
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in names:
                spare = f"{name}.mconv_cut"
                while spare in taken:
                    spare += "_"
                node.output[index] = spare


def _info(name: str, infos: Mapping[str, Any], is_input: bool) -> Any:
    import onnx

    info = infos.get(name)
    if info is None:
        if is_input:
            raise UnsupportedError(
                f"--inputs: nothing is known of the type of {name!r}, and ONNX's inference does not find it",
                "cut at another tensor",
            )
        return onnx.ValueInfoProto(name=name)
    if is_input and info.type.WhichOneof("value") != "tensor_type":
        raise UnsupportedError(f"--inputs: {name!r} is no tensor")
    made = onnx.ValueInfoProto()
    made.CopyFrom(info)
    return made


def remove_dead(graph: Any) -> None:
    """Take away the nodes whose results nothing reads, and what only they have read."""
    needed = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(reads(node))
            kept.append(node)
    left = set_nodes(graph, kept[::-1])
    present = needed | {o for node in left for o in node.output}
    constants = {t.name for t in graph.initializer}
    for held in (graph.initializer, graph.value_info, graph.sparse_initializer):
        some = [t for t in held if _name_of(t) in present]
        if len(some) < len(held):
            some = [type(t).FromString(t.SerializeToString()) for t in some]
            del held[:]
            held.extend(some)
    some = [i for i in graph.input if i.name in needed or i.name not in constants]
    if len(some) < len(graph.input):
        some = [type(i).FromString(i.SerializeToString()) for i in some]
        del graph.input[:]
        graph.input.extend(some)


def _name_of(held: Any) -> str:
    return str(held.values.name if hasattr(held, "values") else held.name)


def before_suppression(graph: Any) -> list[str]:
    """The outputs of a detector without its NMS, see :func:`mconv.passes.cut.before_suppression`.

    Raises:
        UnsupportedError: the graph has none.
    """
    nodes = [node for node in graph.node if node.op_type in SUPPRESSIONS]
    if not nodes:
        raise UnsupportedError(
            "--without-nms: the model has no operator that suppresses boxes outside of a branch or loop",
            f"--outputs NAME,… says where to cut; known are {', '.join(SUPPRESSIONS)}",
        )
    behind = [_behind(graph, node.output) for node in nodes]
    last = [
        (node, after)
        for node, after in zip(nodes, behind)
        if not any(after & set(other.input) for other in nodes if other is not node)
    ]
    gone = set().union(*(after for _, after in last))
    found: list[str] = []
    for out in graph.output:
        names = [out.name]
        if out.name in gone:
            names = [node.input[i] for node, after in last if out.name in after for i in SUPPRESSIONS[node.op_type]]
        found += [n for n in names if n not in found]
    return found


def _behind(graph: Any, names: Iterable[str]) -> set[str]:
    found = {n for n in names if n}
    for node in graph.node:
        if found.intersection(reads(node)):
            found.update(o for o in node.output if o)
    return found


def rename(graph: Any, names: Mapping[str, str], option: str = "--rename") -> None:
    """Rename tensors of the main graph, in place.

    Raises:
        UsageError: an old name is not there, a new one is taken, empty, or holds what cannot be seen.
    """
    present = {*computed(graph), *(t.name for t in graph.initializer), *(i.name for i in graph.input)}
    inside = {n for node in graph.node for inner in _inner(node) for n in _defined(inner)}
    left = (present - set(names)) | inside
    new: set[str] = set()
    for old, name in names.items():
        if old not in present:
            raise unknown(option, "tensor", old, sorted(present))
        require_visible(name, option)
        if not name:
            raise UsageError(f"{option} {old}=: an empty name")
        if name in left or name in new:
            raise UsageError(f"{option} {old}={name}: {name!r} is taken", "rename that one, too")
        new.add(name)
    _rename(graph, dict(names))


def _defined(graph: Any) -> Iterator[str]:
    yield from (i.name for i in graph.input)
    yield from (t.name for t in graph.initializer)
    for node in graph.node:
        yield from node.output
        for inner in _inner(node):
            yield from _defined(inner)


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
        for inner in _inner(node):
            own = set(_defined(inner))
            _rename(inner, {old: new for old, new in names.items() if old not in own})
    for infos in (graph.input, graph.output, graph.value_info, graph.initializer):
        for info in infos:
            info.name = names.get(info.name, info.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for note in graph.quantization_annotation:
        note.tensor_name = names.get(note.tensor_name, note.tensor_name)
        for pair in note.quant_parameter_tensor_names:
            pair.value = names.get(pair.value, pair.value)

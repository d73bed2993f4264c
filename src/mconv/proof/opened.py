"""The two things that ``mconv verify`` compares: a file of any kind, a serving folder, a running service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mconv import inspection, runtimes
from mconv.errors import CorruptModelError, RuntimeFailedError, UnsupportedError, UsageError
from mconv.onnx.types import CARRIED, WIDENED, fed_dtype, only_by_reference
from mconv.paddle import pir_reader
from mconv.program import signatures
from mconv.program.dtypes import DType
from mconv.program.files import Era, ModelFiles, load_program, locate
from mconv.program.paths import PathLike
from mconv.program.program import Op, Program
from mconv.program.sniff import Kind, what
from mconv.program.targets import PADDLE_3, TARGETS
from mconv.proof import precision
from mconv.proof.available import runtime_for, written_for
from mconv.proof.endpoint import EndpointRunner, is_url
from mconv.proof.feeds import InputSpec, specs_of
from mconv.proof.reference import reference_for
from mconv.proof.runners import Answers, PaddleRunner, Runner
from mconv.recognise import SourceKind, recognise
from mconv.runtimes import Runtime
from mconv.serving import configure
from mconv.serving.configure import ServingConfig

_SCALARS = 2005000  # the first Paddle with tensors without dimensions


@dataclass(frozen=True)
class Choices:
    """How both are opened.

    Attributes:
        runtime: where Paddle models run; None: the Paddle that they were written for.
        request: in which form a service is asked, see :data:`mconv.proof.endpoint.FORMS`.
        config: the configuration of a service's client, for the names that it takes.
        trust: whether code that a PyTorch file brings may run.
        timeout: seconds for loading and running a model, and for one request.
        options: of :meth:`mconv.runtimes.Worker.run`.
    """

    runtime: Optional[str] = None
    request: str = "key-value"
    config: Optional[Path] = None
    trust: bool = False
    timeout: float = 600
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """An operator of a main graph.

    Attributes:
        operator: its type.
        name: of the node; empty where it has none.
        reads, writes: tensors, weights among those that are read.
    """

    operator: str
    name: str
    reads: list[str]
    writes: list[str]


class Opened:
    """One of the two.

    Attributes:
        name: as given.
        label: what ran it, once it has run.
        feed_alias, fetch_alias: variable → what clients call it, where that is another name.
        paddle: whether a Paddle runs it, whose older versions know no scalars.
        by_default: the outputs that a conversion of it has by default; None: all.
    """

    def __init__(self, name: Union[str, Path]):
        self.name = str(name)
        self.label = ""
        self.notes: list[str] = []
        self.feed_alias: dict[str, str] = {}
        self.fetch_alias: dict[str, str] = {}
        self.paddle = False
        self.by_default: Optional[list[str]] = None

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        """Runs it; returns *fetch* after its own outputs."""
        raise NotImplementedError

    def run(self, sets: Sequence[Mapping[str, np.ndarray]], fetch: Sequence[str] = ()) -> Answers:
        with self.runner(fetch) as runner:
            types = self.types()
            answers = runner.run([{n: v.astype(types[n]) if n in types else v for n, v in f.items()} for f in sets])
            self.label = runner.label
            return answers

    def specs(self) -> Optional[list[InputSpec]]:
        """Its inputs; None where it does not say."""
        raise NotImplementedError

    def adopt(self, other: Opened) -> None:
        """Take from the other model what this one does not say of its inputs."""

    def types(self) -> dict[str, np.dtype]:
        """Input → numpy type where it is not the one in :meth:`specs`."""
        return {}

    def precision(self) -> str:
        """The lowest floating point type in which it computes, so far as that can be seen."""
        return "float32"

    def by_name(self, names: Mapping[str, str]) -> dict[str, str]:
        """The aliases of its inputs by the other model's names.

        Args:
            names: the other model's name → its own.
        """
        return {other: self.feed_alias[own] for other, own in names.items() if own in self.feed_alias}

    def may_lack_scalars(self, version: str) -> bool:
        """Whether what ran it may give a scalar as shape [1], as Paddle before 2.5 does."""
        numbers = [int(n) for n in version.split(".")[:2] if n.isdigit()]
        return self.paddle and numbers < [2, 5]

    def tensors(self) -> list[str]:
        """The names of what its main graph computes, in order.

        Raises:
            UnsupportedError: they have none.
        """
        raise UnsupportedError(f"{self.name}: the tensors inside have no names to find them by", "leave out --layers")

    def nodes(self) -> list[Node]:
        """The operators of its main graph, in order; of what has :meth:`tensors`."""
        raise NotImplementedError


class OpenedOnnx(Opened):
    """An ``.onnx`` file.

    Raises:
        NotAModelError, CorruptModelError: it is none.
    """

    def __init__(self, path: Path, timeout: float):
        from mconv.onnx.reader import read

        super().__init__(path)
        self.path, self.timeout = path, timeout
        self.model = read(path)  # an error of the file is told as such, not as one of the runtime

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        exact = any(only_by_reference(kind) for kind in self._kinds().values())
        made, why = reference_for(self.path, exact=exact, fetch=fetch, timeout=self.timeout)
        if why and why not in self.notes:
            self.notes.append(why)
        return made

    def specs(self) -> list[InputSpec]:
        return _inspected(self.path)

    def types(self) -> dict[str, np.dtype]:
        kinds = {name: fed_dtype(kind) for name, kind in self._kinds().items() if kind in WIDENED}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    def _kinds(self) -> dict[str, int]:
        return {i.name: i.type.tensor_type.elem_type for i in self.model.proto.graph.input}

    def precision(self) -> str:
        return precision.of_onnx(self.model.proto)

    def tensors(self) -> list[str]:
        return [o for node in self.model.proto.graph.node for o in node.output if o]

    def nodes(self) -> list[Node]:
        return [
            Node(n.op_type, n.name, list(filter(None, n.input)), list(filter(None, n.output)))
            for n in self.model.proto.graph.node
            if n.op_type != "Constant"
        ]


class OpenedPaddle(Opened):
    """A Paddle model of any era; of a serving folder, the names that clients use are known, too."""

    def __init__(self, path: Path, choices: Choices):
        super().__init__(path)
        self.paddle = True
        self.files: ModelFiles = locate(path)
        self.program: Optional[Program] = None if self.files.era is Era.PIR else load_program(self.files)
        target = PADDLE_3 if self.program is None else written_for(self.program)
        self.runtime: Runtime = runtimes.find(choices.runtime) if choices.runtime else runtime_for(target)
        self.options = {**choices.options, "timeout": choices.timeout}
        try:
            config = configure.find(self.files.folder)
        except CorruptModelError as e:
            config = None
            self.notes.append(e.message)
        if config is not None:
            self.feed_alias, self.fetch_alias = _aliases(config)

    def may_lack_scalars(self, version: str) -> bool:
        """A program of before 2.5 gives shape [1] in every Paddle."""
        old = self.program is not None and self.program.version < _SCALARS
        return old or super().may_lack_scalars(version)

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        return PaddleRunner(self.files, self.runtime, **self.options, fetch=list(fetch) or None)

    def run(self, sets: Sequence[Mapping[str, np.ndarray]], fetch: Sequence[str] = ()) -> Answers:
        """As it is meant to run; for tensors inside without Paddle's fusions, where those leave no such tensor."""
        try:
            return super().run(sets, fetch)
        except RuntimeFailedError:
            if not fetch or not self.options.get("ir_optim", True):
                raise
        self.options["ir_optim"] = False
        self.notes.append("its tensors inside are read with --no-ir-optim: Paddle's fusions leave some of them out")
        return super().run(sets, fetch)

    def specs(self) -> list[InputSpec]:
        return specs_of(self.program) if self.program is not None else _inspected(self.files.program)

    def precision(self) -> str:
        if self.program is None:
            return precision.of_pir(pir_reader.read(self.files.program).block)
        return precision.of_program(self.program)

    def tensors(self) -> list[str]:
        if self.program is None:
            return super().tensors()
        plain = [op for op in self.program.main.ops if op.type not in ("feed", "fetch") and not op.blocks]
        names = (name for op in plain for name in _computed(op) if _readable(self.program, name))
        return list(dict.fromkeys(names))

    def nodes(self) -> list[Node]:
        assert self.program is not None  # tensors() has refused a .json
        ops = (op for op in self.program.main.ops if op.type not in ("feed", "fetch"))
        return [Node(op.type, "", op.input_names, op.output_names) for op in ops]


class OpenedTorch(Opened):
    """A PyTorch model of any form, in this process; its inputs are the other model's where it does not say.

    Raises:
        UntrustedError: opening it would run code that it brings. MissingDependencyError: torch is not installed.
    """

    def __init__(self, source: str, choices: Choices):
        from mconv.torch.sources import open_source
        from mconv.torch.widening import widen

        super().__init__(source)
        self.source = open_source(source, trust=choices.trust)
        self.source.seconds = choices.timeout
        self.notes += self.source.notes + widen(self.source)  # as the conversions do
        self.by_default = self.source.outputs
        self._specs: Optional[list[InputSpec]] = None
        if self.source.inputs and not self.source.guessed:
            self._specs = [InputSpec(i.name, i.dtype, i.dims, i.limit) for i in self.source.inputs]

    def adopt(self, other: Opened) -> None:
        specs = other.specs()
        if self._specs is not None or specs is None:
            return
        mine = [i.name for i in self.source.inputs]
        if self.source.positional or len(mine) != len(specs) or set(mine) == {s.name for s in specs}:
            self._specs = specs
        else:  # by position, under the names that forward has
            self._specs = [replace(s, name=name) for s, name in zip(specs, mine)]

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        from mconv.proof.torch_runner import TorchRunner
        from mconv.torch.exporting import named_leaves

        return TorchRunner(self.source, named_leaves, self.source.label, self._specs or (), widened=True)

    def specs(self) -> Optional[list[InputSpec]]:
        return self._specs

    def precision(self) -> str:
        if self.source.program is None:
            return super().precision()
        from mconv.torch.exporting import lowest_dtype

        return lowest_dtype(self.source.program)


class OpenedService(Opened):
    """A running service. It does not say what its inputs are: the other model does.

    Raises:
        UsageError: *url* is no address. CorruptModelError: the configuration is damaged.
    """

    def __init__(self, url: str, choices: Choices):
        super().__init__(url)
        self.paddle = True  # of a version that it does not tell
        self.choices = choices
        self._specs: Optional[list[InputSpec]] = None
        self.config: Optional[ServingConfig] = None
        if choices.config is not None:
            self.config = configure.read(choices.config)
            self.feed_alias, self.fetch_alias = _aliases(self.config)
        EndpointRunner(url, form=choices.request)  # is it an address?

    def adopt(self, other: Opened) -> None:
        """Take the other model's inputs, under the names that clients use."""
        specs = other.specs()
        if specs is None:
            return
        # the configuration says what the other model's variables are called here
        called = other.feed_alias = {**other.feed_alias, **self.feed_alias}
        other.fetch_alias = {**other.fetch_alias, **self.fetch_alias}
        taken = {var.alias for var in self.config.feeds} if self.config is not None else set()
        named = [replace(s, name=called.get(s.name, s.name)) for s in specs]
        if taken and {s.name for s in named} != taken:
            raise UsageError(
                f"{self.choices.config}: the inputs are {', '.join(sorted(taken))}, those of {other.name} "
                f"{', '.join(s.name for s in specs)}",
                "give the configuration of this model",
            )
        self._specs = named

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        return EndpointRunner(self.name, self._specs or (), form=self.choices.request, timeout=self.choices.timeout)

    def specs(self) -> Optional[list[InputSpec]]:
        return self._specs

    def tensors(self) -> list[str]:
        raise UnsupportedError(f"{self.name}: nobody can look inside of a service", "leave out --layers")


def open_model(source: Union[str, PathLike], choices: Choices) -> Opened:
    """What *source* is.

    Raises:
        MconvError: it is nothing that can be run.
    """
    if is_url(source):
        return OpenedService(str(source), choices)
    path = Path(os.fspath(source))
    if path.suffix == ".onnx" and path.is_file() and what(path) is not Kind.TORCH:
        return OpenedOnnx(path, choices.timeout)  # what is wrong with it is told as of an ONNX file
    kind = recognise(source)
    if kind is SourceKind.LAYER:
        raise UnsupportedError(
            f"{source}: a paddle.nn.Layer, which has no file to run", "`mconv to-static` saves it and compares the two"
        )
    if kind is SourceKind.TORCH:
        return OpenedTorch(os.fspath(source), choices)
    return OpenedOnnx(path, choices.timeout) if kind is SourceKind.ONNX else OpenedPaddle(path, choices)


def _aliases(config: ServingConfig) -> tuple[dict[str, str], dict[str, str]]:
    feeds = {v.name: v.alias for v in config.feeds if v.alias != v.name}
    return feeds, {v.name: v.alias for v in config.fetches if v.alias != v.name}


def _inspected(path: Path) -> list[InputSpec]:
    found = []
    for tensor in inspection.inspect(path, judged=False).inputs:
        if tensor.dtype is None or tensor.shape is None:
            raise UnsupportedError(f"{path}: nothing is known of input {tensor.name}'s type or rank")
        found.append(InputSpec(tensor.name, DType.of(_carried(tensor.dtype)), tuple(tensor.shape)))
    return found


def _carried(dtype: str) -> str:
    """The type of Paddle's in which values of a type are made; bfloat16 is one of them."""
    return dtype if dtype == DType.BF16.label else CARRIED.get(dtype, dtype)


def _computed(op: Op) -> Iterator[str]:
    """What an operator really computes in an inference: not what only a gradient needs, such as a dropout's mask."""
    known = [found.outputs for t in TARGETS.values() if (found := signatures.find(t, op.type)) is not None]
    for parameter, names in op.outputs.items():
        if not any("~" in outputs.get(parameter, "") for outputs in known):
            yield from names


def _readable(program: Program, name: str) -> bool:
    var = program.main.vars.get(name)
    return var is not None and var.dtype is not None and not name.endswith((".xshape", "@GRAD")) and not var.persistable

"""What runs a model: Paddle in a worker of some runtime, or ONNX Runtime in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional, Protocol

import numpy as np

from mconv import watch
from mconv.errors import LimitError, MissingDependencyError, RuntimeFailedError, UnsupportedError
from mconv.extras import install
from mconv.passes import half_loading
from mconv.printable import printable
from mconv.program import external_data
from mconv.program.closing import Closing
from mconv.program.dtypes import DType
from mconv.program.files import Era, ModelFiles, load_program, locate
from mconv.proof.feeds import InputSpec, as_declared, specs_of
from mconv.proof.quantised import is_quantised, unsign_weights
from mconv.runtimes import Runtime, Worker, find
from mconv.runtimes.memory import HINT, says_out_of_memory
from mconv.runtimes.outcome import RunResult


@dataclass(frozen=True)
class Answers:
    """What a runner returned: per input set the outputs and their types, in Paddle's names."""

    names: list[str]
    outputs: list[list[np.ndarray]]
    dtypes: list[list[str]]
    version: str
    seconds: list[float]

    @classmethod
    def of(cls, result: RunResult) -> Answers:
        """What a worker returned."""
        return cls(result.names, result.outputs, result.dtypes, result.version, result.seconds)

    def some(self, indices: Sequence[int], names: Optional[Sequence[str]] = None) -> Answers:
        """Those outputs that are at these positions, under their own names or others."""
        return replace(
            self,
            names=[self.names[i] for i in indices] if names is None else list(names),
            outputs=[[row[i] for i in indices] for row in self.outputs],
            dtypes=[[row[i] for i in indices] for row in self.dtypes],
        )


class Runner(Protocol):
    """Runs one model. A context manager; the model is loaded once."""

    label: str

    def specs(self) -> list[InputSpec]:
        """The model's inputs."""

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        """Run the model on each input set.

        Raises:
            RuntimeFailedError: the runtime refuses the model or the inputs, or crashes.
        """

    def __enter__(self) -> Runner: ...

    def __exit__(self, *error: object) -> None: ...

    def close(self) -> None: ...


class PaddleRunner(Closing):
    """A Paddle model of any era in a runtime.

    Args:
        model: a path that ``locate`` understands, or what it found.
        runtime: name of a managed runtime, or ``current``.
        options: further arguments of :meth:`Worker.run` (``ir_optim``, ``onednn``, ``engine``, ``timeout``, …).
    """

    def __init__(
        self, model: str | Path | ModelFiles, runtime: str | Runtime = "current", *, threads: int = 1, **options: Any
    ):
        self.files = model if isinstance(model, ModelFiles) else locate(model)
        self.runtime = find(runtime) if isinstance(runtime, str) else runtime
        self.label = f"Paddle ({self.runtime.name})"
        self.options = options
        self.worker = Worker(self.runtime, threads=threads)
        self._lods: Optional[dict[str, int]] = None

    def specs(self) -> list[InputSpec]:
        return specs_of(load_program(self.files))

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        if self._lods is None:
            self._lods = lods_of(self.files)
        fed = [dict(feed) for feed in sets]
        if any(a.ndim == 0 for feed in fed for a in feed.values()) and self.files.era is not Era.PIR:
            program = load_program(self.files)
            fed = [as_declared(feed, program) for feed in fed]
        try:
            result = self.worker.run(self.files.program, self.files.params, fed, lods=self._lods, **self.options)
        except RuntimeFailedError as e:
            if e.hint is None and self.files.era is not Era.PIR:
                e.hint = half_loading.for_gpus(load_program(self.files))
            raise
        self.label = f"Paddle {result.version}"
        return Answers.of(result)

    def close(self) -> None:
        self.worker.close()


def lods_of(files: ModelFiles) -> dict[str, int]:
    """Input → how many levels of LoD it has, of those that have any; a ``.json`` has none."""
    if files.era is Era.PIR:
        return {}
    return {port.name: port.var.lod_level for port in load_program(files).feeds if port.var.lod_level}


class OnnxRunner(Closing):
    """An ONNX model in ONNX Runtime's CPU provider, on one thread.

    Args:
        fetch: more tensors of the main graph to return, after the model's own outputs.
        opened: inputs that are fed at other sizes than the file states.
        fixed: inputs that always get this value, beside those that are fed.
        timeout: seconds for one run.
        called: what messages call the model; its path.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        RuntimeFailedError: it cannot load the model.
        LimitError: it takes too long or too much memory; as :meth:`run`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        threads: int = 1,
        fetch: Sequence[str] = (),
        opened: Sequence[str] = (),
        fixed: Mapping[str, np.ndarray] = MappingProxyType({}),
        timeout: float = watch.SECONDS,
        called: str = "",
    ):
        try:
            import onnxruntime
        except ImportError:
            raise MissingDependencyError(
                "running an ONNX model needs onnxruntime", f"install it with `{install('verify')}`"
            ) from None
        self.label = f"ONNX Runtime {onnxruntime.__version__}"
        self.path = Path(model)
        self.called = called or str(model)
        self.fixed, self.timeout = fixed, timeout
        self._options: Callable[[], Any] = onnxruntime.RunOptions
        self.version: str = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4  # what it has to say comes as an exception
        check_external(self.path)
        quantised = is_quantised(self.path)
        if quantised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        content: str | bytes = str(model)
        if fetch or opened or quantised:
            proto = with_outputs(self.path, fetch, opened)
            if (quantised and unsign_weights(proto)) or fetch or opened:
                content = proto.SerializeToString()
        if isinstance(content, bytes):
            folder = str(self.path.absolute().parent)
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        try:
            self.session = watch.call(
                lambda: onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]),
                f"{self.label} on loading {self.called}",
                seconds=timeout,
            )
        except LimitError:
            raise
        except Exception as e:  # noqa: BLE001 - it raises classes of its own that share no base
            raise RuntimeFailedError(
                f"{self.label} cannot load {self.called}: {_first(e).replace(str(model), self.called)}"
            ) from None

    def specs(self) -> list[InputSpec]:
        inputs = self.session.get_inputs()
        return [InputSpec(i.name, _onnx_type(i.type, i.name), tuple(i.shape)) for i in inputs]

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        outputs, dtypes, seconds = [], [], []
        for values, spent in timed(self._run, sets, self.fixed, self.label, self.called):
            seconds.append(spent)
            for name, value in zip(self.session.get_outputs(), values):
                if not isinstance(value, np.ndarray):
                    raise UnsupportedError(f"{self.called}: output {name.name} is a {name.type}, not a tensor")
            outputs.append(values)
            dtypes.append([value.dtype.name for value in values])
        names = [value.name for value in self.session.get_outputs()]
        return Answers(names, outputs, dtypes, self.version, seconds)

    def _run(self, feed: Mapping[str, np.ndarray]) -> list[Any]:
        options = self._options()

        def stop() -> None:
            options.terminate = True

        return watch.call(
            lambda: self.session.run(None, feed, options),
            f"{self.label} on {self.path}",
            seconds=self.timeout,
            stop=stop,
        )

    def close(self) -> None:
        del self.session


def timed(
    run: Callable[[dict[str, np.ndarray]], Any],
    sets: Sequence[Mapping[str, np.ndarray]],
    fixed: Mapping[str, np.ndarray],
    label: str,
    called: str,
) -> Iterator[tuple[Any, float]]:
    """What *run* gives for each input set with the *fixed* inputs, and the seconds that it took.

    Raises:
        RuntimeFailedError: it fails: *label* cannot run *called*.
        LimitError: it takes too long or too much memory.
    """
    for feed in sets:
        started = time.perf_counter()
        try:
            values = run({**fixed, **feed})
        except LimitError:
            raise
        except Exception as e:  # noqa: BLE001 - they raise classes of their own, and numpy's, that share no base
            raise cannot_run(label, called, e) from None
        yield values, time.perf_counter() - started


def check_external(path: Path) -> None:
    """Refuse external data that lie outside of the model's folder, whatever the runtime itself thinks of it.

    Raises:
        UntrustedError, CorruptModelError: see :mod:`mconv.program.external_data`.
    """
    import mmap

    import onnx
    from google.protobuf.message import DecodeError

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"location") < 0:  # takes no memory, of a file of any size
                return
        proto = onnx.load(str(path), load_external_data=False)
    except (OSError, ValueError, DecodeError):  # the session says what is wrong
        return
    external_data.check(path, proto)


def with_outputs(path: Path, names: Sequence[str], opened: Sequence[str] = ()) -> Any:
    """The ModelProto of a file with more outputs, and without the sizes of the inputs *opened* and of what follows
    from them; external data stay outside."""
    import onnx

    proto = onnx.load(str(path), load_external_data=False)
    if opened:
        del proto.graph.value_info[:]
        for info in [*(i for i in proto.graph.input if i.name in opened), *proto.graph.output]:
            for dim in info.type.tensor_type.shape.dim:
                dim.ClearField("value")
    present = {o.name for o in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return proto


def _onnx_type(text: str, name: str) -> DType:
    label = text.removeprefix("tensor(").removesuffix(")")
    label = {"float": "float32", "double": "float64"}.get(label, label)
    try:
        return DType.of(label)
    except (KeyError, TypeError):
        raise UnsupportedError(f"input {name}: Paddle has no type for {text}") from None


def cannot_run(label: str, what: str, error: BaseException) -> RuntimeFailedError:
    """The error for what a framework raised when it ran a model: out of memory is told as that."""
    if isinstance(error, MemoryError) or says_out_of_memory(str(error)):
        return RuntimeFailedError(f"{label} ran out of memory on {what}: {_first(error)}", HINT)
    return RuntimeFailedError(f"{label} cannot run {what}: {_first(error)}")


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if lines and lines[0].endswith("for the following indices"):  # which ones, ONNX Runtime says in the next lines
        lines[0] = ": ".join(lines[:2])
    return printable(lines[0], 300) if lines else type(error).__name__

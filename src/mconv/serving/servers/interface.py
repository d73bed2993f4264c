"""What there is to know of a server: which files are a service of it, how it is started, where it is asked, and how it
says that it is ready. Only data: what starts it is in :mod:`mconv.runtimes`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Protocol

from mconv.errors import NotAModelError, UnsupportedError, UsageError
from mconv.program.program import Program
from mconv.serving.configure import ServingConfig
from mconv.serving.input_modules import MODULES, Service, Shapes
from mconv.serving.kinds import PADDLE_SERVING, ModelInput, inputs_of
from mconv.serving.servers.requests import OPEN_INFERENCE
from mconv.serving.service_options import ServiceOptions

# by which every interface is meant
EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class FoundService:
    """A service on disk.

    Attributes:
        folder: where it is.
        kind: ``text``, ``image`` or ``tensor``.
        name, rpc_port, http_port, health_port, ir_optim, model: what its configuration says; a port of None: there
            is none, or it is the one of HTTP.
        precision: in what it computes what the model has in float32, where the processor can: ``float32`` or
            ``bfloat16``.
        onednn, passes: whether it uses oneDNN, and the passes for it.
        mkl: whether it has MKL use its fast kernels on processors that are not Intel's.
        gpu: whether it uses one.
        own_http: whether it listens for HTTP itself, where it is told to; Paddle Serving's own gateway listens on every
            interface.
        drain: seconds that it takes to end, at most.
        server_name: the server that it is made for.
        modules: where its Python files are, as seen from *folder*.
        runtime: the managed runtime that has its server with what runs the model; None: the server's usual one.
    """

    folder: Path
    kind: str
    name: str
    rpc_port: Optional[int]
    http_port: int
    ir_optim: bool
    model: str
    onednn: bool = False
    passes: bool = False
    mkl: bool = False
    health_port: Optional[int] = None
    gpu: bool = False
    own_http: bool = True
    drain: float = 30
    server_name: str = PADDLE_SERVING
    modules: str = "."
    runtime: Optional[str] = None
    precision: str = "float32"

    @property
    def server(self) -> Path:
        """The folder of the model that it serves."""
        return (self.folder / self.model).resolve()

    @property
    def module(self) -> str:
        """The module that turns requests into arrays."""
        return MODULES[self.kind][: -len(".py")]


@dataclass(frozen=True)
class Binding:
    """Where a service is to listen. A port of None: there is none."""

    host: str
    http_port: int
    rpc_port: Optional[int] = None
    health_port: Optional[int] = None

    @property
    def ports(self) -> list[int]:
        return [port for port in (self.http_port, self.rpc_port, self.health_port) if port]

    @property
    def near(self) -> str:
        """The address by which this machine reaches it."""
        if self.host in EVERYWHERE:
            return "127.0.0.1"
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def root(self) -> str:
        """Where HTTP is."""
        return f"http://{self.near}:{self.http_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What the programs of a service heed of it, whichever server they are for."""
        return {"SERVICE_HOST": self.host, "SERVICE_HTTP_PORT": str(self.http_port)}


@dataclass(frozen=True)
class Addresses:
    """Where a service is asked.

    Attributes:
        http: form of request → the address that takes it over HTTP; the first one is what people are told. The forms
            are those of :mod:`mconv.serving.servers.requests`.
        rpc: host and port of Paddle Serving's RPC.
        health: the address that answers 200 when it is ready.
    """

    http: Mapping[str, str]
    rpc: Optional[str] = None
    health: Optional[str] = None

    @property
    def form(self) -> str:
        """The form that people are told of."""
        return next(iter(self.http))

    @property
    def predict(self) -> str:
        """Where that one goes."""
        return self.http[self.form]


@dataclass(frozen=True)
class Launch:
    """How a service is started.

    Attributes:
        arguments: what the interpreter of the server's runtime is called with.
        folder: the current folder.
        environment: beside that of the runtime.
        models_in: the managed runtime whose packages run the model, where that is another one; its interpreter is
            ``SERVICE_MODEL_PYTHON``.
    """

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    models_in: Optional[str] = None


@dataclass(frozen=True)
class Model:
    """The model that a service is written around.

    Attributes:
        config: its inputs and outputs as clients see them.
        program: itself; None where only its configuration is known.
        path: its ``serving_server/`` folder, as seen from the service's.
        shapes: input, as clients call it → its smallest, largest and usual shape.
        folder: that ``serving_server/`` folder where it can be read now; None: it is not written yet.
    """

    config: ServingConfig
    program: Optional[Program]
    path: str
    shapes: Shapes = field(default_factory=dict)
    folder: Optional[Path] = None

    @property
    def inputs(self) -> list[ModelInput]:
        """Its inputs, by what clients call them."""
        return inputs_of(self.config, self.program)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Output → its shape, -1 for what is open; empty where it is not known."""
        shapes = {} if self.program is None else {port.name: port.shape for port in self.program.fetches}
        return {var.alias: shapes.get(var.name, ()) for var in self.config.fetches}

    @property
    def ranges(self) -> dict[str, dict[str, list[int]]]:
        """``min``, ``max``, ``opt`` → input, as the program calls it → shape."""
        return {
            which: {var.name: list(self.shapes[var.alias][at]) for var in self.config.feeds}
            for at, which in enumerate(("min", "max", "opt"))
        }


@dataclass(frozen=True)
class Stage:
    """One model of a service of several.

    Attributes:
        service: what comes before and after it, and its notes.
        model: itself.
        options: with what is settled by its program.
    """

    service: Service
    model: Model
    options: ServiceOptions


class Server(Protocol):
    """One server; what is said here is what most have in common.

    Attributes:
        name: what ``--server`` calls it.
        runtime: the managed runtime that has it; empty: there is none, only files are written.
        clients: scripts among its files that ask it: ``http_client.py`` over HTTP, ``rpc_client.py`` over RPC.
        backends: what may run the model in it, by default the first; empty: there is no choice.
        rpc: whether it speaks Paddle Serving's RPC.
        tolerance: how far its answers may be from those of Paddle, absolute and relative; 0: not at all, but for what
            is lost on the way.
        models: the folder of a service of several models that has them, as seen from the service's; empty: it takes one
            model alone.
        early_slice: whether a model of its own is written with :mod:`mconv.passes.early_slice`; Paddle Serving's may be
            told to use a GPU afterwards, where Paddle's passes want each attention whole.
    """

    name: str
    runtime: str = ""
    clients: tuple[str, ...] = ("http_client.py",)
    backends: tuple[str, ...] = ()
    rpc: bool = False
    tolerance: float = 0.0
    models: str = ""
    early_slice: bool = True

    def check(self, options: ServiceOptions) -> None:
        """Refuse options that mean nothing to it.

        Raises:
            UsageError: names the option.
        """

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        """Add the files around the input module, which is there already, to a service that is planned.

        Raises:
            MconvError: the model or the options do not fit.
        """

    def pipeline(self, service: Service, stages: Mapping[str, Stage], options: ServiceOptions) -> None:
        """Add the files around the modules of a service of several models, which are there already, each model's among them.

        Args:
            stages: in the order in which they are run, by their names.

        Raises:
            MconvError: the models or the options do not fit.
        """
        raise UnsupportedError(f"{self.name}: takes one model alone")

    def read(self, folder: Path) -> Optional[FoundService]:
        """The service in a folder; None where there is none of this server.

        Raises:
            NotAModelError: there is one, and its configuration is not what the server reads.
        """

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        """How it is started so that it listens there.

        Raises:
            UsageError: it cannot listen on that address.
        """

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        """Where it is asked then: by the Open Inference Protocol."""
        base = f"{binding.root}/v2"
        return Addresses({OPEN_INFERENCE: f"{base}/models/{service.name}/infer"}, health=f"{base}/health/ready")

    def move(self, service: FoundService, binding: Binding) -> None:
        """Write other ports into the files of a service, for what does not heed :meth:`launch` alone."""
        return


def unusual(options: ServiceOptions, said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Of some options, those that are not the usual: the flag, and what *said* has by the field."""
    usual = ServiceOptions()
    for field_name, text in said.items():
        if getattr(options, field_name) != getattr(usual, field_name):
            yield f"--{field_name.replace('_', '-')}", text


def require_cpu(server: Server, options: ServiceOptions) -> None:
    """Refuse another device.

    Raises:
        UsageError: names it.
    """
    if options.device_type not in (None, 0):
        raise UsageError(f"--device-type {options.device_type}: {server.name} runs models on the CPU", "leave it out")


def kind_in(folder: Path) -> Optional[str]:
    """The kind of the service whose modules are in a folder; None: it has no module for requests."""
    return next((kind for kind, module in MODULES.items() if (folder / module).is_file()), None)


def require_kind(folder: Path) -> str:
    """:func:`kind_in` of what has to be a service.

    Raises:
        FileNotFoundError: it has no such module.
    """
    kind = kind_in(folder)
    if kind is None:
        raise FileNotFoundError(f"none of {', '.join(MODULES.values())}")
    return kind


@contextmanager
def reading(what: str, server: str) -> Iterator[None]:
    """While a service's files are read, whatever is wrong in them.

    Args:
        what: the file or the folder, and what it is not.
        server: the name of the server that it is made for.

    Raises:
        NotAModelError: says that.
    """
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
        SyntaxError,
        RecursionError,
    ) as e:
        first = (str(e).splitlines() or [""])[0]
        named = "" if server == PADDLE_SERVING else f" --server {server}"
        raise NotAModelError(
            f"{what} ({type(e).__name__}: {first})", f"write it again with `mconv scaffold{named}`"
        ) from None

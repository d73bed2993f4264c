"""The host side of a worker: one persistent subprocess of a runtime that runs models on request.

A crash, an abort, a timeout or an out-of-memory kill of the subprocess is a :class:`WorkerError`; the next
request gets a fresh process.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Optional, Union

import numpy as np

from mconv import budget, watch
from mconv.errors import LimitError, RuntimeFailedError, UnsupportedError, UsageError
from mconv.program.program import Op, Program
from mconv.runtimes.frames import kill_session, read_frame, write_frame
from mconv.runtimes.memory import HINT, says_out_of_memory

if TYPE_CHECKING:
    from mconv.runtimes.runtime import Runtime

Feed = Mapping[str, np.ndarray]
_OWN = 1 << 30  # bytes that Paddle itself may take
_PAUSE = 0.1  # seconds between two looks at what it takes
SCRIPT = Path(__file__).with_name("worker_main.py")


class WorkerError(RuntimeFailedError):
    """A model could not be loaded or run in a runtime.

    Attributes:
        stage: ``load`` or ``run``; ``start`` when the process did not come up.
        signal: name of the signal that killed the process (``SIGSEGV``), or None.
        timed_out: whether mconv killed it for taking too long.
        log: what the runtime printed.
    """

    def __init__(
        self,
        message: str,
        hint: Optional[str] = None,
        *,
        stage: str,
        signal: Optional[str] = None,
        timed_out: bool = False,
        log: str = "",
    ):
        super().__init__(message, hint)
        self.stage = stage
        self.signal = signal
        self.timed_out = timed_out
        self.log = log


@dataclass(frozen=True)
class RunResult:
    """What a model answered.

    Attributes:
        outputs: per input set, the outputs in the order of *names*; bfloat16 as its uint16 bits.
        names: the outputs' names, those asked for with ``fetch`` last.
        dtypes: per input set, Paddle's name of each output's type (``bfloat16`` is told apart here).
        version: the Paddle that ran it.
        engine: ``predictor`` or ``executor``, whichever ran it.
        load_seconds: time to load the model (0 when the worker still had it).
        seconds: per input set, time of the run.
    """

    outputs: list[list[np.ndarray]]
    names: list[str]
    dtypes: list[list[str]]
    version: str
    engine: str
    load_seconds: float
    seconds: list[float]


@dataclass(frozen=True)
class Observed:
    """The tensors of a program's main block after one run.

    Attributes:
        shapes: name → shape; ``()`` for a scalar, where the Paddle has such.
        numbers: name → the elements of small integer tensors, flat.
    """

    shapes: dict[str, tuple[int, ...]]
    numbers: dict[str, list[int]]


_NOISE = re.compile(r"-{3,}|\*{3}|\[Hint|\[TimeInfo|\[SignalInfo|\[operator|\(at |$")
_FRAME = re.compile(r"^\d+ +(\S[^\n(]*)", re.MULTILINE)


def last_words(log: str) -> str:
    """The one line of a Paddle message or log that says what went wrong; empty if there is none.

    Knows Paddle's three forms: a block headed ``Error Message Summary:``, the text of an exception
    (``ValueError: (InvalidArgument) …``, details below it) and the report of a fatal signal, of which the
    innermost C++ frame is added. Of anything else it is the last line.
    """
    summary = log.rpartition("Error Message Summary:")[2]
    lines = [line.strip() for line in summary.splitlines() if not _NOISE.match(line.strip())]
    if not lines:
        return ""
    stated = len(summary) < len(log)
    # Paddle 2 puts the Python that made the operator before its reason
    errors = [x for x in lines if re.match(r"\w*(Error|Exception): ", x) and not x.endswith("In user code:")]
    line = lines[0] if stated else next(iter(errors), lines[-1])
    line = re.sub(r"\s*\(at [^()]*:\d+\)$", "", line)
    operator = re.search(r"\[operator < (\w+) > error\]", summary)
    frames = _FRAME.findall(log) if "is detected by the operating system" in line else []
    if operator:
        line += f" (operator {operator[1]})"
    elif frames:
        line += f" (in {frames[-1].strip()})"
    return line


class Worker:
    """Runs models in a runtime; see :meth:`run`. Use as a context manager, or call :meth:`close`.

    Args:
        runtime: where to run.
        threads: threads that Paddle and its libraries may use; 1 makes results repeatable.
        start_timeout: seconds until the process must have answered for the first time.
    """

    script = SCRIPT

    def __init__(self, runtime: Runtime, *, threads: int = 1, start_timeout: float = 180):
        self.runtime = runtime
        self.threads = threads
        self.start_timeout = start_timeout
        self.starts = 0  # processes started so far
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._log: Optional[BinaryIO] = None
        self._scratch: Optional[tempfile.TemporaryDirectory[str]] = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """End the subprocess; the worker can be used again afterwards."""
        process, self._process = self._process, None
        if process is not None:
            kill_session(process)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):  # the unread request of a process that died
                        stream.close()
            process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def version(self) -> str:
        """The version of Paddle in the runtime.

        Raises:
            WorkerError: it cannot be imported there.
        """
        header, _ = self._ask({"command": "version"}, [], self.start_timeout, "start", "import paddle")
        return header["version"]

    def run(
        self,
        program: Union[str, Path],
        params: Union[str, Path, None],
        inputs: Union[Feed, Sequence[Feed]],
        *,
        ir_optim: bool = True,
        onednn: Optional[bool] = None,
        memory_optim: bool = False,
        passes: Sequence[str] = (),
        onednn_except: Sequence[str] = (),
        precision: Optional[Literal["int8", "bfloat16"]] = None,
        engine: Literal["auto", "predictor", "executor"] = "auto",
        fetch: Optional[Sequence[str]] = None,
        lods: Optional[Mapping[str, int]] = None,
        timeout: float = 300,
    ) -> RunResult:
        """Load a model (unless it is the one loaded last, unchanged) and run it on one or several input sets.

        Args:
            program: ``.pdmodel``, ``__model__`` or, for Paddle 3, ``.json``.
            params: the combined parameters; None when they are separate files beside the program.
            inputs: name → array, or a list of those; shapes may differ between the sets.
            ir_optim: whether Paddle may optimise the graph.
            onednn: whether Paddle may use oneDNN; None = as it is by default in that version.
            memory_optim: whether Paddle may reuse buffers.
            passes: passes of Paddle Inference that are appended to its own.
            onednn_except: types of operators that oneDNN is not used for.
            precision: what oneDNN computes in where it can, with *onednn*: ``int8`` needs a quantised program and Paddle
                2.5 or later, ``bfloat16`` a processor that has it.
            engine: ``predictor`` is Paddle Inference, what servers use; ``executor`` runs the graph as it is
                and takes every type of tensor; ``auto`` is the Predictor unless it cannot pass a type in or
                out (2.3 knows four types of input). The result names the one that ran.
            fetch: more variables of the main block to return, after the model's own outputs. They keep the
                fusions from removing them, so the graph that runs is not quite the one without them.
            lods: input → how many levels of LoD it is given: its rows are two sequences laid end to end, or more.
            timeout: seconds for loading and running.

        Raises:
            UsageError: *fetch* names a variable that the program does not have, or no input set is given.
            UnsupportedError: *fetch* with a ``.json`` program.
            WorkerError: the runtime refused, crashed or took too long.
            LimitError: it takes more memory than :func:`mconv.budget.running` says.
        """
        sets = [inputs] if isinstance(inputs, Mapping) else list(inputs)
        if not sets:
            raise UsageError("there is no input set to run the model on")
        program = Path(program).absolute()
        params = None if params is None else Path(params).absolute()
        with tempfile.TemporaryDirectory(prefix="mconv-fetch-") as scratch:
            target = _with_fetches(program, params, list(fetch), Path(scratch)) if fetch else program
            model = {
                "program": str(target),
                "params": None if params is None else str(params),
                "stamps": [_stamp(program), None if params is None else _stamp(params), list(fetch or ())],
                "ir_optim": ir_optim,
                "onednn": onednn,
                "memory_optim": memory_optim,
                "passes": list(passes),
                "onednn_except": list(onednn_except),
                "precision": precision,
                "threads": self.threads,
                "lods": dict(lods or {}),
            }
            arrays = [np.asarray(a) for feed in sets for a in feed.values()]
            request = {"command": "run", "model": model, "engine": engine, "sets": [list(feed) for feed in sets]}
            header, flat = self._ask(request, arrays, timeout, "load", str(program))
        names = header["names"]
        count = len(names)
        return RunResult(
            outputs=[flat[i * count : (i + 1) * count] for i in range(len(sets))],
            names=names,
            dtypes=header["dtypes"],
            version=header["version"],
            engine=header["engine"],
            load_seconds=header["load_seconds"],
            seconds=header["seconds"],
        )

    def shapes(
        self,
        program: Union[str, Path],
        params: Union[str, Path, None],
        sets: Sequence[Feed],
        *,
        most: int = 0,
        timeout: float = 300,
    ) -> list[Observed]:
        """Run a ``.pdmodel`` in the Executor, as it is, and look at the tensors of its main block.

        Args:
            program, params: as for :meth:`run`.
            sets: input sets, name → array.
            most: integer tensors of up to so many elements are returned, too.
            timeout: seconds for loading and running.

        Returns:
            per input set, what was found.

        Raises:
            UsageError: there is no such file.
            UnsupportedError: a ``.json`` program, whose values have no names.
            WorkerError: the runtime refused, crashed or took too long.
        """
        program = Path(program).absolute()
        params = None if params is None else Path(params).absolute()
        if program.suffix == ".json":
            raise UnsupportedError(
                f"{program}: the values inside a .json program have no names", "make a .pdmodel: mconv downgrade"
            )
        model = {
            "program": str(program),
            "params": None if params is None else str(params),
            "stamps": [_stamp(program), None if params is None else _stamp(params)],
        }
        arrays = [np.asarray(a) for feed in sets for a in feed.values()]
        request = {"command": "shapes", "model": model, "engine": "executor", "most": most}
        request["sets"] = [list(feed) for feed in sets]
        header, _ = self._ask(request, arrays, timeout, "load", str(program))
        return [
            Observed({name: tuple(shape) for name, shape in shapes.items()}, numbers)
            for shapes, numbers in zip(header["shapes"], header["numbers"])
        ]

    def log_of_loading(
        self,
        program: Path,
        params: Optional[Path],
        *,
        onednn: Optional[bool] = None,
        passes: Sequence[str] = (),
        precision: Optional[Literal["int8", "bfloat16"]] = None,
        timeout: float = 300,
    ) -> str:
        """What the Predictor logs while it loads a model; see :meth:`run` for the arguments.

        Raises:
            WorkerError: the runtime refused, crashed or took too long.
        """
        program = Path(program).absolute()
        params = None if params is None else Path(params).absolute()
        model = {
            "program": str(program),
            "params": None if params is None else str(params),
            "stamps": [_stamp(program), None if params is None else _stamp(params), []],
            "ir_optim": True,
            "onednn": onednn,
            "memory_optim": False,
            "passes": list(passes),
            "precision": precision,
            "threads": self.threads,
            "log": True,
        }
        request = {"command": "run", "model": model, "engine": "predictor", "sets": []}
        self._ask(request, [], timeout, "load", str(program))
        return self._read_log()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # appended to, so that truncating it between requests is safe
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed with the process
        # the process is killed in the end and cannot tidy up after itself
        self._scratch = tempfile.TemporaryDirectory(prefix="mconv-worker-")
        self._process = subprocess.Popen(
            [str(self.runtime.python), str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self.runtime.environ(
                OMP_NUM_THREADS=str(self.threads), MKL_NUM_THREADS=str(self.threads), TMPDIR=self._scratch.name
            ),
            start_new_session=True,  # so that a timeout ends everything it started
        )
        self.starts += 1
        return self._process

    def _ask(
        self, request: dict[str, Any], arrays: list[np.ndarray], timeout: float, stage: str, what: str
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        process = self._start()
        assert process.stdin is not None and process.stdout is not None and self._log is not None
        self._log.truncate(0)
        expired, answered = threading.Event(), threading.Event()
        beyond: list[LimitError] = []
        allowed, deadline = budget.running() + _OWN, time.monotonic() + timeout
        outgrown = budget.outgrown(f"{self.runtime.label} on {what}")

        def watched() -> None:
            while not answered.wait(_PAUSE):
                if time.monotonic() > deadline:
                    expired.set()
                elif watch.resident(process.pid) > allowed:
                    beyond.append(outgrown)
                else:
                    continue
                kill_session(process)
                return

        threading.Thread(target=watched, name="mconv: worker", daemon=True).start()
        try:
            write_frame(process.stdin, request, arrays)
            answer = read_frame(process.stdout)
            while answer is not None and answer[0].get("event") == "loaded":
                stage = "run"
                answer = read_frame(process.stdout)
        except BrokenPipeError:
            answer = None
        except BaseException:
            self.close()  # interrupted in the middle of a frame: the stream is of no more use
            raise
        finally:
            answered.set()
        if answer is None and beyond:
            self.close()
            raise beyond[0]
        if answer is None:
            raise self._obituary(process, expired.is_set(), timeout, stage, what)
        header, values = answer
        if not header["ok"]:
            stage = header["stage"]
            cause = header["error"].strip() if header["kind"] == "input" else last_words(header["error"])
            verb = "load" if stage == "load" else "run"
            short = says_out_of_memory(header["error"])
            raise WorkerError(
                f"{self.runtime.label} ran out of memory on {what}: {cause}"
                if short
                else f"{self.runtime.label} cannot {verb} {what}: {cause}",
                HINT if short else None,
                stage="run" if short else stage,
                log=self._read_log() + header["error"],
            )
        return header, values

    def _obituary(
        self, process: subprocess.Popen[bytes], expired: bool, timeout: float, stage: str, what: str
    ) -> WorkerError:
        code = process.wait()
        log = self._read_log()
        self.close()
        name = self.runtime.label
        if expired:
            return WorkerError(
                f"{name} did not finish {what} within {timeout:g} s and was stopped",
                "allow more time with --timeout, or try a smaller input",
                stage=stage,
                timed_out=True,
                log=log,
            )
        words = last_words(log)
        if code == -signal.SIGKILL or code < 0 and says_out_of_memory(log):
            killer = signal.Signals(-code).name
            text = f"{name} ran out of memory on {what}: {words}"
            if killer == "SIGKILL":
                text = f"{name} was ended by the system on {what}: most likely it ran out of memory ({killer})"
            return WorkerError(text, HINT, stage=stage, signal=killer, log=log)
        said = f": {words}" if words else ""
        if code >= 0:
            return WorkerError(f"{name} ended with status {code} on {what}{said}", stage=stage, log=log)
        try:
            killer = signal.Signals(-code).name
        except ValueError:
            killer = f"signal {-code}"
        return WorkerError(f"{name} crashed with {killer} on {what}{said}", stage=stage, signal=killer, log=log)

    def _read_log(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    return [stat.st_mtime_ns, stat.st_size, stat.st_ino]


def _with_fetches(program: Path, params: Optional[Path], names: list[str], scratch: Path) -> Path:
    """Write a copy of the program that also fetches *names*; returns its path."""
    if program.suffix == ".json":
        raise UnsupportedError(f"{program}: internal variables of a .json program cannot be fetched")
    copy = Program.from_bytes(program.read_bytes(), str(program))
    lists = [op.output("Out")[0] for op in copy.main.ops if op.type == "fetch"]
    unknown = [n for n in names if n not in copy.main.vars]
    if unknown or not lists:
        raise UsageError(
            f"{program}: there is no variable {', '.join(unknown)}" if unknown else f"{program}: fetches nothing"
        )
    first = len(copy.fetches)
    template = next(op for op in copy.main.ops if op.type == "fetch")
    for col, name in enumerate(names, first):
        op = Op(type(template.desc)())
        op.desc.CopyFrom(template.desc)
        op.set_input("X", [name])
        for attr in op.desc.attrs:
            if attr.name == "col":
                attr.i = col
        copy.main.ops.append(op)
    target = scratch / "__model__"
    target.write_bytes(copy.to_bytes())
    if params is None:  # separate parameters are looked for beside the program
        for entry in program.parent.iterdir():
            if entry.name != "__model__" and entry != program:
                (scratch / entry.name).symlink_to(entry)
    return target

"""The host side of a worker: one persistent subprocess of a runtime that runs models on request.

A crash, an abort, a timeout or an out-of-memory kill of the subprocess is a :class:`WorkerError`; the next
request gets a fresh process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Optional, Union

import numpy as np

from mconv.errors import UnsupportedError, UsageError
from mconv.program.program import Op, Program
from mconv.runtimes.outcome import Observed, RunResult
from mconv.runtimes.worker_process import WorkerProcess

Feed = Mapping[str, np.ndarray]


class Worker(WorkerProcess):
    """Runs models in a runtime; see :meth:`run`. Use as a context manager, or call :meth:`close`."""

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
        reads: bool = False,
        most: int = 0,
        lods: Optional[Mapping[str, int]] = None,
        timeout: float = 300,
    ) -> list[Observed]:
        """Run a ``.pdmodel`` in the Executor, as it is, and look at the tensors of its main block. The sets are run one
        after the other in the same scope: what a run does not write is as the one before left it.

        Args:
            program, params: as for :meth:`run`.
            sets: input sets, name → array.
            reads: look at what each operator reads, before it runs; else at what there is after the run.
            most: integer tensors of up to so many elements are returned, too.
            lods: as for :meth:`run`.
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
            "lods": dict(lods or {}),
        }
        arrays = [np.asarray(a) for feed in sets for a in feed.values()]
        request = {"command": "shapes", "model": model, "engine": "executor", "reads": reads, "most": most}
        request["sets"] = [list(feed) for feed in sets]
        header, _ = self._ask(request, arrays, timeout, "load", str(program))
        return [Observed(*map(_samples, found)) for found in zip(header["shapes"], header["numbers"])]

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
        return self.log()


def _samples(found: Mapping[str, Sequence[tuple[Sequence[int], int]]]) -> dict[str, list[tuple[tuple[int, ...], int]]]:
    return {name: [(tuple(sizes), times) for sizes, times in seen] for name, seen in found.items()}


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

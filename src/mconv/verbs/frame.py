"""The frame of a conversion: open → produce → write → prove → report. A verb says how it opens, produces and proves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Generic, Optional, TypeVar

from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording
from mconv.artifacts.recorded import Output
from mconv.errors import MconvError
from mconv.options.proving import Converting, Proving
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.stored import read_program
from mconv.proof.attempt import proved
from mconv.proof.report import Report, failure, keep, versions
from mconv.proof.verdict import FAILED, NOT_DONE, Proof
from mconv.verbs import halving
from mconv.verbs.produced import Produced, Written

_Report = TypeVar("_Report", bound=Report)


class Frame(Output, Generic[_Report]):
    """One conversion that is proved: what :meth:`prove` found decides whether its files go where they are wanted, or to
    where failed ones are kept.

    Attributes:
        report: of the conversion, with the versions from the beginning.
        files: program and parameters, of a model of Paddle.
    """

    _failed: Callable[[], MconvError]  # makes the error of a proof that failed

    def __init__(self, report: _Report, chosen: Proving, destination: Destination, start: Optional[float] = None):
        super().__init__(destination, force=chosen.force)
        self.report, self.chosen = report, chosen
        self.start = time.perf_counter() if start is None else start
        self.report.versions = {**versions(), **report.versions}
        self.files: Optional[tuple[Path, Optional[Path]]] = None
        self.program: Optional[Program] = None
        self.proof = Proof(NOT_DONE)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Say in the report how long the block took."""
        start = time.perf_counter()
        yield
        self.report.seconds[name] = time.perf_counter() - start

    def since_start(self, name: str) -> None:
        """Say in the report how long all took until now."""
        self.report.seconds[name] = time.perf_counter() - self.start

    @contextlib.contextmanager
    def opened(
        self, protect: Iterable[Optional[PathLike]] = (), recording: Optional[Recording] = None
    ) -> Iterator[Path]:
        """As of all that is made; the inputs to verify with are not overwritten either.

        Raises:
            VerificationError, RuntimeFailedError: the proof failed; the files are in ``destination.failed``.
            OutputExistsError, UsageError: the output cannot be written there.
        """
        with super().opened([*protect, self.chosen.feeds_file], recording) as folder:
            yield folder

    def write(self, made: Produced) -> tuple[Path, Path]:
        """Write a model of Paddle; returns program and parameters."""
        with self.phase("write"):
            files = self.write_model(made.program, made.params.items())
        self.wrote(*files, made.program)
        return files

    def wrote(self, program: Path, params: Optional[Path], held: Optional[Program]) -> None:
        """Say in the report which files of a model of Paddle were written; *held* is the program, where it is at hand."""
        self.files = program, params
        self.program = held if held is not None and held.parameters else None  # else it got one in its file
        self.report.wrote(self.destination, program, params)

    def prove(
        self,
        proof: Callable[[], Proof],
        *,
        advice: str = "",
        failing: Callable[[Proof, Path, Report, str], MconvError] = failure,
    ) -> None:
        """Run the proof, if one is wanted; where what it takes is not there, it is not done, unless it was asked for.

        Args:
            advice: what to do where it fails.
            failing: makes the error then; told where the files are.

        Raises:
            RuntimeUnavailableError, MissingDependencyError: it was asked for.
        """
        self._failed = lambda: failing(self.proof, self.destination.failed, self.report, advice)
        if self.chosen.verify is not False:
            self.proof = proved(proof, must=self.chosen.must_verify)
        self.report.add_proof(self.proof, self.chosen.feeds_option())

    def _finish(self, *, failed: bool = False) -> None:
        failed = self.proof.status == FAILED
        chosen = self.chosen
        if not failed and isinstance(chosen, Converting) and chosen.half is not None and self.files is not None:
            halving.apply(*self.files, chosen, self.report)
            self.rewritten("half", chosen.half, *self.files)
            self.program = None
        super()._finish(failed=failed)
        self.report.finish(self.start)
        if failed:
            keep(self.folder, self.destination.failed, self.report)
            raise self._failed()
        self.report.write(self.folder)

    def written(self) -> Written:
        """The model, after :meth:`opened` has ended."""
        assert self.files is not None and self.recording is not None
        program = read_program(self.files[0]) if self.program is None else self.program
        return Written(program, self.folder, self.recording)

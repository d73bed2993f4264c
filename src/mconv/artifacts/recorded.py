"""The output of one command: its files, made apart and put where they are wanted, with the record of what they are made of."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording
from mconv.program.params import TensorSource
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.stored import params_name


class Output:
    """The files of one command, and the record of what they are made of. They are made in the context :meth:`opened`; when
    that ends as it should, all of them are where they are wanted, else none is.

    Attributes:
        destination: where the files go.
        force: whether they replace what is there.
        folder: where they are made.
        recording: of what they are made; None where that is not recorded.
        copies: name of a file → the source that it is an exact copy of.
    """

    folder: Path

    def __init__(self, destination: Destination, *, force: bool):
        self.destination, self.force = destination, force
        self.recording: Optional[Recording] = None
        self.copies: dict[str, PathLike] = {}
        self._stack = contextlib.ExitStack()

    def check(self, protect: Iterable[Optional[PathLike]] = ()) -> None:
        """Refuse, before what takes long, what :meth:`opened` would refuse.

        Raises:
            OutputExistsError, UsageError: the output cannot be written there.
        """
        self.destination.check(force=self.force, protect=[p for p in protect if p is not None])

    @contextlib.contextmanager
    def opened(
        self, protect: Iterable[Optional[PathLike]] = (), recording: Optional[Recording] = None
    ) -> Iterator[Path]:
        """The folder to make the files in.

        Args:
            protect: what must not be overwritten, beside the sources of the *recording*.
            recording: of what they are made, if that is known by now.

        Raises:
            OutputExistsError, UsageError: the output cannot be written there.
        """
        sources = [p for p in protect if p is not None] + ([] if recording is None else recording.paths)
        with self._stack:
            if recording is not None:
                self.record(recording)
            self.folder = self._stack.enter_context(self.destination.opened(force=self.force, protect=sources))
            yield self.folder
            self._finish()

    def model_files(self, name: str = "inference") -> tuple[Path, Path]:
        """Where :meth:`write_model` of that *name* will have put program and parameters."""
        return self.destination.final(Path(f"{name}.pdmodel")), self.destination.final(Path(params_name(name)))

    def record(self, recording: Recording) -> Recording:
        """Begin the provenance; its sources are hashed meanwhile."""
        self.recording = self._stack.enter_context(recording)
        return recording

    def write_model(
        self, program: Program, params: Iterable[tuple[str, TensorSource]], name: str = "inference"
    ) -> tuple[Path, Path]:
        """Write a model of Paddle, see :func:`mconv.program.stored.write_model`; returns program and parameters."""
        assert self.recording is not None
        return self.recording.write_model(program, params, self.folder, name)

    def rewritten(self, option: str, value: Any, *paths: Optional[Path]) -> None:
        """Say that what an option asks for has changed files after they were written."""
        assert self.recording is not None
        self.recording.options[option] = value
        self.recording.rewritten(*paths)

    def _finish(self, *, failed: bool = False) -> None:
        """Write the record; files that *failed* will be a folder of their own."""
        if self.recording is not None:
            covered = None if failed else self.destination.covered(self.folder)
            self.recording.write(self.folder, name=self.destination.record, files=covered, copies=self.copies)

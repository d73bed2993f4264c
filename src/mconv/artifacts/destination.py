"""Where a conversion's files go: a folder of their own, files beside others, or a folder of somebody's unfinished output."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mconv.artifacts import provenance
from mconv.artifacts.output import check, staged, staged_many
from mconv.errors import UsageError
from mconv.program.paths import PathLike

REPORT = "report.json"
FAILED_SUFFIX = ".failed-verification"


@dataclass(frozen=True)
class Destination:
    """Where the files will be.

    Attributes:
        folder: that they will lie in.
        failed: the folder that gets them where they fail their proof.
        files: name of a file as it is made → where it will be; empty where *folder* and all in it is the output.
        record: what the provenance is called as it is made, which is its name where it failed.
        inside: an unfinished folder in which they are made, and which somebody else puts in place.
    """

    folder: Path
    failed: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    record: str = provenance.NAME
    inside: Optional[Path] = None

    @classmethod
    def of_folder(cls, path: PathLike) -> Destination:
        """A folder of their own.

        Raises:
            UsageError: the path has no name.
        """
        path = Path(path)
        path = path if path.name else Path(os.path.abspath(path))  # `.`, which `opened` refuses
        if not path.name:
            raise UsageError(f"{path} cannot be replaced", "name a new folder in it")
        return cls(path, path.with_name(path.name + FAILED_SUFFIX))

    @classmethod
    def of_files(cls, paths: Sequence[Path]) -> Destination:
        """Files among others, each on its own, under their own names.

        Raises:
            UsageError: a path has no name.
        """
        for path in paths:
            if not path.name:
                raise UsageError(f"{os.path.abspath(path)} is a folder", "name a new file in it")
        return cls(
            paths[0].parent, paths[0].with_name(paths[0].name + FAILED_SUFFIX), {path.name: path for path in paths}
        )

    @classmethod
    def beside(cls, folder: Path, stem: str, models: Mapping[str, str]) -> Destination:
        """Files among others, with ``STEM.report.json`` and ``STEM.provenance.json``.

        Args:
            models: name of a file as it is made → its name in *folder*; the first one decides in a race of two runs.
        """
        final = f"{stem}.{provenance.NAME}"
        record = final if all(made == name for made, name in models.items()) else provenance.NAME
        names = {**models, REPORT: f"{stem}.{REPORT}", record: final}
        files = {made: folder / name for made, name in names.items()}
        return cls(folder, folder / (stem + FAILED_SUFFIX), files, record)

    def final(self, made: Path) -> Path:
        """Where a file that was made will be."""
        return self.files.get(made.name, self.folder / made.name)

    def check(self, *, force: bool = False, protect: Iterable[PathLike] = ()) -> None:
        """Refuse, before what takes long, what :meth:`opened` would refuse.

        Raises:
            OutputExistsError, UsageError: see :func:`mconv.artifacts.output.staged`.
        """
        if self.inside is None:
            check(list(self.files.values()) or [self.folder], force=force, file=bool(self.files), protect=protect)

    @contextlib.contextmanager
    def opened(self, *, force: bool = False, protect: Iterable[PathLike] = ()) -> Iterator[Path]:
        """An empty folder to make the files in, which go where they belong when the block ends as it should.

        Raises:
            OutputExistsError, UsageError: see :func:`mconv.artifacts.output.staged`.
        """
        if self.inside is not None:
            self.inside.mkdir()
            yield self.inside
        elif not self.files:
            with staged(self.folder, force=force, protect=protect) as folder:
                yield folder
        else:
            finals = list(self.files.values())
            with staged_many(finals, force=force, file=True, protect=protect) as paths:
                folder = paths[0].parent / "made"
                folder.mkdir()
                yield folder
                for name, path in zip(self.files, paths):
                    (folder / name).rename(path)
                folder.rmdir()

    def covered(self, folder: Path) -> Optional[dict[str, Path]]:
        """Final name → path in *folder* of what the provenance covers; None: all that is there."""
        if not self.files:
            return None
        others = (REPORT, self.record)
        return {final.name: folder / made for made, final in self.files.items() if made not in others}

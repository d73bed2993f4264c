"""``mconv scaffold``: a service around one model, or, with ``--pipeline``, around several."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mconv.artifacts.described import NAME as DESCRIPTION
from mconv.artifacts.output import staged
from mconv.errors import NotAModelError, UsageError
from mconv.options.service import Scaffold
from mconv.options.serving import ToServing
from mconv.program.copying import copy_file
from mconv.program.files import load_program, locate
from mconv.program.paths import PathLike
from mconv.serving import configure, ocr
from mconv.serving import scaffold as room
from mconv.serving.kinds import OCR, Written
from mconv.verbs.to_serving import to_serving

SERVER = "serving_server"


def scaffold(chosen: Scaffold) -> Written:
    """Write a service.

    Raises:
        NotAModelError: a source is no model, or, of a single one, no ``serving_server/`` folder.
        MconvError: see :func:`mconv.serving.scaffold.plan` and :func:`mconv.serving.ocr.plan`.
        OutputExistsError: the service's folder is there already.
    """
    sources = [chosen.path] if isinstance(chosen.path, (str, os.PathLike)) else list(chosen.path)
    if chosen.pipeline is None:
        if len(sources) != 1:
            raise UsageError(f"{len(sources)} folders for one service", "--pipeline ocr makes one of several models")
        return room.scaffold(sources[0], chosen.out, room.options_from(chosen.said()), force=chosen.force)
    sources, out = _parted(sources, chosen.out)
    options = room.options_from({"name": OCR, **chosen.said()})
    models = ocr.models_of(options)
    with staged(out, force=chosen.force, protect=sources) as folder:
        found: dict[str, ocr.Source] = {}
        for source in sources:
            server = _prepared(Path(source), folder / models)
            stage, read = ocr.read(os.fspath(source), server)
            if stage in found:
                raise UsageError(f"{found[stage].name} and {read.name} are both of the stage {stage}", "name one")
            server.rename(server.parent / stage)
            found[stage] = read
        service = ocr.plan(found, options)
        service.write(folder)
    return service.written(out, options)


def _parted(sources: Sequence[PathLike], out: Optional[PathLike]) -> tuple[list[PathLike], Path]:
    """The models, and the folder of the service: where it is not named, the last path, unless that is a model."""
    found = list(sources)
    if out is None and len(found) > 1 and not _is_model(Path(found[-1])):
        out = found.pop()
    return found, Path(os.path.realpath(found[0])).parent / "service" if out is None else Path(out)


def _is_model(path: Path) -> bool:
    return any((folder / DESCRIPTION).is_file() for folder in (path, path / SERVER)) or path.is_file()


def _prepared(source: Path, folder: Path) -> Path:
    """A ``serving_server/`` folder in *folder* of a model, or of such a folder, or of one that has it."""
    made = folder / "made"
    ready = next((p for p in (source, source / SERVER) if (p / configure.SERVER_TEXT).is_file()), None)
    if ready is None:
        if not source.exists():
            raise NotAModelError(f"{source}: no such file or folder")
        to_serving(ToServing(path=source, out=made))
        server = made / SERVER
        server.rename(folder / "model")
        shutil.rmtree(made)
        return folder / "model"
    load_program(locate(ready))  # refuses what is none
    made.mkdir(parents=True)
    for entry in sorted(ready.iterdir()):
        if entry.is_file():
            copy_file(entry, made / entry.name)
    return made

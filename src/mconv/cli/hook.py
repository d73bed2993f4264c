"""The pre-commit hook: ``python -m mconv.cli.hook FILE...`` inspects the models that the files belong to.

pre-commit hands over the changed files of a commit; several of them may be one model (``x.pdmodel``, ``x.pdiparams``).
One line for each model that is not sound. See ``.pre-commit-hooks.yaml``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from mconv.errors import CorruptModelError, MconvError
from mconv.printable import printable

_LFS = b"version https://git-lfs"


def models(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Program file → which of *files* belong to it, in order; ``.json`` files that are no model are left out."""
    found: dict[Path, list[Path]] = {}
    for file in files:
        if file.suffix == ".pdiparams":
            beside = [file.with_suffix(suffix) for suffix in (".pdmodel", ".json")]
            program = next((p for p in beside if p.exists()), file)
        elif file.suffix == ".json" and not file.with_suffix(".pdiparams").exists():
            continue
        elif file.name == "__params__":
            program = file.with_name("__model__")
        else:
            program = file
        found.setdefault(program, []).append(file)
    return found


def main(arguments: Sequence[str]) -> int:
    """Inspect; returns 0, or the exit code of the first model that is not sound."""
    from mconv import api

    code = 0
    for model, files in models(map(Path, arguments)).items():
        try:
            for file in files:
                _not_a_pointer(file)
            api.inspect(model)
        except MconvError as error:
            code = code or error.exit_code
            where = "" if error.message.startswith(str(model)) else f"{model}: "
            sys.stderr.write(printable(where + error.message) + "\n")
            if error.hint:
                sys.stderr.write(f"  hint: {printable(error.hint)}\n")
    return code


def _not_a_pointer(file: Path) -> None:
    with file.open("rb") as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise CorruptModelError(f"{file} is a Git LFS pointer, not the file itself", "git lfs pull")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

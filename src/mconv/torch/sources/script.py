"""TorchScript archives: ``torch.jit.save``."""

from __future__ import annotations

import functools
import re
import warnings
from pathlib import Path

from mconv.errors import CorruptModelError, LimitError, UntrustedError
from mconv.factory.inputs import Input, known
from mconv.printable import printable
from mconv.program import pickles
from mconv.torch.sources import script_code, stored
from mconv.torch.sources.archive import TRUST_HINT, Archive
from mconv.torch.sources.forms import Form
from mconv.torch.sources.inputs import from_layer, rows
from mconv.torch.sources.source import Source, import_torch, reading

# what the pickles of an archive name: classes of its own code, and what torch's reader builds tensors and lists with
_NAMES = re.compile(
    r"__torch__\.(?!torch\.classes\.(?!quantized\.)).+|collections\.OrderedDict"
    r"|torch\.jit\._pickle\.(build_(int|double|bool|tensor)list|build_tensor_from_id|restore_type_tag)"
    r"|torch\._utils\.(_rebuild_tensor_v2|_rebuild_qtensor)|torch\.(device|Size|\w+Storage)"
    r"|torch\.(per_(tensor|channel)_(affine|symmetric)(_float_qparams)?|strided|[a-z]+\d*x?\d*|c(float|double))"
)


def open_script(path: Path, *, trust: bool) -> Source:
    """The module of a TorchScript archive, which is interpreted by torch and has no access to Python.

    Raises:
        UntrustedError: it holds or calls what a model has no need of, and *trust* is not given.
        CorruptModelError: it is damaged, or of a version that this torch does not read.
        LimitError: it unfolds to far more than it is.
    """
    torch = import_torch()
    if not trust:
        _check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = reading(lambda: torch.jit.load(path, map_location="cpu"), path, trust=trust)
            arguments = module.forward.schema.arguments[1:]
    except LimitError:
        raise
    except Exception as e:  # noqa: BLE001 - torch's reader raises nearly every class on damaged archives
        raise CorruptModelError(f"{path}: cannot be read as TorchScript ({_first(e)})") from None
    label = getattr(module, "original_name", None) or "the TorchScript module"
    source = Source(Form.SCRIPT, label, module, positional=True, native=True, confined=not trust, files=[path])
    tensors = [a for a in arguments if str(a.type) == "Tensor"]
    required = [a.name for a in tensors if not a.has_default_value()]
    source.facts["arguments"] = [f"{a.name}: {a.type}" for a in arguments]
    guessed = [known(n) for n in required]
    if len(required) == 1 and guessed[0] is None:
        guessed = [from_layer(required[0], module)]
    inputs = [one for one in guessed if one is not None]
    if len(inputs) == len(guessed):
        source.inputs = [Input(i.name, i.dtype, i.dims, rows(i, module)) for i in inputs]
        source.guessed = True
    return source


def _check(path: Path) -> None:
    """Raises UntrustedError for an archive that is more than tensors and code that computes with them."""
    with Archive(path, Form.SCRIPT) as archive:
        code = {n: archive.read(n) for n in archive.records if n.startswith("code/") and n.endswith(".py")}
        try:
            wrong = script_code.check(code, _registered())
        except LimitError as e:
            raise LimitError(f"{path}: its code: {e.message}", e.hint) from None
        if wrong is not None:
            raise UntrustedError(f"{path}: its code ({printable(wrong, 200)})", TRUST_HINT)
        for name in archive.records:
            # (what it was traced with is not read, and its tensors are not in the file)
            if name.endswith((".pkl", ".debug_pkl")) and name != "traced_inputs.pkl":
                _follow(archive, name)


def _follow(archive: Archive, name: str) -> None:
    """Follow one pickle: torch's reader in C++ trusts every number in it."""

    def named(full: str) -> None:
        if not _NAMES.fullmatch(full):
            raise UntrustedError(f"{archive.path}: {name} names {printable(full, 120)}", TRUST_HINT)

    folder = name.rpartition(".")[0]
    reader = stored.Reader(lambda key: archive.size(f"{folder}/{key}"), named, by_name=True)
    try:
        reader.walk(archive.read(name))
    except pickles.Damaged as e:
        raise stored.damaged(f"{archive.path}: {name}", e) from None


@functools.cache
def _registered() -> frozenset[str]:
    """The operators that torch has, by the names that a tensor has them under."""
    torch = import_torch()
    names = {s.name for s in torch._C._jit_get_all_schemas()} | set(torch._C._dispatch_get_all_op_names())
    return frozenset(n.partition("::")[2].partition(".")[0] for n in names if n.startswith("aten::"))


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[0], 200) if lines else type(error).__name__

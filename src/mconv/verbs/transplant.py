"""``mconv torch2paddle --into``: the weights of a PyTorch model, put into the same network in Paddle."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts import provenance
from mconv.artifacts.destination import Destination
from mconv.dygraph.layout import Given
from mconv.dygraph.live import Live
from mconv.dygraph.transplant import Transplanted
from mconv.dygraph.transplant import transplant as put
from mconv.errors import MissingDependencyError, NotAModelError
from mconv.factory import inputs as factory_inputs
from mconv.factory import loading
from mconv.factory.inputs import Call
from mconv.options.torch import Transplant
from mconv.program.paths import PathLike
from mconv.proof.report import Report
from mconv.proof.torch_origin import TorchOrigin
from mconv.torch import arrays
from mconv.torch.sources import Source, forms, open_source, weights
from mconv.torch.sources.forms import Form
from mconv.torch.widening import widen
from mconv.verbs.frame import Frame
from mconv.verbs.saving import Subject, layer_of, made_by, save


@dataclass
class _Origin:
    """MODEL, opened.

    Attributes:
        tensors: its state dict.
        where: what messages call it.
        files: what it was read from.
        source: the live module; None where MODEL is weights alone.
        alone: why there is no live module.
    """

    tensors: Mapping[str, Any]
    where: str
    files: list[provenance.Source]
    source: Optional[Source] = None
    alone: str = ""
    notes: list[str] = field(default_factory=list)


def transplant(chosen: Transplant) -> Report:
    """Give a ``paddle.nn.Layer`` the weights of a PyTorch model and save it as ``OUT/inference.pdmodel``, …

    Args:
        chosen: *model* is a state dict in ``.pt``, ``.pth``, ``.bin`` or ``.safetensors``, the index of sharded ones, or what
            :func:`mconv.torch.sources.open_source` takes, which can be compared with the result.
            *into* is the layer, or what makes it: ``pkg.module:factory``, ``file.py:factory``, a PaddleNLP folder.

    Returns:
        The report; ``verification`` compares the layer with the result, and ``verification["source"]`` PyTorch with
        the result.

    Raises:
        WeightsError: weights and layer do not fit, and *partial* is not given; ``rows`` lists everything.
        UsageError: the rules, inputs or options are not as they should be.
        NotAModelError, CorruptModelError, UntrustedError, MissingDependencyError: MODEL or the layer cannot be had.
        VerificationError: the result computes something else than the layer or PyTorch; it is kept in
            ``OUT.failed-verification``.
        RuntimeFailedError, UnsupportedError, OutputExistsError: as for ``to_static``.
    """
    rules = [chosen.rules] if isinstance(chosen.rules, (str, os.PathLike)) else list(chosen.rules)
    goal, model, into = chosen.goal, chosen.model, chosen.into
    report = Report("torch2paddle", "paddle.jit", {}, goal.described())
    frame = Frame(report, chosen, Destination.of_folder(chosen.out))
    given_files = [chosen.weights, *rules, *loading.read_of(model), *loading.read_of(into)]
    protect = [p for p in given_files if p is not None and os.path.exists(p)]
    frame.check(protect)
    live = _live(into, chosen)
    chosen.progress(f"opening {_said(model)}")
    origin = _open(model, chosen)
    report.warnings += origin.notes
    chosen.progress(f"transplanting {len(origin.tensors)} tensors into {live.kind}")
    given = {name: Given(*arrays.described(tensor)) for name, tensor in origin.tensors.items()}
    with frame.phase("transplant"):
        done = put(
            live.layer,
            given,
            lambda name: arrays.array(origin.tensors[name]),
            origin.where,
            chosen=rules,
            partial=chosen.partial,
        )
    _describe(report, model, into, live, origin, done)
    reference = _reference(origin, live, done, report) if chosen.verify is not False else None

    def record(call: Call) -> provenance.Recording:
        return _recording(model, into, rules, live, call, origin, chosen, done)

    subject = Subject(live, frame, record, protect, reference)
    return save(subject, list(chosen.inputs) or _inputs(origin, live), chosen).report


# opening ------------------------------------------------------------------------------------------------------------


def _live(into: Any, chosen: Transplant) -> Live:
    arguments = chosen.into_arguments
    given = loading.arguments_of(arguments, "--into-arg")
    return Live(layer_of(into, given, trust=chosen.trust), chosen.method)


def _open(model: Any, chosen: Transplant) -> _Origin:
    """The weights, and the live module where there is one."""
    trust = chosen.trust
    made = chosen.weights is not None or chosen.arguments or chosen.task is not None
    path = None if _is_live(model) or made else Path(os.fspath(model))
    alone = path is not None and _is_weights(path)
    if alone and not (trust and path is not None and path.is_file()):  # with trust it may be a pickled module
        assert path is not None
        return _without_module(weights.read(path, trust=trust), "MODEL is weights alone")
    try:
        source = open_source(model, **chosen.opening())
    except NotAModelError:
        if path is None or not alone:
            raise
        return _without_module(weights.read(path, trust=trust), "MODEL is weights alone")
    except MissingDependencyError as e:
        # of a Hugging Face folder the weights are enough; PaddleNLP lives without torch and transformers
        if path is None or not path.is_dir():
            raise
        return _without_module(weights.read(path, trust=trust), e.message)
    notes, tensors = list(source.notes), dict(source.module.state_dict())
    widen(source)  # the module; what was read from it stays as it was
    return _Origin(tensors, _said(model), list(source.files), source, notes=notes)


def _without_module(found: weights.Weights, reason: str) -> _Origin:
    files: list[provenance.Source] = [(name or path.name, path) for name, path in found.files]
    return _Origin(found.tensors, found.where, files, alone=reason, notes=found.notes)


def _is_weights(path: Path) -> bool:
    """Whether a file or folder is weights and no more; a pickled module counts, its weights are what is asked for."""
    if path.is_dir():
        return forms.recognise(path) is None and any((path / n).is_file() for n in forms.WEIGHTS)
    if path.name in forms.WEIGHTS and forms.recognise(path.parent) in (Form.HUGGING_FACE, Form.SENTENCES):
        return False
    return path.exists() and forms.recognise(path) in (Form.SAVED, Form.SAFETENSORS, Form.SHARDS)


def _is_live(model: Any) -> bool:
    return not isinstance(model, (str, os.PathLike))


def _said(model: Any) -> str:
    return type(model).__name__ if _is_live(model) else os.fspath(model)


def _inputs(origin: _Origin, live: Live) -> Optional[list[str]]:
    """What the PyTorch model says of its inputs, where the layer's method has parameters of these names."""
    source = origin.source
    if live.given_spec or source is None or source.guessed or not source.inputs:
        return None
    names = factory_inputs.parameters_of(live.function)
    fitting = [i for i in source.inputs if i.name in names]
    required = {n for n, p in names.items() if factory_inputs.required(p)}
    return [str(i) for i in fitting] if fitting and required <= {i.name for i in fitting} else None


# comparing ----------------------------------------------------------------------------------------------------------


def _reference(origin: _Origin, live: Live, done: Transplanted, report: Report) -> Optional[TorchOrigin]:
    """PyTorch as a reference of the proof; where there is none, why."""
    if origin.source is None:
        report.warnings.append(f"{origin.alone}: compared with the layer of Paddle only, not with PyTorch")
        report.warnings += _square(done)
        return None
    return TorchOrigin(origin.source, live, _square(done), done.pairs, binding=not done.random)


def _square(done: Transplanted) -> list[str]:
    if not done.square:
        return []
    shown = ", ".join(done.square[:3]) + (", …" if len(done.square) > 3 else "")
    return [
        f"{shown}: square matrices of a layer that mconv does not know, taken as they are stored; `transpose` in "
        "--rules turns them"
    ]


# what is said of it -------------------------------------------------------------------------------------------------


def _describe(report: Report, model: Any, into: Any, live: Live, origin: _Origin, done: Transplanted) -> None:
    report.source = {
        "spec": None if _is_live(model) else os.fspath(model),
        **(origin.source.facts if origin.source is not None else {"form": "weights"}),
        "into": into if isinstance(into, str) else None,
        "layer": live.kind,
        "method": live.method,
        "tensors": len(origin.tensors),
    }
    report.transplant = done.to_dict()
    report.versions["source paddle"] = live.paddle.__version__
    if done.recognised:
        report.warnings.append(
            f"the names are those of the rules {done.rules[0]}, which were taken; --rules says others"
        )
    report.warnings += done.warnings


def _recording(
    model: Any,
    into: Any,
    rules: Sequence[PathLike],
    live: Live,
    call: Call,
    origin: _Origin,
    chosen: Transplant,
    done: Transplanted,
) -> provenance.Recording:
    files: list[provenance.Source] = list(origin.files)
    spec = loading.split(into) if isinstance(into, str) else None
    if spec is not None and os.path.isfile(spec[0]):
        files.append((f"into/{os.path.basename(spec[0])}", spec[0]))
    files += [(f"rules/{os.path.basename(os.fspath(r))}", r) for r in rules if os.path.isfile(r)]
    facts = {
        "model": _said(model) if origin.source is None else origin.source.label,
        "into": live.kind,
        "method": live.method,
        "rules": [os.path.basename(r) for r in done.rules],
        "inputs": [str(i) for i in call.inputs],
        "output_names": None if chosen.output_names is None else list(chosen.output_names),
    }
    found = made_by(live)
    found["packages"] = (*found["packages"], "torch")
    return provenance.Recording("torch2paddle", files, target=chosen.goal.name, options=facts, **found)

"""Reducing what failed: a conversion, which is done again on each part of its source; or two models that differ, both cut
at the same tensors. Every part is fed what the whole model computed there."""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.artifacts.output import staged
from mconv.errors import EXIT_BUG, MconvError, RuntimeFailedError, UnsupportedError, UsageError, VerificationError
from mconv.onnx.ports import carried_name
from mconv.options.declare import Options, fields
from mconv.options.verify import Verify
from mconv.program.inputs import parse_input
from mconv.proof import search
from mconv.proof.endpoint import is_url
from mconv.proof.feeds import load_feeds, reshaped
from mconv.proof.opened import Choices, Opened, open_model
from mconv.verbs.reduce import Part, Reduced, smallest
from mconv.verbs.reduce_models import Model, open_source, random_like
from mconv.verbs.verify import Verification, verify

FEEDS = "inputs.npz"
REDUCIBLE_CODES = (RuntimeFailedError.exit_code, VerificationError.exit_code, EXIT_BUG)
_NO_MORE = (
    "progress",
    "feed_alias",
    "fetch_alias",
    "pipeline",
    "output_names",
    "limit",
    "html",
)  # said of the whole model


@dataclass(frozen=True)
class Failure:
    """How something fails; two that are equal are taken for the same.

    Attributes:
        exit_code: of the command.
        kind: the class of the error.
        where: of a defect the function of mconv that raised it, of a crash the signal.
    """

    exit_code: int
    kind: str
    where: str = ""

    def __str__(self) -> str:
        return f"exit {self.exit_code}, {self.kind}" + (f" ({self.where})" if self.where else "")


def failure_of(error: BaseException) -> Failure:
    """How a command ends with that error."""
    if isinstance(error, MconvError):
        signals = [getattr(e, "signal", None) for e in (error, error.__cause__)]
        return Failure(error.exit_code, _kind(error), next(filter(None, signals), ""))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/mconv/" in f.filename.replace("\\", "/")]
    where = f"{Path(frames[-1].filename).stem}.{frames[-1].name}" if frames else ""
    return Failure(EXIT_BUG, type(error).__name__, where)


def _kind(error: MconvError) -> str:
    """The class of :mod:`mconv.errors`: how a room calls its own kind of it is no matter."""
    return next(k.__name__ for k in type(error).__mro__ if k.__module__ == MconvError.__module__)


def attempt(call: Callable[[], Any]) -> Optional[BaseException]:
    """What a command ends with; None where it does not fail. An interrupt goes on."""
    try:
        call()
    except (MemoryError, OSError):
        raise  # of the machine
    except Exception as e:  # noqa: BLE001 - what a defect raises is any class
        return e
    return None


class _Inside:
    """What a model computes at its tensors in one run."""

    def __init__(self, opened: Optional[Opened], feed: Mapping[str, np.ndarray]):
        self.opened, self.feed = opened, feed

    def at(self, names: Sequence[str]) -> Optional[dict[str, np.ndarray]]:
        """Name → value; None where it cannot be run so."""
        inside = [n for n in names if n not in self.feed]
        found = {n: self.feed[n] for n in names if n in self.feed}
        if inside:
            if self.opened is None:
                return None
            try:
                answers = self.opened.run([self.feed], inside)
            except RuntimeFailedError:
                return None
            positions = {n: i for i, n in enumerate(answers.names)}
            if any(n not in positions for n in inside):
                return None
            found.update({n: answers.outputs[0][positions[n]] for n in inside})
        return found


class _Task:
    """A failure, a model, and how a part of it is tried."""

    def __init__(self, model: Model, wanted: Failure, scratch: Path, say: Callable[[str], Any]):
        self.model, self.wanted, self.scratch, self.say = model, wanted, scratch, say
        self.inside = _Inside(None, {})
        self.tried = 0

    def make(self, part: Part, folder: Path, *, weights: bool, floats: bool) -> Optional[Path]:
        """Write a part into a folder; returns its inputs, None where there are none to give.

        Args:
            weights: its own, not random ones.
            floats: what the model computed there, not random numbers, of floating point inputs.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.write(part, folder, random_weights=not weights)
        values = self.inside.at(part.inputs)
        if values is None:
            return None
        if not floats:
            values = {n: random_like(n, v.shape, v.dtype) if v.dtype.kind == "f" else v for n, v in values.items()}
        held: dict[str, Any] = {f"0/{name}": value for name, value in values.items()}
        np.savez(folder / FEEDS, **held)
        return folder / FEEDS

    def write(self, part: Part, folder: Path, *, random_weights: bool) -> None:
        raise NotImplementedError

    def run(self, part: Part, folder: Path, feeds: Optional[Path]) -> Any:
        """Do with the part in a folder what failed."""
        raise NotImplementedError

    def fails(self, part: Part, *, weights: bool = True, floats: bool = True) -> bool:
        """Whether a part fails in the same way."""
        self.tried += 1
        self.say(f"part {self.tried}: {len(self.model.graph.used(part))} operators")
        folder = self.scratch / f"part{self.tried}"
        try:
            with suppress(MconvError):  # it cannot be cut there
                feeds = self.make(part, folder, weights=weights, floats=floats)
                error = attempt(lambda: self.run(part, folder, feeds))
                return error is not None and failure_of(error) == self.wanted
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def reduce(
        self, out: Path, opened: Optional[Opened], sets: Sequence[Mapping[str, np.ndarray]], keep: bool
    ) -> Reduced:
        """Find the smallest part, and write it into the folder *out*, which is made.

        Raises:
            UnsupportedError: the whole model, cut at its own ends, does not fail so.
        """
        graph = self.model.graph
        whole = graph.whole()
        if whole is None:
            raise UnsupportedError(f"{self.model.path}: no output depends on an input, so nothing can be cut")
        for feed in sets or [{}]:
            self.inside = _Inside(opened, feed)
            if self.fails(whole):
                break
        else:
            raise UnsupportedError(f"{self.model.path}: by itself it does not fail so ({self.wanted})")
        part, tried = smallest(graph, whole, self.fails)
        used = graph.used(part)
        weights, floats, fails = keep, keep, True
        if not keep:
            fails = self.fails(part, weights=False, floats=False)
            if not fails and self.fails(part, weights=False, floats=True):
                fails = floats = True
        self.make(part, out, weights=weights, floats=floats)
        names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
        return Reduced(
            names, [s.kind for s in used], len(graph.steps), tried, list(part.inputs), list(part.outputs),
            "own" if keep else "random", fails, str(self.wanted),
        )  # fmt: skip


class _Conversion(_Task):
    """The source of a conversion."""

    def __init__(self, kind: type[Options], given: Mapping[str, Any], call: Callable[..., Any], *rest: Any):
        super().__init__(*rest)
        self.kind, self.call = kind, call
        self.given = {k: v for k, v in given.items() if k not in _NO_MORE}

    def write(self, part: Part, folder: Path, *, random_weights: bool) -> None:
        self.model.write(part, folder / "model", random_weights=random_weights)

    def run(self, part: Part, folder: Path, feeds: Optional[Path]) -> Any:
        return self.call(**self.said(part, folder, feeds))

    def said(self, part: Part, folder: Path, feeds: Optional[Path]) -> dict[str, Any]:
        """What is said of the part: what was said of the whole, as far as it has these inputs."""
        names, given = {f.name for f in fields(self.kind)}, dict(self.given)
        found = folder / "model" / "model.onnx"
        given[source_field(self.kind)] = found if found.exists() else folder / "model"
        given["out"] = elsewhere(given["out"], folder)
        shapes = [text for text in given.pop("inputs", ()) if parse_input(text).name in part.inputs]
        if feeds is None and shapes:
            given["inputs"] = shapes
        constants = given.pop("constants", None) or ()
        if isinstance(constants, Mapping):
            left: Any = {n: v for n, v in constants.items() if n in part.inputs}
        else:
            left = [text for text in constants if text.partition("=")[0] in part.inputs]
        if left:
            given["constants"] = left
        given.pop("feeds", None)
        if feeds is not None and "feeds" in names and given.get("verify") is not False and not left:
            given["feeds"] = feeds
        return given


class _Pair(_Task):
    """Two models that differ."""

    def __init__(self, chosen: Verify, other: Model, *rest: Any):
        super().__init__(*rest)
        self.chosen, self.other = chosen, other

    def write(self, part: Part, folder: Path, *, random_weights: bool) -> None:
        self.model.write(part, folder / "a", random_weights=random_weights)
        there = Part(tuple(map(carried_name, part.inputs)), tuple(map(carried_name, part.outputs)))
        self.other.write(there, folder / "b", random_weights=random_weights)

    def run(self, part: Part, folder: Path, feeds: Optional[Path]) -> None:
        a, b = (found if (found := folder / n / "model.onnx").exists() else folder / n for n in ("a", "b"))
        require_same(verify(replace(self.chosen, a=a, b=b, feeds=feeds, inputs=(), layers=False)))


def require_same(found: Any) -> None:
    """Raises:
    VerificationError: the two models of a comparison differ."""
    if not found.ok:
        raise VerificationError(f"{found.b} computes something else than {found.a}")


def elsewhere(out: Any, folder: Path) -> Path:
    """Where in a folder a command that is done again writes what it wrote to *out*."""
    return folder / ("out.onnx" if str(out).endswith(".onnx") else "out")


def source_field(kind: type[Options]) -> str:
    """The option that says which model it is: the first argument."""
    return next(f.name for f in fields(kind) if f.metadata["position"])


def reduce_conversion(
    kind: type[Options],
    given: Mapping[str, Any],
    call: Callable[..., Any],
    error: BaseException,
    out: Path,
    *,
    keep_weights: bool = False,
    say: Callable[[str], Any] = lambda text: None,
) -> Reduced:
    """The smallest part of a conversion's source on which the conversion fails as it did, written into the folder *out*.

    Args:
        kind: the options of the conversion; *given*: what was said of them; *call*: does it, of :mod:`mconv.api`.
        error: how it ended.
        keep_weights: leave the part its own weights and inputs; otherwise they are random.

    Raises:
        UnsupportedError: the source is of a kind that cannot be cut, or does not fail by itself.
    """
    source = Path(given[source_field(kind)])
    model = open_source(source)
    with tempfile.TemporaryDirectory(prefix="mconv-reduce-") as scratch:
        task = _Conversion(kind, given, call, model, failure_of(error), Path(scratch), say)
        opened, sets = _run_whole(source, given, say)
        return task.reduce(out, opened, sets, keep_weights)


def reduce_pair(
    chosen: Verify,
    error: BaseException,
    out: Path,
    *,
    keep_weights: bool = True,
    say: Callable[[str], Any] = lambda text: None,
) -> Reduced:
    """The smallest parts of two models, cut at tensors that have the same name in both, that differ as the whole do, or of
    which the second fails as it did; in ``OUT/a`` and ``OUT/b``.

    Raises:
        UnsupportedError: one is of a kind that cannot be cut, or they share no tensor.
    """
    left, right = open_source(Path(chosen.a)), open_source(Path(chosen.b))
    mine = {n for step in left.graph.steps for n in step.writes}
    shared = {n for n in mine if carried_name(n) in right.graph.cuttable}
    left = open_source(Path(chosen.a), shared)
    with tempfile.TemporaryDirectory(prefix="mconv-reduce-") as scratch:
        task = _Pair(chosen, right, left, failure_of(error), Path(scratch), say)
        given = {"runtime": chosen.runtime_a or chosen.runtime, "timeout": chosen.timeout, "feeds": chosen.feeds}
        opened, sets = _run_whole(Path(chosen.a), {**given, "inputs": chosen.inputs}, say)
        return task.reduce(out, opened, sets, keep_weights)


def verify_and_reduce(chosen: Verify) -> Verification:
    """Compare two models, and where they differ, or the second one fails, write the smallest parts that do into the folder
    ``chosen.reduce``.

    Raises:
        MconvError: see :func:`mconv.verbs.verify.verify`; of one that was reduced, the hint says where it is.
        UsageError: one of the two is no file. UnsupportedError: they cannot be cut.
        OutputExistsError: the folder is there already.
    """
    assert chosen.reduce is not None
    urls = [str(name) for name in (chosen.a, chosen.b) if is_url(name)]
    if urls:
        raise UsageError(f"--reduce: {urls[0]} is a service, of which no part can be cut", "give the models")
    plain, protected = replace(chosen, reduce=None), [Path(p) for p in (chosen.a, chosen.b)]
    with staged(chosen.reduce, protect=protected) as folder:
        try:
            found = verify(plain)
            if found.ok:
                raise UsageError("--reduce: the two models agree, there is nothing to reduce", "leave out --reduce")
        except RuntimeFailedError as e:
            error = e
            error.hint = f"{told(reduce_pair(plain, e, folder, say=chosen.progress))}: {chosen.reduce}"
        else:
            differ = attempt(lambda: require_same(found))
            assert differ is not None
            found.reduced = reduce_pair(plain, differ, folder, say=chosen.progress)
            return found
    raise error


def told(reduced: Reduced) -> str:
    """What is left of a model, in one line."""
    left = ", ".join(reduced.operators[:5]) + (", …" if len(reduced.operators) > 5 else "")
    return f"reduced from {reduced.before} operators to {len(reduced.operators)} ({left}) in {reduced.tried} runs"


def _run_whole(
    path: Path, given: Mapping[str, Any], say: Callable[[str], Any]
) -> tuple[Optional[Opened], list[dict[str, np.ndarray]]]:
    """What runs the whole model, and inputs that it takes; neither where nothing runs it here."""
    say(f"running {path}")
    try:
        opened = open_model(path, Choices(given.get("runtime"), timeout=given.get("timeout") or 600))
        specs = opened.specs() or []
        if given.get("feeds") is not None:
            return opened, load_feeds(Path(given["feeds"]), specs)
        specs = reshaped(specs, list(given.get("inputs") or ()))
        return opened, search.find(specs, opened.run)[0]
    except MconvError:
        return None, []  # parts are then tried with random inputs


__all__ = [
    "FEEDS",
    "REDUCIBLE_CODES",
    "Failure",
    "Reduced",
    "attempt",
    "elsewhere",
    "failure_of",
    "reduce_conversion",
    "reduce_pair",
    "require_same",
    "told",
    "verify_and_reduce",
]

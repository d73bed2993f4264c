"""The verbs of mconv as plain functions with typed results; the command line calls nothing else but these and,
for recipes, :mod:`mconv.recipe.api`.

The logic of a verb lives in its room; here it is only named, and rooms that do not know each other are joined: one file,
so that all that the package offers is read in one place. Every verb that reads a model has a budget of memory and work,
and takes the keyword ``limit`` for it (``"8G"``); see :mod:`mconv.budget`. What is beyond it is a
:class:`~mconv.errors.LimitError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Optional

from mconv.errors import MconvError
from mconv.options.bench import BenchModels, BenchServices
from mconv.options.convert import Convert
from mconv.options.edit import Edit
from mconv.options.layers import ToStatic
from mconv.options.models import Check, Downgrade, ExternalData, Half, Inspect, Recognise
from mconv.options.models import Shapes as ShapesOptions
from mconv.options.onnx import Onnx2Paddle, ToOnnx
from mconv.options.quantize import Quantize
from mconv.options.report_bug import ReportBug
from mconv.options.running import InstallRuntime
from mconv.options.service import Scaffold
from mconv.options.serving import Serve, ServeCheck, ToServing
from mconv.options.taking import takes
from mconv.options.torch import Torch2Paddle
from mconv.options.verify import Verify

if TYPE_CHECKING:
    from mconv.artifacts.provenance_check import Checked
    from mconv.bench.result import Bench
    from mconv.bench.verdict import Case
    from mconv.inspection import Inspection
    from mconv.program.paths import PathLike
    from mconv.proof.report import Report
    from mconv.proof.serve_report import ServeReport
    from mconv.recognise import SourceKind
    from mconv.runtimes import Runtime, RuntimeStatus
    from mconv.runtimes.doctor import Diagnosis
    from mconv.runtimes.supervisor import Running
    from mconv.serving.convert import ServingResult
    from mconv.serving.scaffold import Written as WrittenService
    from mconv.verbs.convert import Converted
    from mconv.verbs.convert_many import ConvertedMany
    from mconv.verbs.downgrade import Downgraded
    from mconv.verbs.edit import EditReport
    from mconv.verbs.half_report import HalfReport
    from mconv.verbs.quantize_report import QuantizeReport
    from mconv.verbs.report_bug import BugReport
    from mconv.verbs.serve import ServiceRun
    from mconv.verbs.shapes import Shapes
    from mconv.verbs.verify import Verification


@takes(ToServing)
def to_serving(chosen: ToServing) -> ServingResult:
    """A Paddle inference model of any era as ``serving_server/`` and ``serving_client/``.

    Raises:
        MconvError: see :func:`mconv.verbs.to_serving.to_serving`.
    """
    from mconv.verbs import to_serving as verb

    return verb.to_serving(chosen)


@takes(Scaffold)
def scaffold(chosen: Scaffold) -> WrittenService:
    """Write a service around a ``serving_server/`` folder, or, with *pipeline*, around several models.

    Raises:
        MconvError: see :func:`mconv.verbs.scaffold.scaffold`.
    """
    from mconv.verbs import scaffold as verb

    return verb.scaffold(chosen)


@takes(Downgrade)
def downgrade(chosen: Downgrade) -> Downgraded:
    """A model of any era, ``.json`` included, as a ``.pdmodel`` that an older Paddle loads.

    Raises:
        MconvError: see :func:`mconv.verbs.downgrade.downgrade`.
    """
    from mconv.verbs import downgrade as verb

    return verb.downgrade(chosen)


@takes(Inspect)
def inspect(chosen: Inspect) -> Inspection:
    """What a path is: its files, inputs, outputs, parameters, operators, and which Paddle can load it.

    Raises:
        MconvError: it is no model, or a damaged one; *fusions* names no runtime that is installed, or one that cannot
            load the model.
    """
    from mconv import inspection

    report = inspection.inspect(chosen.path, variables=chosen.variables, text=chosen.text)
    if chosen.fusions is not None:
        from mconv.verbs.fusions import fused

        report.fusions = fused(chosen.path, chosen.fusions, onednn=chosen.onednn)
    return report


@takes(ShapesOptions)
def shapes(chosen: ShapesOptions) -> Shapes:
    """The ranges of the shapes of a program's tensors, as TensorRT wants them.

    Raises:
        MconvError: see :func:`mconv.verbs.shapes.shapes`.
    """
    from mconv.verbs import shapes as verb

    return verb.shapes(chosen)


@takes(Half)
def half(chosen: Half) -> HalfReport:
    """A float32 model rewritten for half precision on a GPU, and proved by emulation on the CPU.

    Raises:
        MconvError: see :func:`mconv.verbs.half.half`.
    """
    from mconv.verbs import half as verb

    return verb.half(chosen)


@takes(Quantize)
def quantize(chosen: Quantize) -> QuantizeReport:
    """A float32 model with products and convolutions in int8, calibrated on data and proved on others.

    Raises:
        MconvError: see :func:`mconv.verbs.quantize.quantize`.
    """
    from mconv.verbs import quantize as verb

    return verb.quantize(chosen)


@takes(Edit)
def edit(chosen: Edit) -> EditReport:
    """A Paddle or ONNX model with other sizes, names, inputs, outputs or files, proved against its source.

    Raises:
        MconvError: see :func:`mconv.verbs.edit.edit`.
    """
    from mconv.proof.report import require_proof
    from mconv.verbs import edit as verb

    return require_proof(verb.edit(chosen), chosen.out, chosen.feeds_option())


@takes(ReportBug)
def report_bug(chosen: ReportBug) -> BugReport:
    """What a report of a command's failure needs, as files to look through; nothing is sent.

    Raises:
        MconvError: see :func:`mconv.verbs.report_bug.report_bug`.
    """
    from mconv.verbs import report_bug as verb

    return verb.report_bug(chosen)


@takes(ExternalData)
def external_data(chosen: ExternalData) -> list[str]:
    """The files beside an ONNX model that hold its large tensors, relative to its folder; no tensor is read.

    Raises:
        MconvError: see :func:`mconv.onnx.external.names_beside`.
    """
    from mconv.onnx import external

    return external.names_beside(chosen.path)


@takes(Check)
def check(chosen: Check) -> Checked:
    """Whether a converted folder is still what its ``provenance.json`` says; see
    :func:`mconv.artifacts.provenance_check.check`.

    Raises:
        MconvError: see there; what was found is no error here but in the result.
    """
    from mconv.artifacts import provenance_check

    return provenance_check.check(chosen.path, chosen.sources)


@takes(Recognise)
def recognise(chosen: Recognise) -> SourceKind:
    """What a source is, and with it the conversion that reads it; see :func:`mconv.recognise.recognise`.

    Raises:
        MconvError: see there.
    """
    from mconv import recognise as room

    return room.recognise(chosen.source, chosen.framework)


@takes(BenchModels)
def bench_models(chosen: BenchModels) -> Bench:
    """Measure models, each in each runtime that can run it, in turns and on the same inputs.

    Raises:
        MconvError: see :func:`mconv.verbs.bench.bench_models`.
    """
    from mconv.verbs import bench

    return bench.bench_models(chosen)


@takes(BenchServices)
def bench_services(chosen: BenchServices) -> Bench:
    """Put load on services, and hold each answer against the one that a single request got.

    Raises:
        MconvError: see :func:`mconv.verbs.bench_service.bench_services`.
    """
    from mconv.verbs import bench_service

    return bench_service.bench_services(chosen)


def is_address(source: str) -> bool:
    """Whether a source of ``mconv bench`` is a service."""
    from mconv.bench import addresses

    return addresses.is_address(source)


def bench_files(found: Any = None, *, html: Optional[PathLike] = None, plot: Optional[PathLike] = None) -> None:
    """Write a measurement's page and figure; without *found*, say whether they can be made.

    Raises:
        UsageError: the figure's name has another ending than .svg or .png.
        MissingDependencyError: matplotlib is not installed. OutputExistsError: a file cannot be written.
    """
    if html is not None or plot is not None:
        from mconv.page import files

        files.measured(found, html=html, plot=plot)


def page(found: Any, html: PathLike) -> None:
    """Write one page that needs nothing else.

    Args:
        found: a result of this module, a ``report.json`` (its path, or what is in it), what a command printed with
            ``--json``, or a list of these, which stand below each other.
        html: the file.

    Raises:
        NotAModelError: something is none of these. MissingDependencyError: matplotlib is not installed.
        UsageError, OutputExistsError: *html* cannot be written.
    """
    from mconv.page import files

    files.page(found, html)


def judge_bench(
    found: Optional[Bench], *, max_p99: Optional[float] = None, min_tps: Optional[float] = None
) -> tuple[list[Case], Optional[MconvError]]:
    """What each model or service of a measurement comes to, and what is wrong with the whole; without *found*, whether
    the limits are some.

    Args:
        max_p99: milliseconds; min_tps: right answers a second.

    Raises:
        UsageError: a limit is not above 0.
    """
    from mconv.bench import verdict

    if found is None:
        verdict.check(max_p99=max_p99, min_tps=min_tps)
        return [], None
    judged = verdict.cases(found, max_p99=max_p99, min_tps=min_tps)
    return judged, verdict.failure(judged)


@takes(ServeCheck)
def serve_check(chosen: ServeCheck) -> ServeReport:
    """Start the real server on a converted model and compare its answers with direct inference.

    Raises:
        MconvError: see :func:`mconv.proof.serve_check.serve_check`.
    """
    from mconv.proof import serve_check as verb

    return verb.serve_check(chosen)


@takes(Serve)
def serve(chosen: Serve) -> ServiceRun:
    """Start a service in its managed server; a context manager, at whose end nothing of it is left.

    ``with api.serve("out/") as run: ask(run.serving.url)``

    Raises:
        MconvError: see :func:`mconv.verbs.serve.serve`.
    """
    from mconv.verbs import serve

    return serve.serve(chosen)


def stop_served(path: Optional[PathLike] = None, port: Optional[int] = None) -> list[Running]:
    """Stop a service that ``mconv serve`` has started; see :func:`mconv.verbs.serve.stop_served`."""
    from mconv.verbs import serve

    return serve.stop_served(path, port)


@takes(InstallRuntime)
def install_runtime(chosen: InstallRuntime) -> Runtime:
    """Install a managed runtime, or finish an installation that was interrupted.

    Raises:
        MconvError: see :func:`mconv.runtimes.install.install`.
    """
    from mconv.runtimes import install

    return install.install(chosen.name, python=chosen.python, force=chosen.force, progress=chosen.progress)


def remove_runtime(name: str) -> bool:
    """Delete a managed runtime; returns whether there was one."""
    from mconv.runtimes import install

    return install.remove(name)


def list_runtimes() -> list[RuntimeStatus]:
    """Every runtime that mconv knows, installed or not."""
    from mconv import runtimes

    return runtimes.statuses()


def run_in_runtime(name: str, command: Sequence[str]) -> NoReturn:
    """Become a command that runs in an installed runtime; see :meth:`mconv.runtimes.Runtime.become`."""
    from mconv import runtimes

    runtimes.find(name).become(command)


def find_runtime(name: str) -> Runtime:
    """An installed runtime, or ``current``.

    Raises:
        RuntimeUnavailableError: it is not installed; the hint is the command that installs it.
    """
    from mconv import runtimes

    return runtimes.find(name)


def doctor(*, test: bool = False) -> Diagnosis:
    """What is installed, which commands work, and what to install for the rest."""
    from mconv.runtimes.doctor import diagnose

    return diagnose(test=test)


@takes(Onnx2Paddle)
def onnx2paddle(chosen: Onnx2Paddle) -> Report:
    """An ONNX model as a Paddle inference model, proved against its source.

    Raises:
        MconvError: see :func:`mconv.verbs.onnx2paddle.onnx2paddle`.
    """
    from mconv.proof.report import require_proof
    from mconv.verbs import onnx2paddle as verb

    return require_proof(verb.onnx2paddle(chosen), chosen.out, chosen.feeds_option())


@takes(ToOnnx)
def to_onnx(chosen: ToOnnx) -> Report:
    """A Paddle model of any era as an ONNX model, proved against its source.

    Raises:
        MconvError: see :func:`mconv.verbs.to_onnx.to_onnx`.
    """
    from mconv.proof.report import require_proof
    from mconv.verbs import to_onnx as verb

    return require_proof(verb.to_onnx(chosen), chosen.out, chosen.feeds_option())


@takes(Convert)
def convert(chosen: Convert) -> Converted:
    """Any source as ``OUT/serving_server/`` and ``OUT/serving_client/``: the whole chain in one go, proved.

    Raises:
        MconvError: see :func:`mconv.verbs.convert.convert`.
    """
    from mconv.proof.report import require_proof
    from mconv.verbs import convert as verb

    return require_proof(verb.convert(chosen), chosen.out, chosen.feeds_option())


@takes(Convert)
def convert_many(chosen: Convert) -> ConvertedMany:
    """Several sources, or the models in a folder, each as :func:`convert` makes it, in ``OUT/NAME/``; one that fails does
    not stop the others. *source* is a list, or a folder of folders.

    Raises:
        UsageError: see :func:`mconv.verbs.convert_many.convert_many`; what failed is no error here but in the result.
    """
    from mconv.verbs import convert_many as verb

    return verb.convert_many(chosen)


def matching_sources(pattern: str, out: PathLike) -> dict[str, str]:
    """The models whose paths match a pattern of the shell (``models/*``), each by the name that :func:`convert_many` gives
    its folder in *out*.

    Raises:
        NotAModelError: there is none. UsageError: two of them have one name.
    """
    from mconv.verbs import convert_many as verb

    return verb.matching(pattern, out)


def several_sources(source: Any) -> bool:
    """Whether a source of ``mconv convert`` is more than one model."""
    from mconv.verbs import convert_many as verb

    return verb.several(source)


def start_command(server: Optional[str], folder: PathLike) -> str:
    """The command that starts a service that was written; see :func:`mconv.serving.kinds.start_command`."""
    from mconv.serving import kinds

    return kinds.start_command(server, folder)


@takes(Verify)
def verify(chosen: Verify) -> Verification:
    """Two models on the same inputs, output by output; with *layers* also the first tensor that differs, with *reduce*
    also the smallest parts of both that do.

    Raises:
        MconvError: see :func:`mconv.verbs.verify.verify`; a difference is no error here but in the result.
    """
    from mconv.verbs import verify as verb

    if chosen.reduce is not None:
        from mconv.verbs.reduce_run import verify_and_reduce

        return verify_and_reduce(chosen)
    return verb.verify(chosen)


@takes(ToStatic)
def to_static(chosen: ToStatic) -> Report:
    """A live ``paddle.nn.Layer``, or what a SPEC makes, as an inference model that the target loads, proved.

    *layer* is the layer, or ``pkg.module:factory``, ``file.py:factory``, a PaddleNLP folder; *input_spec* as for
    ``paddle.jit.to_static``, or ``name:dtype[dims]`` texts; *path* as for ``paddle.jit.save``: ``pb_model`` for
    ``pb_model.pdmodel`` and ``pb_model.pdiparams``.

    Raises:
        MconvError: see :func:`mconv.verbs.to_static.to_static`.
    """
    from mconv.verbs import to_static as verb

    return verb.to_static(chosen)


@takes(Torch2Paddle)
def torch2paddle(chosen: Torch2Paddle) -> Report:
    """A PyTorch model of any form as a Paddle inference model, proved against PyTorch.

    *model* may be a live ``torch.nn.Module``. With *into*, a ``paddle.nn.Layer`` or what makes it, that is given the
    model's weights and saved: no graph is converted then.

    Raises:
        MconvError: see :func:`mconv.verbs.torch2paddle.torch2paddle` and :func:`mconv.verbs.transplant.transplant`.
    """
    if chosen.into is not None:
        from mconv.verbs import transplant

        return transplant.transplant(chosen.transplanting())
    from mconv.proof.report import require_proof
    from mconv.verbs import torch2paddle as verb

    return require_proof(verb.torch2paddle(chosen), chosen.out, chosen.feeds_option())

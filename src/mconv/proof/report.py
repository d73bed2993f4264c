"""The report of a conversion: what ``report.json`` and ``--json`` hold. The fields are described in docs/report.md."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional, Protocol, TypeVar

from mconv.artifacts.destination import REPORT, Destination
from mconv.artifacts.output import staged
from mconv.artifacts.provenance import installed
from mconv.errors import MconvError, RuntimeFailedError, UnprovedError, VerificationError
from mconv.page.shown import Shown
from mconv.printable import json_text
from mconv.program.port_rows import PortRow
from mconv.program.program import Program
from mconv.proof.notes import rendered
from mconv.proof.verdict import NOT_DONE, UNPROVED, Proof
from mconv.version import __version__
from mconv.warned import Warned, coded

SCHEMA = 1
# kind of a reservation → the code of its warning
RESERVED = {"decision": "decision-frozen", "size": "size-fixed", "input": "input-unread", "state": "state-lost"}
_Reported = TypeVar("_Reported", bound="Reported")
NAME = REPORT
_PACKAGES = ("numpy", "onnx", "protobuf")


class Reported(Protocol):
    """What has a proof to show."""

    verification: Any


class Proved(Shown):
    """The result of a conversion that is proved; the fields are those of the dataclasses that inherit it."""

    warnings: list[str]
    reservations: list[dict[str, str]]
    verification: Any
    seconds: dict[str, float]
    schema: int

    def to_dict(self) -> dict[str, Any]:
        """JSON, as ``--json`` shows it."""
        raise NotImplementedError

    def write(self, folder: Path) -> None:
        """Write ``report.json`` into *folder*."""
        text = json_text({"schema": self.schema, **self.to_dict()}, indent=2)
        (folder / NAME).write_text(text + "\n", "utf-8", "backslashreplace")

    def add_proof(self, proof: Proof, option: str) -> None:
        """*option*: by which the command takes the inputs to verify with."""
        proof.reserve(self.reservations)
        self.warnings += rendered(proof.notes, option)
        self.verification = proof.to_dict(option)
        self.seconds["verify"] = round(proof.seconds, 4)
        if proof.status == NOT_DONE and proof.reason:
            self.warnings.append(Warned("not-verified", f"not verified: {proof.reason}"))

    def finish(self, start: float) -> None:
        """Say how long it took since *start*, by ``time.perf_counter()``."""
        self.seconds["total"] = time.perf_counter() - start
        self.seconds = {name: round(value, 4) for name, value in self.seconds.items()}


@dataclass(repr=False)
class Report(Proved):
    """One conversion; every field is JSON as it stands."""

    command: str
    engine: str
    source: dict[str, Any]
    target: dict[str, Any]
    status: str = "converted"
    output: dict[str, Any] = field(default_factory=dict)
    inputs: list[PortRow] = field(default_factory=list)
    outputs: list[PortRow] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    operators: list[dict[str, Any]] = field(default_factory=list)
    paddle_operators: dict[str, int] = field(default_factory=dict)
    folded: int = 0
    fused: dict[str, int] = field(default_factory=dict)
    expanded: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    reservations: list[dict[str, str]] = field(default_factory=list)
    verification: Optional[dict[str, Any]] = None
    transplant: Optional[dict[str, Any]] = None
    half: Optional[dict[str, Any]] = None
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    def compared(self, reference: str, proof: Proof) -> Proof:
        """Say what has run; gives the proof."""
        self.versions["reference"] = reference
        if proof.paddle:
            self.versions["paddle"] = proof.paddle
        return proof

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {"schema": values.pop("schema"), **values, "coded_warnings": coded(self.warnings)}

    def wrote(self, destination: Destination, program: Path, params: Optional[Path]) -> None:
        """The model's files as they were made, and where they will be."""
        self.output = {
            "folder": str(destination.folder),
            "program": destination.final(program).name,
            "params": None if params is None else destination.final(params).name,
            "program_bytes": program.stat().st_size,
            "params_bytes": 0 if params is None else params.stat().st_size,
        }

    def reserve(self, reservations: Sequence[dict[str, str]]) -> None:
        """What of the source the result does not have: a warning each, and no proof is a plain one."""
        self.reservations += reservations
        self.warnings += [Warned(RESERVED[r["kind"]], r["text"]) for r in reservations]


def require_proof(report: _Reported, where: object, option: str) -> _Reported:
    """The report, unless nothing could be compared, as the source does not run or leaves its answer open.

    Args:
        where: what was written, and stays there.
        option: by which the command takes the inputs to verify with.

    Raises:
        UnprovedError: it does not; it carries the report for the command line.
    """
    verification = report.verification
    if verification is None or verification["status"] != UNPROVED:
        return report
    ways = f"give inputs that it takes with {option} x.npz, fix sizes with --input 'name[1,3,48,?]'"
    if verification.get("inputs", "random") != "random":
        ways = f"give others with {option}"
    compared = bool(verification.get("outputs"))
    if compared:
        ways = "trained weights leave nothing equal"
    why = verification["reason"]
    said = f"nothing is proved: {why}" if compared else f"nothing is proved, as the source cannot be run: {why}"
    error = UnprovedError(
        f"converted, but {said}",
        f"{where} is written; {ways}, or take it as it is with --no-verify",
    )
    error.report = report
    raise error


def versions() -> dict[str, str]:
    """Of mconv, Python and the packages that a conversion depends on."""
    return {"mconv": __version__, "python": platform.python_version(), **installed(_PACKAGES)}


def paddle_operators(program: Program) -> dict[str, int]:
    """The operators of a program with their counts, most frequent first; feed and fetch left out."""
    counts: dict[str, int] = {}
    for _, op in program.ops():
        if op.type not in ("feed", "fetch"):
            counts[op.type] = counts.get(op.type, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def keep(folder: Path, kept: Path, report: Report) -> None:
    """Move what was written, which failed its proof, to where it cannot be taken for a good model."""
    report.status = "failed verification"
    if "file" in report.output:
        report.output["file"] = str(kept / Path(report.output["file"]).name)
    else:
        report.output["folder"] = str(kept)
    set_aside(folder, kept, report.write)


def set_aside(folder: Path, kept: Path, write: Callable[[Path], None]) -> None:
    """Move what is in *folder* to *kept*, with the report that *write* writes into a folder."""
    with staged(kept, force=True) as stage:
        for entry in list(folder.iterdir()):
            os.rename(entry, stage / entry.name)
        write(stage)


def failure(
    proof: Proof,
    kept: Path,
    report: Proved,
    advice: str = "",
    *,
    said: str = "the converted model computes something else",
    others: Sequence[dict[str, Any]] = (),
) -> MconvError:
    """The error for a failed proof; it carries the report for the command line, which shows the table.

    Args:
        said: what has failed, where both ran.
        others: rows of further comparisons that did.
    """
    hint = f"the files are kept in {kept}"
    if report.reservations:
        hint += f"; what may be the reason: {'; '.join(r['text'] for r in report.reservations)}"
    if proof.error is not None:
        error: MconvError = RuntimeFailedError(proof.error.message, hint)
        error.__cause__ = proof.error
    else:
        assert report.verification is not None  # a proof that failed is in it
        rows = [o for o in report.verification["outputs"] if not o["ok"]]
        hint = "; ".join(filter(None, (hint, advice)))
        error = VerificationError(f"{said}: {report.verification['reason']}", hint, [*rows, *others])
    error.report = report
    return error

"""What ``mconv bench`` shows: tables that fit 80 columns."""

from __future__ import annotations

from typing import Any, Optional

from mconv.cli.output import out
from mconv.printable import printable, three_digits

_RIGHT = (
    "p50 ms", "p90", "p95", "p99", "per s", "TPS", "CPU ms", "×", "load s", "memory MB", "largest difference", "wrong",
    "errors", "requests", "MB", "processes",
)  # fmt: skip
_SHORT = {"oneDNN + fc passes": "oneDNN, fc"}
_LONGEST = 30  # characters of a service's name


def show_models(found: Any) -> None:
    """A table for each input set, the fastest first, and one of loading, memory and answers."""
    several = 1 < len(found.models) <= 26
    letters = {model: chr(ord("A") + i) for i, model in enumerate(found.models)} if several else {}
    for model, letter in letters.items():
        out.print(f"{letter}: {model}")

    def name(lane: Any) -> str:
        how = _SHORT.get(lane.how, lane.how)
        mark = f"{letters[lane.model]} " if lane.model in letters else ""
        return f"{mark}{lane.runtime}{', ' + how if how else ''}"

    out.print(f"right is what {found.reference} answers; threads: {found.threads}, loops: {found.loops}")
    for index, shapes in enumerate(found.input_sets):
        title = ", ".join(f"{n}{list(s)}".replace(" ", "") for n, s in shapes.items())
        rows = []
        for lane in sorted(found.contenders, key=lambda m: _rank(m.sizes[index])):
            size = lane.sizes[index]
            f = size.figures
            cells = [""] * 5
            if f is not None:
                cells = [
                    three_digits(f.p50),
                    three_digits(f.p90),
                    three_digits(f.p99),
                    three_digits(size.per_second),
                    three_digits(size.cpu_ms),
                ]
            rows.append([name(lane), *cells, size.status if size.relative is None else f"{size.relative:.2f}"])
        out.print("\n" + title)
        out.table(["", "p50 ms", "p90", "p99", "per s", "CPU ms", "×"], rows, right=_RIGHT)
    out.print("")
    rows = []
    for lane in found.contenders:
        apart = [s.max_abs for s in lane.sizes if s.max_abs is not None]
        load = "" if lane.load_seconds is None else f"{lane.load_seconds:.2f}"
        rows.append([name(lane), load, _mb(lane.peak_bytes), f"{max(apart):.2g}" if apart else ""])
    out.table(["", "load s", "memory MB", "largest difference"], rows, right=_RIGHT)
    reasons = {(name(lane), size.reason): None for lane in found.contenders for size in lane.sizes if size.reason}
    for label, reason in reasons:
        out.print(f"{label}: {reason}")


def show_services(found: Any) -> None:
    """One row for each address, and what the servers of this machine took."""
    labels = {}
    for number, lane in enumerate(found.addresses, 1):
        labels[lane.address, lane.label] = lane.label if len(lane.label) <= _LONGEST else f"service {number}"
        if labels[lane.address, lane.label] != lane.label or lane.label != lane.address:
            out.print(f"{labels[lane.address, lane.label]}: {lane.address}")
    turns = f", in {found.rounds} turns" if found.rounds > 1 else ""
    out.print(f"{found.sent}; {found.threads} threads × {found.loops} requests{turns}\n")
    rows = []
    for lane in found.addresses:
        f = lane.figures
        cells = (
            [""] * 4
            if f is None
            else [f"{lane.tps:.1f}", three_digits(f.p50), three_digits(f.p95), three_digits(f.p99)]
        )
        rows.append([labels[lane.address, lane.label], *cells, lane.wrong, lane.errors, lane.status])
    out.table(["", "TPS", "p50 ms", "p95", "p99", "wrong", "errors", ""], rows, right=_RIGHT)
    rows = [
        [
            labels[lane.address, lane.label],
            three_digits(1e3 * lane.server.cpu_seconds / lane.requests),
            f"{lane.server.cpu_seconds / lane.seconds:.2f}",
            _mb(lane.server.peak_bytes),
            lane.server.processes,
            three_digits(lane.client_cpu_ms),
        ]
        for lane in found.addresses
        if lane.server is not None and lane.requests and lane.seconds
    ]
    if rows:
        head = ["server", "CPU ms", "cores", "MB", "processes", "load's own CPU ms"]
        out.print("")
        out.table(head, rows, right=(*_RIGHT, "cores", "load's own CPU ms"))
    for lane in found.addresses:
        reasons = lane.reasons or ({lane.reason: None} if lane.reason else {})
        for reason, count in reasons.items():
            reason = reason.removeprefix(f"{lane.label}: ")
            out.print(f"{labels[lane.address, lane.label]}: {printable(reason, 300)}{f' ({count} ×)' if count else ''}")


def _rank(size: Any) -> tuple[bool, float]:
    return size.relative is None, size.figures.p50 if size.figures is not None else float("inf")


def _mb(value: Optional[int]) -> str:
    return "" if value is None else f"{value / 1e6:.0f}"

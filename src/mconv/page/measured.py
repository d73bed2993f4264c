"""Sections of a page: what ``mconv bench`` has measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

from mconv.page import bars
from mconv.page.parts import figure, items, section, table, tag, text
from mconv.printable import counted, three_digits

Document = Mapping[str, Any]
_NUMBERS = ("TPS", "min ms", "p50 ms", "p50", "p90", "p95", "p99", "max", "per s", "CPU ms", "MB", "MB before", "wrong",
            "errors", "load s", "largest difference")  # fmt: skip


def sections(found: Document) -> Iterator[str]:
    """Figure, tables and the machine of a measurement."""
    yield from _services(found) if found["kind"] == "service" else _models(found)
    machine = found["machine"]
    memory = f", {machine['memory_bytes'] / 2**30:.0f} GB" if machine["memory_bytes"] else ""
    load = f", load average at the end {machine['load']:.1f}" if machine["load"] is not None else ""
    on = f"{machine['cores']} cores ({machine['processor']}){memory}{load}."
    yield f'<p class="note">{text(on)}</p>'
    yield items(found["notes"])


def title(found: Document) -> str:
    if found["kind"] == "service":
        return f"Load: {found['threads']} threads × {found['loops']} requests"
    return "Latency of models"


def _services(found: Document) -> Iterator[str]:
    rounds = f", in {found['rounds']} turns each" if found["rounds"] > 1 else ""
    said = f"{found['sent']}{rounds}. Each answer was compared with the one that its request got alone."
    rows = []
    for lane in found["addresses"]:
        f, server = lane["figures"], lane["server"]
        figures = ["" if f is None else three_digits(f[key]) for key in ("p50", "p95", "p99", "most")]
        used = ["", ""]
        if server is not None and lane["requests"]:
            used = [three_digits(1e3 * server["cpu_seconds"] / lane["requests"]), f"{server['peak_bytes'] / 1e6:.0f}"]
        tps = "" if lane["tps"] is None else f"{lane['tps']:.1f}"
        rows.append(
            [_status(lane["status"]), lane["label"], lane["form"], tps, *figures, lane["wrong"], lane["errors"], *used]
        )
    head = ["", "address", "requests", "TPS", "p50 ms", "p95", "p99", "max", "wrong", "errors", "CPU ms", "MB"]
    notes = []
    for lane in found["addresses"]:
        if lane["address"] != lane["label"]:
            notes.append(f"{lane['label']}: {lane['address']}")
        reasons = lane["reasons"] or ({lane["reason"]: None} if lane["reason"] else {})
        notes += [f"{lane['label']}: {reason}{f' ({count} ×)' if count else ''}" for reason, count in reasons.items()]
    yield section(
        "Requests a second and latency",
        f"<p>{text(said)}</p>",
        figure(bars.svg(found), wide=True),
        table(head, rows, right=_NUMBERS),
        items(notes),
    )


def _models(found: Document) -> Iterator[str]:
    turns, threads = min(found["rounds"], found["loops"]), found["threads"]
    said = (
        f"{found['loops']} runs in {counted(turns, 'turn')}, {counted(threads, 'thread')}; right is what "
        f"{found['reference']} answers."
    )
    yield section("Median of the runs", f"<p>{text(said)}</p>", figure(bars.svg(found), wide=True))
    several = len(found["models"]) > 1
    for index, shapes in enumerate(found["input_sets"]):
        lanes = sorted(found["contenders"], key=lambda m: _order(m["sizes"][index]["relative"]))
        rows = []
        for lane in lanes:
            size = lane["sizes"][index]
            f = size["figures"]
            figures = ["" if f is None else three_digits(f[key]) for key in ("least", "p50", "p90", "p99")]
            more = ["", ""] if f is None else [three_digits(size["per_second"]), three_digits(size["cpu_ms"])]
            status = _status(size["status"] if size["relative"] is None else f"{size['relative']:.2f} ×")
            rows.append([status, bars.lane_of(lane), lane["model"] if several else None, *figures, *more])
        head = ["", "runtime", "model", "min ms", "p50", "p90", "p99", "per s", "CPU ms"]
        sizes = ", ".join(f"{name}{list(shape)}" for name, shape in shapes.items())
        yield section(sizes, table(head, rows, right=_NUMBERS))
    rows = []
    for lane in found["contenders"]:
        apart = [s["max_abs"] for s in lane["sizes"] if s["max_abs"] is not None]
        load = "" if lane["load_seconds"] is None else f"{lane['load_seconds']:.2f}"
        peak = "" if lane["peak_bytes"] is None else f"{lane['peak_bytes'] / 1e6:.0f}"
        bare = "" if lane["bare_bytes"] is None else f"{lane['bare_bytes'] / 1e6:.0f}"
        largest = f"{max(map(float, apart)):.2g}" if apart else ""
        rows.append([bars.lane_of(lane), lane["model"] if several else None, load, peak, bare, largest])
    head = ["runtime", "model", "load s", "MB", "MB before", "largest difference"]
    reasons = {
        f"{bars.lane_of(lane)}: {s['reason']}": None
        for lane in found["contenders"]
        for s in lane["sizes"]
        if s["reason"]
    }
    yield section("Loading, memory, answers", table(head, rows, right=_NUMBERS), items(reasons))


def _order(relative: Optional[float]) -> tuple[bool, float]:
    return relative is None, relative or 0


def _status(status: str) -> str:
    return tag("good" if status == "ok" or status.endswith("×") else "bad", status)

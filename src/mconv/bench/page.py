"""A measurement as one page of HTML that needs nothing else: the figure is in it, as SVG."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from mconv.bench import plot
from mconv.errors import OutputExistsError
from mconv.printable import printable
from mconv.version import __version__

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem; overflow-wrap: anywhere }
.table { overflow-x: auto } table { border-collapse: collapse; min-width: 100% }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: left; overflow-wrap: anywhere }
th { border-bottom: 2px solid #999; white-space: nowrap } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.bad td { color: #999 } tr.bad td.s { color: #b00020 } svg { max-width: 100%; height: auto } .note { color: #666 }
"""


def write(found: Any, path: Path) -> None:
    """Write the page of a measurement.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputExistsError: it cannot be written.
    """
    text = page(found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise OutputExistsError(f"{path}: cannot be written ({e.strerror})") from None


def page(found: Any) -> str:
    """The page of a :class:`~mconv.bench.result.Bench`."""
    body = list(_services(found) if found.kind == "service" else _models(found))
    machine = found.machine
    memory = f", {machine.memory_bytes / 2**30:.0f} GB" if machine.memory_bytes else ""
    load = f", load average at the end {machine.load:.1f}" if machine.load is not None else ""
    body.append(f'<p class="note">{_text(f"{machine.cores} cores ({machine.processor}){memory}{load}")}.</p>')
    body += [f'<p class="note">{_text(note)}</p>' for note in found.notes]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>mconv bench</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f'\n<p class="note">mconv {_text(__version__)}</p>\n</body>\n</html>\n'
    )


def _services(found: Any) -> Iterator[str]:
    yield f"<h1>Load: {found.threads} threads × {found.loops} requests</h1>"
    rounds = f", in {found.rounds} turns each" if found.rounds > 1 else ""
    yield f"<p>{_text(found.sent)}{rounds}. Each answer was compared with the one that its request got alone.</p>"
    yield plot.drawn(found)
    rows, bad = [], []
    for lane in found.addresses:
        f, server = lane.figures, lane.server
        figures = ["", "", "", ""] if f is None else [_ms(f.p50), _ms(f.p95), _ms(f.p99), _ms(f.most)]
        used = ["", ""]
        if server is not None and lane.requests:
            used = [_ms(1e3 * server.cpu_seconds / lane.requests), f"{server.peak_bytes / 1e6:.0f}"]
        tps = "" if lane.tps is None else f"{lane.tps:.1f}"
        rows.append([lane.label, lane.form, tps, *figures, lane.wrong, lane.errors, *used])
        bad.append(lane.status != "ok")
    head = ["address", "requests", "TPS", "p50 ms", "p95", "p99", "max", "wrong", "errors", "CPU ms", "MB"]
    yield _table(head, rows, bad, first=2)
    for lane in found.addresses:
        if lane.address != lane.label:
            yield f'<p class="note">{_text(lane.label)}: {_text(lane.address)}</p>'
        reasons = lane.reasons or ({lane.reason: None} if lane.reason else {})
        for reason, count in reasons.items():
            yield f"<p>{_text(lane.label)}: {_text(reason)}{f' ({count} ×)' if count else ''}</p>"


def _models(found: Any) -> Iterator[str]:
    yield "<h1>Latency of models</h1>"
    yield (
        f"<p>{found.loops} runs in {min(found.rounds, found.loops)} turns, {found.threads} thread{'s' * (found.threads > 1)}; "
        f"right is what {_text(found.reference)} answers.</p>"
    )
    yield plot.drawn(found)
    several = len(found.models) > 1
    for index, shapes in enumerate(found.input_sets):
        title = ", ".join(f"{name}{list(shape)}" for name, shape in shapes.items())
        yield f"<h2>{_text(title)}</h2>"
        lanes = sorted(found.contenders, key=lambda m: (m.sizes[index].relative is None, m.sizes[index].relative or 0))
        rows, bad = [], []
        for lane in lanes:
            size = lane.sizes[index]
            f = size.figures
            figures = ["", "", "", ""] if f is None else [_ms(f.least), _ms(f.p50), _ms(f.p90), _ms(f.p99)]
            more = ["", ""] if f is None else [f"{size.per_second:.3g}", _ms(size.cpu_ms)]
            name = f"{lane.runtime}{', ' + lane.how if lane.how else ''}"
            status = size.status if size.relative is None else f"{size.relative:.2f} ×"
            rows.append([name, *([lane.model] if several else []), *figures, *more, status])
            bad.append(size.relative is None)
        head = ["runtime", *(["model"] if several else []), "min ms", "p50", "p90", "p99", "per s", "CPU ms", ""]
        yield _table(head, rows, bad, first=2 if several else 1)
    rows = []
    for lane in found.contenders:
        apart = [s.max_abs for s in lane.sizes if s.max_abs is not None]
        name = f"{lane.runtime}{', ' + lane.how if lane.how else ''}"
        load = "" if lane.load_seconds is None else f"{lane.load_seconds:.2f}"
        peak = "" if lane.peak_bytes is None else f"{lane.peak_bytes / 1e6:.0f}"
        bare = "" if lane.bare_bytes is None else f"{lane.bare_bytes / 1e6:.0f}"
        rows.append([name, *([lane.model] if several else []), load, peak, bare, f"{max(apart):.2g}" if apart else ""])
    yield "<h2>Loading, memory, answers</h2>"
    head = ["runtime", *(["model"] if several else []), "load s", "MB", "MB before", "largest difference"]
    yield _table(head, rows, [lane.failed for lane in found.contenders], first=2 if several else 1)
    reasons = {(lane.runtime, lane.how, s.reason): None for lane in found.contenders for s in lane.sizes if s.reason}
    for runtime, how, reason in reasons:
        yield f"<p>{_text(runtime)}{_text(', ' + how if how else '')}: {_text(reason)}</p>"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], bad: Sequence[bool], *, first: int) -> str:
    """*first*: how many columns hold words; the others hold numbers."""

    def cells(row: Sequence[object], tag: str) -> str:
        last = len(row) - 1
        kinds = ["" if i < first else "n s" if i == last else "n" for i in range(len(row))]
        return "".join(
            f"<{tag}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{_text(str(cell))}</{tag}>"
            for kind, cell in zip(kinds, row)
        )

    body = "".join(
        f"<tr{' class=' + chr(34) + 'bad' + chr(34) if wrong else ''}>{cells(row, 'td')}</tr>\n"
        for row, wrong in zip(rows, bad)
    )
    return f'<div class="table"><table>\n<thead><tr>{cells(head, "th")}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def _text(text: str) -> str:
    return html.escape(printable(text))


def _ms(value: Optional[float]) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"

"""Figures: bars of requests a second and of latency, as in the article's figure. The library is matplotlib."""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mconv.errors import MissingDependencyError, OutputExistsError, UsageError
from mconv.extras import install
from mconv.printable import printable

FORMATS = ("svg", "png")
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")
_GREY = "#b0b0b0"
_LONGEST = 48  # characters of a label
# families with the letters of Chinese, Japanese and Korean, as systems have them
_CJK = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Arial Unicode MS",
)


def require(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: it is none. MissingDependencyError: matplotlib is not installed.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise UsageError(f"--plot {path}: its name has to end with .svg or .png")
    _library()
    return kind


def _library() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError("a figure needs matplotlib", f"install it with `{install('bench')}`") from None
    return matplotlib


def services(found: Any, path: Path) -> None:
    """The figure of services: requests a second, and latency in percentiles."""
    _write(_services(found), path)


def models(found: Any, path: Path) -> None:
    """The figure of models: for each input set, the latency in each runtime."""
    _write(_models(found), path)


def drawn(found: Any) -> str:
    """The figure of either, as SVG to be put into a page."""
    figure = _services(found) if found.kind == "service" else _models(found)
    buffer = io.StringIO()
    with _settings():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _write(figure: Any, path: Path) -> None:
    kind = require(path)
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _settings():
            figure.savefig(str(path), format=kind, dpi=150, metadata=metadata)
    except OSError as e:
        raise OutputExistsError(f"{path}: cannot be written ({e.strerror})") from None
    if kind == "svg":  # matplotlib leaves blanks at the ends of lines
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Names from outside are no formulas; text stays text; the same figure is the same file; letters that matplotlib's own
    font lacks come from an installed one, and where there is none, from that of whoever looks at an SVG."""
    chosen = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "mconv", "font.family": _families()}
    with _library().rc_context(chosen), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


@functools.cache
def _families() -> list[str]:
    """matplotlib's own font, then those with Chinese, Japanese and Korean letters that are installed."""
    _library()
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _CJK if name in there)]


def _figure(rows: int, panels: int, height: float) -> tuple[Any, Any]:
    _library()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    return figure, figure.subplots(rows, panels, squeeze=False)


def _services(found: Any) -> Any:
    lanes = list(found.addresses)
    with _settings():
        figure, axes = _figure(1, 2, 1.6 + 0.55 * max(2, len(lanes)))
        names = [_label(lane.label) for lane in lanes]
        _bars(axes[0][0], names, [lane.tps or 0.0 for lane in lanes], [lane.status for lane in lanes])
        axes[0][0].set_title(f"requests a second ({found.threads} at a time)", fontsize=10)
        width = 0.26
        for place, key in enumerate(("p50", "p95", "p99")):
            values = [getattr(lane.figures, key) if lane.figures is not None else 0.0 for lane in lanes]
            at = [index + (place - 1) * width for index in range(len(lanes))]
            bars = axes[0][1].barh(at, values, width, label=key, color=_COLOURS[place])
            axes[0][1].bar_label(bars, fmt="%.3g", fontsize=7, padding=2)
        axes[0][1].set_yticks(range(len(lanes)), [""] * len(lanes))  # the names stand on the left
        axes[0][1].invert_yaxis()
        axes[0][1].margins(x=0.15)
        axes[0][1].set_title("latency, ms", fontsize=10)
        axes[0][1].legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
        for axis in axes[0]:
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def _models(found: Any) -> Any:
    several = len(found.models) > 1
    count = len(found.input_sets)
    with _settings():
        figure, axes = _figure(count, 1, count * (1.0 + 0.32 * len(found.contenders)))
        for index, shapes in enumerate(found.input_sets):
            axis = axes[index][0]
            lanes = [lane for lane in found.contenders if lane.sizes[index].figures is not None]
            lanes.sort(key=functools.partial(_place, index))
            names = [
                _label(f"{lane.runtime}{', ' + lane.how if lane.how else ''}{' – ' + lane.model if several else ''}")
                for lane in lanes
            ]
            values = [lane.sizes[index].figures.p50 for lane in lanes]
            _bars(axis, names, values, [lane.sizes[index].status for lane in lanes])
            title = ", ".join(f"{name}{list(shape)}".replace(" ", "") for name, shape in shapes.items())
            axis.set_title(f"p50 ms: {_label(title, 90)}", fontsize=10)
            axis.spines[["top", "right"]].set_visible(False)
    return figure


def _place(index: int, lane: Any) -> tuple[bool, float]:
    """The right ones first, by time."""
    size = lane.sizes[index]
    return size.relative is None, size.figures.p50


def _bars(axis: Any, names: Sequence[str], values: Sequence[float], statuses: Sequence[str]) -> None:
    colours = [_COLOURS[0] if status == "ok" else _GREY for status in statuses]
    bars = axis.barh(range(len(names)), values, 0.7, color=colours)
    labels = [
        f"{value:.3g}" if status == "ok" else f"{value:.3g} ({status})" for value, status in zip(values, statuses)
    ]
    axis.bar_label(bars, labels, fontsize=8, padding=2)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.18)


def _label(text: str, most: int = _LONGEST) -> str:
    text = printable(text)
    return text if len(text) <= most else "…" + text[1 - most :]

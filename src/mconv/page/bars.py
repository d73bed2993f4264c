"""Figures of measurements: bars of requests a second and of latency, as in the article's figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mconv.page import charts
from mconv.page.charts import COLOURS, GREY, label
from mconv.printable import three_digits

Document = Mapping[str, Any]


def write(found: Document, path: Path) -> None:
    """Write the figure of a measurement to a file.

    Args:
        found: what ``mconv bench --json`` gives.

    Raises:
        MconvError: see :func:`mconv.page.charts.save`.
    """
    charts.save(_drawn(found), path)


def svg(found: Document) -> str:
    """The figure as SVG to be put into a page."""
    with charts.coloured():
        return charts.svg(_drawn(found))


def lane_of(lane: Document, several: bool = False) -> str:
    """What a model in a runtime is called."""
    how = f", {lane['how']}" if lane["how"] else ""
    return f"{lane['runtime']}{how}{' – ' + lane['model'] if several else ''}"


def _drawn(found: Document) -> Any:
    with charts.settings():
        return _services(found) if found["kind"] == "service" else _models(found)


def _services(found: Document) -> Any:
    """Requests a second, and latency in percentiles."""
    lanes = list(found["addresses"])
    figure, axes = charts.grid(1, 2, 1.6 + 0.55 * max(2, len(lanes)))
    names = [label(lane["label"]) for lane in lanes]
    _bars(axes[0][0], names, [lane["tps"] or 0.0 for lane in lanes], [lane["status"] for lane in lanes])
    axes[0][0].set_title(f"requests a second ({found['threads']} at a time)", fontsize=10)
    width = 0.26
    for position, key in enumerate(("p50", "p95", "p99")):
        values = [lane["figures"][key] if lane["figures"] is not None else 0.0 for lane in lanes]
        at = [index + (position - 1) * width for index in range(len(lanes))]
        bars = axes[0][1].barh(at, values, width, label=key, color=COLOURS[position])
        axes[0][1].bar_label(bars, [three_digits(value) for value in values], fontsize=7, padding=2)
    axes[0][1].set_yticks(range(len(lanes)), [""] * len(lanes))  # the names stand on the left
    axes[0][1].invert_yaxis()
    axes[0][1].margins(x=0.15)
    axes[0][1].set_title("latency, ms", fontsize=10)
    axes[0][1].legend(fontsize=8, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _models(found: Document) -> Any:
    """For each input set, the latency in each runtime."""
    several = len(found["models"]) > 1
    count = len(found["input_sets"])
    figure, axes = charts.grid(count, 1, count * (1.0 + 0.32 * len(found["contenders"])))
    for index, shapes in enumerate(found["input_sets"]):
        axis = axes[index][0]
        sized = [(lane, lane["sizes"][index]) for lane in found["contenders"]]
        sized = [(lane, size) for lane, size in sized if size["figures"] is not None]
        sized.sort(key=lambda pair: (pair[1]["relative"] is None, pair[1]["figures"]["p50"]))  # the right ones first
        names = [label(lane_of(lane, several)) for lane, _ in sized]
        _bars(axis, names, [size["figures"]["p50"] for _, size in sized], [size["status"] for _, size in sized])
        title = ", ".join(f"{name}{list(shape)}".replace(" ", "") for name, shape in shapes.items())
        axis.set_title(f"p50 ms: {label(title, 90)}", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _bars(axis: Any, names: list[str], values: list[float], statuses: list[str]) -> None:
    colours = [COLOURS[0] if status == "ok" else GREY for status in statuses]
    bars = axis.barh(range(len(names)), values, 0.7, color=colours)
    labels = [
        three_digits(value) + ("" if status == "ok" else f" ({status})") for value, status in zip(values, statuses)
    ]
    axis.bar_label(bars, labels, fontsize=8, padding=2)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.18)

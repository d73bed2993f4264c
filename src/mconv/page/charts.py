"""What every figure shares: the library, which is matplotlib, its settings, and SVG to be put into a page."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mconv.errors import MissingDependencyError, OutputExistsError, UsageError
from mconv.extras import install
from mconv.printable import printable

FORMATS = ("svg", "png")
COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")
GREY = "#b0b0b0"
_LONGEST = 48  # characters of a label
_INK = "#0a0b0c"  # stands for the colour of the page's text
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
    library()
    return kind


def library() -> Any:
    """matplotlib.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingDependencyError("a figure needs matplotlib", f"install it with `{install('bench')}`") from None
    return matplotlib


def svg(figure: Any) -> str:
    """A figure to be put into a page: its lines and letters have the page's colour, light or dark."""
    buffer = io.StringIO()
    with settings():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    tag, rest = text.split(">", 1)
    tag = re.sub(r' (?:width|height)="[^"]*"', "", tag)  # the page says how wide it is
    return f"{tag}>{rest}".replace(_INK, "currentColor")


def save(figure: Any, path: Path) -> None:
    """Write a figure to a file.

    Raises:
        OutputExistsError: it cannot be written.
    """
    kind = require(path)
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with settings():
            figure.savefig(str(path), format=kind, dpi=150, metadata=metadata)
    except OSError as e:
        raise OutputExistsError(f"{path}: cannot be written ({e.strerror})") from None
    if kind == "svg":  # matplotlib leaves blanks at the ends of lines
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """Names from outside are no formulas; text stays text; the same figure is the same file; letters that matplotlib's own
    font lacks come from an installed one, and where there is none, from that of whoever looks at an SVG."""
    chosen = {"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "mconv", "font.family": _families()}
    with library().rc_context(chosen), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        yield


@contextlib.contextmanager
def coloured() -> Iterator[None]:
    """What is drawn within it has lines and letters that :func:`svg` gives the page's colour."""
    parts = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    with library().rc_context(dict.fromkeys(parts, _INK)):
        yield


@functools.cache
def _families() -> list[str]:
    """matplotlib's own font, then those with Chinese, Japanese and Korean letters that are installed."""
    library()
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _CJK if name in there)]


def grid(rows: int, panels: int, height: float, width: float = 9) -> tuple[Any, Any]:
    """A figure and its axes, ``[row][panel]``.

    Args:
        height, width: inches.
    """
    library()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, panels, squeeze=False)


def label(text: str, most: int = _LONGEST) -> str:
    """A name in a figure: the end of a long one."""
    text = printable(text)
    return text if len(text) <= most else "…" + text[1 - most :]

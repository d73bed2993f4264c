"""What pages are made of: escaped text, tables, labelled values, the frame with its style."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mconv.budget import size_text
from mconv.printable import printable
from mconv.version import __version__

LONGEST = 400  # characters of a text that comes from a model
_SENTENCE = 40  # characters from which a cell of a table asks for room
MOST_ROWS = 200  # of one table: what is beyond it is counted

# No script runs and nothing is loaded, whatever a name in the page says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_MARK = (
    '<svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#3f51b5"/>'
    '<path d="M7 22V11l4.5 6 4.5-6v11" fill="none" stroke="#fff" stroke-width="2.6" stroke-linejoin="round" '
    'stroke-linecap="round"/><path d="M19 16.5h6m-2.6-3.4 3.4 3.4-3.4 3.4" fill="none" stroke="#9fe3c0" '
    'stroke-width="2.4" stroke-linejoin="round" stroke-linecap="round"/></svg>'
)
STYLE = """
.mconv { --ink: #1d2330; --dim: #5d6675; --line: #dfe3ea; --soft: #f5f6f9; --back: #fff; --link: #3949ab;
  --good: #12733f; --goodback: #e5f5ec; --part: #8a5a00; --partback: #fdf2d9; --bad: #b3142c; --badback: #fdeaec;
  --plain: #4a5568; --plainback: #eef0f4;
  --h0: #1b8a50; --h1: #57b27c; --h2: #a9cf7a; --h3: #f0c04a; --h4: #d7263d; --hn: #c9ced8;
  color: var(--ink); background: var(--back); font: 15px/1.5 system-ui, "Noto Sans CJK SC", sans-serif }
@media (prefers-color-scheme: dark) { .mconv { --ink: #e4e7ee; --dim: #9aa4b5; --line: #333a47; --soft: #1e232d;
  --back: #14181f; --link: #9fa8ff; --good: #7fdca8; --goodback: #133222; --part: #f3c969; --partback: #38290a;
  --bad: #ff8d9b; --badback: #3f151c; --plain: #c1c8d4; --plainback: #262c38;
  --h0: #1f9d5b; --h1: #3f7f5c; --h2: #7c9448; --h3: #c99a2e; --h4: #e5485d; --hn: #454d5b } }
body.mconv { margin: 0 } .mconv main { max-width: 72rem; margin: 0 auto; padding: 1.2rem 1.2rem 3rem }
.mconv .brand { display: flex; align-items: center; gap: .6rem; color: var(--dim); margin-bottom: 1rem }
.mconv .brand b { color: var(--ink) }
.mconv h1 { font-size: 1.45rem; line-height: 1.3; margin: 0 0 .8rem; overflow-wrap: anywhere }
.mconv h2 { font-size: 1.12rem; margin: 2.2rem 0 .6rem; padding-top: .2rem; overflow-wrap: anywhere }
.mconv h3 { font-size: .98rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere }
.mconv p { margin: .5rem 0; overflow-wrap: anywhere } .mconv a { color: var(--link) } .mconv .note { color: var(--dim) }
.mconv code { font: .88em ui-monospace, SFMono-Regular, Consolas, monospace; overflow-wrap: anywhere }
.mconv .verdict { border-radius: .6rem; padding: .9rem 1.1rem; border-left: .4rem solid; margin: 0 0 1rem }
.mconv .verdict strong { font-size: 1.15rem; display: block } .mconv .verdict p { margin: .25rem 0 0; color: var(--ink) }
.mconv .good { color: var(--good); background: var(--goodback) } .mconv .part { color: var(--part); background: var(--partback) }
.mconv .bad { color: var(--bad); background: var(--badback) } .mconv .plain { color: var(--plain); background: var(--plainback) }
.mconv .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; margin: 0 0 .5rem }
.mconv .fact { background: var(--soft); border-radius: .5rem; padding: .55rem .8rem; min-width: 0 }
.mconv .fact span { display: block; color: var(--dim); font-size: .82rem }
.mconv .fact b { font-size: 1.08rem; font-weight: 600; overflow-wrap: anywhere }
.mconv .table { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0 }
.mconv table { border-collapse: collapse; width: 100%; font-size: .9rem; background: none }
.mconv th, .mconv td { padding: .32rem .7rem; border: 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
  color: var(--ink); overflow-wrap: anywhere; min-width: 3.5rem; max-width: 26rem }
.mconv thead th { border-top: 0; background: var(--soft); color: var(--dim); font-weight: 600; white-space: nowrap }
.mconv td.n, .mconv th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.mconv td:nth-child(2) { min-width: 8.5rem } .mconv td.s { white-space: nowrap; min-width: 0 } .mconv td.w { min-width: 16rem } .mconv tr:nth-child(even) td { background: none }
.mconv .tag { display: inline-block; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; font-weight: 600; white-space: nowrap }
.mconv ul { margin: .5rem 0; padding-left: 1.2rem } .mconv li { overflow-wrap: anywhere; margin: .15rem 0 }
.mconv details > summary { cursor: pointer } .mconv pre { overflow: auto; max-height: 30rem; background: var(--soft);
  padding: .7rem; border-radius: .5rem; font-size: .8rem; color: var(--ink) }
.mconv .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .8rem }
.mconv figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .6rem; min-width: 0 }
.mconv figcaption { font-size: .85rem; color: var(--dim); overflow-wrap: anywhere } .mconv figure svg { width: 100%; height: auto; display: block }
.mconv .wide { overflow-x: auto } .mconv .wide svg { min-width: 34rem }
.mconv hr { border: 0; border-top: 2px solid var(--line); margin: 2.2rem 0 1.4rem } .mconv td:first-child { min-width: 5.5rem }
.mconv footer { margin-top: 2.5rem; color: var(--dim); font-size: .85rem; border-top: 1px solid var(--line); padding-top: .6rem }
@media (max-width: 40rem) { .mconv main { padding: .9rem .8rem 2rem } .mconv h1 { font-size: 1.2rem }
  .mconv th, .mconv td { padding: .28rem .5rem } .mconv .facts { grid-template-columns: 1fr 1fr } }
"""


def text(value: object, most: int = LONGEST) -> str:
    """Whatever *value* says, as text of HTML: one line, no control characters, no tags."""
    return html.escape(printable(str(value), most))


class Markup(str):
    """HTML that is escaped already, as a cell of a table."""


def tag(kind: str, value: str) -> Markup:
    """A word in a colour: *kind* is ``good``, ``part``, ``bad`` or ``plain``."""
    return Markup(f'<span class="tag {kind}">{text(value)}</span>')


def agreed(ok: bool, otherwise: str = "differs") -> Markup:
    """The word of a row: whether what it is about is as it should be."""
    return tag("good", "ok") if ok else tag("bad", otherwise)


def section(title: str, *parts: str, anchor: str = "") -> str:
    """A heading with what stands below it; nothing where that is empty."""
    body = "\n".join(filter(None, parts))
    attribute = f' id="{anchor}"' if anchor else ""
    return f"<section{attribute}>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def facts(values: Mapping[str, object]) -> str:
    """Labelled values; those that are None or empty are left out."""
    shown = {label: value for label, value in values.items() if value not in (None, "", [], {})}
    boxes = (f'<div class="fact"><span>{text(k)}</span><b>{text(v)}</b></div>' for k, v in shown.items())
    return f'<div class="facts">{"".join(boxes)}</div>' if shown else ""


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = (), most: int = MOST_ROWS
) -> str:
    """A table that scrolls where it is too wide.

    Args:
        rows: cells are texts, numbers or :class:`Markup`; None is an empty one.
        right: the headings of columns of numbers.
        most: rows that are shown.
    """
    if not rows:
        return ""
    columns = [i for i in range(len(head)) if any(row[i] not in (None, "") for row in rows)]

    def cells(row: Sequence[object], name: str) -> str:
        made = []
        for i in columns:
            value, kind = row[i], ' class="n"' if head[i] in right else ""
            if isinstance(value, Markup) and not kind:
                kind = ' class="s"'
            elif isinstance(value, str) and len(value) > _SENTENCE and not kind:
                kind = ' class="w"'
            made.append(f"<{name}{kind}>{value if isinstance(value, Markup) else text(_cell(value))}</{name}>")
        return "".join(made)

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows[:most])
    more = f'<p class="note">{len(rows) - most} more rows are in the document.</p>' if len(rows) > most else ""
    return (
        f'<div class="table" tabindex="0"><table>\n<thead><tr>{cells(head, "th")}</tr></thead>\n<tbody>\n{body}\n</tbody>'
        f"</table></div>{more}"
    )


def _cell(value: object) -> object:
    return "" if value is None else value


def pairs(values: Mapping[str, object], head: Sequence[str]) -> str:
    """A mapping as a table of two columns."""
    return table(head, [[key, value] for key, value in values.items()])


def items(values: Iterable[object], most: int = MOST_ROWS) -> str:
    """A list of sentences."""
    values = list(values)
    more = f"<li>{len(values) - most} more</li>" if len(values) > most else ""
    return f"<ul>{''.join(f'<li>{text(v, 2000)}</li>' for v in values[:most])}{more}</ul>" if values else ""


def figure(svg: str, caption: str = "", *, wide: bool = False) -> str:
    """A chart; a wide one scrolls where there is no room."""
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    body = f'<div class="wide" tabindex="0">{svg}</div>' if wide else svg
    return f"<figure>{body}{below}</figure>"


def frame(title: str, body: str, style: str = STYLE) -> str:
    """The whole document around *body*."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<meta name="generator" content="mconv {__version__}">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{text(title, 150)}</title>\n<style>{style}</style>\n</head>\n"
        f'<body class="mconv">\n<main>\n<div class="brand">{_MARK}<b>mconv</b></div>\n{body}\n'
        f"<footer>mconv {text(__version__)}</footer>\n</main>\n</body>\n</html>\n"
    )


# numbers --------------------------------------------------------------------------------------------------------------


def amount(value: Any) -> str:
    """A number of bytes, as the terminal has it."""
    return size_text(round(value)) if isinstance(value, (int, float)) else ""


def spent(value: Any) -> str:
    """A number of seconds."""
    if not isinstance(value, (int, float)):
        return ""
    return f"{value:.2g} s" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value / 60:.1f} min"


def badness(row: Mapping[str, Any]) -> tuple[bool, float]:
    """What differs before what agrees, by the largest difference: of the figures of an output."""
    figure = row.get("max_abs")
    return not row.get("ok", True), float("inf") if figure is None else float(figure)


def figured(value: Any, form: str = ".2e") -> str:
    """A figure of a comparison: ``0`` where there is no difference, ``–`` where there is none to tell."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return "–" if value is None else str(value)
    return "0" if value == 0 and form.endswith("e") else format(value, form)

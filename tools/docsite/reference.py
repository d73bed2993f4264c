"""The page of each command, written from the command's own help in English and Chinese.

Nothing about a command is stated here that the command itself does not say, but for the exit codes it can end with
(:data:`EXITS`) and its recorded examples (``examples/<command>.md``).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mconv import errors
from mconv.cli import main as frame

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
GLOBALS = ("json_", "verbose", "quiet", "debug")
_ALWAYS = (0, 2, 6, 70, 130)
_READS = (3, 4)
# command → the exit codes it can end with, beside 0 (done), 2 (usage), 6 (output), 70 (bug) and 130 (interrupted)
EXITS: dict[str, tuple[int, ...]] = {
    "to-static": (3, 4, 5, 7, 8, 9, 10, 11, 13, 14),
    "onnx2paddle": (*_READS, 5, 7, 8, 9, 10, 11, 14, 15),
    "torch2paddle": (*_READS, 5, 7, 8, 9, 10, 11, 13, 14, 15),
    "to-onnx": (*_READS, 5, 7, 8, 9, 10, 14, 15),
    "downgrade": (*_READS, 5, 8, 9, 10, 14, 15),
    "convert": (*_READS, 5, 7, 8, 9, 10, 11, 13, 14, 15),
    "to-serving": (*_READS, 5, 7, 8, 9, 14),
    "scaffold": (*_READS, 5, 7, 14),
    "edit": (*_READS, 5, 7, 8, 9, 10, 11, 14, 15),
    "half": (*_READS, 5, 6, 8, 9, 10, 14),
    "quantize": (*_READS, 5, 6, 7, 8, 9, 10, 11, 14),
    "shapes": (*_READS, 5, 6, 8, 9, 14),
    "serve": (*_READS, 5, 7, 8, 9, 14),
    "serve-check": (*_READS, 8, 9, 10, 14),
    "inspect": (*_READS, 14),
    "verify": (*_READS, 5, 7, 8, 9, 10, 11, 13, 14, 15),
    "bench": (*_READS, 5, 7, 8, 9, 10, 11, 14, 16),
    "check": (*_READS, 11, 12, 14),
    "run": (*_READS, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    "init": (*_READS, 5, 14),
    "runtime": (7, 8),
    "doctor": (),
    "report-bug": (),
}


class Texts:
    """English, or the Chinese that a table has for it; what is missing there stays English and is remembered.

    Args:
        table: the table's file in this folder.
    """

    def __init__(self, language: str, table: str = "zh.yaml"):
        self.language = language
        self.missing: list[str] = []
        self.used: set[str] = set()
        self._table: dict[str, str] = (
            {} if language == "en" else yaml.safe_load((HERE / table).read_text(encoding="utf-8"))
        )

    def __call__(self, text: str) -> str:
        if self.language == "en" or not text:
            return text
        self.used.add(text)
        if text not in self._table and text not in self.missing:
            self.missing.append(text)
        return self._table.get(text, text)

    def stale(self) -> list[str]:
        """Entries of the table that nothing asked for."""
        return [text for text in self._table if text not in self.used]


@dataclass
class Option:
    names: str
    help: str
    default: str
    own: bool  # not one of the options that every command has
    group: str = ""


@dataclass
class Command:
    """One command or subcommand, as its parser knows it."""

    name: str
    help: str
    usage: str
    arguments: list[tuple[str, str]] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)  # group of options → a line that shows it in use


def commands() -> list[str]:
    """The commands of this installation, in the order of ``mconv --help``."""
    return [name for group in frame.COMMANDS.values() for name in group if frame.available(name)]


def parsers(name: str) -> list[tuple[str, Any]]:
    """``(full name, parser)`` of a command, or of each of its subcommands."""
    import typer

    parser = typer.main.get_command(frame.load(name))
    below = getattr(parser, "commands", None)
    return [(f"{name} {sub}", p) for sub, p in below.items()] if below else [(name, parser)]


def read(name: str) -> list[Command]:
    """What the parser of a command says of itself."""
    return [_read(full, parser) for full, parser in parsers(name)]


def _read(full: str, parser: Any) -> Command:
    arguments = [p for p in parser.params if p.param_type_name == "argument"]
    options = [p for p in parser.params if p.param_type_name == "option"]
    words = [_argument(p) if p.required else f"[{_argument(p)}]" for p in arguments]
    text = inspect.cleandoc(parser.help or "")
    found = Command(full, text, " ".join(["mconv", full, *words, "[OPTIONS]"]))
    found.arguments = [(_argument(p), p.help or "") for p in arguments]
    groups = parser.groups() if hasattr(parser, "groups") else {"": options}
    for group, members in groups.items():
        for p in members:
            help_, default = _default(p)
            found.options.append(Option(_names(p), help_, default, p.name not in GLOBALS, group))
    found.examples = dict(getattr(parser, "examples", {}))
    return found


def _argument(p: Any) -> str:
    name = p.metavar or p.name.upper()
    return name if p.nargs == 1 or name.endswith("...") else f"{name}..."


def _names(p: Any) -> str:
    names = ", ".join(sorted(p.opts, key=len))
    if p.secondary_opts:
        names += " / " + ", ".join(p.secondary_opts)
    if p.is_flag or p.count:
        return names
    return f"{names} {p.metavar or _value(p)}"


def _value(p: Any) -> str:
    choices = getattr(p.type, "choices", None)
    if choices:
        return "|".join(str(getattr(c, "value", c)) for c in choices)
    kind = p.type.name if hasattr(p.type, "name") else "text"
    return {"integer": "N", "int": "N", "float": "NUMBER", "str": "TEXT", "string": "TEXT"}.get(kind, kind.upper())


def _default(p: Any) -> tuple[str, str]:
    """The help without its ``[default: …]``, and what that says or what the parser knows."""
    text = " ".join((p.help or "").split())
    stated = re.search(r"\s*\[default: (.*)\]$", text)
    if stated:
        return text[: stated.start()], stated[1]
    default = p.default
    if default is None or default is False or default == () or (p.count and not default):
        return text, ""
    if p.is_flag:
        return text, f"`{max(p.opts, key=len)}`" if p.secondary_opts else ""
    return text, f"`{getattr(default, 'value', default)}`"


def page(name: str, t: Texts) -> str:
    """The Markdown of one command's page."""
    found = read(name)
    several = len(found) > 1
    lines = [MADE, "", f"# mconv {name}", "", *([_summary(name, t), ""] if several else [])]
    for command in found:
        if several:
            lines += [f"## mconv {command.name}", ""]
        lines += _command(command, t, "###" if several else "##")
    lines += [f"## {t('Exit codes')}", ""]
    lines += exit_table(sorted({*_ALWAYS, *EXITS.get(name, ())}), t)
    lines += ["", *examples(name, t)]
    return "\n".join(lines).rstrip("\n") + "\n"


MADE = "<!-- written by tools/make_docs.py from the command's help: do not edit -->"


def _summary(name: str, t: Texts) -> str:
    return escape(t(next(group[name] for group in frame.COMMANDS.values() if name in group))) + "."


def _command(command: Command, t: Texts, heading: str) -> Iterator[str]:
    for paragraph in command.help.split("\n\n"):
        yield from (escape(t(" ".join(paragraph.split()))), "")
    yield from (f"{heading} {t('Usage')}", "", "```", command.usage, "```", "")
    if command.arguments:
        yield from (f"{heading} {t('Arguments')}", "")
        rows = [(f"`{metavar}`", escape(t(text))) for metavar, text in command.arguments]
        yield from (*table((t("argument"), t("meaning")), rows), "")
    own = [o for o in command.options if o.own]
    if own:
        yield from (f"{heading} {t('Options')}", "")
        for group in dict.fromkeys(o.group for o in own):
            if group:
                yield from (f"{heading}# {t(group)}", "")
            if group in command.examples:
                yield from ("```", command.examples[group], "```", "")
            rows = [(f"`{o.names}`", escape(t(o.help)), _shown(o.default, t)) for o in own if o.group == group]
            yield from (*table((t("option"), t("meaning"), t("default")), rows), "")
    yield from (t("Beside them, the [options of every command](index.md#options-of-every-command)."), "")


def _shown(default: str, t: Texts) -> str:
    as_it_is = default.startswith("`") or not default or default.isdigit()
    return default if as_it_is else escape(t(default))


def index(t: Texts) -> str:
    """The page that lists all commands, the options that all have, and the exit codes."""
    lines = [MADE, "", f"# {t('Commands')}", ""]
    for group, names in frame.COMMANDS.items():
        rows = [(f"[`mconv {n}`]({n}.md)", escape(t(text))) for n, text in names.items() if frame.available(n)]
        if rows:
            lines += [f"## {t(group)}", "", *table((t("command"), t("what it does")), rows), ""]
    lines += [f"## {t('Options of every command')} {{ #options-of-every-command }}", ""]
    shared = [o for o in read("inspect")[0].options if not o.own]
    rows2 = [(f"`{o.names}`", escape(t(o.help))) for o in shared]
    lines += [*table((t("option"), t("meaning")), [*rows2, ("`--help`", t("Show the help of the command."))]), ""]
    lines += [t("Without a command: `mconv --help`, `mconv --version`, `mconv --install-completion`."), ""]
    lines += [f"## {t('Exit codes')} {{ #exit-codes }}", "", *exit_table(sorted(meanings(t)), t), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def meanings(t: Texts) -> dict[int, str]:
    """Exit code → what it means: the first sentence of each error's docstring."""
    found = {0: t("Done."), errors.EXIT_BUG: t("A bug of mconv; please report it."), errors.EXIT_INTERRUPTED: ""}
    found[errors.EXIT_INTERRUPTED] = t("Interrupted (Ctrl-C).")
    for error in vars(errors).values():
        # a kind of an error that shares its code is that error to whoever reads the code
        own = isinstance(error, type) and issubclass(error, errors.MconvError) and "exit_code" in vars(error)
        if own and error is not errors.MconvError:
            first = inspect.cleandoc(error.__doc__ or "").split("\n\n")[0]
            found[error.exit_code] = t(" ".join(first.split()).replace("``", "`"))
    return found


def exit_table(codes: Sequence[int], t: Texts) -> list[str]:
    known = meanings(t)
    return table((t("code"), t("meaning")), [(f"`{code}`", escape(known[code])) for code in codes])


def examples(name: str, t: Texts) -> Iterator[str]:
    """The recorded examples: prose in the page's language, console sessions as they are."""
    path = EXAMPLES / f"{name}.md"
    if not path.exists():
        return
    yield from (f"## {t('Examples')}", "")
    inside = False
    for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n"):
        inside ^= line.startswith("```")
        yield line if inside or line.startswith("```") else t(line)


_SPECIAL = re.compile(r"[\\*\[\]]|(?<!\w)_|_(?!\w)")


def escape(text: str) -> str:
    """Plain text of a help as Markdown, ``code`` kept."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else _SPECIAL.sub(r"\\\g<0>", p).replace("<", "&lt;") for p in parts)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; ``|`` in cells escaped."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]

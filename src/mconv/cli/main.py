"""The ``mconv`` command: finds the subcommand's module, imports only that one, and runs it.

``mconv --help`` is written from the table below and imports nothing, not even typer.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any, Optional

from mconv.cli import completion
from mconv.cli.process import to_stdout
from mconv.errors import NotAModelError, UsageError
from mconv.version import __version__

# group → subcommand → what it does; the module is mconv.cli.<subcommand with _>
COMMANDS: dict[str, dict[str, str]] = {
    "Convert": {
        "convert": "Any model, whatever it is → serving_server/ + serving_client/ in one go",
        "to-static": "A paddle.nn.Layer and its weights → a static inference model",
        "onnx2paddle": "ONNX → Paddle inference model",
        "torch2paddle": "PyTorch (.pt2, TorchScript, factory, Hugging Face folder) → Paddle",
        "to-onnx": "Paddle → ONNX, proved",
        "downgrade": "A model of a newer Paddle, .json included → one that an older Paddle loads",
        "half": "A float32 model → half precision for GPUs, proved on the CPU",
        "quantize": "A float32 model → int8, calibrated on data and proved on others",
        "edit": "A Paddle or ONNX model with other sizes, names, inputs, outputs, files; proved",
    },
    "Serve": {
        "to-serving": "Any Paddle inference model → serving_server/ + serving_client/",
        "scaffold": "A service around a converted model: texts, pictures or tensors in, JSON out",
        "shapes": "What TensorRT asks for: the range of every tensor's shape",
        "serve": "Start a service in its managed server, and say how to ask",
        "serve-check": "Start the real server on a converted model and compare its answers",
    },
    "Look": {
        "inspect": "What is this file or folder: inputs, outputs, operators, which Paddle loads it",
    },
    "Prove": {
        "verify": "Run two models and compare them, output by output",
        "bench": "How fast models run, how much a service bears; answers compared",
        "check": "Whether a converted folder is still what its provenance file says",
    },
    "Environment": {
        "run": "Run recipes: whole chains from the source model to the service",
        "init": "Write a recipe to start from",
        "runtime": "Managed Paddle runtimes: install, list, remove, path, run",
        "doctor": "What is installed, what works, what to install for the rest",
        "report-bug": "What a report of a failure needs, with the smallest model that fails; nothing is sent",
    },
}
_LEAST, _MOST = 36, 78  # columns of a help


def module_of(name: str) -> str:
    return "mconv.cli." + name.replace("-", "_")


def available(name: str) -> bool:
    """Whether the subcommand is part of this installation; imports only the empty package ``mconv.cli``."""
    return find_spec(module_of(name)) is not None


def help_text(width: int = 100) -> str:
    """What ``mconv --help`` prints.

    Args:
        width: characters of a line.
    """

    def wrapped(text: str, first: str = "") -> list[str]:
        return wrap(first + text, width, subsequent_indent=" " * len(first), break_on_hyphens=False)

    lines = [
        "Usage: mconv COMMAND [ARGS]...",
        "",
        *wrapped("Any model in, a Paddle model out that the runtime you deploy on really loads - and proof of it."),
    ]
    for group, commands in COMMANDS.items():
        listed = {name: text for name, text in commands.items() if available(name)}
        if listed:
            lines += ["", f"{group}:"]
            lines += [line for name, text in listed.items() for line in wrapped(text, f"  {name:<13} ")]
    lines += [
        "",
        *wrapped("Options of every command: --help, --json, -v/--verbose, -q/--quiet, --debug"),
        *wrapped("Others: mconv --version, mconv --install-completion, mconv --show-completion"),
        "",
        *wrapped(
            "Exit codes: 2 usage, 3 not a model, 4 damaged model, 5 unsupported, 6 output, 7 package missing, "
            "8 runtime missing, 9 runtime failed, 10 results differ, 11 not trusted, 12 altered, "
            "13 weights do not fit, 14 beyond --limit, 15 not proved, 16 too slow, 70 bug of mconv"
        ),
    ]
    return "\n".join(lines) + "\n"


def load(name: str) -> Any:
    """The typer application of one subcommand."""
    import typer

    from mconv.cli.common import with_globals
    from mconv.cli.grouped import GroupedCommand

    module = import_module(module_of(name))
    group: Optional[typer.Typer] = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        group.command(name, cls=GroupedCommand, no_args_is_help=False)(with_globals(module.command))
        return group
    for command in group.registered_commands:
        if command.callback is not None and not hasattr(command.callback, "__signature__"):
            command.callback = with_globals(command.callback)
    group.rich_markup_mode = None
    return group


def run(args: list[str]) -> int:
    """Run ``mconv`` with these arguments; returns the exit code."""
    command = f"mconv {args[0]}" if args else "mconv"
    try:
        code = _run(args, command)
        with to_stdout():
            sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where every error ends
        from mconv.cli.failing import render_error

        return render_error(error, command, args)


def _run(args: list[str], command: str) -> int:
    first = args[0] if args else "--help"
    if os.environ.get(completion.VARIABLE):
        completion.answer({n: t for group in COMMANDS.values() for n, t in group.items() if available(n)}, load)
        return 0
    if first.partition("=")[0] in completion.OPTIONS:
        return completion.option(args)
    if first in ("--help", "-h", "help"):
        with to_stdout():
            sys.stdout.write(help_text(max(_LEAST, min(get_terminal_size((100, 24)).columns, 120))))
            sys.stdout.flush()
        return 0 if args else 2
    if first in ("--version", "-V"):
        with to_stdout():
            sys.stdout.write(f"mconv {__version__}\n")
            sys.stdout.flush()
        return 0
    known = [name for commands in COMMANDS.values() for name in commands if available(name)]
    if first not in known:
        from difflib import get_close_matches

        near = get_close_matches(first, known, 1)
        hint = f"did you mean `mconv {near[0]}`?" if near else "mconv --help lists the commands"
        raise UsageError(f"mconv has no {'option' if first.startswith('-') else 'command'} {first!r}", hint)
    from mconv.cli.output import out

    # for errors raised before the options are parsed
    out.configure(json="--json" in args, debug="--debug" in args)
    own = args[: args.index("--")] if "--" in args else args
    if "" in own and own[:2] != ["runtime", "run"]:  # as a path it would be the current folder
        raise UsageError("an argument is empty", "is a variable of the shell not set?")
    try:
        os.getcwd()
    except FileNotFoundError:
        raise NotAModelError("the current folder does not exist any more", "change to one that does") from None
    # of itself, click writes help of at least 50 columns, which a narrower terminal breaks within words
    width = max(_LEAST, min(get_terminal_size().columns - 2, _MOST))
    code = load(first)(args[1:], prog_name=command, standalone_mode=False, terminal_width=width)
    return code if isinstance(code, int) else 0

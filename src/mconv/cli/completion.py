"""Completion by the shell: the scripts that tell a shell to ask mconv, and the answers."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

from mconv.errors import OutputExistsError, UsageError

VARIABLE = "_MCONV_COMPLETE"  # set by the shell when it asks
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
OPTIONS = ("--install-completion", "--show-completion")


def option(args: list[str]) -> int:
    """``--show-completion [SHELL]`` and ``--install-completion [SHELL]``; returns the exit code.

    Raises:
        UsageError: no such shell, or none was found. OutputExistsError: the script cannot be written.
    """
    first, sign, given = args[0].partition("=")
    rest = [*([given] if sign else []), *args[1:]]
    if len(rest) > 1:
        raise UsageError(f"{first}: one shell, not {' '.join(rest)}", f"shells are {', '.join(SHELLS)}")
    shell = rest[0] if rest else _this_shell()
    if shell not in SHELLS:
        raise UsageError(f"{first}: {shell or 'which'} is no shell that it knows", f"mconv {first} {'|'.join(SHELLS)}")
    if first == OPTIONS[1]:
        sys.stdout.write(_script(shell) + "\n")
        return 0
    from typer._completion_shared import install

    try:
        _, path = install(shell=shell, prog_name="mconv", complete_var=VARIABLE)
        if shell == "zsh":
            path.write_text(_script(shell) + "\n", "utf-8")
    except OSError as e:
        raise OutputExistsError(
            f"{first} {shell}: {e.filename or 'the script'}: {e.strerror}", f"`mconv {OPTIONS[1]} {shell}` prints it"
        ) from None
    sys.stdout.write(f"{shell}: written to {path}; it takes effect in the next {shell}\n")
    return 0


def _script(shell: str) -> str:
    """What the shell reads. zsh loads the file at the first Tab, as the body of ``_mconv``; typer's then only registers
    the function, so that this Tab does nothing."""
    from typer._completion_shared import get_completion_script

    script = str(get_completion_script(prog_name="mconv", complete_var=VARIABLE, shell=shell))
    register = "compdef _mconv_completion mconv"
    if shell == "zsh" and script.endswith(register):
        called = 'if [ "$funcstack[1]" = "_mconv" ]; then\n  _mconv_completion "$@"\nelse\n  '
        script = f"{script[: -len(register)]}{called}{register}\nfi"
    return script


def _this_shell() -> str:
    """The shell that mconv was started from; the user's own where that is one without completion, such as sh."""
    import shellingham  # type: ignore[import-untyped]

    own = os.path.basename(os.environ.get("SHELL", ""))
    try:
        found = str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        return own
    return own if found not in SHELLS and own in SHELLS else found


def answer(commands: dict[str, str], load: Callable[[str], Any]) -> None:
    """Answer the shell, which passes the line in the environment.

    Args:
        commands: subcommand → what it does.
        load: subcommand → its typer application; only the one on the line is imported.
    """
    os.environ["COLUMNS"] = "10000"  # descriptions are one line each
    import typer

    words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    whole = typer.Typer(name="mconv", rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    chosen = words[1] if len(words) > 1 and words[1] in commands else None
    for name, text in commands.items():
        if name == chosen:
            app = load(name)
            if len(app.registered_commands) == 1 and app.registered_commands[0].name == name:
                whole.registered_commands.append(app.registered_commands[0])
            else:
                whole.add_typer(app, name=name)
        else:
            whole.command(name, short_help=text)(_nothing)
    whole.command("help", hidden=True)(_nothing)  # of one command alone, typer would make no group
    from typer.completion import completion_init

    completion_init()
    whole(args=[], prog_name="mconv", complete_var=VARIABLE)


def _nothing() -> None: ...


__all__ = ["OPTIONS", "VARIABLE", "answer", "option"]

"""The help of a command with many options: a section for each group, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

from mconv.errors import UsageError
from mconv.options.declare import GROUPS

FLAT = 9  # so many options need no groups
EVERY = "Every command"


class GroupedCommand(TyperCommand):
    """A command whose options say their group as ``rich_help_panel``, and its function the examples."""

    @property
    def examples(self) -> Mapping[str, str]:
        """Group → a line that shows it in use."""
        found: Mapping[str, str] = getattr(self.callback, "examples", {})
        return found

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As it is; but the parser takes the last of several values, and says nothing of the others.

        Raises:
            UsageError: an option of one value has several, or a switch is set both ways; the last argument is missing.
        """
        if not ctx.resilient_parsing:
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            arguments: list[Any] = [p for p in self.params if p.param_type_name == "argument"]
            # of SOURCE... OUT, one value goes to OUT, and SOURCE would be said to be missing
            several = len(arguments) > 1 and arguments[0].nargs == -1
            if several and not values.get(arguments[0].name) and values.get(arguments[-1].name) is not None:
                names = [p.make_metavar(ctx) for p in arguments]
                raise UsageError(f"Missing argument {names[-1]!r}.", f"{ctx.command_path} {' '.join(names)}")
            stated: list[Any] = [p for p in order if p.param_type_name == "option"]
            for option in {id(p): p for p in stated if not (p.multiple or p.count)}.values():
                flag = max(option.opts, key=len)
                times = sum(p is option for p in stated)
                if not option.is_flag and times > 1:
                    raise UsageError(f"{flag}: given {times} times, and takes one value", "give it once")
                other = next((o for o in option.secondary_opts if o in args), None)
                if other is not None and any(o in args for o in option.opts):
                    raise UsageError(f"{flag} and {other} contradict one another", "give one of the two")
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def groups(self) -> dict[str, list[Any]]:
        """Group → its options, in the order of the help; one group without a name where they are few."""
        options: list[Any] = [p for p in self.params if p.param_type_name == "option"]
        if sum(p.rich_help_panel != EVERY for p in options) <= FLAT:
            return {"": options}
        found: dict[str, list[Any]] = {}
        for name in (*GROUPS, EVERY):
            rows = [p for p in options if (p.rich_help_panel or GROUPS[-1]) == name]
            if rows:
                found[name] = rows
        return found

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments = [p.get_help_record(ctx) for p in self.params if p.param_type_name == "argument"]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([row for row in arguments if row is not None])
        groups = self.groups()
        for name, options in groups.items():
            rows = [row for p in options if (row := p.get_help_record(ctx)) is not None]
            if name in ("", EVERY):
                rows.append(("--help", "Show this message and exit."))
            with formatter.section(name or "Options"):
                if name in self.examples:
                    formatter.write_text(f"$ {self.examples[name]}")
                # what is narrower than click's 30 columns leaves room for the text
                formatter.write_dl(rows, col_max=min(30, formatter.width // 2 - 4))

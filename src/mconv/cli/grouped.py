"""The help of a command with many options: a section for each group, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

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

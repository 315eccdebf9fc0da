"""Commands in named groups, each with one whole line in `agd-bench --help`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from typer.core import TyperGroup


class Command(NamedTuple):
    """A command and the example that its own `--help` shows.

    Attributes:
        function: its signature declares the options; the first line of its docstring is its line in the list.
        example: a command line that works as written.
    """

    function: Callable[..., None]
    example: str


class GroupedHelp(TyperGroup):
    """Lists commands by `rich_help_panel` in plain text. Importing Rich for this would double the start-up time."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per group; a line is never cut.

        Args:
            ctx: the context of the call.
            formatter: where to write.
        """
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                panel = str(getattr(command, "rich_help_panel", None) or "Commands")
                groups.setdefault(panel, []).append((name, (command.help or "").partition("\n")[0]))
        widest = max(len(name) for rows in groups.values() for name, _ in rows)
        for panel, rows in groups.items():
            with formatter.section(panel):
                formatter.write_dl([(name.ljust(widest), line) for name, line in rows])

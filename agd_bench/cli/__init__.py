"""The command line: parse, call one function, print. torch and Ray are imported only by the commands that need them.

Exit codes: 0 success, 1 trials are missing or a check failed, 2 unusable input, 3 an unusable store, 4 nothing can run the
trials, 130 stopped by Ctrl-C, 143 terminated (SIGTERM).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from agd_bench.cli import boards, clusters, compete, extend, look, papers, searches, train
from agd_bench.cli.printing import prepare_streams, warn
from agd_bench.errors import AgdBenchError, shortened, training_advice


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

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what a usage error quotes is shortened as in our own errors.

        Args:
            ctx: the context of the call.
        """
        try:
            return super().invoke(ctx)
        except Exception as error:  # Typer's errors are public in its latest versions only
            if isinstance(message := getattr(error, "message", None), str):
                vars(error)["message"] = shortened(message)
            raise

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


app = typer.Typer(name="agd-bench", cls=GroupedHelp, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

GROUPS: dict[str, dict[str, Command]] = {
    "Run": {
        "run": Command(train.run, "agd-bench run quickstart"),
        "plan": Command(train.plan, "agd-bench plan sweep.toml --power 0.2"),
        "status": Command(train.status, "agd-bench status runs/quickstart"),
        "merge": Command(train.merge, "agd-bench merge runs/part-1 runs/part-2 --to runs/whole"),
        "launch": Command(clusters.launch, "agd-bench launch slurm job.toml --submit"),
        "search": Command(searches.search, "agd-bench search leaderboards/nas_bench_201-fashion_mnist-cpu"),
        "reproduce": Command(papers.reproduce, "agd-bench reproduce nas_bench_201 --scale cpu"),
    },
    "Look": {
        "report": Command(look.report, "agd-bench report runs/quickstart"),
        "claims": Command(look.claims_, "agd-bench claims leaderboards/competition"),
        "export": Command(look.export, "agd-bench export runs/quickstart --out tables"),
        "list": Command(look.list_, "agd-bench list algorithms"),
        "show": Command(look.show, "agd-bench show sgd_tuned"),
        "doctor": Command(look.doctor, "agd-bench doctor"),
    },
    "Publish": {
        "publish": Command(boards.publish, "agd-bench publish runs/quickstart --to leaderboards/quickstart"),
        "verify": Command(boards.verify, "agd-bench verify leaderboards/quickstart"),
        "site": Command(boards.site, "agd-bench site --to public"),
    },
    "Compete": {
        "freeze": Command(compete.freeze, "agd-bench freeze sweep.toml --to leaderboards/mine"),
        "enter": Command(compete.enter, "agd-bench enter competition --algorithm my_algorithms/mine.py"),
        "submit": Command(compete.submit, "agd-bench submit runs/competition-mine --to leaderboards/competition"),
        "audit": Command(compete.audit, "agd-bench audit competition --entry agd --share 0.05 --seed 1"),
        "withdraw": Command(compete.withdraw, 'agd-bench withdraw competition --entry mine --reason "trained on the test split"'),
    },
    "Extend": {
        "new": Command(extend.new, "agd-bench new search-space my_space"),
        "check": Command(extend.check, "agd-bench check my_search_spaces/my_space.py"),
        "convert": Command(extend.convert, "agd-bench convert nas_bench_201 '(2, 0, 0, 1, 1, 4)'"),
        "draw": Command(extend.draw, "agd-bench draw nas_bench_201 --to cells.svg"),
    },
}
"""Every command by group, in the order of `agd-bench --help`. A new command is one line here."""
for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group, epilog=f"Example: {command.example}")(command.function)


def _print_version(wanted: bool) -> None:
    if wanted:
        from agd_bench import __version__

        print(f"agd-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Measure what hyperparameter-free training does to architecture search.

    Compares accuracy, charged cost and architecture rankings against seed noise. Start with `agd-bench run quickstart`: it
    needs no download, no GPU and no server.
    """


def main() -> None:
    """Run the command line. Every error of agd-bench, and of the disk, is one line on standard error and an exit code."""
    prepare_streams()
    try:
        app([expand_home(argument) for argument in sys.argv[1:]], standalone_mode=True)
    except AgdBenchError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if not training_advice(error):
            raise
        _fail(training_advice(error), 4)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        _fail(f"{place}{error.strerror or error}; nothing that was written before is lost: mend it and run the same command again", 3)


def expand_home(argument: str) -> str:
    """Replace a leading `~` of an argument or of an option's value, which shells leave in `--out=~/runs`."""
    option, sign, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return option + sign + (os.path.expanduser(value) if value.startswith("~") else value)


def _fail(line: str, exit_code: int) -> None:
    warn(f"agd-bench: {shortened(line)}")
    sys.exit(exit_code)

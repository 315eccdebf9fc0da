"""The command line: parse, call one function, print. torch and Ray are imported only by the commands that need them.

Exit codes: 0 well, 1 trials are missing or a check failed, 2 input that cannot be used, 3 a store that cannot be used,
4 nothing can run the trials, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from agd_bench.cli import extend, look, machine, papers, train
from agd_bench.errors import AgdBenchError

app = typer.Typer(
    name="agd-bench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find out what hyperparameter-free training does to architecture search: "
    "accuracy, charged cost and rank shift, against seed noise.\n\n"
    "Start with `agd-bench run quickstart`: it needs no download, no GPU and no server.",
)

COMMANDS: dict[str, Callable[..., None]] = {
    "run": train.run,
    "plan": train.plan,
    "status": train.status,
    "merge": train.merge,
    "report": look.report,
    "export": look.export,
    "list": extend.list_,
    "new": extend.new,
    "draw": extend.draw,
    "check": extend.check,
    "doctor": machine.doctor,
    "publish": look.publish,
    "reproduce": papers.reproduce,
    "claims": look.claims_,
    "verify": look.verify,
    "benchmark": machine.benchmark,
}
for name, command in COMMANDS.items():  # in the order of `agd-bench --help`
    app.command(name)(command)


def main() -> None:
    """Run the command line; every error of ours is one line on standard error and an exit code."""
    try:
        app(standalone_mode=True)
    except AgdBenchError as error:
        print(f"agd-bench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""The command that compares search methods."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from agd_bench.cli.interruptions import resumable
from agd_bench.cli.options import JsonOption, PublishedOption, QuietOption, SearchersOption
from agd_bench.cli.printing import print_table


def search(
    source: Annotated[
        str, typer.Argument(metavar="BOARD", help="A run, a leaderboard's folder, a store's URL, or nas_bench_201 for the published table.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--setting", help="Search on ALGORITHM, ALGORITHM@EPOCHS or DATASET/ALGORITHM@EPOCHS. Repeatable. Default: all."),
    ] = None,
    deploy: Annotated[
        str | None,
        typer.Option("--deploy", metavar="ALGORITHM[@EPOCHS]", help="What trains the found architectures. Default: the baseline, longest."),
    ] = None,
    methods: Annotated[list[str] | None, typer.Option("--method", help="A search method. Repeatable. Default: all.")] = None,
    runs: Annotated[int, typer.Option("--runs", min=2, help="Searches of each method on each setting.")] = 500,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=0, help="Simulated seconds of a search. Default: 100 trainings, or a third of all."),
    ] = None,
    limit: Annotated[
        str, typer.Option("--limit", metavar="TIME", help="Real time of one method on one setting; slow methods get fewer runs.")
    ] = "2m",
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Output folder. Default: runs/search/BOARD.")] = None,
    searchers: SearchersOption = None,
    search_space: Annotated[str | None, typer.Option("--search-space", metavar="LABEL", help="If the board has several.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="If the board has several.")] = None,
    published: PublishedOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare search methods on a board or a published table.

    Simulates many searches from stored trainings, each with a budget in simulated seconds, and says which method finds the best
    architectures, and whether the ranking of the methods changes with the training algorithm and its budget by more than chance.
    The same command resumes an interrupted comparison.
    """
    from agd_bench.display import seconds_of
    from agd_bench.report.search_page import build_search_page, search_screen
    from agd_bench.searching.campaign import prepare, run_campaign
    from agd_bench.searching.method_tables import compare_methods
    from agd_bench.tabular import table

    opened = table(_located(source), search_space=search_space, profile=profile, published=published)
    campaign = prepare(opened, settings or (), methods or (), runs, budget, tuple(searchers or ()))
    algorithm, _, epochs = (deploy or "").partition("@")
    chosen = opened.key(algorithm or None, campaign.settings[0].key.dataset, int(epochs) if epochs.isdecimal() else None)
    folder = out or Path("runs/search") / opened.name
    with resumable(), _Progress(quiet) as progress:
        outcomes = run_campaign(campaign, folder / "searches", seconds_of(limit), progress.show)
    tables = compare_methods(campaign, outcomes, chosen)
    deployed, restrictions = f"{chosen.algorithm}@{chosen.epochs}", campaign.restrictions()
    page = build_search_page(opened.name, tables, deployed, restrictions, shlex.join(["agd-bench", *sys.argv[1:]]), folder)
    if as_json:
        print_table(tables["methods"], as_json)
        return
    for shown in search_screen(tables, deployed, restrictions):
        if isinstance(shown, str):
            print(shown)
        else:
            print_table(shown, as_json=False)
    print(f"\nPage: {page}")


def _located(source: str) -> Path | str:
    """A run's or leaderboard's place, or the name of a search space."""
    from agd_bench import plugins
    from agd_bench.cli.options import locate_run

    return source if not Path(source).exists() and source in plugins.find("search_spaces") else locate_run(source)


class _Progress:
    """A bar on standard error; a plain line at the end without a terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True, quiet=quiet)
        columns = ("searches", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("", total=None)

    def show(self, done: int, planned: int) -> None:
        """Move on to `done` of `planned` runs."""
        self._bar.update(self._task, completed=done, total=planned)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

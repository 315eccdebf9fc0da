"""The command that repeats a paper's experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd_bench.cli.interruptions import resumable
from agd_bench.cli.options import DeviceOption, ExecutorOption, GpusOption, JsonOption, QuietOption, TimeLimitOption, WorkersOption
from agd_bench.cli.printing import print_table, warn

if TYPE_CHECKING:
    from agd_bench.reproductions.experiments import Scale


def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The experiment; omit it to list them.")] = None,
    scale: Annotated[str, typer.Option("--scale", help="`paper`, or a smaller scale, which states what it reduces.")] = "paper",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the runs. Default: runs/reproduce/NAME-SCALE.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Also publish the page here, for example leaderboards/reproductions.")
    ] = None,
    start_from: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Reuse results from this run, leaderboard or page. Repeatable."),
    ] = None,
    executor: ExecutorOption = "ray",
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    time_limit: TimeLimitOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rerun an experiment of a paper and compare the numbers.

    Without NAME, lists the experiments. The same command resumes an interrupted run.
    """
    from agd_bench import reproductions
    from agd_bench.display import Display, seconds_of

    if name is None:
        import pandas as pd

        known = [reproductions.open_reproduction(one) for one in reproductions.builtin_reproductions()]
        rows = [{"name": one.name, "scales": ", ".join(["paper", *one.scales]), "title": one.title} for one in known]
        print_table(pd.DataFrame(rows), as_json)
        return
    experiment = reproductions.open_reproduction(name)
    taken = reproductions.rows_at_hand(experiment, scale, start_from or [])
    for run, held in taken.items():
        _say_edited(run, reproductions.edited_plugins(held.results))
    options = {"executor": executor, "num_workers": num_workers, "gpus_per_trial": gpus_per_trial, "device": device}
    seconds = seconds_of(time_limit) if time_limit else None
    folder, there = out or Path("runs/reproduce") / f"{name}-{scale}", {run: held.results for run, held in taken.items()}
    with resumable():
        results = reproductions.reproduce(experiment, scale, folder, lambda: Display(quiet), seconds, options, there)
    table = reproductions.measured(experiment, scale, results)
    print_table(table if as_json else reproductions.shown(table), as_json)
    if not as_json:
        _say_scale(experiment.scale(scale))
    if to is not None:
        page = reproductions.publish_reproduction(experiment, scale, results, to, {run: held.place for run, held in taken.items()})
        # With --json, standard output contains only one JSON document.
        (warn if as_json else print)(f"Page: {page}")


def _say_edited(run: str, names: list[str]) -> None:
    if names:
        warn(f"agd-bench: the results of {run!r} were made with earlier code of {', '.join(names)}")


def _say_scale(scale: Scale) -> None:
    if scale.reduced:
        print(f"\nReduced: {scale.reduced}\nThis cannot show: {scale.cannot_conclude}")

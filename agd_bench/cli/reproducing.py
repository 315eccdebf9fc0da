"""The command that runs a paper's experiment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd_bench.cli.options import DeviceOption, ExecutorOption, GpusOption, JsonOption, QuietOption, TimeLimitOption, WorkersOption
from agd_bench.cli.printing import print_table

if TYPE_CHECKING:
    from agd_bench.reproducing.defining import Scale


def reproduce(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A paper's experiment; without one they are listed.")] = None,
    scale: Annotated[str, typer.Option("--scale", help="`paper`, or a smaller version, which says what was reduced.")] = "paper",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where the runs are. Default: runs/reproduce/NAME-SCALE.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Also write the page, for example to leaderboards/reproductions.")
    ] = None,
    executor: ExecutorOption = "ray",
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    time_limit: TimeLimitOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a paper's experiment: the paper's number, ours, n and the interval side by side.

    Stop it whenever you like: the same command goes on where it was.
    """
    from agd_bench import reproducing
    from agd_bench.display import Display, seconds_of

    if name is None:
        import pandas as pd

        known = [reproducing.open_reproduction(one) for one in reproducing.builtin_reproductions()]
        rows = [{"name": one.name, "scales": ", ".join(["paper", *one.scales]), "title": one.title} for one in known]
        print_table(pd.DataFrame(rows), as_json)
        return
    experiment = reproducing.open_reproduction(name)
    experiment.scale(scale)
    options = {"executor": executor, "num_workers": num_workers, "gpus_per_trial": gpus_per_trial, "device": device}
    seconds = seconds_of(time_limit) if time_limit else None
    try:
        results = reproducing.reproduce(
            experiment, scale, out or Path("runs/reproduce") / f"{name}-{scale}", lambda: Display(quiet), seconds, options
        )
    except KeyboardInterrupt:
        print("\nagd-bench: stopped. Nothing that was finished is lost; the same command goes on from here.", file=sys.stderr)
        raise typer.Exit(130) from None
    table = reproducing.measured(experiment, scale, results)
    print_table(table if as_json else table[["what", "published", "ours", "low", "high", "n", "difference", "architecture"]], as_json)
    if not as_json:
        _say_scale(experiment.scale(scale))
    if to is not None:
        print(f"Page: {reproducing.publish_reproduction(experiment, scale, results, to)}", file=sys.stderr if as_json else sys.stdout)


def _say_scale(scale: Scale) -> None:
    if scale.reduced:
        print(f"\nReduced: {scale.reduced}\nCannot be concluded: {scale.cannot_conclude}")

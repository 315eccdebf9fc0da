"""Commands around training: `run`, `plan`, `status`, `merge`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd_bench.cli.interruptions import resumable
from agd_bench.cli.look import conclude
from agd_bench.cli.options import (
    AlgorithmsOption,
    DatasetsOption,
    DeviceOption,
    ExecutorOption,
    GpusOption,
    JsonOption,
    MixedCodeOption,
    QuietOption,
    RunArgument,
    SetOption,
    SpacesOption,
    SweepArgument,
    TimeLimitOption,
    WorkersOption,
    locate_run,
    plugin_folders,
)
from agd_bench.cli.printing import print_table, warn
from agd_bench.errors import InputError
from agd_bench.scheduling.resources import TIMED_ARCHITECTURES, Resources

WATCH_SECONDS = 5.0
LOGS = ("json:FILE", "tensorboard:DIR", "mlflow:DIR_OR_URI", "wandb:DIR")
"""What `--log` takes; `json` appends each event, the others are trackers."""

if TYPE_CHECKING:
    import pandas as pd

    from agd_bench.planning.planner import Folders
    from agd_bench.records import Sweep
    from agd_bench.scheduling.progress import Observer


def run(
    sweep: SweepArgument,
    changes: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run. Default: runs/NAME.")] = None,
    executor: ExecutorOption = "ray",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="HOST:PORT", help="Connect to this Ray cluster instead of starting one.")
    ] = None,
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="URL", help="Store results in this database (postgresql+psycopg://…), not in a file."),
    ] = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    start_from: Annotated[
        list[str] | None,
        typer.Option(
            "--from", metavar="RUN", help="Reuse equal trials of this run or leaderboard, of any sweep; train only the rest. Repeatable."
        ),
    ] = None,
    share_gpus: Annotated[
        bool, typer.Option("--share-gpus", help="Let trials share each GPU, as many as measured memory and throughput allow (with ray).")
    ] = False,
    timed: Annotated[
        int,
        typer.Option("--timed", min=0, help="Architectures that get a GPU to themselves first, with --share-gpus or --in-flight."),
    ] = TIMED_ARCHITECTURES,
    in_flight: Annotated[
        int,
        typer.Option(
            "--in-flight",
            metavar="K",
            min=1,
            help="Let each worker on a GPU train up to K trials at a time, as many as measurements allow.",
        ),
    ] = 1,
    min_workers: Annotated[
        int | None,
        typer.Option("--min-workers", min=1, help="Wait until this many workers fit, and ask an autoscaler for them."),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints", metavar="DIR", help="Keep checkpoints here, on a disk that all nodes share. Default: on each node's own."
        ),
    ] = None,
    time_limit: TimeLimitOption = None,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="K/N", help="Train the K-th of N parts of the architectures; `merge` joins the parts."),
    ] = None,
    allow_mixed_code: MixedCodeOption = False,
    retry: Annotated[
        list[str] | None,
        typer.Option("--retry", metavar="STATUS", help="Train failed, lost, refused or diverged trials again. Repeatable."),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="KIND:TARGET", help=f"Also write trials to {', '.join(LOGS)}. Repeatable."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train a sweep and report the results.

    Only trials without a result are trained, so the same command resumes a run after Ctrl-C or a crash.
    """
    # Imported late, so `--help` does not wait for torch.
    from agd_bench.api import run as run_sweep
    from agd_bench.display import Display, seconds_of
    from agd_bench.evidence import gather_evidence
    from agd_bench.store import failed_algorithms, failed_trials
    from agd_bench.sweeps import open_sweep

    folders = plugin_folders(search_spaces, algorithms, datasets)
    asked = open_sweep(sweep, changes or ())
    folder = out or Path("runs") / asked.name
    resources = Resources(
        executor, device, ray_address, num_workers, gpus_per_trial, share_gpus, in_flight, timed, checkpoints, min_workers
    )
    with resumable(), Display(quiet) as display, _logging(log or (), store or folder, display) as observer:
        results = run_sweep(
            asked,
            folder,
            resources=resources,
            store_url=store,
            folders=folders,
            observer=observer,
            time_limit_seconds=seconds_of(time_limit) if time_limit else None,
            part=part,
            allow_mixed_code=allow_mixed_code,
            start_from=[locate_run(one) for one in start_from or ()],
            retry=retry or (),
            inform=print,
        )
    print()
    left = int(results.trials["status"].isin(["pending", "running"]).sum())
    if left:
        print(f"{left} of {len(results.trials)} trials remain; run the same command to continue.\n")
    failed = failed_trials(results)
    if failed:
        print(f"{failed}\n")
    conclude(gather_evidence(results, folders), folder / "report")
    hopeless = failed_algorithms(results)
    if hopeless:
        warn(f"agd-bench: every trial of {', '.join(hopeless)} failed; `agd-bench status {folder}` counts them")
        raise typer.Exit(1)


@contextmanager
def _logging(logs: Sequence[str], location: Path | str, display: Observer) -> Iterator[Observer]:
    """Open what `--log` names; yield an observer that passes events to all of it and to the display."""
    from agd_bench.scheduling.event_log import EventLog
    from agd_bench.scheduling.progress import both

    with ExitStack() as stack:
        observer = display
        for log in logs:
            kind, _, target = log.partition(":")
            if kind not in {known.partition(":")[0] for known in LOGS} or not target:
                raise InputError(f"--log {log}: give one of {', '.join(LOGS)}")
            if kind == "json":
                observer = both(stack.enter_context(EventLog(Path(target))), observer)
            else:
                from agd_bench.trackers import TrackerStream, open_tracker

                observer = both(stack.enter_context(TrackerStream(open_tracker(kind, target), location)), observer)
        yield observer


def plan(
    sweep: SweepArgument,
    changes: SetOption = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run; finished trials are left out.")] = None,
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    store: Annotated[str | None, typer.Option("--store", metavar="URL", help="Database of the run; finished trials are left out.")] = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    power: Annotated[
        float | None,
        typer.Option("--power", metavar="GAP", help="Also show whether a gap (noise ceiling - tau) of this size would be detected."),
    ] = None,
    power_level: Annotated[float, typer.Option("--power-level", help="Required power, in (0, 1).")] = 0.8,
    pilot: Annotated[str | None, typer.Option("--pilot", metavar="RUN", help="Take the seed noise from this earlier run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a sweep would train and estimate its cost here.

    Times a few steps of a light and a heavy architecture per algorithm. With --power, simulates rankings to show how likely
    the report is to detect a shift, and how many architectures and seeds are enough.
    """
    from agd_bench.api import estimate
    from agd_bench.display import duration
    from agd_bench.sweeps import open_sweep

    folders = plugin_folders(search_spaces, algorithms, datasets)
    asked = open_sweep(sweep, changes or ())
    resources = Resources(device=device, num_workers=num_workers, gpus_per_trial=gpus_per_trial)
    table, slots = estimate(asked, out, resources=resources, store_url=store, folders=folders)
    plain = [*(["problem"] if not table["problem"].any() else []), *(["least_share"] if (table["least_share"] == 1).all() else [])]
    if power is not None:
        # A gap is tau − ceiling, below 0 regardless of the sign entered.
        _plan_power(asked, -abs(power), power_level, pilot, table, folders, as_json)
        if as_json:
            return
        print()
    print_table(table if as_json else table.drop(columns=plain), as_json)
    if not as_json:
        trials = table[["tuning_trials", "final_trials"]].sum(axis=1)
        least, most = (
            f"{round((trials * share).sum())} trials, {_said_flops(table['flops'] * share)}, "
            f"about {duration((table['wall_seconds'] * share).sum())}"
            for share in (table["least_share"], 1)
        )
        said = most if least == most else f"Depending on adaptive seeds: at least {least}, at most {most}"
        print(f"\n{said} with {slots} at a time (without start-up and report).")


def _said_flops(flops: pd.Series[float]) -> str:
    total = flops.sum(skipna=False)
    return "FLOPs not counted for all of them" if math.isnan(total) else f"{total:.3g} FLOPs"


def _plan_power(sweep: Sweep, gap: float, level: float, pilot: str | None, timings: pd.DataFrame, folders: Folders, as_json: bool) -> None:
    """Print a sweep's power to detect a shift, and sufficient designs; as JSON, also the planned trials."""
    from agd_bench.display import duration
    from agd_bench.planning.power_planner import design
    from agd_bench.store import load_results

    earlier = load_results(locate_run(pilot)).trials if pilot else None
    made = design(sweep, gap, level, earlier, timings, folders)
    if as_json:
        tables = {"power": made.own, "designs": made.sufficient, "plan": timings}
        print(json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}, indent=2))
        return
    print(f"Power of this sweep to detect a gap of {gap:g}. Reliability of one seed's ranking: from {made.source}.\n")
    print_table(made.own, False)
    if made.sufficient.empty:
        print(f"\nNo design of up to 400 architectures and 8 seeds has power {level:g}.")
        return
    print(f"\nDesigns with power {level:g}, cheapest first, for the challenger that is hardest to detect:\n")
    # Only NaN differs from itself.
    times = [duration(seconds) if seconds == seconds else "not known" for seconds in made.sufficient["device_seconds"]]
    print_table(made.sufficient.drop(columns="device_seconds").assign(device_time=times), False)


def status(
    run: RunArgument,
    nodes: Annotated[bool, typer.Option("--nodes", help="Count attempts by node instead, with each node's last problem.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help=f"Print again every {WATCH_SECONDS:.0f} seconds until no trial is left.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Count the trials of a run by status.

    Exits with 1 while a trial is running or missing.
    """
    while (left := _print_status(run, nodes, as_json)) and watch:
        time.sleep(WATCH_SECONDS)
        print()
    if left:
        raise typer.Exit(1)


def _print_status(run: str, nodes: bool, as_json: bool) -> int:
    """Print a run's counts; return how many trials are missing or running."""
    from agd_bench.scheduling.event_log import FILE, count_by_node
    from agd_bench.store import status as count_statuses

    located = locate_run(run)
    table = count_statuses(located).reset_index()
    if nodes:
        print_table(count_by_node(Path(located) / "logs" / FILE), as_json)
    else:
        print_table(table, as_json)
    failed = int(table["failed"].sum())
    if failed and not as_json:
        print(f"\n{failed} failed; `agd-bench run SWEEP --retry failed` trains them again.")
    return int(table[["missing", "running"]].to_numpy().sum())


def merge(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Run folders, leaderboards or database URLs.")],
    to: Annotated[str, typer.Option("--to", metavar="RUN", help="Folder or database URL, new or of the merged sweep.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    allow_mixed_code: MixedCodeOption = False,
) -> None:
    """Merge runs: parts from separate machines, or sweeps that differ.

    Runs of different sweeps give the run of their union: every algorithm on every architecture, data set and seed of any of them.
    What the union is missing is listed, and `agd-bench run` trains it. A trial that ended in several runs is kept once if all runs
    measured the same values; otherwise nothing is merged.
    """
    from agd_bench.api import merge as merge_runs
    from agd_bench.store import load_results, mixed_code
    from agd_bench.store.database import shown

    folders = plugin_folders(search_spaces, algorithms, datasets)
    merged = merge_runs([locate_run(run) for run in runs], to, folders=folders, allow_mixed_code=allow_mixed_code)
    twice = f" ({merged.repeated} were trained more than once, with equal results)" if merged.repeated else ""
    print(f"{shown(to)}: {merged.taken} trials added{twice}; {merged.left} of {merged.planned} remain")
    for (algorithm, space, dataset, profile), count in merged.missing.items():
        print(f"  {count} of {algorithm} on {space}, {dataset}, {profile} networks")
    for line in mixed_code(load_results(to)):
        print(line)

"""Commands about boards: `freeze`, `enter`, `submit`, `audit`, `withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agd_bench.cli.interruptions import resumable
from agd_bench.cli.options import (
    AlgorithmsOption,
    DatasetsOption,
    DeviceOption,
    ExecutorOption,
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
from agd_bench.errors import InputError

if TYPE_CHECKING:
    from agd_bench.planning.planner import Folders
    from agd_bench.records import AlgorithmChoice

BoardArgument = Annotated[str, typer.Argument(metavar="BOARD", help="Folder of a board, or its name under leaderboards/.")]


def freeze(
    sweep: SweepArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the new board, for example leaderboards/NAME.")],
    changes: SetOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
) -> None:
    """Freeze a sweep as the benchmark of a new board.

    Writes benchmark.toml: the sweep without its algorithms, with the sample of architectures by name, the checksums of the data
    sets, and a lite part of about a tenth of the trainings. A folder whose name ends in -v2 is version 2.
    """
    from agd_bench.submissions import freeze as freeze_benchmark
    from agd_bench.sweeps import open_sweep

    benchmark = freeze_benchmark(open_sweep(sweep, changes or ()), to, plugin_folders(search_spaces, algorithms, datasets))
    print(f"{to}: benchmark {benchmark.name}, version {benchmark.version}, digest {benchmark.digest[:16]}")
    print(f"Train the baseline: agd-bench enter {to} --algorithm {benchmark.baseline}")


def enter(
    board: BoardArgument,
    algorithm: Annotated[str, typer.Option("--algorithm", metavar="FILE|NAME", help="A plug-in's file, or the name of a known one.")],
    changes: SetOption = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the entry. Default: the algorithm's.")] = None,
    lite: Annotated[bool, typer.Option("--lite", help="Train the lite part only, about a tenth.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder of the run. Default: runs/BOARD-NAME.")] = None,
    start_from: Annotated[
        list[str] | None, typer.Option("--from", metavar="RUN", help="Reuse equal trials of this run or leaderboard. Repeatable.")
    ] = None,
    executor: ExecutorOption = "ray",
    num_workers: WorkersOption = None,
    device: DeviceOption = "auto",
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    time_limit: TimeLimitOption = None,
    quiet: QuietOption = False,
) -> None:
    """Train what is missing for one algorithm on a board's benchmark.

    The same command resumes after Ctrl-C or a crash. --set changes the algorithm, for example --set tuning_trials=20 or
    --set hyperparameters.lr=0.1.
    """
    from agd_bench.board import locate_board
    from agd_bench.display import Display, seconds_of
    from agd_bench.records import TERMINAL
    from agd_bench.store.entry_rows import read_benchmark
    from agd_bench.submissions import enter as enter_board
    from agd_bench.submissions import run_folder

    place = locate_board(board)
    folders, choice = _algorithm(algorithm, name, changes or [], search_spaces, algorithms, datasets)
    folder = out or run_folder(read_benchmark(place), choice.label, "lite" if lite else "whole")
    with resumable(), Display(quiet) as display:
        results = enter_board(
            place,
            choice,
            part="lite" if lite else "whole",
            out=folder,
            folders=folders,
            start_from=[locate_run(one) for one in start_from or ()],
            inform=print,
            observer=display,
            time_limit_seconds=seconds_of(time_limit) if time_limit else None,
            executor=executor,
            num_workers=num_workers,
            device=device,
        )
    left = int((~results.trials["status"].isin(TERMINAL)).sum())
    if left:
        print(f"\n{left} of {len(results.trials)} trials remain; run the same command to continue.")
        raise typer.Exit(1)
    print(f"\nSubmit it: agd-bench submit {folder} --to {place}")


def _algorithm(
    given: str, name: str | None, changes: list[str], spaces: list[Path] | None, algorithms: list[Path] | None, datasets: list[Path] | None
) -> tuple[Folders, AlgorithmChoice]:
    """The folders of plug-ins, with that of a given file, and the algorithm's choice."""
    from agd_bench.records import AlgorithmChoice
    from agd_bench.records.sweep_files import change

    file = Path(given)
    if file.suffix == ".py" and not file.is_file():
        raise InputError(
            f"{file}: no such file; give the plug-in's Python file, or the name of an algorithm of `agd-bench list algorithms`"
        )
    own = [file.parent] if file.suffix == ".py" else []
    asked: dict[str, Any] = {"name": file.stem if own else given, "label": name or (file.stem if own else given)}
    for assignment in changes:
        change(asked, assignment)
    try:
        choice = AlgorithmChoice.model_validate(asked)
    except ValueError as error:
        raise InputError(f"--set: {' '.join(str(error).split())[:200]}") from None
    return plugin_folders(spaces, [*own, *(algorithms or [])], datasets), choice


def submit(
    run: RunArgument,
    to: Annotated[str, typer.Option("--to", metavar="BOARD", help="Folder of a board, or its name under leaderboards/.")],
    algorithm: Annotated[
        list[str] | None,
        typer.Option("--algorithm", metavar="LABEL", help="Algorithm of the run. Default: those the board lacks. Repeatable."),
    ] = None,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Name of the entry. Default: the algorithm's label.")] = "",
    author: Annotated[list[str] | None, typer.Option("--author", help="Author of the entry. Repeatable.")] = None,
    code: Annotated[str, typer.Option("--code", metavar="URL", help="Where the algorithm's code is, if it is not built in.")] = "",
    supersedes: Annotated[
        list[str] | None, typer.Option("--supersedes", metavar="ENTRY", help="Entry that this one replaces in the ranking. Repeatable.")
    ] = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    allow_mixed_code: MixedCodeOption = False,
) -> None:
    """Submit the rows of a run as an entry of a board.

    Writes the entry, the board's README, figure and manifest, and prints what moves in the ranking as Markdown for a comment on the
    pull request. The run may be of any sweep that contains the benchmark's trials.
    """
    from agd_bench.board import locate_board
    from agd_bench.leaderboard import write_index
    from agd_bench.submissions import submit as submit_run

    board = locate_board(to)
    submitted = submit_run(
        locate_run(run),
        board,
        algorithm or (),
        name=name,
        authors=author or (),
        code=code,
        supersedes=supersedes or (),
        folders=plugin_folders(search_spaces, algorithms, datasets),
        allow_mixed_code=allow_mixed_code,
    )
    write_index(board.parent)
    for folder in submitted.entries:
        print(f"Entry: {folder}")
    print(f"\n{submitted.comment}")


def withdraw(
    board: BoardArgument,
    entry: Annotated[str, typer.Option("--entry", metavar="ENTRY", help="Name of the entry.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a sentence.")],
) -> None:
    """Take an entry of a board out of the ranking.

    Its rows stay in the folder, and the board's page says why it is not ranked.
    """
    from agd_bench.board import locate_board
    from agd_bench.leaderboard import write_index
    from agd_bench.leaderboard.entries import withdraw_entry
    from agd_bench.leaderboard.publication import write_board

    place = locate_board(board)
    withdraw_entry(place, entry, reason)
    write_board(place)
    write_index(place.parent)
    print(f"{place}: {entry} is withdrawn")


def audit(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="Folder of a board or leaderboard, or its name under leaderboards/.")],
    entry: Annotated[
        list[str] | None,
        typer.Option("--entry", metavar="ENTRY", help="An entry, or the label of an algorithm. Default: all. Repeatable."),
    ] = None,
    share: Annotated[float, typer.Option("--share", min=0.0, max=1.0, help="Share of the trials of each to train again.")] = 0.05,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw.")] = 0,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who audits, for the record.")] = "",
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="For readers of the record, such as why results differ.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before code is executed.")] = False,
    device: DeviceOption = "auto",
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
) -> None:
    """Train a random sample of published trials again.

    Executes the code of the plug-ins that the entries name, as installed here or given with --algorithms; read a stranger's code
    first. Writes a record for each entry into the folder, which `verify` checks and the page counts. Exits with 1 if a rerun is
    outside the noise band.
    """
    from agd_bench.board import locate_board
    from agd_bench.leaderboard import write_index
    from agd_bench.leaderboard.audits import auditable, badges, draw_trials, read_audits
    from agd_bench.leaderboard.publication import publish_results, write_board
    from agd_bench.reruns import audit as rerun
    from agd_bench.store import load_results
    from agd_bench.store.entry_rows import is_board

    if share <= 0:
        raise InputError("--share 0: nothing to train again; give a share above 0, for example 0.05")
    place = locate_board(board)
    results = load_results(place)
    known = [choice.label for choice in results.sweep.algorithms]
    # an algorithm that refused every network has nothing to train again
    labels = entry or [label for label in known if len(auditable(results, label))]
    count = sum(len(draw_trials(results, label, share, seed)) for label in labels)
    plugins = sorted({choice.name for choice in results.sweep.algorithms if choice.label in labels})
    question = f"Train {count} trials again? This executes the code of {', '.join(plugins)}, its search spaces and data sets."
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)
    folders = plugin_folders(search_spaces, algorithms, datasets)
    records = rerun(place, labels, share, seed, by=by, note=note, device=device, folders=folders, inform=print)
    if is_board(place):
        write_board(place)
    else:
        publish_results(results, place)
    write_index(place.parent)
    audits = read_audits(place)
    found = [audits[record.name] for record in records]
    for label in labels:
        print(f"{label}: {badges(results, found)[label]}")
    print("\n".join(f"Record: {record}" for record in records))
    if any(one.verdict == "outside" for audit in found for one in audit.reruns):
        raise typer.Exit(1)

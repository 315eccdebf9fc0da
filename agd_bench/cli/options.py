"""Arguments and options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd_bench.errors import UnknownNameError

if TYPE_CHECKING:
    from agd_bench.planning.planner import Folders
    from agd_bench.store import Results

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A built-in sweep's name (see `agd-bench list sweeps`) or a TOML file.")
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's folder or its name under runs/, a leaderboard's folder, or a database URL."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the sweep: epochs=3, algorithms.agd.label=mine. Repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table as JSON, for scripts.")]
SpacesOption = Annotated[
    list[Path] | None, typer.Option("--search-spaces", metavar="DIR", help="Folder with more search spaces, one file each. Repeatable.")
]
AlgorithmsOption = Annotated[
    list[Path] | None, typer.Option("--algorithms", metavar="DIR", help="Folder with more training algorithms. Repeatable.")
]
DatasetsOption = Annotated[list[Path] | None, typer.Option("--datasets", metavar="DIR", help="Folder with more data sets. Repeatable.")]
SearchersOption = Annotated[
    list[Path] | None, typer.Option("--searchers", metavar="DIR", help="Folder with more search methods. Repeatable.")
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to train; auto uses a GPU if there is one.")]
WorkersOption = Annotated[
    int | None, typer.Option("--num-workers", min=1, help="Trials that run at once. Default: usable cores, or GPUs / --gpus-per-trial.")
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs per trial; with 0.25, four trials share one. Default: 1 if there is a GPU, else 0."),
]
ExecutorOption = Annotated[
    Literal["ray", "in-process"],
    typer.Option("--executor", help="ray: a pool of workers; in-process: one trial after another in this process."),
]
TimeLimitOption = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="Stop cleanly after 600 (seconds), 45m or 8h; resume later.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Hide the progress display.")]
MixedCodeOption = Annotated[
    bool,
    typer.Option("--allow-mixed-code", help="Keep results of plug-ins that were edited since; the report states the code of each."),
]
ClaimsOption = Annotated[
    Path | None, typer.Option("--claims", metavar="FILE", help="TOML file of claims, like `claims.toml` in any leaderboard.")
]
PublishedOption = Annotated[
    Path | None,
    typer.Option(
        "--published",
        metavar="PATH",
        help="File or folder with published results to compare with. Default: $AGD_BENCH_PUBLISHED.",
    ),
]


def plugin_folders(
    spaces: list[Path] | None, algorithms: list[Path] | None, datasets: list[Path] | None, searchers: list[Path] | None = None
) -> Folders:
    """The folders of further plug-ins, by kind."""
    named = {"search_spaces": spaces, "algorithms": algorithms, "datasets": datasets, "searchers": searchers}
    return {kind: tuple(folders or ()) for kind, folders in named.items()}  # type: ignore[misc]


def locate_run(given: str) -> Path | str:
    """Location of RUN's results: a folder (by path, or by name under runs/) or a database URL."""
    if "://" in given:
        return given
    # An existing path takes precedence over a run with that name.
    folders = (Path(given).expanduser(), Path("runs") / given)
    found = next((folder for folder in folders if folder.exists()), None)
    if found is None:
        known = [path.name for path in Path("runs").iterdir() if path.is_dir()] if Path("runs").is_dir() else []
        raise UnknownNameError("run", given, known, advice="Pass a run's folder, or create one with `agd-bench run SWEEP`.")
    return found


def folder_of(located: Path | str, results: Results) -> Path:
    """The run's folder, the default location for output made from its results."""
    return located if isinstance(located, Path) else Path("runs") / results.sweep.name

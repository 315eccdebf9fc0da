"""The command line: parse, call one function, print. torch and Ray are imported only by the commands that need them.

Exit codes: 0 well, 1 trials are missing or a check failed, 2 input that cannot be used, 3 a store that cannot be used,
4 nothing can run the trials, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agd_bench.errors import AgdBenchError, InputError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from agd_bench.planning import Folders
    from agd_bench.plugins import Kind
    from agd_bench.records import Sweep
    from agd_bench.reproducing.defining import Scale
    from agd_bench.store import Results

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

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A built-in sweep's name (see `agd-bench list sweeps`) or a TOML file.")
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's folder, the name of one under runs/, a published leaderboard's folder, or a store's URL."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the table as JSON, for scripts.")]
SpacesOption = Annotated[
    list[Path] | None, typer.Option("--search-spaces", metavar="DIR", help="A folder with further search spaces, one file each.")
]
AlgorithmsOption = Annotated[
    list[Path] | None, typer.Option("--algorithms", metavar="DIR", help="A folder with further training algorithms.")
]
DatasetsOption = Annotated[list[Path] | None, typer.Option("--datasets", metavar="DIR", help="A folder with further data sets.")]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to train; auto: a GPU if there is one.")]
WorkersOption = Annotated[
    int | None, typer.Option("--num-workers", min=1, help="Trials at a time. Default: the usable cores, or the GPUs / --gpus-per-trial.")
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-trial", min=0, help="GPUs of a trial; 0.25 packs four on one. Default: 1 where there is a GPU, else 0."),
]
ExecutorOption = Annotated[
    Literal["ray", "in-process"], typer.Option("--executor", help="ray: a pool of workers; in-process: one trial after the other, here.")
]

ClaimsOption = Annotated[
    Path | None, typer.Option("--claims", metavar="FILE", help="A TOML file of claims; see `claims.toml` in any published leaderboard.")
]

PublishedOption = Annotated[
    Path | None,
    typer.Option(
        "--published",
        metavar="PATH",
        help="File or folder with published results of the search spaces, to compare with. Default: what AGD_BENCH_PUBLISHED names.",
    ),
]


def _folders(spaces: list[Path] | None, algorithms: list[Path] | None, datasets: list[Path] | None) -> Folders:
    return {"search_spaces": tuple(spaces or ()), "algorithms": tuple(algorithms or ()), "datasets": tuple(datasets or ())}


def _locate_run(given: str) -> Path | str:
    """Where RUN's results are: a folder (by its path, or by its name under runs/) or a database's URL."""
    if "://" in given:
        return given
    folders = (Path(given), Path("runs") / given)
    found = next((folder for folder in folders if folder.exists()), None)
    if found is None:
        known = [path.name for path in Path("runs").iterdir() if path.is_dir()] if Path("runs").is_dir() else []
        raise UnknownNameError("run", given, known, advice="Give a run's folder, or make one with `agd-bench run SWEEP`.")
    return found


def _folder_of(located: Path | str, results: Results) -> Path:
    """The run's folder, where what is made of its results goes unless the user says otherwise."""
    return located if isinstance(located, Path) else Path("runs") / results.sweep.name


def _print_table(table: pd.DataFrame, as_json: bool) -> None:
    """A table for people, or as JSON for scripts (missing values as null)."""
    if as_json:
        print(table.to_json(orient="records", indent=2))
    elif table.empty:
        print("(nothing)")
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(box=None, padding=(0, 2, 0, 0))
        for name in table.columns:
            numeric = str(table[name].dtype).startswith(("int", "float", "Int", "Float"))
            shown.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
        for row in table.itertuples(index=False):
            shown.add_row(*(_cell(value) for value in row))
        Console(width=None if sys.stdout.isatty() else 200).print(shown, highlight=False, markup=False)


def _print_markdown(table: pd.DataFrame) -> None:
    for row in [list(table.columns), ["---"] * len(table.columns), *table.itertuples(index=False)]:
        print(f"| {' | '.join(_cell(value).replace('|', '&#124;') for value in row)} |")


def _cell(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}" if abs(value) < 10**9 else f"{value:.3g}"
    if value is None or value != value:  # null and NaN, which alone differs from itself
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@app.command()
def run(
    sweep: SweepArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run's folder. Default: runs/NAME.")] = None,
    executor: ExecutorOption = "ray",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="HOST:PORT", help="Join this Ray cluster instead of starting one.")
    ] = None,
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="Keep results in this database (postgresql+psycopg://…) instead of a file.")
    ] = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    start_from: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="RUN", help="Take in what this run or published leaderboard holds first; only the rest is trained."),
    ] = None,
    pack: Annotated[
        bool, typer.Option("--pack", help="Let trials share each GPU, as many as measured memory and throughput allow (with ray).")
    ] = False,
    timed: Annotated[
        int | None,
        typer.Option("--timed", min=0, help="With --pack: architectures whose first trials have the GPU to themselves. Default: 4."),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="End cleanly after 600 (seconds), 45m or 8h; go on another time.")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="K/N", help="Train every N-th architecture, as machine K of N; `merge` joins them."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress display.")] = False,
) -> None:
    """Train what a sweep asks and is not trained yet, then write the report.

    Stop it whenever you like (Ctrl-C, or a crash): the same command goes on where it was.
    """
    from agd_bench.display import Display, seconds_of
    from agd_bench.gathering import gather_evidence
    from agd_bench.sweeping import run as run_sweep
    from agd_bench.sweeps import open_sweep

    folders = _folders(search_spaces, algorithms, datasets)
    asked = open_sweep(sweep)
    folder = out or Path("runs") / asked.name
    try:
        with Display(quiet) as display:
            results = run_sweep(
                asked,
                folder,
                executor=executor,
                ray_address=ray_address,
                num_workers=num_workers,
                gpus_per_trial=gpus_per_trial,
                device=device,
                store_url=store,
                folders=folders,
                observer=display,
                time_limit_seconds=seconds_of(time_limit) if time_limit else None,
                part=part,
                pack=pack,
                timed=timed,
                start_from=[_locate_run(one) for one in start_from or ()],
            )
    except KeyboardInterrupt:
        print("\nagd-bench: stopped. Nothing that was finished is lost; the same command goes on from here.", file=sys.stderr)
        raise typer.Exit(130) from None
    print()
    left = int(results.trials["status"].isin(["pending", "running"]).sum())
    if left:
        print(f"{left} of {len(results.trials)} trials are still to be done; the same command goes on with them.\n")
    _conclude(gather_evidence(results, folders), folder / "report")


def _conclude(results: Results, folder: Path) -> None:
    """Write the report; say the finding and where the report is."""
    from agd_bench.report import aggregates, build_report, finding_sentences

    tables = aggregates(results)
    page = build_report(results, folder, tables)
    for sentence in finding_sentences(results, tables):
        print(sentence)
    print(f"\nReport: {page}")


@app.command()
def plan(
    sweep: SweepArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run's folder; what is finished there is left out.")] = None,
    num_workers: WorkersOption = None,
    gpus_per_trial: GpusOption = None,
    device: DeviceOption = "auto",
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="The run's database, if it has one; what is finished there is left out.")
    ] = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    power: Annotated[
        float | None,
        typer.Option("--power", metavar="GAP", help="Also say whether a gap (tau - noise ceiling) of that size, e.g. 0.2, would be seen."),
    ] = None,
    power_level: Annotated[float, typer.Option("--power-level", help="The power that is wanted, in (0, 1).")] = 0.8,
    pilot: Annotated[
        str | None, typer.Option("--pilot", metavar="RUN", help="An earlier run that tells how noisy the rankings are.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a sweep would train, and what that takes on this machine, before anything starts.

    Times are measured on a few steps of a light and a heavy architecture per algorithm. With --power, rankings are
    simulated: how likely this sweep's report is to see a shift, and how many architectures and seeds suffice.
    """
    from agd_bench.display import duration
    from agd_bench.sweeping import estimate
    from agd_bench.sweeps import open_sweep

    folders = _folders(search_spaces, algorithms, datasets)
    asked = open_sweep(sweep)
    table, slots = estimate(
        asked, out, num_workers=num_workers, gpus_per_trial=gpus_per_trial, device=device, store_url=store, folders=folders
    )
    plain = [*(["problem"] if not table["problem"].any() else []), *(["least_share"] if (table["least_share"] == 1).all() else [])]
    if power is not None:
        _plan_power(asked, -abs(power), power_level, pilot, table, folders, as_json)
        if as_json:
            return
        print()
    _print_table(table if as_json else table.drop(columns=plain), as_json)
    if not as_json:
        trials = table[["tuning_trials", "final_trials"]].sum(axis=1)
        least, most = (
            f"{round((trials * share).sum())} trials, {(table['flops'] * share).sum():.3g} FLOPs, "
            f"about {duration((table['wall_seconds'] * share).sum())}"
            for share in (table["least_share"], 1)
        )
        said = most if least == most else f"As adaptive seeds find necessary: at least {least}, at most {most}"
        print(f"\n{said} with {slots} at a time (start-up and report apart).")


def _plan_power(sweep: Sweep, gap: float, level: float, pilot: str | None, timings: pd.DataFrame, folders: Folders, as_json: bool) -> None:
    """Say a sweep's power to see a shift, and the designs that would do; as JSON, what it would train as well."""
    from agd_bench.designing import design
    from agd_bench.display import duration
    from agd_bench.store import load_results

    earlier = load_results(_locate_run(pilot)).trials if pilot else None
    made = design(sweep, gap, level, earlier, timings, folders)
    if as_json:
        tables = {"power": made.own, "designs": made.sufficient, "plan": timings}
        print(json.dumps({name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}, indent=2))
        return
    print(f"Power of this sweep to see a gap of {gap:g} in its report. Reliability of one seed's ranking: that of {made.source}.\n")
    _print_table(made.own, False)
    if made.sufficient.empty:
        print(f"\nNo design of up to 400 architectures and 8 seeds has power {level:g}.")
        return
    print(f"\nDesigns with power {level:g}, the cheapest first, for the challenger that is hardest to see:\n")
    times = [duration(seconds) if seconds == seconds else "not known" for seconds in made.sufficient["device_seconds"]]
    _print_table(made.sufficient.drop(columns="device_seconds").assign(device_time=times), False)


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Count a run's trials: done, running, diverged, failed, refused, pruned, unneeded, missing. Exit code 1 while any is missing."""
    from agd_bench.store import status as count_statuses

    table = count_statuses(_locate_run(run)).reset_index()
    _print_table(table, as_json)
    if int(table[["missing", "running"]].to_numpy().sum()):
        raise typer.Exit(1)


@app.command()
def merge(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs of one sweep: folders, published leaderboards, stores' URLs.")],
    to: Annotated[str, typer.Option("--to", metavar="RUN", help="A run's folder or a store's URL, new or of this sweep.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
) -> None:
    """Join runs of one sweep into one, which can be continued, reported and published.

    A trial that ended in several runs is kept once if all measured the same, whatever seconds it took; else nothing is joined.
    """
    from agd_bench.sweeping import merge as merge_runs

    merged = merge_runs([_locate_run(run) for run in runs], to, folders=_folders(search_spaces, algorithms, datasets))
    twice = f" ({merged.repeated} were trained more than once, equally)" if merged.repeated else ""
    print(f"{to}: {merged.taken} trials taken in{twice}; {merged.left} of {merged.planned} are still to be done")


@app.command()
def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to write it. Default: RUN/report.")] = None,
    published: PublishedOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
) -> None:
    """Rebuild tables, figures and one self-contained HTML page from the stored results alone."""
    from agd_bench.gathering import gather_evidence
    from agd_bench.store import load_results

    located = _locate_run(run)
    results = gather_evidence(load_results(located), _folders(search_spaces, algorithms, None), published)
    _conclude(results, out or _folder_of(located, results) / "report")


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to write it. Default: RUN/export.")] = None,
) -> None:
    """Write a run's tables as Parquet and CSV, with a data dictionary."""
    from agd_bench.store import export as export_results
    from agd_bench.store import load_results

    located = _locate_run(run)
    results = load_results(located)
    for path in export_results(results, out or _folder_of(located, results) / "export"):
        print(path)


@app.command("list")
def list_(
    what: Annotated[Literal["search-spaces", "algorithms", "datasets", "sweeps"], typer.Argument(help="What to list.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    as_json: JsonOption = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown, for pages.")] = False,
) -> None:
    """List what there is, with a line on each."""
    import pandas as pd

    from agd_bench import plugins
    from agd_bench.sweeps import builtin_sweeps, open_sweep

    if what == "sweeps":
        _print_table(pd.DataFrame([{"name": name, "summary": open_sweep(name).description} for name in builtin_sweeps()]), as_json)
        return
    kinds: dict[str, plugins.Kind] = {"search-spaces": "search_spaces", "algorithms": "algorithms", "datasets": "datasets"}
    spaces = ["VARIES", "SIZE", "NETWORKS", "PAPER", "IDENTITY"]
    columns = {"search-spaces": spaces, "algorithms": ["TIER", "LICENCE", "PAPER"], "datasets": ["NUM_CLASSES", "IMAGE_SIZE", "LICENCE"]}[
        what
    ]
    folders = _folders(search_spaces, algorithms, datasets)[kinds[what]]
    rows = []
    for name, source in plugins.find(kinds[what], folders).items():
        facts = plugins.describe(source)
        row: dict[str, object] = {"name": name, "summary": facts["summary"]}
        row |= {column.lower(): facts.get(column) for column in columns}
        lacking = plugins.lacks(source)
        row |= {"ready": f"no: {lacking}" if lacking else "yes"} if what == "algorithms" else {}
        rows.append(row | {"from": source.origin})
    table = pd.DataFrame(rows, dtype=object if what == "search-spaces" else None)  # counts beyond the integers of a float
    if what == "search-spaces":
        table["varies"] = table["varies"].fillna(table.pop("summary"))
    if as_markdown:
        _print_markdown(table)
    else:
        _print_table(table, as_json)


@app.command()
def new(
    kind: Annotated[
        Literal["search-space", "algorithm", "dataset"], typer.Argument(metavar="KIND", help="search-space, algorithm or dataset.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plug-in's name: small letters, digits and _.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Its folder. Default: my_search_spaces, my_algorithms, my_datasets.")
    ] = None,
) -> None:
    """Write a working plug-in with its test and a sweep that uses it, to begin with; needs no class and no import from agd_bench."""
    from agd_bench.scaffolding import scaffold

    kinds: dict[str, Kind] = {"search-space": "search_spaces", "algorithm": "algorithms", "dataset": "datasets"}
    plugin, test, sweep = scaffold(kinds[kind], name, to or Path(f"my_{kinds[kind]}"))
    print(f"Wrote {plugin}, {test} and {sweep}. Edit the first, then:\n")
    for command in (f"agd-bench check {plugin}", f"pytest {test}", f"agd-bench plan {sweep}", f"agd-bench run {sweep}"):
        print(f"    {command}")


@app.command()
def draw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A search space.")],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="An .svg or .png file. Default: NAME.svg.")] = None,
    search_spaces: SpacesOption = None,
) -> None:
    """Draw what a search space varies: a few of its architectures, from their strings, their graphs or their layers."""
    from agd_bench.sketching import sketch

    file = to or Path(f"{name}.svg")
    if file.suffix not in (".svg", ".png"):
        raise InputError(f"{file}: pictures are .svg or .png; give a file that ends so")
    picture = sketch(name, tuple(search_spaces or ()))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture.svg().encode() if file.suffix == ".svg" else picture.png(110))
    print(f"{file}: {picture.caption}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plug-in: a search space, a training algorithm or a data set.")],
    as_json: JsonOption = False,
) -> None:
    """Run the conformance kit over a plug-in: what is tried and why, what fails, and how to mend it. Exit code 1 if anything fails."""
    if not file.is_file():
        raise InputError(f"{file}: no such file; give the plug-in's Python file, for example search_spaces/plain_chain.py")
    from agd_bench.testing import check_file

    checks = check_file(file)
    if as_json:
        shown = [{"check": c.name, "passed": c.passed, "message": c.message, "explanation": c.explanation} for c in checks]
        print(json.dumps(shown, indent=2))
    else:
        for c in checks:
            print(f"{'ok  ' if c.passed else 'FAIL'}  {c.name}{': ' + c.message if c.message else ''}")
            print(textwrap.indent(textwrap.fill(c.explanation, 110, break_on_hyphens=False), " " * 6))
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has and lacks: devices, data sets, Ray, extras, versions."""
    from agd_bench.datasets import data_root
    from agd_bench.doctor import examine

    findings = examine(data_root())
    if as_json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return
    signs = {"ok": "ok     ", "missing": "–      ", "warning": "WARNING"}
    for finding in findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        print(f"{signs[finding.verdict]}  {finding.what}: {finding.detail}{advice}")


@app.command()
def publish(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The leaderboard's folder, for example leaderboards/NAME.")],
    claims: ClaimsOption = None,
    published: PublishedOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
) -> None:
    """Publish a run as a leaderboard folder that can be rebuilt from itself, and renew the index beside it."""
    from agd_bench.claims import read_claims
    from agd_bench.gathering import gather_evidence
    from agd_bench.leaderboard import build_index, publish_results
    from agd_bench.store import load_results

    results = gather_evidence(load_results(_locate_run(run)), _folders(search_spaces, algorithms, None), published)
    folder = publish_results(results, to, claims=read_claims(claims) if claims else None)
    print(f"Published: {folder}\nIndex: {build_index(to.parent)}")


@app.command()
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
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="End cleanly after 600 (seconds), 45m or 8h; go on another time.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress display.")] = False,
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
        _print_table(pd.DataFrame(rows), as_json)
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
    _print_table(table if as_json else table[["what", "published", "ours", "low", "high", "n", "difference", "architecture"]], as_json)
    if not as_json:
        _say_scale(experiment.scale(scale))
    if to is not None:
        print(f"Page: {reproducing.publish_reproduction(experiment, scale, results, to)}", file=sys.stderr if as_json else sys.stdout)


def _say_scale(scale: Scale) -> None:
    if scale.reduced:
        print(f"\nReduced: {scale.reduced}\nCannot be concluded: {scale.cannot_conclude}")


@app.command("claims")
def claims_(run: RunArgument, claims: ClaimsOption = None, as_json: JsonOption = False) -> None:
    """Evaluate the claims about a run or a leaderboard again. Exit code 1 if any fails or is undecided.

    The claims are those of --claims, else of `claims.toml` in the folder, else those that publishing would propose.
    """
    from agd_bench.claims import evaluate_claims, find_claims
    from agd_bench.report import describe_claims
    from agd_bench.store import load_results

    located = _locate_run(run)
    results = load_results(located)
    table = evaluate_claims(results, find_claims(claims, located, results.sweep))
    if as_json:
        _print_table(table, as_json)
    else:
        for line in describe_claims(table):
            print(line)
    if not (table["state"] == "holds").all():
        raise typer.Exit(1)


@app.command()
def verify(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A published leaderboard's folder.")]) -> None:
    """Recompute a published leaderboard from its raw rows and say what differs. Exit code 1 if anything does."""
    from agd_bench.leaderboard import verify_folder

    differences = verify_folder(folder)
    for difference in differences:
        print(difference)
    if differences:
        raise typer.Exit(1)
    print(f"{folder}: every digest and every aggregate agrees with the raw rows")


@app.command()
def benchmark(
    image_size: Annotated[int, typer.Option("--image-size", min=8, help="Height and width of the images, in pixels: 32, 16 or 8.")] = 32,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of the first stage; 16 as published.")] = 16,
    cells: Annotated[int, typer.Option("--cells", min=1, help="Cells in each of the three stages; 5 as published.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=2, help="Images a step; 256 as published.")] = 256,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter windows: a first look, with wide intervals.")] = False,
    device: DeviceOption = "auto",
    form: Annotated[Literal["table", "markdown", "json"], typer.Option("--format", help="How to print it.")] = "table",
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Also draw where a step's time goes: .png or .svg.")
    ] = None,
) -> None:
    """Measure how many architectures this machine trains in an hour: the plain way, after each step of this package's, and in all.

    All ways alternate within one run. The total is extrapolated to all of NAS-Bench-201, with its interval.
    """
    from agd_bench import benchmarking
    from agd_bench.trial import Workplace

    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise InputError(f"--figure {figure}: draws .png and .svg; give a name with one of these endings")
    size = benchmarking.Size(image_size, channels, cells, batch_size)
    effort = benchmarking.QUICK if quick else benchmarking.Effort()
    where = Workplace(Path(), device=device).torch_device()
    measured = benchmarking.measure(size, effort, where, lambda said: print(f"… {said}", file=sys.stderr))
    if form == "table":
        print(benchmarking.heading(measured))
        for sentence, table in benchmarking.tables(measured):
            print(f"\n{sentence}\n")
            _print_table(table, False)
        print(f"\n{benchmarking.summary(measured)}")
    else:
        print(benchmarking.as_json(measured) if form == "json" else benchmarking.as_markdown(measured))
    if figure is not None:
        picture = benchmarking.parts_figure(measured)
        figure.write_bytes(picture.png() if figure.suffix == ".png" else picture.svg().encode())


def main() -> None:
    """Run the command line; every error of ours is one line on standard error and an exit code."""
    try:
        app(standalone_mode=True)
    except AgdBenchError as error:
        print(f"agd-bench: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""Commands that show information: `report`, `claims`, `export`, `list`, `show`, `doctor`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agd_bench.cli.options import (
    AlgorithmsOption,
    ClaimsOption,
    DatasetsOption,
    JsonOption,
    PublishedOption,
    RunArgument,
    SearchersOption,
    SpacesOption,
    folder_of,
    locate_run,
    plugin_folders,
)
from agd_bench.cli.printing import print_markdown, print_table
from agd_bench.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from agd_bench.plugins import Kind
    from agd_bench.store import Results

KINDS: dict[str, Kind] = {"search-spaces": "search_spaces", "algorithms": "algorithms", "datasets": "datasets", "searchers": "searchers"}
FACTS: dict[Kind, list[str]] = {
    "search_spaces": ["VARIES", "SIZE", "NETWORKS", "PAPER", "IDENTITY"],
    "algorithms": ["TIER", "LICENCE", "PAPER"],
    "datasets": ["NUM_CLASSES", "IMAGE_SIZE", "LICENCE"],
    "searchers": ["SETTINGS", "PAPER"],
}
"""The facts that `list` shows for each kind of plug-in."""


def conclude(results: Results, folder: Path) -> None:
    """Write the report, then print its first screen and the path of the page."""
    from agd_bench.report import build_report, first_screen
    from agd_bench.tables import aggregates

    tables = aggregates(results)
    page = build_report(results, folder, tables)
    for shown in first_screen(results, tables):
        if isinstance(shown, str):
            print(shown)
        else:
            print_table(shown, as_json=False)
    print(f"\nReport: {page}")


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Output folder. Default: RUN/report.")] = None,
    published: PublishedOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
) -> None:
    """Rebuild the report page from stored results."""
    from agd_bench.evidence import gather_evidence
    from agd_bench.store import load_results

    located = locate_run(run)
    results = gather_evidence(load_results(located), plugin_folders(search_spaces, algorithms, None), published)
    # A report in a published folder would add files missing from its manifest, which `verify` reports.
    if out is None and isinstance(located, Path) and (located / "manifest.json").is_file():
        raise InputError(f"{run}: a published folder must not be changed; use --out, or build all pages with `agd-bench site`")
    conclude(results, out or folder_of(located, results) / "report")


def export(
    run: RunArgument,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help="Output folder; with --to mlflow also a URI. Default: RUN/export or RUN/TRACKER."),
    ] = None,
    to: Annotated[
        Literal["tables", "tensorboard", "mlflow", "wandb", "optuna"],
        typer.Option("--to", help="What to write: tables, the trials for a tracker, or the tuning studies for Optuna's dashboard."),
    ] = "tables",
    algorithms: AlgorithmsOption = None,
) -> None:
    """Write a run's tables (Parquet, CSV) or its trials for a tracker.

    A tracker that has some of the trials gets the rest.
    """
    from agd_bench.store import export as export_results
    from agd_bench.store import load_results

    located = locate_run(run)
    results = load_results(located)
    target = out or str(folder_of(located, results) / ("export" if to == "tables" else to))
    if to == "tables":
        for path in export_results(results, Path(target)):
            print(path)
    elif to == "optuna":
        from agd_bench.trackers.optuna_studies import export_studies

        file = export_studies(results, Path(target), plugin_folders(None, algorithms, None))
        print(f"Show it: optuna-dashboard sqlite:///{file}")
    else:
        from agd_bench.trackers import open_tracker, write_all

        tracker = open_tracker(to, target)
        print(f"{write_all(tracker, results)} trials. Show them: {tracker.show}")


def claims_(run: RunArgument, claims: ClaimsOption = None, as_json: JsonOption = False) -> None:
    """Evaluate the claims of a run or a leaderboard again.

    Reads --claims, else `claims.toml` in the folder, else the claims proposed by `publish`. Exits with 1 if a claim fails or cannot be
    decided.
    """
    from agd_bench.claims import evaluate_claims, find_claims
    from agd_bench.report import describe_claims
    from agd_bench.store import load_results

    located = locate_run(run)
    results = load_results(located)
    table = evaluate_claims(results, find_claims(claims, located, results.sweep))
    if as_json:
        print_table(table, as_json)
    else:
        for line in describe_claims(table):
            print(line)
    if not (table["state"] == "holds").all():
        raise typer.Exit(1)


def list_(
    what: Annotated[Literal["search-spaces", "algorithms", "datasets", "searchers", "sweeps"], typer.Argument(help="What to list.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    searchers: SearchersOption = None,
    as_json: JsonOption = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
) -> None:
    """List search spaces, algorithms, data sets, searchers or sweeps."""
    import pandas as pd

    from agd_bench.sweeps import builtin_sweeps, open_sweep

    if what == "sweeps":
        table = pd.DataFrame([{"name": name, "summary": open_sweep(name).description} for name in builtin_sweeps()])
    else:
        table = _plugin_table(KINDS[what], plugin_folders(search_spaces, algorithms, datasets, searchers)[KINDS[what]])
    if as_markdown:
        print_markdown(table)
    else:
        print_table(table, as_json)


def _plugin_table(kind: Kind, folders: Sequence[Path]) -> pd.DataFrame:
    """One row per plug-in of a kind, read from the sources without importing them."""
    import pandas as pd

    from agd_bench import plugins

    rows = []
    for name, source in plugins.find(kind, folders).items():
        facts = plugins.describe(source)
        row: dict[str, object] = {"name": name, "summary": facts["summary"], **{fact.lower(): facts.get(fact) for fact in FACTS[kind]}}
        if kind in ("algorithms", "searchers"):
            missing = plugins.missing_packages(source)
            row["ready"] = f"no: {missing}" if missing else "yes"
        rows.append(row | {"from": source.origin})
    table = pd.DataFrame(rows, dtype=object if kind == "search_spaces" else None)  # sizes can exceed 64 bits
    if kind == "search_spaces":
        table["varies"] = table["varies"].fillna(table.pop("summary"))
    return table


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A built-in sweep, or a plug-in of any kind.")],
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    searchers: SearchersOption = None,
) -> None:
    """Show a sweep's TOML or what a plug-in declares."""
    from agd_bench import plugins
    from agd_bench.sweeps import builtin_sweeps

    sweeps = builtin_sweeps()
    folders = plugin_folders(search_spaces, algorithms, datasets, searchers)
    found = {kind: plugins.find(kind, folders[kind]) for kind in KINDS.values()}
    if name in sweeps:
        print(sweeps[name].read_text(encoding="utf-8"), end="")
    for kind, sources in found.items():
        if name in sources:
            facts = {"kind": kind.replace("_", " ").removesuffix("s"), **plugins.describe(sources[name]), "file": sources[name].path}
            print("\n".join(f"{key.lower():<14}{value}" for key, value in facts.items()))
    known = [*sweeps, *(other for sources in found.values() for other in sources)]
    if name not in known:
        raise UnknownNameError("name", name, known, advice="`agd-bench list` shows the available names.")


def doctor(
    as_json: JsonOption = False,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Measure training on the GPU for about two minutes, and what the numbers decide.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --gpu: tiny networks, to try the command; the numbers decide nothing.")
    ] = False,
) -> None:
    """Check devices, data sets, Ray and packages, or measure the GPU."""
    from agd_bench.datasets import data_root
    from agd_bench.doctor import examine

    if gpu:
        from agd_bench.doctor.gpu import QUICK, Size, measure

        findings = measure(QUICK if quick else Size())
    else:
        findings = iter(examine(data_root()))
    if as_json:
        print(json.dumps([finding._asdict() | {"numbers": dict(finding.numbers)} for finding in findings], indent=2))
        return
    signs = {"ok": "ok     ", "missing": "–      ", "warning": "WARNING"}
    for finding in findings:
        advice = f"; {finding.advice}" if finding.advice else ""
        # flushed, because measuring takes minutes
        print(f"{signs[finding.verdict]}  {finding.what}: {finding.detail}{advice}", flush=True)

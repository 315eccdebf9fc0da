"""Commands that read results: `report`, `export`, `publish`, `claims`, `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agd_bench.cli.options import (
    AlgorithmsOption,
    ClaimsOption,
    JsonOption,
    PublishedOption,
    RunArgument,
    SpacesOption,
    folder_of,
    locate_run,
    plugin_folders,
)
from agd_bench.cli.printing import print_table

if TYPE_CHECKING:
    from agd_bench.store import Results


def conclude(results: Results, folder: Path) -> None:
    """Write the report; say the finding and where the report is."""
    from agd_bench.report import aggregates, build_report, finding_sentences

    tables = aggregates(results)
    page = build_report(results, folder, tables)
    for sentence in finding_sentences(results, tables):
        print(sentence)
    print(f"\nReport: {page}")


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to write it. Default: RUN/report.")] = None,
    published: PublishedOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
) -> None:
    """Rebuild tables, figures and one self-contained HTML page from the stored results alone."""
    from agd_bench.evidence import gather_evidence
    from agd_bench.store import load_results

    located = locate_run(run)
    results = gather_evidence(load_results(located), plugin_folders(search_spaces, algorithms, None), published)
    conclude(results, out or folder_of(located, results) / "report")


def export(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to write it. Default: RUN/export.")] = None,
) -> None:
    """Write a run's tables as Parquet and CSV, with a data dictionary."""
    from agd_bench.store import export as export_results
    from agd_bench.store import load_results

    located = locate_run(run)
    results = load_results(located)
    for path in export_results(results, out or folder_of(located, results) / "export"):
        print(path)


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
    from agd_bench.evidence import gather_evidence
    from agd_bench.leaderboard import build_index, publish_results
    from agd_bench.store import load_results

    results = gather_evidence(load_results(locate_run(run)), plugin_folders(search_spaces, algorithms, None), published)
    folder = publish_results(results, to, claims=read_claims(claims) if claims else None)
    print(f"Published: {folder}\nIndex: {build_index(to.parent)}")


def claims_(run: RunArgument, claims: ClaimsOption = None, as_json: JsonOption = False) -> None:
    """Evaluate the claims about a run or a leaderboard again. Exit code 1 if any fails or is undecided.

    The claims are those of --claims, else of `claims.toml` in the folder, else those that publishing would propose.
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


def verify(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A published leaderboard's folder.")]) -> None:
    """Recompute a published leaderboard from its raw rows and say what differs. Exit code 1 if anything does."""
    from agd_bench.leaderboard import verify_folder

    differences = verify_folder(folder)
    for difference in differences:
        print(difference)
    if differences:
        raise typer.Exit(1)
    print(f"{folder}: every digest and every aggregate agrees with the raw rows")

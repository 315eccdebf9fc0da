"""Commands about published leaderboards: `publish`, `verify`, `site`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agd_bench.cli.options import (
    AlgorithmsOption,
    ClaimsOption,
    DatasetsOption,
    PublishedOption,
    RunArgument,
    SpacesOption,
    locate_run,
    plugin_folders,
)
from agd_bench.errors import InputError


def publish(
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the leaderboard, for example leaderboards/NAME.")],
    claims: ClaimsOption = None,
    published: PublishedOption = None,
    search_spaces: SpacesOption = None,
    algorithms: AlgorithmsOption = None,
    datasets: DatasetsOption = None,
    recount: Annotated[bool, typer.Option("--recount", help="Recount the FLOPs with this version.")] = False,
) -> None:
    """Publish a run as a leaderboard folder.

    The folder holds the raw results, from which anyone can recompute its README and figure, and build its page with
    `agd-bench site`. The index next to it is updated. A published folder can be published again from its own rows, for example
    with --recount; networks are then built and counted, not trained. A board is written anew from its entries.
    """
    from agd_bench.claims import read_claims
    from agd_bench.evidence import gather_evidence
    from agd_bench.leaderboard import publish_results, write_index
    from agd_bench.leaderboard.publication import write_board
    from agd_bench.store import failed_trials, load_results, mixed_code
    from agd_bench.store.entry_rows import is_board

    if is_board(to) and Path(run).resolve() == to.resolve():
        if recount:
            raise InputError(f"{to}: --recount would change rows of entries, which stay as they were submitted; omit it")
        write_board(to, read_claims(claims) if claims else None)
        print(f"Published: {to}\nIndex: {write_index(to.parent)}")
        return
    folders = plugin_folders(search_spaces, algorithms, datasets)
    results = load_results(locate_run(run))
    if recount:
        from agd_bench.datasets import data_root
        from agd_bench.recount import recount_flops
        from agd_bench.trial import Workplace

        results = recount_flops(results, Workplace(data_root(), folders, device="cpu"))
    results = gather_evidence(results, folders, published)
    folder = publish_results(results, to, claims=read_claims(claims) if claims else None)
    print(f"Published: {folder}\nIndex: {write_index(to.parent)}")
    for line in [*mixed_code(results), *filter(None, [failed_trials(results)])]:
        print(line)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a published leaderboard.")],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="DIR", help="An earlier state of the folder: print how the places moved since.")
    ] = None,
) -> None:
    """Recompute a published leaderboard from its raw rows.

    Prints every difference, and exits with 1 if there are any. Reports results made with different code. Never runs code from
    the folder.
    """
    from agd_bench.leaderboard import verify_folder
    from agd_bench.leaderboard.entries import describe_moves
    from agd_bench.store import load_results, mixed_code

    differences = verify_folder(folder)
    for difference in differences:
        print(difference)
    if differences:
        raise typer.Exit(1)
    print(f"{folder}: every digest, the README and the figure agree with the raw rows")
    results = load_results(folder)
    for line in mixed_code(results):
        print(line)
    if against is not None:
        earlier = load_results(against) if against.exists() else None
        print(f"\n{describe_moves(earlier, results)}")


def site(
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the site; created if it does not exist.")],
    boards: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder of published leaderboards.")] = Path("leaderboards"),
) -> None:
    """Build the pages of all published leaderboards.

    Recomputes every leaderboard from its raw rows and writes a static site: a report with figures and tables for each, the
    reproductions, and an index. Never runs code from the folders.
    """
    from agd_bench.leaderboard import build_site
    from agd_bench.leaderboard.listing import REPRODUCTIONS
    from agd_bench.reproductions import build_pages

    page = build_site(boards, to)
    if (boards / REPRODUCTIONS).is_dir():
        build_pages(boards / REPRODUCTIONS, to / REPRODUCTIONS)
    print(f"Site: {page}")

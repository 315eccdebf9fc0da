"""A page for each architecture on its board: the cell as a graph, and every algorithm's accuracy and rank of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from agd_bench.analysis.rows import Group, group_title, rows_of
from agd_bench.analysis.scores import GROUP
from agd_bench.figures.networks import draw_networks, written_cells
from agd_bench.report.cells import Column, Table, make_table, per_cent, place, scientific
from agd_bench.report.page import write_page
from agd_bench.report.surroundings import Surroundings
from agd_bench.store import Results

PAGES = "architectures"
"""Folder of the pages, in the board's."""
CAPTION = "Nodes are feature maps; an arrow applies the operation next to it. Inputs that meet in a node are added."
MOST = 1000
"""Largest number of pages of a board; further architectures are in `data/ranks.csv` only."""


def shift(value: float) -> str:
    """A difference of ranks, with its sign; tied ranks can end in a half."""
    return f"{value:+g}".replace("-", "−")


COLUMNS = (
    Column("Algorithm", "label on the board", "algorithm", numeric=False),
    Column("Rank", "among the architectures of the comparison, 1 = best", "rank", place),
    Column("of", "number of architectures", "ranked"),
    Column("Accuracy, %", "mean test accuracy over seeds; a diverged training counts as 0", "accuracy", per_cent),
    Column("By seed, %", "test accuracy from each seed", "seeds", numeric=False),
    Column("Rank shift", "rank by this algorithm minus rank by the baseline", "rank_shift", shift),
    Column("Beyond noise", "whether seed noise does not explain the shift, corrected for all architectures", "beyond", numeric=False),
    Column("Charged FLOPs", "of all attempts on this architecture, tuning included", "flops", scientific),
)  # fmt: skip


def addresses_of(results: Results) -> dict[tuple[str, str], str]:
    """The pages of a board's architectures, relative to its page, by search space and architecture."""
    final = results.trials[results.trials["purpose"] == "final"]
    pairs = final[["search_space", "architecture"]].drop_duplicates().itertuples(index=False, name=None)
    return {pair: f"{PAGES}/{name_of(*pair)}" for pair, _ in zip(pairs, range(MOST), strict=False)}


def name_of(search_space: str, architecture: str) -> str:
    """The file name of an architecture's page: the same on every board and in every version."""
    return f"{hashlib.sha256(f'{search_space} {architecture}'.encode()).hexdigest()[:12]}.html"


def write_architecture_pages(results: Results, tables: dict[str, pd.DataFrame], board: Path, around: Surroundings, name: str) -> None:
    """Write the pages of a board's architectures.

    Args:
        results: the board's rows.
        tables: `aggregates` of them.
        board: the board's folder on the site.
        around: the other pages of the site, as seen from these.
        name: of the board.
    """
    records = _records(results, tables)
    around = replace(around, pages={name: "../index.html", **around.pages})
    for space, architecture in addresses_of(results):
        cells = written_cells(architecture)
        write_page(
            board / PAGES / name_of(space, architecture),
            "site.html.jinja",
            around=around,
            title=f"An architecture of {space}",
            lead=[],
            facts=[("Architecture", architecture, ""), ("Board", name, "../index.html")],
            picture=draw_networks([("", steps) for _, steps in cells], "The cell" if len(cells) == 1 else "The cells", CAPTION)
            if cells
            else None,
            tables=[
                _table(f"g{place}", group, found[architecture])
                for place, (group, found) in enumerate(records.items(), 1)
                if group[0] == space and architecture in found
            ],
            cards=True,
        )


def _records(results: Results, tables: dict[str, pd.DataFrame]) -> dict[Group, dict[str, list[dict[str, Any]]]]:
    """The rows of `COLUMNS` of every architecture, by comparison group and architecture."""
    key = [*GROUP, "architecture", "algorithm"]
    final = results.trials[results.trials["purpose"] == "final"]
    # diverged trainings count as 0 in the mean, so their seeds say 'diverged'
    shown = final["test_accuracy"].map(per_cent, na_action="ignore").where(final["status"] == "done", final["status"])
    seeds = shown.groupby([final[name] for name in key], sort=False).agg(", ".join).rename("seeds").reset_index()
    shifts = tables["rank_shift"].rename(columns={"challenger": "algorithm"})
    wide = tables["ranks"].merge(seeds, how="left", on=key)
    for more, columns in ((shifts, ["rank_shift", "beyond_noise"]), (tables["cost_by_architecture"], ["flops"])):
        # a sweep of one algorithm has no shifts
        wide = (
            wide.merge(more[[*key, *columns]], how="left", on=key) if set(columns) <= set(more) else wide.assign(**dict.fromkeys(columns))
        )
    found: dict[Group, dict[str, list[dict[str, Any]]]] = {}
    for row in rows_of(wide):
        row["beyond"] = {True: "yes", False: "no"}.get(row["beyond_noise"])
        group = (row["search_space"], row["dataset"], row["profile"])
        found.setdefault(group, {}).setdefault(row["architecture"], []).append(row)
    return found


def _table(name: str, group: Group, rows: list[dict[str, Any]]) -> Table:
    """One architecture under every algorithm of a comparison, the best rank first."""
    ordered = sorted(rows, key=lambda row: (math.isnan(row["rank"]), row["rank"]))
    made = make_table(name, f"Every algorithm on {group_title(group)}", COLUMNS, ordered, "")
    return replace(made, anchors=tuple(f"{name}-{row['algorithm']}" for row in ordered))

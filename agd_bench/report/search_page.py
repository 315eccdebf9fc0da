"""The page, the first screen and the files of a comparison of search methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from agd_bench.analysis.rows import known
from agd_bench.figures.appearance import Drawing
from agd_bench.figures.search_regret import anytime_regret
from agd_bench.report.cells import Column, Table, interval, make_table, p_value, per_cent, points_lost, seconds, signed, times
from agd_bench.report.page import write_page
from agd_bench.store import written_beside


def points(share: float) -> str:
    """A share in percentage points, with two decimals."""
    return f"{100 * share:.2f}"


def whole(count: float) -> str:
    """A mean count, rounded."""
    return f"{count:.0f}"


VERDICTS = {"differs": "differently", "same": "the same way", "cannot tell": "cannot tell"}
UNRANKED = "not ranked: too few runs in the time limit, here or on another setting"
METHOD_COLUMNS = (
    Column("Method", "the search method", "method", numeric=False),
    Column("Place", "by mean test accuracy, 1 = best; in brackets the 95 % interval, simultaneous over the methods", "placed"),
    Column(
        "Regret", "test accuracy of the table's best architecture minus that of the found one, in points; mean over runs", "regret", points
    ),
    Column("95 % interval", "of the mean regret, over runs", "interval", numeric=False),
    Column("Accuracy", "test accuracy of the found architecture, per cent", "accuracy", per_cent),
    Column(
        "Over the average",
        "improvement over the mean of all architectures (Yang et al. 2020), per cent",
        "relative_improvement",
        points_lost,
    ),
    Column("Trainings", "mean number in a run", "trainings", whole),
    Column("Runs", "independent searches", "runs"),
    Column("Note", "why a method failed or was not ranked", "note", numeric=False),
)
DECISION_COLUMNS = (
    Column("Setting", "data set, training algorithm and epochs that the methods searched on", "challenger", numeric=False),
    Column("Compared with", "another setting", "baseline", numeric=False),
    Column("Methods are ranked", "whether the rankings of the methods on both differ", "decision", VERDICTS.__getitem__, numeric=False),
    Column("Kendall's tau", "agreement of the two rankings: 1 equal, 0 unrelated", "kendall_tau", times),
    Column("Chance alone", "tau if the rankings differed only by chance between runs", "noise_ceiling", times),
    Column("Gap", "tau minus what chance alone would give", "gap", signed),
    Column("p", "test of no change beyond chance, after Holm", "p_holm", p_value),
)


def deployed_rows(methods: pd.DataFrame, deployed: str) -> pd.DataFrame:
    """The rows with one deployment, the best methods of each setting first."""
    own = methods[methods["deployed"] == deployed]
    order = {name: number for number, name in enumerate(own["setting"].unique())}
    return own.assign(order=own["setting"].map(order)).sort_values(["order", "place", "regret"], kind="stable").drop(columns="order")


def search_sentences(tables: Mapping[str, pd.DataFrame], deployed: str) -> Iterator[str]:
    """What was found: the best methods, whether their ranking changes, and what searching on another table costs.

    Args:
        tables: of `searching.method_tables`.
        deployed: the algorithm that trains the found architectures, as in the column of that name.
    """
    rows = deployed_rows(tables["methods"], deployed)
    for setting, own in rows.groupby("setting", sort=False):
        ranked = own[own["place"].notna() & (own["reason"] == "")]
        if ranked.empty:
            yield f"On {setting}, no method could be ranked."
            continue
        best = list(ranked.loc[ranked["place_low"].fillna(1) == 1, "method"])
        others = f"; {', '.join(best[1:])} cannot be told from it" if len(best) > 1 else ""
        first = ranked.iloc[0]
        yield (
            f"Searching on {setting} for {seconds(first['budget_seconds'])}, {first['method']} comes first with a regret of "
            f"{100 * first['regret']:.2f} points when {deployed} trains what it found (mean over methods: "
            f"{100 * ranked['regret'].mean():.2f}){others}."
        )
    for _, row in tables["decisions"].iterrows():
        p = f", p {p_value(row['p_holm'])}" if row["p_holm"] == row["p_holm"] else ""
        numbers = f"Kendall's tau {row['kendall_tau']:.2f}; chance alone would give {row['noise_ceiling']:.2f}{p}"
        what = {
            "differs": "ranks the methods differently from",
            "same": "ranks the methods like",
            "cannot tell": "cannot be shown to rank the methods differently from, or like,",
        }[row["decision"]]
        yield f"{row['challenger']} {what} {row['baseline']}: {numbers}, {row['architectures']} methods, {row['seeds']} runs."


def search_tables(tables: Mapping[str, pd.DataFrame], deployed: str) -> Iterator[Table]:
    """The tables of the page: methods by setting, and agreement between settings."""
    for number, (setting, own) in enumerate(deployed_rows(tables["methods"], deployed).groupby("setting", sort=False)):
        caption = f"Methods that searched on {setting}, by place; what they found is trained by {deployed}"
        yield make_table(f"methods-{number}", caption, METHOD_COLUMNS, _method_records(own), "data/methods.csv")
    caption = "Whether the ranking of the methods changes with the training algorithm, the budget and the data set"
    decisions: list[dict[Any, Any]] = tables["decisions"].to_dict("records")
    yield make_table("decisions", caption, DECISION_COLUMNS, decisions, "data/decisions.csv")


def _method_records(own: pd.DataFrame) -> list[dict[Any, Any]]:
    records: list[dict[Any, Any]] = own.to_dict("records")
    for record in records:
        ends = f" ({record['place_low']:g}–{record['place_high']:g})" if known(record, "place_low") else ""
        record["placed"] = f"{record['place']:g}{ends}" if known(record, "place") else None
        record["interval"] = interval(record, "regret_low", "regret_high", points)
        record["note"] = record["reason"] or ("" if record["placed"] else UNRANKED)
    return records


def search_screen(tables: Mapping[str, pd.DataFrame], deployed: str, restrictions: Sequence[str]) -> Iterator[str | pd.DataFrame]:
    """The first screen, for a terminal: sentences and tables of texts."""
    yield from search_sentences(tables, deployed)
    yield from restrictions
    for table in search_tables(tables, deployed):
        yield f"\n{table.caption}"
        yield pd.DataFrame([[cell.text for cell in row] for row in table.rows], columns=[column.label for column in table.columns])


def build_search_page(
    name: str, tables: Mapping[str, pd.DataFrame], deployed: str, restrictions: Sequence[str], command: str, folder: Path
) -> Path:
    """Write the page `folder / "index.html"`, `figures/` (SVG and PNG) and `data/` (CSV).

    Args:
        name: of the table that was searched.
        tables: of `searching.method_tables`.
        deployed: the algorithm that trains the found architectures, as in the column of that name.
        restrictions: what the table cannot say.
        command: that runs the comparison again.
        folder: made if it is not there.
    """
    drawing = Drawing("anytime_regret", anytime_regret(tables["anytime"], deployed), ("anytime",))
    with written_beside(folder) as beside:
        for part in ("data", "figures"):
            (beside / part).mkdir()
        for title, table in tables.items():
            table.to_csv(beside / "data" / f"{title}.csv", index=False, lineterminator="\n")
        (beside / "figures" / f"{drawing.name}.svg").write_text(drawing.picture.svg(), encoding="utf-8", newline="\n")
        (beside / "figures" / f"{drawing.name}.png").write_bytes(drawing.picture.png())
        write_page(
            beside / "index.html",
            "search.html.jinja",
            name=name,
            sentences=list(search_sentences(tables, deployed)),
            restrictions=restrictions,
            tables=list(search_tables(tables, deployed)),
            drawing=drawing,
            command=command,
        )
    return folder / "index.html"

"""The content of a reproduction page; `publication` writes it as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from agd_bench.reproductions.experiments import PAPER_SCALE, SKIP_MEASURES, Reproduction
from agd_bench.reproductions.published_tables import EACH, SPREAD, TAU
from agd_bench.store import Results

MISSING = "–"
NUMERIC = ("ours", "95 % interval", "n", "difference")
EXPLAINED = (
    (
        {"test_accuracy", "train_accuracy", "mean_accuracy", EACH},
        "Accuracies are in per cent after the last epoch, on the test split unless stated otherwise; differences are in points. The "
        "interval is a t interval of the mean over n trainings (of one network from different seeds, or of different networks).",
    ),
    (
        {"accuracy_gain"},
        "Gains are in points of test accuracy, paired by architecture and seed; the t interval is over n architectures.",
    ),
    ({"prediction_r"}, "r is Pearson's correlation over n architectures, with Fisher's interval."),
    ({TAU}, "Kendall's tau is 1 for equal rankings and 0 for unrelated ones; its interval is a bootstrap over n architectures."),
    ({SPREAD}, "Standard deviations are in points, pooled over n architectures."),
    (
        SKIP_MEASURES,
        "Changes are medians over n pairs of trainings with equal weights, data and order, with an interval from order statistics. The "
        "loss is the mean of its natural logarithm over the epochs; below 0, the variant trains faster. The test is the pre-registered "
        "one: signed ranks, two-sided, with Holm's correction over the rates; `predicted` means that the network with the larger mean "
        "singular value is the faster one.",
    ),
)
"""Explanations of the numbers by their measures."""


@dataclass(frozen=True)
class Page:
    """Content of a page, in the order in which it appears.

    Attributes:
        title: title of the experiment.
        paper: authors, title, venue, year.
        scale: name of the scale.
        partial: whether some trials have not ended or some runs have not started.
        reduced: what is smaller than in the paper; empty at the paper's scale.
        cannot_conclude: what can therefore not be concluded.
        head: column names.
        numeric: names of the columns with numbers.
        rows: the numbers, one tuple of cells per row.
        each: rows of individual architectures, separate because there are many.
        explained: how to read the numbers.
        found: hand-written notes about the outcome, by paragraph.
        differs: differences from the paper at every scale.
        unknown: what the paper does not state.
        work: number of trials and charged time.
        command: command that repeats the experiment.
        needs: requirements of that command; empty if there are none.
        rewriting: command that rebuilds the page from its rows.
    """

    title: str
    paper: str
    scale: str
    partial: bool
    reduced: str
    cannot_conclude: str
    head: tuple[str, ...]
    numeric: tuple[str, ...]
    rows: list[tuple[str, ...]]
    each: list[tuple[str, ...]]
    explained: list[str]
    found: list[str]
    differs: str
    unknown: str
    work: str
    command: str
    needs: str
    rewriting: str


def make_page(experiment: Reproduction, scale: str, results: Mapping[str, Results], table: pd.DataFrame, notes: str) -> Page:
    """Build the content of the page.

    Args:
        experiment: the experiment.
        scale: name of the scale.
        results: results by the name of the run.
        table: `measured` of the results.
        notes: hand-written notes about the outcome.
    """
    reduced = experiment.scale(scale)
    waiting = any(result.trials["status"].isin(["pending", "running"]).any() for result in results.values())
    # Hundreds of rows, one for each architecture, are collapsed on the page.
    single = table["measure"] == EACH
    rows, each = (_rows(part, table) for part in (table[~single], table[single]))
    option, folder = ("", experiment.name) if scale == PAPER_SCALE else (f" --scale {scale}", f"{experiment.name}-{scale}")
    command = f"agd-bench reproduce {experiment.name}{option}"
    return Page(
        title=experiment.title,
        paper=experiment.paper,
        scale=scale,
        partial=waiting or len(results) < len(experiment.sweeps(scale)),
        reduced=reduced.reduced,
        cannot_conclude=reduced.cannot_conclude,
        head=_head(table),
        numeric=NUMERIC,
        rows=rows,
        each=each,
        explained=[text for kinds, text in EXPLAINED if kinds & set(table["measure"])],
        found=[" ".join(paragraph.split()) for paragraph in notes.split("\n\n") if paragraph.strip()],
        differs=experiment.differs,
        unknown=experiment.unknown,
        work=_work(results),
        command=command,
        needs="Set `AGD_BENCH_PUBLISHED` to the published table." if experiment.listed else "",
        rewriting=f"{command} --from leaderboards/reproductions/{folder} --to leaderboards/reproductions",
    )


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table `measured` with the columns and cells of the page, as text."""
    return pd.DataFrame(_rows(table, table), columns=["what", *_head(table)[1:]])


def _head(table: pd.DataFrame) -> tuple[str, ...]:
    """Column names; differences and tests get a column only if there are any."""
    difference = ("difference",) if table["difference"].notna().any() else ()
    tested = ("registered test",) if (table["outcome"] != "").any() else ()
    return "", "paper", *NUMERIC[:3], *difference, *tested


def _rows(part: pd.DataFrame, whole: pd.DataFrame) -> list[tuple[str, ...]]:
    """The cells of some rows, in the columns of the whole table."""
    head = _head(whole)
    return [tuple(_cells(row)[name] for name in head) for row in part.to_dict("records")]


def _cells(row: Mapping[Any, Any]) -> dict[str, str]:
    numbers = ("published", "ours", "low", "high", "difference")
    paper, ours, low, high, difference = (_written(row[name], row["measure"]) for name in numbers)
    if row["measure"] in ("test_accuracy", "train_accuracy") and paper != MISSING:
        paper = f"{100 * row['published']:.2f}".removesuffix("0")  # one or two decimals, as in the paper
    elif paper == MISSING and row["statement"]:
        paper = str(row["statement"])
    network = f" [{row['architecture']}]" if row["architecture"] and row["measure"] not in (EACH, *SKIP_MEASURES) else ""
    source = f" ({row['source']})" if row["source"] and paper != MISSING else ""
    return {
        "": row["what"] + network,
        "paper": paper + source,
        "ours": ours,
        "95 % interval": f"{low} to {high}" if low != MISSING else MISSING,
        "n": str(row["n"]),
        "difference": difference,
        "registered test": str(row["outcome"]) or MISSING,
    }


def _written(value: float, measure: str) -> str:
    """Format an accuracy in per cent, a gain in points, tau with two decimals, and r or a change with three."""
    if value != value:  # only NaN differs from itself
        return MISSING
    # Logarithms and singular values are not in per cent.
    if measure in SKIP_MEASURES:
        return f"{value:+.3f}"
    if measure == "accuracy_gain":
        return f"{100 * value:+.2f}"
    if measure in (TAU, "prediction_r"):
        return f"{value:.{2 if measure == TAU else 3}f}"
    return f"{100 * value:.{2 if measure == SPREAD else 1}f}"


def _work(results: Mapping[str, Results]) -> str:
    trials = pd.concat([result.trials for result in results.values()])
    seconds = float(pd.to_numeric(trials["charged_seconds"]).sum())
    return f"{len(trials)} trials, charged {seconds / 60:.0f} device minutes (a device is a core or a GPU; see `attempts.csv`)."

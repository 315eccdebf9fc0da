"""Comparison of algorithms: performance profiles and critical differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from agd_bench.figures.appearance import INK, Picture, canvas, count_seeds, legend_below, looks, nothing, share_axis, style

_WORDS = {
    "epochs": "epochs",
    "flops": "FLOPs of training",
    "seconds": "seconds of training",
    "flops_with_tuning": "FLOPs, tuning included",
    "seconds_with_tuning": "seconds, tuning included",
}


# Dolan and Moré 2002, "Benchmarking optimization software with performance profiles".
def performance_profile_picture(profiles: pd.DataFrame, time: str = "flops", reference: str = "", quantile: float | None = None) -> Picture:
    """Plot the share of problems that each algorithm solves within a factor of the fastest algorithm's time.

    Args:
        profiles: `analysis.profile_performance` of one group.
        time: the unit of time, as given to that function.
        reference: label of the algorithm that set the targets.
        quantile: which targets; default: the middle one of those available.
    """
    title = "Performance profiles"
    if profiles.empty:
        return nothing(title, "No problem has an outcome under every algorithm, so there is no performance profile to draw.")
    there = sorted(profiles["quantile"].unique())
    # For an even number, take the lower of the two middle ones, which is the easier target.
    chosen = there[(len(there) - 1) // 2] if quantile is None else quantile
    table = profiles[profiles["quantile"] == chosen]
    with style({}):
        figure, axes = canvas()
        algorithms = list(dict.fromkeys(table["algorithm"]))
        appearance = looks(algorithms)
        for name in algorithms:
            rows, (colour, marker) = table[table["algorithm"] == name], appearance[name]
            every = max(1, len(rows) // 8)
            axes.plot(
                rows["factor"], rows["share"], color=colour, label=name, drawstyle="steps-post", marker=marker, markevery=every, ms=5,
                clip_on=False,
            )  # fmt: skip
            axes.fill_between(rows["factor"], rows["low"], rows["high"], color=colour, alpha=0.15, lw=0, step="post")
        axes.set_xscale("log")
        largest = float(table["factor"].max())
        axes.set_xlim(1.0, largest)
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1.0, 1.1, 1.2, 1.3, 1.4) if largest < 1.5 else (1.0, 1.5, 2.0, 3.0, 5.0) if largest < 30 else (1.0,))
        )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}×"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(0, 1.02)
        share_axis(axes.yaxis)
        axes.set(xlabel=f"factor of the fastest algorithm's {_WORDS[time]} (log scale)", ylabel="problems solved")
        legend_below(figure, len(algorithms))
    row = table.iloc[0]
    known = np.isfinite(table["low"].to_numpy(dtype=float)).all()
    caption = (
        f"Share of {int(row['problems'])} problems (pairs of one of {int(row['architectures'])} architectures and a seed) solved, that "
        f"is, whose target is reached within a factor of the fastest algorithm's {_WORDS[time]}. Target: the {chosen:g} quantile of the "
        f"validation accuracies of {reference or 'the reference'} on that architecture. {int(row['unsolved'])} problems are solved by no "
        "algorithm and count as unsolved. Left end: how often an algorithm is the fastest; right end: how often it reaches the target at "
        "all. " + ("Bands: 95 %, at each factor, bootstrap over architectures." if known else "Too few architectures for bands.")
    )
    return Picture(figure, title, caption)


AXIS = 3.4
"""Length of the rank axis in inches."""


# Demšar 2006, "Statistical comparisons of classifiers over multiple data sets", figure 1.
def critical_difference_picture(table: pd.DataFrame) -> Picture:
    """Plot mean ranks of the algorithms on one axis; a bar joins algorithms that do not differ significantly.

    Args:
        table: `analysis.critical_difference` of one group.
    """
    title = "Critical differences"
    if table.empty:
        return nothing(
            title, "Fewer than two algorithms or architectures have outcomes for every seed, so the algorithms cannot be ranked."
        )
    ranks = _ranks(table)
    names = sorted(ranks, key=lambda name: ranks[name])
    bars = cliques(names, table)
    below, count = (len(names) + 1) // 2, len(names)
    margin = 0.5 + 0.1 * max(len(name) + 5 for name in names)  # inches for the labels on either side
    with style({"axes.grid": False}):
        figure, axes = canvas(AXIS + 2 * margin, 1.5 + 0.32 * below + 0.16 * len(bars))
        # The unit of the axis is ranks; `inch` is the number of ranks per inch.
        left, right, inch = 1.0, float(count), (count - 1) / AXIS
        axes.set(xlim=(left - margin * inch, right + margin * inch), ylim=(-1.2 - 0.45 * len(bars) - below, 2.1))
        axes.set_axis_off()
        _rank_axis(axes, count)
        for place, (first, last) in enumerate(bars):
            height = -0.55 - 0.45 * place
            pad = 0.08 * inch
            axes.plot([ranks[first] - pad, ranks[last] + pad], [height, height], color=INK, lw=4, solid_capstyle="round")
        lowest = -0.75 - 0.45 * len(bars)
        for place, name in enumerate(names):
            best = place < below
            height = lowest - (place if best else count - 1 - place)
            end = left - 0.2 * inch if best else right + 0.2 * inch
            axes.plot([ranks[name], ranks[name], end], [0, height, height], color=INK, lw=1)
            words = f"{name}  {ranks[name]:.2f}" if best else f"{ranks[name]:.2f}  {name}"
            axes.text(end, height, f"{words} " if best else f" {words}", ha="right" if best else "left", va="center")
        row = table.iloc[0]
        # Pairwise Wilcoxon tests have no common critical difference.
        if row["test"] == "nemenyi":
            axes.plot([left, left + row["critical_difference"]], [1.7, 1.7], color=INK, lw=2, marker="|", ms=9)
            axes.text(left + row["critical_difference"], 1.7, f"  critical difference {row['critical_difference']:.2f}", va="center")
    return Picture(figure, title, _difference_caption(table, bars))


def _ranks(table: pd.DataFrame) -> dict[str, float]:
    pairs = [*zip(table["algorithm"], table["mean_rank"], strict=True), *zip(table["other"], table["other_mean_rank"], strict=True)]
    return {str(name): float(rank) for name, rank in pairs}


def _rank_axis(axes: Axes, count: int) -> None:
    axes.plot([1, count], [0, 0], color=INK, lw=1.5)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, 0.25], color=INK, lw=1.5)
        axes.text(rank, 0.45, f"{rank}", ha="center", va="bottom", fontsize="small")
    axes.text(1 - 0.2 * (count - 1) / AXIS, 0, "mean rank", ha="right", va="center", fontsize="small")


def cliques(names: list[str], table: pd.DataFrame) -> list[tuple[str, str]]:
    """First and last of each longest run of algorithms, adjacent by mean rank, of which no two differ significantly.

    Args:
        names: by ascending mean rank.
        table: `analysis.critical_difference` of one group.
    """
    differ = {frozenset((row["algorithm"], row["other"])) for row in table.to_dict("records") if row["different"]}

    def together(first: int, last: int) -> bool:
        return all(frozenset(pair) not in differ for pair in itertools.combinations(names[first : last + 1], 2))

    # Significance is not transitive, so search from every start.
    runs = [(first, max(last for last in range(first, len(names)) if together(first, last))) for first in range(len(names))]
    # Skip a run that lies inside a longer one found earlier.
    longest = [run for place, run in enumerate(runs) if run[1] > run[0] and (place == 0 or run[1] > runs[place - 1][1])]
    return [(names[first], names[last]) for first, last in longest]


def _difference_caption(table: pd.DataFrame, bars: list[tuple[str, str]]) -> str:
    row: pd.Series[Any] = table.iloc[0]
    tests = {
        "wilcoxon-holm": "pairwise Wilcoxon signed-rank tests with Holm's correction, 5 %",
        "nemenyi": "Nemenyi's test of mean ranks, 5 %",
    }
    friedman = f" Friedman's test of equality: p = {row['friedman_p']:.2g}." if np.isfinite(row["friedman_p"]) else ""
    return (
        f"Mean rank of each algorithm over {int(row['architectures'])} architectures (accuracies averaged over "
        f"{count_seeds(int(row['seeds']))}), 1 = best. "
        + ("A bar joins algorithms that do not differ significantly" if bars else "All differences are significant")
        + f" ({tests[str(row['test'])]}).{friedman}"
    )

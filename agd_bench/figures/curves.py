"""Accuracy by epoch."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import MaxNLocator

from agd_bench.figures.style import Picture, canvas, legend_below, looks, nothing, share_axis, style


def learning_curves(table: pd.DataFrame) -> Picture:
    """Validation accuracy by epoch, for every algorithm's final trials.

    Args:
        table: `analysis.accuracy_by_epoch` of one group.
    """
    title = "Learning curves"
    if table.empty:
        return nothing(title, "No final trial has finished an epoch, so there are no learning curves.")
    with style({}):
        figure, axes = canvas()
        for name, (colour, marker) in looks(list(dict.fromkeys(table["algorithm"]))).items():
            rows = table[table["algorithm"] == name]
            every = max(1, len(rows) // 10)
            axes.plot(rows["epoch"], rows["median"], color=colour, marker=marker, markevery=every, ms=5, label=name)
            axes.fill_between(rows["epoch"].to_numpy(dtype=float), rows["low"], rows["high"], color=colour, alpha=0.15, lw=0)
        share_axis(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="validation accuracy")
        legend_below(figure, table["algorithm"].nunique())
    fewest, most = (int(value) for value in table.groupby("algorithm")["trials"].max().agg(["min", "max"]))
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    caption = (
        f"Median over {number} final trials of each algorithm (architectures and seeds); shaded: from the 10th to the 90th percentile of "
        "the trials. A trial that diverged counts up to its last epoch."
    )
    return Picture(figure, title, caption)

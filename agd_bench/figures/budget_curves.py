"""How accuracy grows with the training budget, with each budget's own schedule and along the longest training."""

from __future__ import annotations

import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from agd_bench.figures.appearance import Picture, canvas, legend_below, looks, nothing, share_axis, style


def accuracy_by_budget(proxies: pd.DataFrame, curves: pd.DataFrame) -> Picture:
    """Plot validation accuracy against the length of training: curves of the longest trainings, and the end of each budget's own.

    Args:
        proxies: `analysis.budget_proxies` of one group.
        curves: `analysis.accuracy_by_epoch` of the same group, that of the longest budget.
    """
    title = "Accuracy by length of training"
    own = proxies[(proxies["schedule"] == "own") & proxies["accuracy"].notna()]
    if own.empty:
        return nothing(title, "No architecture has an outcome for every seed at two budgets.")
    with style({}):
        figure, axes = canvas()
        for name, (colour, marker) in looks(list(dict.fromkeys(own["algorithm"]))).items():
            line, ends = curves[curves["algorithm"] == name], own[own["algorithm"] == name]
            axes.plot(line["epoch"], line["mean"], color=colour, lw=1.2)
            axes.plot(ends["epochs"], ends["accuracy"], color=colour, marker=marker, ls=":", ms=8, label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(set(own["epochs"])))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
        share_axis(axes.yaxis)
        axes.set(xlabel="epochs", ylabel="validation accuracy")
        legend_below(figure, own["algorithm"].nunique())
    caption = (
        "Marks: mean validation accuracy at the end of trainings of that length, each with its own schedule. Lines: mean along the "
        f"trainings of {int(own['epochs'].max())} epochs; where a line is below its mark, a truncated training is worse than a short one."
    )
    return Picture(figure, title, caption)

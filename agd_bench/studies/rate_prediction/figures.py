"""Predicted against searched learning rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from agd_bench.analysis.rows import Row
from agd_bench.figures.style import INK, Picture, canvas, legend_below, nothing, style


def rate_prediction_picture(rates: pd.DataFrame, found: Row | None, said: str = "") -> Picture:
    """Each architecture's predicted learning rate against the one that its own grid search found, with Pearson's r beside the paper's.

    Args:
        rates: `predicted_rates` of one group and pair of algorithms.
        found: the row of `prediction_correlation` about it; None where there are too few architectures.
        said: what that row says, for the caption.
    """
    title = "Predicted against searched learning rates"
    if found is None:
        return nothing(title, "It takes four architectures of one comparison whose learning rate was both predicted and searched.")
    shown = rates.dropna(subset=["predicted_rate", "searched_rate"])
    both = shown[["predicted_rate", "searched_rate"]].to_numpy(dtype=float)
    ends = np.array([both.min() / 1.5, both.max() * 1.5])
    with style({}):
        figure, axes = canvas(5.6, 5.0)
        axes.plot(ends, ends, color=INK, lw=1, ls="--", label="predicted = searched")
        at_end = shown["at_grid_end"].to_numpy(dtype=bool)
        looks = ((~at_end, "o", 0, "architecture"), (at_end, "D", 1, "its search met the grid's end"))
        for chosen, marker, colour, label in looks:
            if chosen.any():
                drawn = sns.color_palette("colorblind", 10)[colour]
                axes.scatter(both[chosen, 0], both[chosen, 1], marker=marker, color=drawn, alpha=0.6, s=36, label=label)
        # Equal limits on both axes, so that the diagonal is agreement.
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted learning rate", ylabel="searched learning rate")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(base=2))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:.3g}"))
        if np.isfinite(found["pearson"]):
            axes.text(0.03, 0.97, f"r = {found['pearson']:.3f} (n = {found['architectures']})", va="top", transform=axes.transAxes)
        legend_below(figure, 1 + sum(bool(chosen.any()) for chosen, *_ in looks))
    return Picture(figure, title, _caption(found, said))


def _caption(found: Row, said: str) -> str:
    ends = f" The search of {found['at_grid_end']} of them ended at the grid's first or last rate." if found["at_grid_end"] else ""
    return (
        "Each mark is one architecture: the largest learning rate with the smallest training loss after one epoch, searched on a grid, "
        f"against the rate carried over from the shallow network by the sum over paths. {said} Median ratio of "
        f"predicted to searched rate: {found['median_ratio']:.2f}.{ends}"
    )

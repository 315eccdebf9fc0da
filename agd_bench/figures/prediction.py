"""Predicted against searched learning rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from agd_bench.figures.style import INK, Picture, canvas, legend_below, nothing, style

PUBLISHED = {"depth": 0.962, "fully connected topologies": 0.838, "convolutional topologies": 0.856}
"""Pearson's r on CIFAR-10 in W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024,
by what varies between the networks."""


def rate_prediction_picture(rates: pd.DataFrame, correlation: pd.DataFrame) -> Picture:
    """Each architecture's predicted learning rate against the one that its own grid search found, with Pearson's r beside the paper's.

    Args:
        rates: `predicting.predicted_rates` of one group.
        correlation: `analysis.prediction_correlation` of it.
    """
    title = "Predicted against searched learning rates"
    if len(correlation) != 1:
        return nothing(title, "It takes four architectures of one comparison whose learning rate was both predicted and searched.")
    row = correlation.iloc[0]
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
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted learning rate", ylabel="searched learning rate")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(base=2))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:.3g}"))
        legend_below(figure, 1 + sum(bool(chosen.any()) for chosen, *_ in looks))
    return Picture(figure, title, _caption(row))


def _caption(row: pd.Series) -> str:
    published = "; ".join(f"{r:.3f} ({what})" for what, r in PUBLISHED.items())
    if np.isnan(row["pearson"]):
        measured = "All predicted or all searched rates are equal, so there is no correlation"
    else:
        measured = (
            f"Pearson's r = {row['pearson']:.3f} (95 % interval {row['pearson_low']:.3f} to {row['pearson_high']:.3f}), "
            f"{row['pearson_log']:.3f} of logarithms"
        )
    ends = f" The search of {row['at_grid_end']} of them ended at the grid's first or last rate." if row["at_grid_end"] else ""
    return (
        f"Largest learning rate with the smallest training loss after one epoch, searched on each of {row['architectures']} architectures, "
        f"against the rate carried over from the shallow network by the sum over paths. {measured}; published on CIFAR-10: {published}. "
        f"Median ratio of predicted to searched: {row['median_ratio']:.2f}.{ends}"
    )

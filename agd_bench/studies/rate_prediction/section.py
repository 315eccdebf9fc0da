"""The report section about predicted learning rates: figure and sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from agd_bench.analysis.rows import Row, Tables, known, records
from agd_bench.figures import Drawing
from agd_bench.figures.appearance import INK, Picture, canvas, legend_below, nothing, style
from agd_bench.store import Results
from agd_bench.studies.rate_prediction.rates import EXPONENTS, PAIR, predicted_rates, prediction_correlation


def rate_prediction_picture(rates: pd.DataFrame, found: Row | None, said: str = "") -> Picture:
    """Plot each architecture's predicted learning rate against the one found by its own grid search, with Pearson's r and the paper's.

    Args:
        rates: `predicted_rates` of one group and pair of algorithms.
        found: its row of `prediction_correlation`; None if there are too few architectures.
        said: a description of that row, for the caption.
    """
    title = "Predicted against searched learning rates"
    if found is None:
        return nothing(
            title, "This figure requires at least four architectures with both a predicted and a searched learning rate in one comparison."
        )
    shown = rates.dropna(subset=["predicted_rate", "searched_rate"])
    both = shown[["predicted_rate", "searched_rate"]].to_numpy(dtype=float)
    ends = np.array([both.min() / 1.5, both.max() * 1.5])
    with style({}):
        figure, axes = canvas(5.6, 5.0)
        axes.plot(ends, ends, color=INK, lw=1, ls="--", label="predicted = searched")
        at_end = shown["at_grid_end"].to_numpy(dtype=bool)
        looks = ((~at_end, "o", 0, "architecture"), (at_end, "D", 1, "search ended at the grid's edge"))
        for chosen, marker, colour, label in looks:
            if chosen.any():
                drawn = sns.color_palette("colorblind", 10)[colour]
                axes.scatter(both[chosen, 0], both[chosen, 1], marker=marker, color=drawn, alpha=0.6, s=36, label=label)
        # Equal limits on both axes, so the diagonal means agreement.
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
    ends = f" For {found['at_grid_end']} of them the search ended at the grid's first or last rate." if found["at_grid_end"] else ""
    return (
        "Each mark is one architecture: the largest learning rate with the smallest training loss after one epoch, searched on a grid, "
        f"against the rate transferred from the shallow network by the sum over paths. {said} Median ratio of "
        f"predicted to searched rate: {found['median_ratio']:.2f}.{ends}"
    )


PUBLISHED = {"depth": 0.962, "fully connected topologies": 0.838, "convolutional topologies": 0.856}
"""The paper's r on CIFAR-10, by the property in which the networks differ."""


def compute_tables(trials: pd.DataFrame, results: Results) -> dict[str, pd.DataFrame]:
    """The rates, and their correlation."""
    rates = predicted_rates(trials, results.rate_factors, results.sweep)
    return {"predicted_rates": rates, "prediction_correlation": prediction_correlation(rates)}


def conclude(tables: Tables) -> Iterator[str]:
    """A sentence for each pair of predicting and searching algorithms."""
    yield from (prediction_sentence(row) for row in records(tables, "prediction_correlation"))


def show(tables: Tables) -> Iterator[Drawing | str]:
    """Predicted against searched rates, a figure for each pair."""
    if "predicted_rates" not in tables:
        return
    correlated = {(row["predicted"], row["searched"]): row for row in records(tables, "prediction_correlation")}
    for number, (pair, own) in enumerate(tables["predicted_rates"].groupby(PAIR, sort=False), 1):
        row = correlated.get((pair[0], pair[1]))
        picture = rate_prediction_picture(own, row, f"{prediction_sentence(row)} {exponent_sentence(row)}" if row else "")
        yield Drawing(f"prediction-{number}", picture, ("predicted_rates", "prediction_correlation"))


def prediction_sentence(row: Row) -> str:
    """Describe a row of `prediction_correlation`."""
    start = f"Predicted learning rates ({row['predicted']}) against searched ones ({row['searched']})"
    if not known(row, "pearson"):
        return f"{start}: one of the two is the same for all {row['architectures']} architectures, so the correlation is undefined."
    text = f"{start}: Pearson's r = {row['pearson']:.3f} (95 % interval {row['pearson_low']:.3f} to {row['pearson_high']:.3f}) over "
    text += f"{row['architectures']} architectures"
    if row["pooled_architectures"] > row["architectures"]:
        ends = f"{row['pooled_pearson_low']:.3f} to {row['pooled_pearson_high']:.3f}"
        text += f", and {row['pooled_pearson']:.3f} ({ends}) over {row['pooled_architectures']} architectures of all search spaces"
    if known(row, "noise_ceiling"):
        text += f"; noise in the search alone limits it to about {row['noise_ceiling']:.2f}"
    said = "; ".join(f"{r:.3f} for {what}" for what, r in PUBLISHED.items())
    return f"{text}. Published: {said}."


def exponent_sentence(row: Row) -> str:
    """How the searched rate depends on the predicted one and on the size of the signal; empty if all rates are equal."""
    if not known(row, "slope_log"):
        return ""
    slope = f"{row['slope_log']:.2f} (95 % interval {row['slope_low']:.2f} to {row['slope_high']:.2f})"
    steep = "less" if row["slope_low"] < 1 else "more"
    agrees = row["slope_low"] <= 1 <= row["slope_high"]
    side = "consistent with the theory's 1" if agrees else f"{steep} steeply than the theory's power of 1"
    signal = f" {_signal_words(row)}" if known(row, "signal_slope") else ""
    return f"The searched rate grows as the predicted one to the power of {slope}, {side}.{signal}"


def _signal_words(row: Row) -> str:
    """How much of a deviation the size of the signal explains."""
    signal, paths = (f"{row[name]:.2f} (95 % interval {row[low]:.2f} to {row[high]:.2f})" for name, low, high in EXPONENTS)
    adds = "adds nothing significant" if row["beside_low"] <= 0 <= row["beside_high"] else "still contributes"
    return (
        f"In logarithms, it correlates with the mean square of the classifier's input at initialisation ({row['signal_pearson_log']:.2f}) "
        f"and with the predicted rate ({row['pearson_log']:.2f}). In a regression on both, the exponents are {signal} and {paths}: given "
        f"the signal, the prediction {adds}."
    )

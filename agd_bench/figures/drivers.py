"""Sources of the rank shift: variance components, and the architecture features that the challenger favours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from agd_bench.figures.appearance import INK, Picture, canvas, count_seeds, legend_below, nothing, share_axis, style

_SOURCES = {
    "architecture": "architecture\n(the same for all)",
    "interaction": "architecture × algorithm\n(the shift)",
    "seed": "seed\n(the same for all)",
    "seed_interaction": "seed × algorithm",
}
_MOST_FEATURES = 14


def variance_components_picture(components: pd.DataFrame) -> Picture:
    """Plot the share of the variance by source, for normal scores of ranks and for accuracies.

    Args:
        components: `analysis.variance_components` of one group.
    """
    title = "Where the variance comes from"
    shown = components[components["component"].isin(_SOURCES)]
    if shown.empty or not np.isfinite(shown["variance"].astype(float)).any():
        return nothing(
            title, "Sources of variance cannot be separated: this requires at least two algorithms, three architectures and two seeds."
        )
    row = shown.iloc[0]
    colours = sns.color_palette("colorblind", 10)
    places = {name: place for place, name in enumerate(_SOURCES)}
    with style({}):
        figure, axes = canvas(6.4, 3.9)
        looks = (("rank-normal", "of ranks (normal scores)", "o", colours[0]), ("accuracy", "of accuracies", "D", colours[1]))
        for order, (scale, label, marker, colour) in enumerate(looks):
            part = shown[shown["scale"] == scale]
            heights = [places[name] + 0.3 * (order - 0.5) for name in part["component"]]
            _dots(axes, part, ("share", "share_low", "share_high"), heights, marker, colour, label)
        axes.set_yticks(range(len(_SOURCES)), list(_SOURCES.values()))
        axes.invert_yaxis()
        share_axis(axes.xaxis)
        axes.set(xlim=(-0.03, 1.03), xlabel="share of the variance")
        legend_below(figure, 2)
    caption = (
        f"Sources of the variance of {row['architectures']} architectures under {row['algorithms']} algorithms with "
        f"{count_seeds(int(row['seeds']))} each, after removing the algorithms' means; bars: 95 % intervals. For ranks, the interaction of "
        "architecture and algorithm is a change of the ranking beyond seed noise. For accuracies it also includes the effect of an "
        "algorithm that spreads the same ranking more widely."
    )
    return Picture(figure, title, caption)


def _dots(
    axes: Axes,
    part: pd.DataFrame,
    columns: tuple[str, str, str],
    heights: list[float],
    marker: str,
    colour: tuple[float, float, float],
    label: str,
) -> None:
    """Draw markers with horizontal intervals."""
    middle, low, high = (part[column].to_numpy(dtype=float) for column in columns)
    error = np.maximum([middle - low, high - middle], 0)  # the interval of a share clipped at 0 may start above it
    axes.errorbar(middle, heights, xerr=error, fmt=marker, color=colour, ms=7, capsize=3, label=label)


def drivers_picture(drivers: pd.DataFrame, baseline: str, challenger: str) -> Picture:
    """Plot the rank correlation of each feature with the challenger's advantage, and mark those beyond chance.

    Args:
        drivers: `analysis.interaction_drivers` of one group.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
    """
    title = f"What {challenger} favours, compared with {baseline}"
    if drivers.empty:
        return nothing(
            title,
            "No feature could be tested: this requires at least two seeds, twelve architectures and rankings that are not pure noise.",
        )
    # Selected by the uncorrected p, because Holm's p has ties at 1.
    most = drivers.reindex(drivers["p"].sort_values(kind="stable").index[:_MOST_FEATURES])
    table = most.sort_values("spearman", ascending=False, kind="stable")
    colours = sns.color_palette("colorblind", 10)
    with style({}):
        figure, axes = canvas(6.4, 1.7 + 0.34 * len(table))
        places = np.arange(len(table), dtype=float)
        clear = (table["p_holm"] < 0.05).to_numpy()
        axes.axvline(0, color=INK, lw=1, ls="--")
        looks = ((clear, "o", colours[1], "beyond chance (Holm, 5 %)"), (~clear, "D", colours[0], "consistent with chance"))
        for chosen, marker, colour, label in looks:
            part = table[chosen]
            if len(part):
                columns = ("spearman", "spearman_low", "spearman_high")
                _dots(axes, part, columns, list(places[chosen]), marker, colour, label)
        axes.set_yticks(places, [_said(str(name)) for name in table["feature"]])
        # Reversed, so the largest correlation is at the top.
        axes.set(ylim=(len(table) - 0.4, -0.6), xlim=(-1.03, 1.03), xlabel="rank correlation with the gain in standardised score")
        axes.text(0.0, 1.01, "← placed worse", transform=axes.transAxes, fontsize=10)
        axes.text(1.0, 1.01, "placed better →", transform=axes.transAxes, fontsize=10, ha="right")
        legend_below(figure, 2)
    return Picture(figure, title, _drivers_caption(table, len(drivers), challenger, baseline))


def _drivers_caption(table: pd.DataFrame, tried: int, challenger: str, baseline: str) -> str:
    row = table.iloc[0]
    more = "" if tried == len(table) else f" The {len(table)} of {tried} features with the smallest p are shown."
    corrected = f", corrected for all {tried} features. Features are correlated, so one may be a proxy for another." if tried > 1 else "."
    return (
        f"Spearman's correlation, over {row['architectures']} architectures with {count_seeds(int(row['seeds']))} each, of a feature with "
        f"how much better {challenger} places an architecture than {baseline} does. Right of 0: it favours architectures with more of the "
        "feature. Bars: 95 % bootstrap intervals over architectures, one feature at a time. Beyond chance: permutation "
        f"test{corrected}{more}"
    )


def _said(feature: str) -> str:
    """Label of a feature on an axis."""
    return feature.removeprefix("words: ") if feature.startswith("words: ") else feature.replace("_", " ")

"""Accuracy against charged cost: for every algorithm, during a search, and at the crossover with tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from agd_bench.figures.appearance import Picture, canvas, count_seeds, legend_below, looks, nothing, share_axis, style

MOST_NAMED = 8
"""Number of algorithms named in the figure: the best ones and the baseline. The others are grey; the table next to it names them."""


def accuracy_against_cost(standings: pd.DataFrame, baseline: str) -> Picture:
    """Plot the mean accuracy of every algorithm against its charged cost, as a multiple of the baseline's cost.

    Args:
        standings: the `standings` table of `aggregates`, for one group.
        baseline: label of the algorithm whose cost is 1.
    """
    title = "Accuracy against charged cost"
    if not np.isfinite(standings["accuracy"].astype(float)).any():
        return nothing(title, "No architecture has an outcome under every algorithm, so accuracies cannot be compared.")
    # A logarithmic axis cannot show 0.
    table = standings[(standings["cost_ratio"] > 0) & np.isfinite(standings["accuracy"].astype(float))]
    if table.empty:
        return nothing(title, "The charged cost is unknown, so accuracy cannot be plotted against it.")
    others = [label for label in table["algorithm"] if label != baseline]
    # `standings` lists the best algorithm first.
    named = [baseline, *others[: MOST_NAMED - 1]]
    appearance, names = looks(named), dict[str, str]()
    with style({}):
        figure, axes = canvas(5.4, 4.0)
        for place, row in enumerate(table.to_dict("records")):
            label = row["algorithm"] if row["algorithm"] in named else None
            colour, marker = appearance[row["algorithm"]] if label else ("#8c959f", ".")
            low, high = row["accuracy_low"], row["accuracy_high"]
            error = [[row["accuracy"] - low], [high - row["accuracy"]]] if np.isfinite(low) and label else None
            marks = axes.errorbar(
                [row["cost_ratio"]], [row["accuracy"]], yerr=error, fmt=marker, color=colour, ms=8, capsize=3, label=label,
                elinewidth=1, mfc="none" if row["bad"] else colour,
            )  # fmt: skip
            marks.lines[0].set_gid(f"mark-{place}")
            names[f"mark-{place}"] = f"{row['algorithm']}: {100 * row['accuracy']:.1f} %, {row['cost_ratio']:.3g}×"
        _multiples_axis(axes, table["cost_ratio"])
        share_axis(axes.yaxis)
        axes.set(xlabel="charged FLOPs, tuning included, × the baseline", ylabel="mean test accuracy")
        legend_below(figure, min(len(table), MOST_NAMED))
    return Picture(figure, title, _cost_caption(table, len(table) - sum(label in named for label in table["algorithm"])), names)


def _cost_caption(table: pd.DataFrame, grey: int) -> str:
    count = int(table["architectures"].iloc[0])
    text = (
        f"Mean test accuracy over {count} architecture{'' if count == 1 else 's'} against charged cost (log scale). Up and to the left is "
        "better. "
    )
    text += "Bars: 95 % t interval of the mean over architectures. " if count > 1 else "One architecture: no intervals. "
    if table["bad"].any():
        text += "Hollow marks: some trainings were unsuccessful and count as accuracy 0. "
    if grey:
        text += f"Grey: {grey} more algorithms, named in the table and when pointed at. "
    return text.strip()


def _multiples_axis(axes: Axes, ratios: pd.Series[float]) -> None:
    """A logarithmic axis of multiples with a label at every tick."""
    axes.set_xscale("log")
    # The baseline's 1× is always on the axis.
    low, high = min(float(ratios.min()), 1.0), max(float(ratios.max()), 1.0)
    # At least a factor of 1.6; otherwise equal costs would give an axis of zero width.
    pad = max((high / low) ** 0.12, 1.6)
    axes.set_xlim(low / pad, high * pad)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 50 else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}×")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _log_axis(axes: Axes, values: pd.Series[float]) -> None:
    """A logarithmic x axis that shows at least one labelled tick on each side of the values."""
    axes.set_xscale("log")
    low, high = float(values.min()), float(values.max())
    pad = max((high / low) ** 0.15, 1.5)
    axes.set_xlim(low / pad, high * pad)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 30 else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:.0e}".replace("e+0", "e").replace("e+", "e"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def crossover_picture(curve: pd.DataFrame, crossing: pd.DataFrame, algorithms: Sequence[str] = ()) -> Picture:
    """Plot a tuned algorithm's accuracy during tuning against self-tuning algorithms trained once.

    Args:
        curve: `analysis.anytime_curves` of one group and one tuned algorithm.
        crossing: `analysis.find_crossovers` of the same group and algorithm, one row per self-tuning algorithm.
        algorithms: labels of all algorithms of the sweep in order, so that each has the same colour in every figure.
    """
    title = "When tuning pays"
    if curve.empty or crossing.empty:
        return nothing(
            title, "No tuned algorithm with finished studies can be compared with a self-tuning one, so there is no crossover to draw."
        )
    tuned = str(curve["algorithm"].iloc[0])
    appearance = looks(list(dict.fromkeys([*algorithms, tuned, *crossing["self_tuning"]])))
    with style({}):
        figure, axes = canvas()
        x = curve["trainings"].to_numpy(dtype=float)
        colour, marker = appearance[tuned]
        # About twelve markers make the curve recognisable without its colour.
        every = max(1, len(x) // 12)
        axes.plot(x, curve["accuracy"], color=colour, marker=marker, markevery=every, ms=6, label=f"{tuned}, tuned so far", zorder=3)
        axes.fill_between(x, curve["low"], curve["high"], color=colour, alpha=0.18, lw=0)
        for row in crossing.to_dict("records"):
            _overtaken(axes, row, appearance[row["self_tuning"]], float(x[-1]))
        axes.set_xlim(min(1.0, float(x[0])) - 0.02 * x[-1], x[-1] * 1.02)
        share_axis(axes.yaxis)
        axes.set(xlabel="charged trainings per architecture", ylabel="mean accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        _flops_above(axes, curve)
        legend_below(figure, 1 + len(crossing))
    return Picture(figure, title, _crossover_caption(curve, crossing, tuned))


def _overtaken(axes: Axes, row: dict[Any, Any], appearance: tuple[tuple[float, float, float], str], end: float) -> None:
    """Draw one self-tuning algorithm: its level with a band, and the point where it is overtaken with an interval."""
    colour, marker = appearance
    level = row["accuracy"]
    axes.axhline(level, color=colour, lw=1.5, ls="--")
    axes.plot(
        [1], [level], color=colour, marker=marker, ms=8, ls="--", label=f"{row['self_tuning']}, one training", zorder=4, clip_on=False
    )
    if np.isfinite(row["accuracy_low"]):
        axes.axhspan(row["accuracy_low"], row["accuracy_high"], color=colour, alpha=0.12, lw=0)
    low, high = row["trainings_low"], row["trainings_high"]
    # `high` may be infinite; the line then ends at the axis limit.
    if np.isfinite(low) and high > low:
        axes.plot([low, min(high, end)], [level, level], color=colour, lw=5, alpha=0.5, solid_capstyle="butt", zorder=2)
    if row["state"] == "overtakes":
        axes.plot([row["crossover_trainings"]] * 2, [0, level], color=colour, lw=1, ls=":", transform=_down_to(axes), zorder=2)
        axes.plot([row["crossover_trainings"]], [level], marker="*", ms=15, color=colour, mec="white", mew=0.8, ls="none", zorder=5)


def _down_to(axes: Axes) -> Any:
    """Data coordinates of the axis limits; the curves have set them, so a line to 0 ends at the frame."""
    axes.autoscale(False)
    return axes.transData


def _flops_above(axes: Axes, curve: pd.DataFrame) -> None:
    flops = curve["flops"].to_numpy(dtype=float)
    if not np.isfinite(flops).all() or flops[-1] <= 0:
        return
    ratios = flops / curve["trainings"].to_numpy(dtype=float)
    per = float(ratios[-1])
    if np.ptp(ratios) > 0.01 * per:  # trainings of unequal cost have no common scale
        return
    above = axes.secondary_xaxis("top", functions=(lambda x: np.asarray(x) * per, lambda x: np.asarray(x) / per))
    above.set_xlabel("charged FLOPs per architecture")
    above.xaxis.set_major_locator(MaxNLocator(5))
    above.xaxis.set_major_formatter(lambda value, position: f"{value:.1e}".replace("e+0", "e").replace("e+", "e") if value else "0")


def _crossover_caption(curve: pd.DataFrame, crossing: pd.DataFrame, tuned: str) -> str:
    count = int(curve["studies"].iloc[0])
    studies = "1 study" if count == 1 else f"{count} studies"
    # Only independent proposals are exchangeable, so only random search is averaged over orders.
    order = "over all orders of its independent proposals"
    if curve["search"].iloc[0] != "random":
        order = "in the order in which proposals were made"
    shared, seeds = int(crossing["architectures"].max()), int(crossing["seeds"].max())
    text = (
        f"Mean test accuracy of {tuned} after the given number of charged trainings, selected by validation accuracy and averaged over "
        f"{studies} {order}. Dashed: the mean of one training of each other algorithm over up to {shared} architectures and "
        f"{count_seeds(seeds)}. A star marks the crossover, and the thick part of the line its 95 % interval. "
    )
    known = np.isfinite(curve["low"].to_numpy(dtype=float)).all()
    return text + (
        "Bands: 95 %, simultaneous along the curve, bootstrap over architectures." if known else "Too few architectures for intervals."
    )


def anytime_picture(curves: pd.DataFrame, algorithms: Sequence[str] = ()) -> Picture:
    """Plot the expected best-so-far accuracy of every tuned algorithm against the charged cost of its search.

    Args:
        curves: `analysis.anytime_curves` of one group.
        algorithms: labels of all algorithms of the sweep in order, so that each has the same colour in every figure.
    """
    title = "Accuracy during tuning"
    if curves.empty:
        return nothing(title, "No algorithm has a finished tuning study, so there is no search to draw.")
    # FLOPs are comparable across machines; seconds are used only where an operation could not be counted.
    by_flops = bool(np.isfinite(curves["flops"].to_numpy(dtype=float)).all() and (curves["flops"] > 0).all())
    column, label = ("flops", "charged FLOPs per architecture") if by_flops else ("seconds", "charged seconds per architecture")
    with style({}):
        figure, axes = canvas()
        grouped = list(curves.groupby("algorithm", sort=False))
        appearance = looks(list(dict.fromkeys([*algorithms, *(str(name) for name, _ in grouped)])))
        for name, rows in grouped:
            colour, marker = appearance[str(name)]
            every = max(1, len(rows) // 12)
            axes.plot(rows[column], rows["accuracy"], color=colour, marker=marker, markevery=every, ms=6, label=str(name))
            axes.fill_between(rows[column], rows["low"], rows["high"], color=colour, alpha=0.18, lw=0)
        _log_axis(axes, curves[column])
        share_axis(axes.yaxis)
        axes.set(xlabel=f"{label} (log scale)", ylabel="expected best-so-far accuracy")
        legend_below(figure, len(grouped))
    return Picture(figure, title, _anytime_caption(curves, label))


def _anytime_caption(curves: pd.DataFrame, label: str) -> str:
    first = curves.drop_duplicates("algorithm")
    studies = f"{int(first['studies'].min())}" + (f" to {int(first['studies'].max())}" if first["studies"].nunique() > 1 else "")
    text = (
        f"Mean test accuracy of the best setting so far by validation accuracy, over {studies} studies, against {label} of the proposals. "
    )
    adaptive = list(first.loc[first["search"] != "random", "algorithm"])
    if len(adaptive) < len(first):
        text += "For random search this is the expectation over all orders of the proposals. "
    if adaptive:
        text += f"{', '.join(adaptive)}: adaptive search, so proposals are in the order in which they were made. "
    known = np.isfinite(curves["low"].to_numpy(dtype=float))
    if not known.any():
        return text + "Too few studies for bands."
    return (
        text
        + "Bands"
        + ("" if known.all() else ", where there are at least 8 studies")
        + ": 95 %, simultaneous along a curve, bootstrap over studies."
    )


PANELS = 6
"""Largest number of studies in one figure."""


def search_bands_picture(bands: pd.DataFrame) -> Picture:
    """Plot tuning curves of individual studies, each with a band from its own proposals.

    Args:
        bands: `analysis.search_bands` of one group and one algorithm; the first six studies are drawn.
    """
    title = "Tuning curves of individual studies"
    if bands.empty:
        return nothing(title, "No algorithm has a finished tuning study, so there is no study to draw.")
    studies = list(bands.groupby("study", sort=False))
    shown = studies[:PANELS]
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    with style({"axes.titlesize": "small"}):
        figure, blank = canvas(2.3 * columns + 0.6, 2.2 * lines + 0.5)
        blank.remove()
        panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        # There is one algorithm per figure, so use the first colour of the palette.
        colour = looks([""])[""][0]
        for axes, (_, rows) in zip(panels.ravel(), shown, strict=False):
            axes.plot(rows["proposals"], rows["accuracy"], color=colour, marker="o", markevery=max(1, len(rows) // 8), ms=4)
            axes.fill_between(rows["proposals"], rows["low"], rows["high"], color=colour, alpha=0.18, lw=0)
            name = str(rows["architecture"].iloc[0])
            axes.set_title(name if len(name) <= 28 else f"{name[:27]}…")
            share_axis(axes.yaxis)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for axes in panels.ravel()[len(shown) :]:
            axes.set_axis_off()
        figure.supxlabel("proposals", fontsize="medium")
        figure.supylabel("best validation accuracy", fontsize="medium")
    algorithm, count = bands["algorithm"].iloc[0], len(rows_of_one := shown[0][1])
    which = f"the first {len(shown)} of {len(studies)} studies" if len(studies) > len(shown) else f"{len(studies)} studies"
    text = f"Best validation accuracy of {algorithm} by number of proposals, for {which} of {count} proposals each. "
    if np.isfinite(rows_of_one["low"].to_numpy(dtype=float)).all():
        text += "Expectation under each study's own distribution. Bands: 95 %, simultaneous, distribution-free."
    else:
        text += "In the order in which proposals were made. No band, because proposals of an adaptive search are not independent."
    return Picture(figure, title, text)

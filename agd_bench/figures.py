"""The figures: accuracy against charged cost, rank shifts against seed noise, agreement of rankings, learning curves.

Each function takes a table of `analysis` (rows of one comparison group) and returns a `Picture`: a matplotlib figure that belongs to
no global state, and a caption that says what it shows, of how many, with which intervals. Where there is nothing to
draw, the figure says why. Colours are those of seaborn's colour-blind palette, and every algorithm has a marker as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

INK = "#24292f"
"""Colour of text and axes; a page may replace it in the SVG by its own."""
CELL_INK = "#1b1f24"
"""Colour of text on a light cell of the heat map, on any page."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
STYLE: dict[Any, Any] = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("notebook", font_scale=0.95),
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "grid.color": "#8c959f",
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # names of algorithms and architectures are not formulas
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Picture:
    """A figure and the words that go with it.

    Attributes:
        figure: the matplotlib figure.
        title: what it shows, in a few words.
        caption: what it shows, of how many architectures and seeds, and what its intervals are.
    """

    figure: Figure
    title: str
    caption: str

    def svg(self) -> str:
        """The figure as SVG: equal figures give equal text on every run."""
        with _style({"svg.hashsalt": self.title}):
            buffer = io.StringIO()
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": self.title}, transparent=True)
        return buffer.getvalue()

    def png(self, dots_per_inch: int = 200) -> bytes:
        """The figure as PNG on white."""
        with _style({}):
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
        return buffer.getvalue()


@contextmanager
def _style(more: dict[Any, Any]) -> Iterator[None]:
    with matplotlib.rc_context({**STYLE, **more}):
        yield


def _canvas(width: float = 6.4, height: float = 4.2) -> tuple[Figure, Axes]:
    """A figure of its own, outside pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _nothing(title: str, reason: str) -> Picture:
    """A figure that says why there is nothing to draw."""
    with _style({}):
        figure, axes = _canvas(height=1.8)
        axes.set_axis_off()
        axes.text(0.5, 0.5, reason, ha="center", va="center", wrap=True, transform=axes.transAxes)
    return Picture(figure, title, reason)


def _looks(algorithms: Sequence[str]) -> dict[str, tuple[tuple[float, float, float], str]]:
    """Colour and marker of each algorithm, by its place in the list; colours repeat after ten, with other markers."""
    palette = sns.color_palette("colorblind", 10)
    count = len(MARKERS)
    return {label: (palette[i % 10], MARKERS[(i + i // count) % count]) for i, label in enumerate(algorithms)}


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def accuracy_against_cost(accuracy: pd.DataFrame, cost: pd.DataFrame) -> Picture:
    """Mean accuracy of every algorithm against what it was charged.

    Args:
        accuracy: `analysis.accuracy_table` of one group.
        cost: `analysis.charged_cost` of the same group; FLOPs are drawn where all algorithms have them, else seconds.
    """
    title = "Accuracy against charged cost"
    table = accuracy.merge(cost, on="algorithm", suffixes=("", "_cost"))
    table = table[np.isfinite(table["mean_accuracy"].astype(float))]
    if table.empty:
        return _nothing(title, "No final trial was trained to its end, so there is no accuracy to draw.")
    by_flops = bool((table["flops"].fillna(0) > 0).all())
    column, label = ("flops", "charged floating-point operations") if by_flops else ("charged_seconds", "charged seconds")
    table = table[table[column] > 0]
    if table.empty:
        return _nothing(title, "No cost was recorded, so there is nothing to draw accuracy against.")
    with _style({}):
        figure, axes = _canvas()
        looks, shifts = _looks(list(accuracy["algorithm"])), _side_by_side(table[column])
        for row, shift in zip(table.to_dict("records"), shifts, strict=True):
            (colour, marker), mean = looks[row["algorithm"]], row["mean_accuracy"]
            error = [[mean - row["mean_low"]], [row["mean_high"] - mean]] if np.isfinite(row["mean_low"]) else None
            axes.errorbar([shift * row[column]], [mean], yerr=error, fmt=marker, color=colour, ms=8, capsize=3, label=row["algorithm"])
        _log_axis(axes, table[column])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{round(100 * value, 6):g} %"))
        axes.set(xlabel=f"{label}, tuning included (log scale)", ylabel="mean accuracy")
        _legend_below(figure, len(table))
    count, seeds = int(table["architectures"].max()), int(table["seeds"].max())
    caption = (
        f"Mean accuracy over up to {count} architectures and {_seeds(seeds)} against the {label} of all trials, tuning, pruned, failed and "
        "lost attempts included. Left and up is better; marks of almost equal cost stand side by side. "
        + ("Bars: 95 % t interval of the mean over architectures. " if count > 1 else "One architecture: no intervals. ")
        + "Diverged, failed and refused trials are not in the means."
    )
    return Picture(figure, title, caption)


def _side_by_side(values: pd.Series[float]) -> list[float]:
    """Factors by which to shift each mark along the axis, so that those of almost equal cost do not hide each other."""
    logs = np.log(values.to_numpy(dtype=float))
    step = max(float(np.ptp(logs)), 1.0) / 40
    factors = [1.0] * len(values)
    for cluster in dict.fromkeys(tuple(np.flatnonzero(np.abs(logs - log) < step)) for log in logs):
        for order, index in enumerate(cluster):
            factors[int(index)] = float(np.exp(step * (order - (len(cluster) - 1) / 2)))
    return factors


def _log_axis(axes: Axes, values: pd.Series[float]) -> None:
    """A logarithmic x axis that shows at least one labelled tick on each side of the values."""
    axes.set_xscale("log")
    low, high = float(values.min()), float(values.max())
    pad = max((high / low) ** 0.15, 1.5)
    axes.set_xlim(low / pad, high * pad)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 30 else (1.0,)))
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:.0e}".replace("e+0", "e").replace("e+", "e"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend_below(figure: Figure, entries: int) -> None:
    columns = 2 if entries == 4 else min(entries, 3)
    figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2, handletextpad=0.4)


def rank_shift_picture(shift: pd.DataFrame, baseline: str, challenger: str) -> Picture:
    """Ranks under the challenger against ranks under the baseline, with the band that seed noise alone would fill.

    Args:
        shift: `analysis.rank_shift` of one group.
        baseline: label of the algorithm on the horizontal axis.
        challenger: label of the algorithm on the vertical axis.
    """
    title = f"Ranks of the architectures: {challenger} against {baseline}"
    if shift.empty:
        return _nothing(title, f"No architecture has an outcome for every seed under both {baseline} and {challenger}.")
    count, seeds, noise = len(shift), int(shift["seeds"].iloc[0]), float(shift["noise_sd"].iloc[0])
    dead = (shift["baseline_accuracy"] == 0) | (shift["challenger_accuracy"] == 0)
    beyond = shift["rank_shift"].abs() > 1.96 * noise if np.isfinite(noise) else pd.Series(False, index=shift.index)
    colours = sns.color_palette("colorblind", 10)
    size = float(np.clip(2400 / count, 4, 64))
    with _style({}):
        figure, axes = _canvas(6.0, 5.6)
        ends = np.array([0.0, count + 1.0])
        if np.isfinite(noise):
            axes.fill_between(ends, ends - 1.96 * noise, ends + 1.96 * noise, color="#8c959f", alpha=0.25, lw=0, label="seed noise (95 %)")
        axes.plot(ends, ends, color=INK, lw=1, ls="--")
        for chosen, colour, marker, label in (
            (~beyond & ~dead, colours[0], "o", "within the noise" if np.isfinite(noise) else "architecture"),
            (beyond & ~dead, colours[1], "^", "beyond the noise"),
            (dead, INK, "x", "diverged under either"),
        ):
            points = shift[chosen]
            if len(points):
                # Thousands of marks are one image inside the SVG, or the page would weigh megabytes.
                axes.scatter(
                    points["baseline_rank"], points["challenger_rank"], s=size, color=colour, marker=marker, label=label,
                    alpha=0.85 if count <= 200 else 0.5, linewidths=1 if marker == "x" else 0, rasterized=count > 1000,
                )  # fmt: skip
        axes.set(
            xlim=(count + 1, 0),
            ylim=(count + 1, 0),
            xlabel=f"rank under {baseline} (1 = best)",
            ylabel=f"rank under {challenger} (1 = best)",
        )
        inner = [int(tick) for tick in MaxNLocator(6, integer=True).tick_values(1, count) if 1 < tick <= count]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([1, *inner])  # ranks begin at 1, where a locator would put 0
        _legend_below(figure, 4)
    return Picture(figure, title, _shift_caption(count, seeds, noise, int(beyond.sum())))


def _shift_caption(count: int, seeds: int, noise: float, beyond: int) -> str:
    text = f"Each mark is one of {count} architectures; ranks of its mean accuracy over {_seeds(seeds)}, best at the top right. "
    if not np.isfinite(noise):
        return text + "With one seed the part of seed noise cannot be told, so no band is drawn."
    return text + (
        f"In the band (± {1.96 * noise:.1f} ranks) lie 95 % of the shifts that seed noise alone would cause, estimated from disjoint "
        f"halves of the seeds; {beyond} of them {'lies' if beyond == 1 else 'lie'} outside it, where noise alone would put about "
        f"{0.05 * count:.0f}."
    )


def tau_matrix(agreement: pd.DataFrame) -> Picture:
    """Kendall's tau between the rankings of all algorithms; on the diagonal each one's noise ceiling.

    Args:
        agreement: `analysis.kendall_tau` of one group.
    """
    title = "Agreement of the rankings"
    labels = list(dict.fromkeys([*agreement["algorithm"], *agreement["other"]]))
    mirrored = agreement.rename(columns={"algorithm": "other", "other": "algorithm"})
    both = pd.concat([agreement, mirrored]).drop_duplicates(["algorithm", "other"])
    matrix = both.pivot(index="algorithm", columns="other", values="kendall_tau").reindex(index=labels, columns=labels).astype(float)
    if not np.isfinite(matrix.to_numpy()).any():
        return _nothing(title, "No two rankings can be compared: fewer than two architectures, one algorithm with one seed, or all tied.")
    side = max(3.6, 0.75 * len(labels) + 2.4)
    with _style({"axes.grid": False}):
        figure, axes = _canvas(side + 0.6, side)
        values = matrix.to_numpy(dtype=float)
        edges = np.arange(len(labels) + 1) - 0.5
        axes.pcolormesh(edges, edges, np.nan_to_num(values), vmin=0, vmax=1, cmap="YlGnBu")
        axes.set(aspect="equal")
        axes.invert_yaxis()
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            colour = "white" if value > 0.6 else CELL_INK
            axes.text(column, row, f"{value:.2f}" if np.isfinite(value) else "–", ha="center", va="center", color=colour, fontsize=10)
            if row == column:
                axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, ec="#d55e00", lw=2))
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    count, seeds, used = int(agreement["architectures"].max()), int(agreement["seeds"].max()), int(agreement["seeds_compared"].max())
    caption = f"Kendall's tau-b between rankings of up to {count} architectures, 1 = equal rankings, 0 = unrelated. " + (
        f"All values compare disjoint sets of the {seeds} seeds, {used} against {used}. Outlined on the diagonal: each ranking's agreement "
        "with itself over seeds, the noise ceiling; a value below both of its ceilings is a change of the ranking, if its interval agrees."
        if seeds > 1
        else "With one seed the diagonal, the noise ceiling, is missing: no value can be told from noise."
    )
    return Picture(figure, title, caption)


def learning_curves(curves: pd.DataFrame, trials: pd.DataFrame) -> Picture:
    """Validation accuracy by epoch, for every algorithm's final trials.

    Args:
        curves: the table of curves.
        trials: the trials of one group; only their final ones are drawn.
    """
    title = "Learning curves"
    final = trials.loc[trials["purpose"] == "final", ["trial_id", "algorithm"]]
    table = curves.merge(final, on="trial_id", how="inner")
    if table.empty:
        return _nothing(title, "No final trial has finished an epoch, so there are no learning curves.")
    with _style({}):
        figure, axes = _canvas()
        for name, (colour, marker) in _looks(list(dict.fromkeys(final["algorithm"]))).items():
            grouped = table[table["algorithm"] == name].groupby("epoch")["val_accuracy"]
            if grouped.ngroups == 0:
                continue
            middle = grouped.median()
            every = max(1, len(middle) // 10)
            axes.plot(middle.index, middle, color=colour, marker=marker, markevery=every, ms=5, label=name)
            axes.fill_between(middle.index, grouped.quantile(0.1), grouped.quantile(0.9), color=colour, alpha=0.15, lw=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{round(100 * value, 6):g} %"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="validation accuracy")
        _legend_below(figure, table["algorithm"].nunique())
    fewest, most = (int(value) for value in table.groupby("algorithm")["trial_id"].nunique().agg(["min", "max"]))
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    caption = (
        f"Median over {number} final trials of each algorithm (architectures and seeds); shaded: from the 10th to the 90th percentile of "
        "the trials. A trial that diverged counts up to its last epoch."
    )
    return Picture(figure, title, caption)

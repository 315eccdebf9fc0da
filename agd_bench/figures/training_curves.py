"""Figures by epoch and by layer: validation accuracy, the optimizers' steps, and promised and realised decreases of the loss."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from agd_bench.figures.appearance import INK, Picture, canvas, legend_below, looks, nothing, share_axis, style


def learning_curves(table: pd.DataFrame) -> Picture:
    """Plot validation accuracy by epoch for every algorithm's final trials.

    Args:
        table: `analysis.accuracy_by_epoch` of one group.
    """
    title = "Learning curves"
    if table.empty:
        return nothing(title, "No final trial has completed an epoch, so there are no learning curves.")
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
        f"Median over {number} final trials of each algorithm (architectures and seeds); shaded: 10th to 90th percentile of "
        "the trials. A diverged trial counts up to its last epoch."
    )
    return Picture(figure, title, caption)


RATES = {"eta/mean": "automatic learning rate η", "gradient_summary/mean": "gradient summary G"}


def automatic_rates(summaries: pd.DataFrame, algorithms: tuple[str, ...] = ()) -> Picture:
    """Plot the automatic learning rate and the gradient summary by epoch, averaged over the steps of an epoch.

    Args:
        summaries: `analysis.step_summaries` of one group.
        algorithms: all labels of the group, which determine the colours; default: those of the table.
    """
    title = "Automatic learning rates"
    rows = summaries[summaries["name"].isin(list(RATES))]
    if rows.empty:
        return nothing(title, "No optimizer in these trials sets its own learning rate.")
    shown = list(dict.fromkeys(rows["algorithm"]))
    colours = looks(algorithms or shown)
    with style({}):
        figure = Figure(figsize=(6.4, 5.6), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (name, label) in zip(figure.subplots(2, 1, sharex=True), RATES.items(), strict=True):
            for algorithm in shown:
                own = rows[(rows["name"] == name) & (rows["algorithm"] == algorithm)].sort_values("epoch")
                colour, marker = colours[algorithm]
                every = max(1, len(own) // 10)
                axes.plot(own["epoch"], own["median"], color=colour, marker=marker, markevery=every, ms=5, label=algorithm)
                axes.fill_between(own["epoch"].to_numpy(dtype=float), own["low"], own["high"], color=colour, alpha=0.15, lw=0)
            axes.set(ylabel=label)
            _epochs(axes)
        axes.set_xlabel("epoch")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3))
    caption = (
        f"Means over the steps of each epoch; median over {int(rows['trials'].max())} final trials (architectures and seeds); shaded: "
        "10th to 90th percentile of the trials."
    )
    return Picture(figure, title, caption)


def layer_updates(layers: pd.DataFrame, algorithm: str) -> Picture:
    """Plot how far each layer of one network moves in a step, relative to its weights.

    Args:
        layers: `analysis.layer_steps` of one group and algorithm.
        algorithm: its label.
    """
    title = f"Relative update of each layer: {algorithm}"
    rows = layers[layers["quantity"] == "relative_update"]
    if rows.empty:
        return nothing(title, f"{algorithm} does not record how far its layers move.")
    with style({}):
        figure, axes = canvas()
        palette = sns.color_palette("viridis", as_cmap=True)
        # A network of one layer would give a scale of zero width.
        scale = Normalize(0, max(1, int(rows["place"].max())))
        for place, (_, own) in enumerate(rows.groupby("place")):
            axes.plot(own["epoch"], own["value"], color=palette(scale(place)), lw=1.2, marker="o" if own["epoch"].nunique() == 1 else None)
        # Layers that never moved are 0 everywhere, which a logarithmic axis cannot show.
        if (rows["value"] > 0).any():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="epoch", ylabel="‖update‖ / ‖weights‖ in the last step")
        share_axis(axes.yaxis)
        _epochs(axes)
        bar = figure.colorbar(ScalarMappable(scale, palette), ax=axes, label="layer, from input to output")
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    first = rows.iloc[0]
    caption = (
        f"One line for each of {rows['layer'].nunique()} layers of {first['architecture']}, seed {first['seed']}, an example with the most "
        "layers. Values are from the last step of each epoch."
    )
    return Picture(figure, title, caption)


def _epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


LINES: dict[str, Literal["-", "--"]] = {"realised": "-", "promised": "--"}
WORDS = {"yes": "guaranteed", "no": "estimated", "": "unspecified"}


def decreases_picture(table: pd.DataFrame, algorithms: tuple[str, ...] = ()) -> Picture:
    """Plot promised and realised decrease of the loss by epoch, and below it the share of steps that fell short.

    Args:
        table: `analysis.decreases` of one group.
        algorithms: all labels of the group, which determine the colours; default: those of the table.
    """
    title = "Promised and realised decrease of a step"
    if table.empty:
        return nothing(title, "No trial recorded the decrease of the loss that its optimizer promised.")
    shown = list(dict.fromkeys(table["algorithm"]))
    colours = looks(algorithms or shown)
    with style({}):
        figure = Figure(figsize=(6.4, 5.8), layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        handles = []
        for label in shown:
            rows = table[table["algorithm"] == label].sort_values("epoch")
            colour, marker = colours[label]
            marks = {"color": colour, "marker": marker, "markevery": max(1, len(rows) // 10), "ms": 5}
            for column, dashes in LINES.items():
                # A logarithmic axis cannot show losses that rose on average or promises of 0.
                above.plot(rows["epoch"], np.where(rows[column] > 0, rows[column], np.nan), dashes, **marks)
            below.plot(rows["epoch"], rows["shortfall_share"], **marks)
            promise = WORDS[str(rows["guarantee"].iloc[-1])]
            handles.append(Line2D([], [], color=colour, marker=marker, ms=5, label=f"{label}, {promise}"))
        above.set_yscale("log")
        above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
        above.yaxis.set_minor_formatter(NullFormatter())
        above.set(ylabel="decrease of the batch's loss")
        above.legend(handles=[Line2D([], [], color=INK, linestyle=dashes, label=name) for name, dashes in LINES.items()])
        # Slightly below 0, so markers at "none" are not cut off.
        below.set(xlabel="epoch", ylabel="steps that fell short", ylim=(-0.02 * (top := _top(table)), top))
        share_axis(below.yaxis)
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2))
    return Picture(figure, title, _caption(table))


def _top(table: pd.DataFrame) -> float:
    """Upper limit of the share axis: at least 1 %, so a share of 0 looks like 0."""
    return max(0.01, 1.1 * float(table["shortfall_share"].max()))


def _caption(table: pd.DataFrame) -> str:
    risen = int((table["realised"] <= 0).sum())
    text = (
        f"Means over the steps of each epoch and of up to {int(table['trials'].max())} final trials, each step on its own batch, "
        "evaluated again after the step. A guarantee is proved for every step; an estimate is not."
    )
    return text + (f" Points at which the loss rose on average ({risen}) are missing from the upper panel." if risen else "")


def updates_per_layer(updates: pd.DataFrame, algorithm: str = "dsgd") -> Picture:
    """Plot the share of an algorithm's updates that each layer received, from the network's input at the top to its output.

    Args:
        updates: one row per layer of one network, from its input to its output: `layer` (name), `updates` (how often it moved, at
            least 0), and optionally `architecture` and `seed`, for the caption. Rows of one name, from several trials, are summed.
        algorithm: its label, for the title.
    """
    title = f"Updates per layer: {algorithm}"
    counts = updates.groupby("layer", sort=False)["updates"].sum()
    total = int(counts.sum())
    if total == 0:
        return nothing(title, "No layer moved, so there are no updates to draw.")
    with style({"axes.grid.axis": "x"}):
        figure, axes = canvas(height=1.4 + 0.3 * len(counts))
        bars = axes.barh(range(len(counts)), counts / total, color=sns.color_palette("colorblind", 10)[0])
        axes.bar_label(bars, [f"{count:,}" for count in counts], padding=4)
        axes.set_yticks(range(len(counts)), [str(layer) or "(the network)" for layer in counts.index])
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(5))
        share_axis(axes.xaxis)
        # The extra 15 % hold the counts at the bars.
        axes.set(xlabel="share of all updates", ylabel="layer", xlim=(0, 1.15 * float((counts / total).max())))
    still = int((counts == 0).sum())
    caption = (
        f"How often each of {len(counts)} layers{_of(updates)} moved in {total:,} updates; each step moves one layer. Layers are ordered "
        "from input (top) to output (bottom); the number at a bar is its count." + (f" {still} of them never moved." if still else "")
    )
    return Picture(figure, title, caption)


def _of(updates: pd.DataFrame) -> str:
    """Name of the network the layers belong to, if the table holds exactly one."""
    if "architecture" not in updates or updates[["architecture", "seed"]].drop_duplicates().shape[0] != 1:
        return ""
    return f" of {updates['architecture'].iloc[0]}, seed {updates['seed'].iloc[0]},"

"""What optimizers say of their steps: learning rate, gradient summary, and how far each layer moves."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from agd_bench.figures.style import Picture, canvas, looks, nothing, share_axis, style

RATES = {"eta/mean": "automatic learning rate η", "gradient_summary/mean": "gradient summary G"}


def automatic_rates(summaries: pd.DataFrame, algorithms: tuple[str, ...] = ()) -> Picture:
    """The automatic learning rate and the gradient summary by epoch, means over the steps of an epoch.

    Args:
        summaries: `analysis.step_summaries` of one group.
        algorithms: all labels of the group, which fix the colours; default: those of the table.
    """
    title = "Automatic learning rates"
    rows = summaries[summaries["name"].isin(list(RATES))]
    if rows.empty:
        return nothing(title, "No optimizer of these trials sets its own learning rate.")
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
        f"Means over the steps of each epoch; median over {int(rows['trials'].max())} final trials (architectures and seeds), shaded from "
        "the 10th to the 90th percentile of the trials."
    )
    return Picture(figure, title, caption)


def layer_updates(layers: pd.DataFrame, algorithm: str) -> Picture:
    """How far each layer of one network moves in a step, relative to its weights.

    Args:
        layers: `analysis.layer_steps` of one group and algorithm.
        algorithm: its label.
    """
    title = f"Relative update of each layer: {algorithm}"
    rows = layers[layers["quantity"] == "relative_update"]
    if rows.empty:
        return nothing(title, f"{algorithm} does not say how far its layers move.")
    with style({}):
        figure, axes = canvas()
        palette = sns.color_palette("viridis", as_cmap=True)
        # A network of one layer would give a scale of no width.
        scale = Normalize(0, max(1, int(rows["place"].max())))
        for place, (_, own) in enumerate(rows.groupby("place")):
            axes.plot(own["epoch"], own["value"], color=palette(scale(place)), lw=1.2, marker="o" if own["epoch"].nunique() == 1 else None)
        # Layers that never moved have 0 everywhere, which a logarithmic axis cannot show.
        if (rows["value"] > 0).any():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="epoch", ylabel="‖update‖ / ‖weights‖ of the last step")
        share_axis(axes.yaxis)
        _epochs(axes)
        bar = figure.colorbar(ScalarMappable(scale, palette), ax=axes, label="layer, from input to output")
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    first = rows.iloc[0]
    caption = (
        f"One line for each of {rows['layer'].nunique()} layers of {first['architecture']}, seed {first['seed']}: a trial with the most "
        "layers, as an example. The last step of each epoch."
    )
    return Picture(figure, title, caption)


def _epochs(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))

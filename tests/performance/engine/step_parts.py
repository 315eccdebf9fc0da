"""Figure of where the time of a training step goes."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agd_bench.figures.appearance import Picture, legend_below, style


def step_parts_picture(parts: pd.DataFrame, unit: str, measured_on: str) -> Picture:
    """Draw stacked bars: milliseconds of a step by part, one bar for each way to train.

    Args:
        parts: columns `rung`, `part`, `seconds`, in drawing order.
        unit: kind of milliseconds, for example "of one CPU thread".
        measured_on: machine and sizes, for the caption.
    """
    rungs, names = list(dict.fromkeys(parts["rung"])), list(dict.fromkeys(parts["part"]))
    with style({}):
        figure = Figure(figsize=(8.0, 1.2 + 0.42 * len(rungs)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        left = pd.Series(0.0, index=rungs)
        for name, colour in zip(names, sns.color_palette("colorblind", len(names)), strict=True):
            width = 1e3 * parts[parts["part"] == name].set_index("rung")["seconds"].reindex(rungs)
            axes.barh(rungs, width, left=left, color=colour, label=name, height=0.7)
            left += width
        for place, value in enumerate(left):
            axes.text(value, place, f" {value:,.0f}" if value >= 100 else f" {value:.3g}", va="center", fontsize="small")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=f"milliseconds of a step, {unit}")
        axes.margins(x=0.08)
        legend_below(figure, len(names))
    return Picture(figure, "Where the time of a step goes", f"Backward includes the loss. {measured_on}")

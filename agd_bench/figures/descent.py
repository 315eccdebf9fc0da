"""What optimizers promise of a step, and what comes of it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from agd_bench.figures.style import INK, Picture, looks, nothing, share_axis, style

LINES: dict[str, Literal["-", "--"]] = {"realised": "-", "promised": "--"}
WORDS = {"yes": "guaranteed", "no": "estimated", "": "not said which"}


def decreases_picture(table: pd.DataFrame, algorithms: tuple[str, ...] = ()) -> Picture:
    """Promised and realised decrease of the loss by epoch, and below it the share of steps that kept less than promised.

    Args:
        table: `analysis.decreases` of one group.
        algorithms: all labels of the group, which fix the colours; default: those of the table.
    """
    title = "Promised and realised decrease of a step"
    if table.empty:
        return nothing(title, "No step of these trials was compared with a promise.")
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
                # What a logarithmic axis cannot show: losses that rose on average, and promises of nothing.
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
        # A little below 0, so that marks at "none" are whole.
        below.set(xlabel="epoch", ylabel="steps that kept less", ylim=(-0.02 * (top := _top(table)), top))
        share_axis(below.yaxis)
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2))
    return Picture(figure, title, _caption(table))


def _top(table: pd.DataFrame) -> float:
    """The upper end of the axis of shares: one per cent at least, so that 'none' looks like none."""
    return max(0.01, 1.1 * float(table["shortfall_share"].max()))


def _caption(table: pd.DataFrame) -> str:
    risen = int((table["realised"] <= 0).sum())
    text = (
        f"Means over the steps of each epoch and of up to {int(table['trials'].max())} final trials, each step on its own batch, "
        "evaluated again after the step. A guarantee is proved for every step, an estimate is not."
    )
    return text + (f" Where the loss rose on average there is no point above: {risen} times." if risen else "")

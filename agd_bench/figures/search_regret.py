"""The figure of search methods: regret against simulated time."""

from __future__ import annotations

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from agd_bench.figures.appearance import Picture, legend_below, looks, nothing, style

COLUMNS = 2


def anytime_regret(table: pd.DataFrame, deployed: str) -> Picture:
    """Regret of each method by simulated time, one panel per setting.

    Args:
        table: `anytime` of `searching.method_tables`.
        deployed: the algorithm that trains the found architectures.
    """
    title = "Regret against simulated time"
    if table.empty:
        return nothing(title, "No method ended a run, so there is no regret to draw.")
    settings = list(table["setting"].unique())
    rows = -(-len(settings) // COLUMNS)
    with style({}):
        figure = Figure(figsize=(5.2 * min(COLUMNS, len(settings)), 3.4 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, min(COLUMNS, len(settings)), squeeze=False).ravel()
        appearance = looks(list(dict.fromkeys(table["method"])))
        for panel, setting in zip(panels, settings, strict=False):
            for method, (colour, marker) in appearance.items():
                own = table[(table["setting"] == setting) & (table["method"] == method)]
                # Labels of the first panel alone, so that the common legend has each once.
                label = method if setting == settings[0] else None
                panel.plot(own["seconds"], 100 * own["regret"], color=colour, marker=marker, markevery=8, ms=4, lw=1.2, label=label)
                panel.fill_between(own["seconds"], 100 * own["regret_low"], 100 * own["regret_high"], color=colour, alpha=0.15, lw=0)
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
            panel.yaxis.set_minor_formatter(FuncFormatter(lambda value, position: f"{value:g}" if str(value)[0] in "25" else ""))
            panel.set_title(f"searched on {setting}", fontsize="medium")
            panel.set(xlabel="simulated seconds", ylabel="regret, points")
        for panel in panels[len(settings) :]:
            panel.set_axis_off()
        legend_below(figure, len(appearance))
    caption = (
        f"Test accuracy of the best architecture minus that of the best one known, both trained by {deployed}; mean over runs with its "
        "95 % interval."
    )
    return Picture(figure, title, caption)

"""Which layers an optimizer moved."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from agd_bench.figures.style import Picture, canvas, nothing, share_axis, style


def updates_per_layer(updates: pd.DataFrame, algorithm: str = "dsgd") -> Picture:
    """The share of an algorithm's updates that each layer received, from the network's input at the top to its output.

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
        f"How often each of {len(counts)} layers{_of(updates)} moved in {total:,} updates; one layer moves at each step. Layers are in the "
        "order from input to output, top to bottom; the number at a bar is its count." + (f" {still} of them never moved." if still else "")
    )
    return Picture(figure, title, caption)


def _of(updates: pd.DataFrame) -> str:
    """Which network's layers they are, where the table says so."""
    if "architecture" not in updates or updates[["architecture", "seed"]].drop_duplicates().shape[0] != 1:
        return ""
    return f" of {updates['architecture'].iloc[0]}, seed {updates['seed'].iloc[0]},"

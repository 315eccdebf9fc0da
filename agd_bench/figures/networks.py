"""Drawings of networks: layers are bars on a line, and connections that bypass them are arcs above it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Patch, Rectangle

from agd_bench.figures.appearance import INK, Picture, style

PLAIN = "#8c959f"
"""Colour of edges without weights."""
USUAL = ("1 × 1 convolution", "3 × 3 convolution", "linear layer")
LARGEST = 0.9
"""Height of the bar with the most channels, in units of the distance between nodes of a short network."""


@dataclass(frozen=True)
class Step:
    """One edge of a drawn network.

    Attributes:
        start: the node it reads; node 0 is the image.
        end: the node it leads to, a larger number.
        kind: the operation, as named in the legend; empty if there is none.
        channels: number of output channels; None if unknown.
    """

    start: int
    end: int
    kind: str
    channels: int | None = None


def draw_networks(panels: Sequence[tuple[str, Sequence[Step]]], title: str, caption: str) -> Picture:
    """Draw several networks, one below the other.

    Between adjacent nodes, an edge with an operation is a bar whose height grows with its output channels, and an edge without one is a
    thin line. An edge that skips a node, or a second one between adjacent nodes, is an arc. Equal colours mean equal kinds.

    Args:
        panels: name and edges of each network.
        title: of the picture.
        caption: what it shows.
    """
    kinds = sorted({step.kind for _, steps in panels for step in steps if step.kind})
    colours = _colours(kinds)
    most = max((step.channels or 1 for _, steps in panels for step in steps), default=1)
    with style({}):
        figure = Figure(figsize=(7.2, 1.55 * len(panels) + 0.45), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (name, steps) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            _draw_network(axes, steps, colours, most)
            axes.set_title("\n".join(textwrap.wrap(name, 100)), fontsize=7.5, family="monospace", loc="left", pad=3)
        handles = [Patch(color=colours[kind], label=kind) for kind in kinds]
        if any(not step.kind for _, steps in panels for step in steps):
            handles.append(Patch(color=PLAIN, label="identity or pooling"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, columnspacing=1.2, handlelength=1)
    return Picture(figure, title, caption)


def _colours(kinds: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Common layers have the same colour in every picture; others get the next colours, which repeat after ten."""
    palette = sns.color_palette("colorblind", 10)
    # After the common ones, whose colours must be the same in every picture.
    others = [kind for kind in kinds if kind not in USUAL]
    return {kind: palette[(USUAL.index(kind) if kind in USUAL else len(USUAL) + others.index(kind)) % 10] for kind in kinds}


def _draw_network(axes: Axes, steps: Sequence[Step], colours: dict[str, tuple[float, float, float]], most: int) -> None:
    last = max((step.end for step in steps), default=0)
    unit = max(1.0, last / 9)  # bars and arcs of a long network are as large as those of a short one
    taken: set[tuple[int, int]] = set()
    highest = LARGEST * unit / 2
    # Operations first: they occupy the line, and an identity between the same nodes becomes an arc.
    for step in sorted(steps, key=lambda step: not step.kind):
        colour = colours.get(step.kind, PLAIN)
        if step.end == step.start + 1 and (step.start, step.end) not in taken:
            # Logarithmic, so 8 channels stay visible next to 512.
            share = math.log2(2 + (step.channels or most)) / math.log2(2 + most)
            height = LARGEST * unit * share if step.kind else 0.03 * unit
            axes.add_patch(Rectangle((step.start + 0.18, -height / 2), 0.64, height, color=colour, linewidth=0))
        else:
            copies = sum(pair == (step.start, step.end) for pair in taken)
            height = unit * (1.0 + 0.45 * (step.end - step.start) / unit + 0.35 * copies)
            width = 1.8 if step.kind else 1.1
            middle = (step.start + step.end) / 2
            axes.add_patch(
                Arc((middle, 0), step.end - step.start, 2 * height, theta1=0, theta2=180, color=colour, linewidth=width, zorder=1)
            )
            highest = max(highest, height)
        taken.add((step.start, step.end))
    axes.plot(range(last + 1), [0] * (last + 1), "o", color=INK, markersize=3.2 if last < 30 else 2, zorder=3)
    axes.set_xlim(-0.5, max(last, 9) + 0.5)
    axes.set_ylim(-LARGEST * unit * 0.6, highest * 1.05)
    axes.set_axis_off()

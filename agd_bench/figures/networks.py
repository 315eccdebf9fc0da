"""Drawings of networks: cells as directed graphs with labelled edges, other networks as bars for layers and arcs that bypass them."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyArrowPatch, Patch, Rectangle
from matplotlib.path import Path

from agd_bench.figures.appearance import INK, Picture, style

PLAIN = "#8c959f"
"""Colour of edges without weights."""
USUAL = ("1 × 1 convolution", "3 × 3 convolution", "linear layer")
CELL_NODES = 9
"""Graphs of fewer nodes have room for labels."""
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


def written_cells(architecture: str) -> list[tuple[str, list[Step]]]:
    """The cells that an architecture spells out as `|OP~FROM|OP~FROM|+…`, separated by `/`: text and edges; empty for other notations.

    Each group is one node after the inputs; the first group determines the number of inputs.

    >>> written_cells("|skip_connect~0|+|none~0|nor_conv_3x3~1|")[0][1]
    [Step(start=0, end=1, kind='skip_connect', channels=None), Step(start=1, end=2, kind='nor_conv_3x3', channels=None)]
    >>> written_cells("2x128")
    []
    """
    if not re.fullmatch(r"[|+/]*([^|~+/]+~\d+[|+/]+)+", architecture):
        return []
    return [(cell, _written_cell(cell)) for cell in architecture.split("/")]


def _written_cell(text: str) -> list[Step]:
    groups = [re.findall(r"([^|~]+)~(\d+)", group) for group in text.split("+")]
    inputs = 1 + max((int(start) for _, start in groups[0]), default=0)
    edges = [(int(start), node, operation) for node, group in enumerate(groups, start=inputs) for operation, start in group]
    # NAS-Bench-201 writes an absent edge as the operation `none`.
    return [Step(start, end, operation) for start, end, operation in edges if operation != "none"]


def draw_networks(panels: Sequence[tuple[str, Sequence[Step]]], title: str, caption: str) -> Picture:
    """Draw several networks, one below the other.

    A cell, which is a graph of at most `CELL_NODES` nodes that is no chain, is drawn with an arrow for each edge and its operation next to
    it. In another network, between adjacent nodes, an edge with an operation is a bar whose height grows with its output channels, and an
    edge without one is a thin line. An edge that skips a node, or a second one between adjacent nodes, is an arc. Equal colours mean equal
    kinds.

    Args:
        panels: name and edges of each network.
        title: of the picture.
        caption: what it shows.
    """
    kinds = sorted({step.kind for _, steps in panels for step in steps if step.kind})
    colours = _colours(kinds)
    most = max((step.channels or 1 for _, steps in panels for step in steps), default=1)
    with style({}):
        # A small cell in a narrow figure is legible on a phone.
        width = 5.2 if all(is_cell(steps) and max(step.end for step in steps) < 5 for _, steps in panels) else 7.2
        figure = Figure(figsize=(width, 1.55 * len(panels) + 0.45), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, (name, steps) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            if is_cell(steps):
                _draw_cell(axes, steps, colours)
            else:
                _draw_network(axes, steps, colours, most)
            axes.set_title("\n".join(textwrap.wrap(name, 100)), fontsize=7.5, family="monospace", loc="left", pad=3)
        # The edges of cells are labelled.
        layered = [step for _, steps in panels if not is_cell(steps) for step in steps]
        kinds = sorted({step.kind for step in layered if step.kind})
        handles = [Patch(color=colours[kind], label=kind) for kind in kinds]
        if any(not step.kind for step in layered):
            handles.append(Patch(color=PLAIN, label="identity or pooling"))
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, columnspacing=1.2, handlelength=1)
    return Picture(figure, title, caption)


def _colours(kinds: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Common layers have the same colour in every picture; others get the next colours, which repeat after ten."""
    palette = sns.color_palette("colorblind", 10)
    # After the common ones, whose colours must be the same in every picture.
    others = [kind for kind in kinds if kind not in USUAL]
    return {kind: palette[(USUAL.index(kind) if kind in USUAL else len(USUAL) + others.index(kind)) % 10] for kind in kinds}


def is_cell(steps: Sequence[Step]) -> bool:
    """Whether a network is drawn as a graph with labelled edges."""
    last = max((step.end for step in steps), default=0)
    return 0 < last < CELL_NODES and any(step.end > step.start + 1 for step in steps)


def _draw_cell(axes: Axes, steps: Sequence[Step], colours: dict[str, tuple[float, float, float]]) -> None:
    last = max(step.end for step in steps)
    taken: Counter[tuple[int, int]] = Counter()
    # Equal numbers of channels say nothing and would fill the drawing.
    with_channels = len({step.channels for step in steps if step.channels}) > 1
    for step in sorted(steps, key=lambda step: step.end - step.start):
        height = _height(step, taken[step.start, step.end])
        taken[step.start, step.end] += 1
        colour, head = colours.get(step.kind, PLAIN), "-|>,head_width=2.6,head_length=5"
        axes.add_patch(FancyArrowPatch(path=_curve(step, height), arrowstyle=head, color=colour, lw=1.6, fill=False))
        label = step.kind.replace("convolution", "conv") or "identity"
        label += f", {step.channels}" if with_channels and step.channels else ""
        side = ("bottom", 0.03) if height >= 0 else ("top", -0.03)
        axes.text((step.start + step.end) / 2, height + side[1], label, ha="center", va=side[0], fontsize=8.5 if last < 5 else 7, zorder=4)
    axes.scatter(range(last + 1), [0] * (last + 1), s=190, facecolor="none", edgecolor=INK, linewidth=1, zorder=3)
    for node in range(last + 1):
        axes.text(node, 0, str(node), ha="center", va="center", fontsize=8)
    heights = [_height(step, taken[step.start, step.end] - 1) for step in steps]
    axes.set_xlim(-0.3, last + 0.3)
    axes.set_ylim(min(-0.2, *heights) - 0.2, max(0.2, *heights) + 0.2)
    axes.set_axis_off()


def _height(step: Step, copies: int) -> float:
    """Height of an edge's arc, 0 between neighbours; above the line from even nodes and below from odd ones, so that labels do not meet."""
    return (-1 if step.start % 2 else 1) * (0.32 * (step.end - step.start - 1) + 0.28 * copies)


def _curve(step: Step, height: float) -> Path:
    """The line of an edge from the rim of one node to that of the other."""
    span, lift = step.end - step.start, math.copysign(0.09, height) if height else 0.0
    rim = 0.09 if height else 0.13
    # A cubic Bézier curve reaches three quarters of the height of its control points.
    controls = (step.start + 0.25 * span, height * 4 / 3), (step.end - 0.25 * span, height * 4 / 3)
    points = [(step.start + rim, lift), *controls, (step.end - rim, lift)]
    return Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])


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
            # An arrow at the end of an arc says which way it leads.
            axes.plot([step.end], [0.0], marker=7, color=colour, markersize=5, zorder=2)
            axes.add_patch(
                Arc((middle, 0), step.end - step.start, 2 * height, theta1=0, theta2=180, color=colour, linewidth=width, zorder=1)
            )
            highest = max(highest, height)
        taken.add((step.start, step.end))
    axes.plot(range(last + 1), [0] * (last + 1), "o", color=INK, markersize=3.2 if last < 30 else 2, zorder=3)
    axes.set_xlim(-0.5, max(last, 9) + 0.5)
    axes.set_ylim(-LARGEST * unit * 0.6, highest * 1.05)
    axes.set_axis_off()

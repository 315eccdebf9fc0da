"""Shared parts of all figures: the picture with its caption, style, canvas, colours and markers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK = "#24292f"
"""Colour of text and axes; a page may replace it in the SVG."""
CELL_INK = "#1b1f24"
"""Colour of text on a light cell of the heat map, on any page."""
MOST_DOTS = 2000
"""Largest width or height of a PNG in pixels."""
WIDE_INCHES = 9.0
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
    # Ships with matplotlib, so figures look the same on every machine.
    "font.sans-serif": ["DejaVu Sans"],
    "grid.color": "#8c959f",
    "grid.alpha": 0.25,
    "legend.frameon": False,
    # Keep text as text, so it can be searched and takes the page's colour.
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # names of algorithms and architectures are not formulas
    "xtick.color": INK,
    "ytick.color": INK,
}


@dataclass(frozen=True)
class Picture:
    """A figure with its title and caption.

    Attributes:
        figure: the matplotlib figure.
        title: a few words on what it shows.
        caption: what it shows, the numbers of architectures and seeds, and the kind of intervals.
        names: of marks, by the gid of the artist; shown when a reader points at one.
    """

    figure: Figure
    title: str
    caption: str
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        """Whether its text would be too small at half the page's width."""
        return float(self.figure.get_size_inches()[0]) > WIDE_INCHES

    def svg(self, transparent: bool = True) -> str:
        """The figure as SVG; equal figures give equal bytes on every run.

        Args:
            transparent: whether the background is transparent; otherwise it is white.
        """
        return self._drawn if transparent else self._save(transparent)

    @cached_property
    def _drawn(self) -> str:
        # A page needs it twice, for the file and inline, and drawing is the slowest part of a report.
        return self._save(True)

    def _save(self, transparent: bool) -> str:
        # Without a salt, ids are random; the date would differ from run to run.
        with style({"svg.hashsalt": self.title}):
            buffer, about = io.StringIO(), {"Date": None, "Creator": None, "Title": self.title}
            self.figure.savefig(buffer, format="svg", metadata=about, transparent=transparent)
        text = buffer.getvalue()
        for gid, name in self.names.items():
            text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(name)}</title>')
        return text

    def png(self, dots_per_inch: int = 200) -> bytes:
        """The figure as PNG on white; large figures get fewer dots per inch to keep both sides within `MOST_DOTS`."""
        longer = float(max(self.figure.get_size_inches()))
        with style({}):
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format="png", dpi=min(dots_per_inch, MOST_DOTS / longer), metadata={"Software": None})
        return buffer.getvalue()


@dataclass(frozen=True)
class Drawing:
    """A picture of a report.

    Attributes:
        name: of its files, without the extension.
        picture: the figure and its caption.
        data: names of the tables of `aggregates` that hold its data.
    """

    name: str
    picture: Picture
    data: tuple[str, ...]


@contextmanager
def style(more: dict[Any, Any]) -> Iterator[None]:
    with matplotlib.rc_context({**STYLE, **more}):
        yield


def canvas(width: float = 6.4, height: float = 4.2) -> tuple[Figure, Axes]:
    """A new figure with one axes, created without pyplot."""
    # pyplot would keep every figure alive, and is not safe in threads.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def nothing(title: str, reason: str) -> Picture:
    """A figure that states why there is nothing to draw."""
    with style({}):
        figure, axes = canvas(height=1.8)
        axes.set_axis_off()
        axes.text(0.5, 0.5, reason, ha="center", va="center", wrap=True, transform=axes.transAxes)
    return Picture(figure, title, reason)


def looks(algorithms: Sequence[str]) -> dict[str, tuple[tuple[float, float, float], str]]:
    """Colour and marker of each algorithm by its position in the list; colours repeat after ten with other markers."""
    # Readable with colour-vision deficiency, and in print by the markers alone.
    palette = sns.color_palette("colorblind", 10)
    count = len(MARKERS)
    # Shift the markers by one after each round, so a repeated colour gets another marker.
    return {label: (palette[i % 10], MARKERS[(i + i // count) % count]) for i, label in enumerate(algorithms)}


def count_seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def legend_below(figure: Figure, entries: int) -> None:
    """Add one legend for all axes; the number of columns follows from the width of the names, and the figure grows with the rows."""
    names = [name for axes in figure.axes for name in axes.get_legend_handles_labels()[1]]
    wide = 0.5 + 0.085 * max(map(len, names), default=0)  # inches of an entry
    # Four entries look better as 2 + 2 than as 3 + 1.
    columns = max(1, min(2 if entries == 4 else 3, entries, int(figure.get_figwidth() / wide)))
    # Three rows fit; each further one takes 0.22 inches.
    figure.set_figheight(figure.get_figheight() + 0.22 * max(0, -(-entries // columns) - 3))
    figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2, handletextpad=0.4)


def share_axis(axis: Axis) -> None:
    """Format the ticks of an axis of shares as per cent."""
    # Rounded; otherwise 7 % would read 7.000000000000001 %.
    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{round(100 * value, 6):g} %"))

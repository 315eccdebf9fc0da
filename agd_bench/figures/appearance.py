"""What all figures have in common: the picture with its caption, the style, the canvas, colours and markers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK = "#24292f"
"""Colour of text and axes; a page may replace it in the SVG by its own."""
CELL_INK = "#1b1f24"
"""Colour of text on a light cell of the heat map, on any page."""
MOST_DOTS = 2000
"""Dots of a PNG in a row or a column, at most."""
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
    # Comes with matplotlib, so figures are the same on every machine.
    "font.sans-serif": ["DejaVu Sans"],
    "grid.color": "#8c959f",
    "grid.alpha": 0.25,
    "legend.frameon": False,
    # Text stays text: it can be searched, and takes the page's colour.
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

    @property
    def wide(self) -> bool:
        """Whether its words would be too small in half of a page's width."""
        return float(self.figure.get_size_inches()[0]) > WIDE_INCHES

    def svg(self, transparent: bool = True) -> str:
        """The figure as SVG: equal figures give equal text on every run.

        Args:
            transparent: whether the ground is left out, so that a page's own shows; else it is white.
        """
        return self._drawn if transparent else self._save(transparent)

    @cached_property
    def _drawn(self) -> str:
        # A page asks twice, for the file and for itself, and drawing takes longer than all the words.
        return self._save(True)

    def _save(self, transparent: bool) -> str:
        # Ids are random without a salt, and the date differs from run to run.
        with style({"svg.hashsalt": self.title}):
            buffer, about = io.StringIO(), {"Date": None, "Creator": None, "Title": self.title}
            self.figure.savefig(buffer, format="svg", metadata=about, transparent=transparent)
        return buffer.getvalue()

    def png(self, dots_per_inch: int = 200) -> bytes:
        """The figure as PNG on white; a large one has fewer dots per inch, so that neither side is longer than `MOST_DOTS`."""
        longer = float(max(self.figure.get_size_inches()))
        with style({}):
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format="png", dpi=min(dots_per_inch, MOST_DOTS / longer), metadata={"Software": None})
        return buffer.getvalue()


@dataclass(frozen=True)
class Drawing:
    """A picture of a report.

    Attributes:
        name: of its files, without the ending.
        picture: what is drawn.
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
    """A figure of its own, outside pyplot."""
    # pyplot would keep every figure alive, and is not safe in threads.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def nothing(title: str, reason: str) -> Picture:
    """A figure that says why there is nothing to draw."""
    with style({}):
        figure, axes = canvas(height=1.8)
        axes.set_axis_off()
        axes.text(0.5, 0.5, reason, ha="center", va="center", wrap=True, transform=axes.transAxes)
    return Picture(figure, title, reason)


def looks(algorithms: Sequence[str]) -> dict[str, tuple[tuple[float, float, float], str]]:
    """Colour and marker of each algorithm, by its place in the list; colours repeat after ten, with other markers."""
    # Readable with any colour vision, and by the markers alone in print.
    palette = sns.color_palette("colorblind", 10)
    count = len(MARKERS)
    # One marker further after each round, so that a repeated colour has another marker.
    return {label: (palette[i % 10], MARKERS[(i + i // count) % count]) for i, label in enumerate(algorithms)}


def count_seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def legend_below(figure: Figure, entries: int) -> None:
    """The legend of all axes; a long one has no more columns than its names leave room for, and the figure grows by its rows."""
    names = [name for axes in figure.axes for name in axes.get_legend_handles_labels()[1]]
    wide = 0.5 + 0.085 * max(map(len, names), default=0)  # inches of an entry
    # Four entries look better as 2 + 2 than as 3 + 1.
    columns = max(1, min(2 if entries == 4 else 3, entries, int(figure.get_figwidth() / wide)))
    # Three rows fit; each further one takes 0.22 inches.
    figure.set_figheight(figure.get_figheight() + 0.22 * max(0, -(-entries // columns) - 3))
    figure.legend(loc="outside lower center", ncols=columns, columnspacing=1.2, handletextpad=0.4)


def share_axis(axis: Axis) -> None:
    """Ticks of an axis of shares, written as per cent."""
    # Rounded, or 7 % would read 7.000000000000001 %.
    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{round(100 * value, 6):g} %"))

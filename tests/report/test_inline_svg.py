"""Figures inside the page: fewer bytes, and nothing that a reader sees is another."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from functools import partial

import pytest

from agd_bench.analysis import accuracy_by_epoch, accuracy_table, charged_cost, kendall_tau, rank_shift
from agd_bench.figures import INK, Picture, accuracy_against_cost, learning_curves, rank_shift_picture, tau_matrix
from agd_bench.report.inline_svg import _straightened, inline_svg
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

XLINK = "{http://www.w3.org/1999/xlink}href"
TRIALS = spoil(simulate_trials(12, 3, interaction=0.02), "agd", "diverged", [4])
PICTURES = {
    "cost": accuracy_against_cost(accuracy_table(TRIALS), charged_cost(TRIALS)),
    "curves": learning_curves(accuracy_by_epoch(TRIALS, simulate_results(TRIALS).curves)),
    "shift": rank_shift_picture(rank_shift(TRIALS, "sgd", "agd"), "sgd", "agd"),
    "many": rank_shift_picture(rank_shift(many := simulate_trials(1200, 2), "sgd", "agd"), "sgd", "agd"),
    "matrix": tau_matrix(kendall_tau(TRIALS, resamples=0)),
}


Point = tuple[float, float]


def drawn(svg: str) -> list[tuple[str, list[Point]]]:
    """What is painted, in order: each shape or text with its words and its places, turns by nothing apart."""
    found, grid = [], []
    for element in ET.fromstring(svg).iter():
        name = element.tag.rpartition("}")[2]
        if "stroke-opacity: 0.25" in element.get("style", "") or element.get("stroke-opacity") == "0.25":
            places = points(element.attrib["d"])
            grid += list(zip(places[::2], places[1::2], strict=True))
            continue
        if name in ("path", "use", "text", "image") and not (name == "path" and "id" in element.attrib):
            turn = element.get("transform", "")
            turned = [] if re.match(r"rotate\(-?0 ", turn) else [(float(number), 0.0) for number in re.findall(r"-?\d+\.?\d*", turn)]
            place = [(float(element.get("x", 0)), float(element.get("y", 0)))]
            image = element.get(XLINK, element.get("href", ""))[:30] if name == "image" else ""
            found.append((f"{name} {element.text or ''} {image}".strip(), [*points(element.get("d", "")), *place, *turned]))
    return [*found, *(("grid line", list(ends)) for ends in sorted(grid))]


def points(path: str) -> list[Point]:
    """Where a path goes, control points of curves included; lines along an axis written out."""
    found: list[Point] = []
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        numbers = [float(number) for number in text.split()]
        if command in "HV":
            numbers = [numbers[0], found[-1][1]] if command == "H" else [found[-1][0], numbers[0]]
        found += list(zip(numbers[::2], numbers[1::2], strict=True))
    return found


def distance(point: Point, first: Point, second: Point) -> float:
    """From a point to the line between two others."""
    (x, y), (a, b), (c, d) = point, first, second
    length = (c - a) ** 2 + (d - b) ** 2
    share = 0.0 if length == 0 else min(1.0, max(0.0, ((x - a) * (c - a) + (y - b) * (d - b)) / length))
    return math.hypot(x - a - share * (c - a), y - b - share * (d - b))


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_seen_stays(name: str) -> None:
    """Every shape and text is there, in order, within a hundredth of a point of where it was drawn; a line may have fewer points."""
    picture = PICTURES[name]
    whole, slim = drawn(picture.svg()), drawn(str(inline_svg(picture, "p")))
    assert [words for words, _ in slim] == [words for words, _ in whole]
    for (_, before), (_, after) in zip(whole, slim, strict=True):
        if len(before) == len(after):
            assert after == [pytest.approx(point, abs=0.0051) for point in before]
            continue
        assert len(after) < len(before)
        for ends, others in ((after, before), (before, after)):
            assert all(min(itertools.starmap(partial(distance, point), itertools.pairwise(others))) < 0.01 for point in ends)


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 0 1 L 2 1 L 3 1 L 3 0.5", "M0 1H3V0.5"),
        ("M 0 1 L 2 1 L 1 1", "M0 1H2H1"),
        ("M 0 0 L 1 1 L 1 1 L 1 2 C 1 2 3 4 5 6 L 5 7 z M 9 9 L 9 8", "M0 0L1 1H1V2C1 2 3 4 5 6V7zM9 9V8"),
    ],
)
def test_lines_along_an_axis_are_shortened_and_never_cut(path: str, short: str) -> None:
    """What goes on the same way is one line; what turns back is two, so that its end is still reached."""
    assert _straightened(path) == short


@pytest.mark.parametrize("name", PICTURES)
def test_every_reference_finds_its_shape(name: str) -> None:
    """Ids are those that something refers to, once each, with the figure's prefix; there are no style attributes and no ink of its own."""
    text = str(inline_svg(PICTURES[name], "p"))
    root = ET.fromstring(text)
    labels = {"p-title", "p-words"}
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    referred = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    assert len(ids) == len(set(ids))
    assert set(ids) == referred | labels
    assert all(each.startswith("p-") for each in ids)
    assert "style=" not in text
    assert INK not in text


def test_marks_keep_their_own_paint() -> None:
    """What a mark's shape does not say stays with the mark: its fill."""
    root = ET.fromstring(str(inline_svg(PICTURES["curves"], "p")))
    uses = [element for element in root.iter() if element.tag.endswith("use")]
    assert uses
    assert all(element.get("fill") for element in uses)


def test_a_figure_takes_half_its_bytes() -> None:
    """Of all that a page shows beside its tables."""
    whole = sum(len(picture.svg()) for picture in PICTURES.values() if picture is not PICTURES["many"])
    slim = sum(len(inline_svg(picture, "g1-rank-shift-1")) for picture in PICTURES.values() if picture is not PICTURES["many"])
    assert slim < 0.55 * whole


def test_words_are_never_rounded() -> None:
    """A tick that says 0.0625 says so in the page."""
    figure = PICTURES["cost"].figure
    figure.axes[0].set_title("rate 0.0625, rotate(-0 1 2)")
    picture = Picture(figure, "0.123456", 'a "quoted" caption of 0.98765')
    text = str(inline_svg(picture, "p"))
    assert "rate 0.0625, rotate(-0 1 2)" in text
    assert "0.123456</title>" in text
    assert "of 0.98765</desc>" in text

"""Figures inside the page take fewer bytes and look the same."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from agd_bench.analysis import accuracy_by_epoch, kendall_tau, rank_shift, standings
from agd_bench.figures import INK, Picture, accuracy_against_cost, learning_curves, rank_shift_picture, tau_matrix
from agd_bench.report.page import inline_svg
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

XLINK = "{http://www.w3.org/1999/xlink}href"
TRIALS = spoil(simulate_trials(12, 3, interaction=0.02), "agd", "diverged", [4])
PICTURES = {
    "cost": accuracy_against_cost(standings(TRIALS, "sgd").assign(cost_ratio=[1.0, 2.5]), "sgd"),
    "curves": learning_curves(accuracy_by_epoch(TRIALS, simulate_results(TRIALS).curves)),
    "shift": rank_shift_picture(rank_shift(TRIALS, "sgd", "agd"), "sgd", "agd"),
    "many": rank_shift_picture(rank_shift(many := simulate_trials(1200, 2), "sgd", "agd"), "sgd", "agd"),
    "matrix": tau_matrix(kendall_tau(TRIALS, resamples=0)),
}


def drawn(svg: str) -> list[tuple[str, list[float]]]:
    """Return each shape, text or image in drawing order, with its text and coordinates, ignoring rotations by zero."""
    found = []
    for element in ET.fromstring(svg).iter():
        name = element.tag.rpartition("}")[2]
        if name in ("path", "use", "text", "image"):
            turn = element.get("transform", "")
            places = [element.get("d", ""), element.get("x", ""), element.get("y", ""), "" if turn.startswith("rotate(-0 ") else turn]
            image = element.get(XLINK, element.get("href", ""))[:30] if name == "image" else ""
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", " ".join(places))]
            found.append((f"{name} {element.text or ''} {image}".strip(), numbers))
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_seen_stays(name: str) -> None:
    """Every shape and text keeps its order and its position to within a hundredth of a point."""
    whole, inside = drawn(PICTURES[name].svg()), drawn(str(inline_svg(PICTURES[name], "p")))
    assert [words for words, _ in inside] == [words for words, _ in whole]
    for (_, before), (_, after) in zip(whole, inside, strict=True):
        assert after == pytest.approx(before, abs=0.0051)


@pytest.mark.parametrize("name", PICTURES)
def test_every_reference_finds_its_shape(name: str) -> None:
    """Only ids that are referenced remain, each unique and with the figure's prefix; no style attribute or fixed ink colour is left."""
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
    """Each mark that reuses a shape keeps its own fill."""
    root = ET.fromstring(str(inline_svg(PICTURES["curves"], "p")))
    uses = [element for element in root.iter() if element.tag.endswith("use")]
    assert uses
    assert all(element.get("fill") for element in uses)


def test_a_figure_takes_fewer_bytes() -> None:
    """Inline figures take less than 60 % of the bytes, as a page may have dozens of them."""
    whole = sum(len(picture.svg()) for picture in PICTURES.values() if picture is not PICTURES["many"])
    slim = sum(len(inline_svg(picture, "g1-rank-shift-1")) for picture in PICTURES.values() if picture is not PICTURES["many"])
    assert slim < 0.6 * whole


def test_words_are_never_rounded() -> None:
    """Numbers in titles, labels and captions are not rounded."""
    figure = PICTURES["cost"].figure
    figure.axes[0].set_title("rate 0.0625, rotate(-0 1 2)")
    picture = Picture(figure, "0.123456", 'a "quoted" caption of 0.98765')
    text = str(inline_svg(picture, "p"))
    assert "rate 0.0625, rotate(-0 1 2)" in text
    assert "0.123456</title>" in text
    assert "of 0.98765</desc>" in text

"""Figures of charged cost: marks match the tables, and captions state what is missing."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import anytime_curves, find_crossovers, search_bands
from agd_bench.figures import Picture, anytime_picture, crossover_picture, search_bands_picture
from tests.analysis.studies import simulate_studies


def draw(trials: pd.DataFrame, random: bool) -> list[Picture]:
    """Return all three figures of these trials."""
    labels = ["tuned"] * random
    curves, row = anytime_curves(trials, random_algorithms=labels), find_crossovers(trials, "tuned", "free", random_algorithms=labels)
    return [crossover_picture(curves, row), anytime_picture(curves), search_bands_picture(search_bands(trials, labels))]


CASES = {
    "overtakes": simulate_studies(24, 8, 3),
    "ahead": simulate_studies(12, 4, 2, level=-0.5),
    "never": simulate_studies(12, 4, 2, level=1.2),
    "few": simulate_studies(2, 3, 1),
    "one proposal": simulate_studies(9, 1, 1),
    "no FLOPs": simulate_studies(9, 3, 1).assign(flops=pd.array([pd.NA] * 45, dtype="Int64")),
}


@pytest.mark.parametrize("random", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_every_case_draws(case: str, random: bool) -> None:
    """Each case gives an SVG and a caption, without NaN or infinity in either."""
    for picture in draw(CASES[case], random):
        assert picture.svg().rstrip().endswith("</svg>")
        assert picture.caption.endswith(".")
        assert not re.search(r"\b(nan|inf)\b", picture.caption + picture.svg())


def test_the_star_stands_at_the_crossover() -> None:
    """One star marks the crossover at the table's values; without a crossover there is none."""
    trials = CASES["overtakes"]
    row = find_crossovers(trials, "tuned", "free", random_algorithms=["tuned"]).iloc[0]
    (star,) = [line for line in draw(trials, True)[0].figure.axes[0].lines if line.get_marker() == "*"]
    assert np.asarray(star.get_xdata()).tolist() == [row["crossover_trainings"]]
    assert np.asarray(star.get_ydata()).tolist() == [row["accuracy"]]
    for case in ("ahead", "never"):
        assert not [line for line in draw(CASES[case], True)[0].figure.axes[0].lines if line.get_marker() == "*"]


def test_captions_say_what_the_bands_are() -> None:
    """Captions give the number of studies, the kind of search and the kind of band."""
    crossing, curves, bands = draw(CASES["overtakes"], True)
    assert "24 studies" in crossing.caption
    assert "3 seeds" in crossing.caption
    assert "simultaneous" in curves.caption
    assert "simultaneous" in bands.caption
    adaptive = draw(CASES["overtakes"], False)
    assert "in the order in which" in adaptive[0].caption
    assert "No band" in adaptive[2].caption
    assert "Too few" in draw(CASES["few"], True)[1].caption


def test_nothing_tuned_says_so() -> None:
    """Without studies each caption says that there is no figure."""
    trials = CASES["few"][CASES["few"]["algorithm"] == "free"]
    empty = anytime_curves(trials)
    for picture in (crossover_picture(empty, empty), anytime_picture(empty), search_bands_picture(search_bands(trials))):
        assert "so there is no" in picture.caption

"""Figures of the variance components and of the drivers of the interaction."""

from __future__ import annotations

import pandas as pd
import pytest

from agd_bench.analysis import interaction_drivers, variance_components
from agd_bench.figures import Picture, drivers_picture, variance_components_picture
from tests.analysis.synthetic import simulate_trials

CASES = {
    "usual": simulate_trials(24, 3, interaction=0.02),
    "one seed": simulate_trials(24, 1),
    "one algorithm": simulate_trials(24, 3, algorithms=("sgd",)),
    "three architectures": simulate_trials(3, 2),
    "all equal": simulate_trials(12, 2, spread=0.0, noise=0.0),
}


def draw(trials: pd.DataFrame) -> list[Picture]:
    """Return both figures of these trials."""
    pair = ("sgd", "agd")
    drivers = interaction_drivers(trials, *pair, resamples=100) if trials["algorithm"].nunique() > 1 else pd.DataFrame()
    return [variance_components_picture(variance_components(trials, draws=100)), drivers_picture(drivers, *pair)]


@pytest.mark.parametrize("case", CASES)
def test_every_figure_draws(case: str) -> None:
    """Each case gives SVG and PNG, a title and a caption; equal tables give equal text."""
    for picture, again in zip(draw(CASES[case]), draw(CASES[case]), strict=True):
        assert picture.svg() == again.svg()
        assert picture.png(50).startswith(b"\x89PNG")
        assert picture.title
        assert picture.caption.endswith(".")


def test_captions_say_how_many() -> None:
    """Captions give the numbers of architectures, seeds and algorithms and the kind of interval."""
    components, drivers = draw(CASES["usual"])
    assert "24 architectures under 2 algorithms with 3 seeds each" in components.caption
    assert "95 % intervals" in components.caption
    assert "24 architectures with 3 seeds each" in drivers.caption
    assert "corrected" not in drivers.caption  # there is only one feature, parameters, which order the architectures as FLOPs do
    assert "parameters" in drivers.svg()
    assert "architecture × algorithm" in components.svg()


def test_many_features_are_not_all_drawn() -> None:
    """With more than 14 features only those with the smallest p-values are drawn, and the caption says so."""
    drivers = interaction_drivers(CASES["usual"], "sgd", "agd", resamples=100)
    many = pd.concat([drivers.iloc[:1].assign(feature=f"f{number}", p=1 - number / 100) for number in range(20)], ignore_index=True)
    picture = drivers_picture(many, "sgd", "agd")
    assert "corrected for all 20 features" in picture.caption
    assert "14 of 20 features" in picture.caption
    assert ">f19<" in picture.svg()
    assert ">f0<" not in picture.svg()

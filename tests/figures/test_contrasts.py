"""Performance profiles and critical differences as figures."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import critical_difference, measure_time_to_target, profile_performance, reference_targets
from agd_bench.figures import critical_difference_picture, performance_profile_picture
from agd_bench.figures.contrasts import cliques
from tests.analysis.synthetic import simulate_results, simulate_trials, spoil

CASES = {
    "usual": simulate_trials(12, 3, interaction=0.02),
    "three": simulate_trials(12, 2, ("sgd", "agd", "adamw"), interaction=0.01),
    "ten algorithms": simulate_trials(9, 2, tuple("abcdefghij"), interaction=0.005),
    "all diverged": spoil(simulate_trials(9, 2), "agd", "diverged", range(18)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_case_draws(case: str) -> None:
    """Each case gives an SVG and a caption, without NaN or infinity in either."""
    trials = CASES[case]
    times = measure_time_to_target(trials, simulate_results(trials).curves, reference_targets(trials, trials["algorithm"].iloc[0]))
    pictures = [performance_profile_picture(profile_performance(times, resamples=50), reference="sgd")]
    pictures += [critical_difference_picture(critical_difference(trials, test=test)) for test in ("wilcoxon-holm", "nemenyi")]
    for picture in pictures:
        assert picture.svg().rstrip().endswith("</svg>")
        assert picture.caption.endswith(".")
        assert not re.search(r"\b(nan|inf)\b", picture.caption + picture.svg())


def test_nothing_to_compare_says_so() -> None:
    """For empty tables the captions say that there is nothing to compare."""
    alone = simulate_trials(5, 1, ("agd",))
    assert "cannot be ranked" in critical_difference_picture(critical_difference(alone)).caption
    columns = ["search_space", "dataset", "profile", "quantile", "algorithm", "architecture", "seed", "flops"]
    empty = profile_performance(pd.DataFrame(columns=columns))
    assert "no performance profile" in performance_profile_picture(empty).caption


def test_profiles_are_drawn_as_they_are() -> None:
    """Each line holds the factors and shares of its algorithm at the middle quantile."""
    trials = CASES["usual"]
    times = measure_time_to_target(trials, simulate_results(trials).curves, reference_targets(trials, "sgd"))
    profiles = profile_performance(times, resamples=50)
    lines = {line.get_label(): line for line in performance_profile_picture(profiles).figure.axes[0].lines}
    for name in ("sgd", "agd"):
        rows = profiles[(profiles["algorithm"] == name) & (profiles["quantile"] == 0.5)]
        assert np.asarray(lines[name].get_xdata()).tolist() == rows["factor"].tolist()
        assert np.asarray(lines[name].get_ydata()).tolist() == rows["share"].tolist()


def test_bars_join_what_does_not_differ() -> None:
    """Overlapping groups get separate bars, a group inside another gets none, and all-different algorithms get no bar."""
    names = ["a", "b", "c", "d"]
    table = pd.DataFrame([(x, y) for i, x in enumerate(names) for y in names[i + 1 :]], columns=["algorithm", "other"])
    pairs = [set(pair) for pair in zip(table["algorithm"], table["other"], strict=True)]
    apart = table.assign(different=[pair in ({"a", "d"}, {"b", "d"}) for pair in pairs])
    assert cliques(names, apart) == [("a", "c"), ("c", "d")]
    assert cliques(names, table.assign(different=False)) == [("a", "d")]
    assert cliques(names, table.assign(different=True)) == []

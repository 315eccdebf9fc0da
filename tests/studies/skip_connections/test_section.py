"""The figures of the skip-connection test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.studies.skip_connections.hypothesis import RUN, skip_test
from agd_bench.studies.skip_connections.section import dose_response_picture, skip_test_picture

DOSES = {"projection": 0.0, "fixed-1": 1.0}


def runs_of(seeds: int = 12) -> pd.DataFrame:
    """Return runs that the fixed path speeds up at one rate and slows down at the other; one run diverged."""
    rows = [
        ("digits", rate, variant, seed, 0.4 + dose, 1.0 + sign * (0.1 + 0.01 * seed) * dose, seed == 0 and rate == "1" and dose == 1)
        for rate, sign in (("0.1", -1), ("1", 1))
        for seed in range(seeds)
        for variant, dose in DOSES.items()
    ]
    return pd.DataFrame(rows, columns=RUN)


def test_outcomes_and_counts_are_told() -> None:
    """Each cell is a mark on its side of 0; the caption counts outcomes, pairs and diverged runs."""
    picture = skip_test_picture(skip_test(runs_of(), [("projection", "fixed-1")]))
    axes = picture.figure.axes[0]
    marks = {str(part.get_label()): part.get_offsets().tolist() for part in axes.collections}  # type: ignore[union-attr]
    assert marks == {"predicted": [[1.0, 0.0]], "reversed": [[-1.0, 1.0]]}
    assert [text.get_text() for text in axes.texts] == ["12 of 12", "0 of 12"]
    assert "2 cells, each with 12 pairs" in picture.caption
    assert "1 predicted, 1 reversed" in picture.caption
    assert "variants: 1, controls: 0" in picture.caption
    assert picture.svg() == picture.svg()


def test_the_dose_response_is_a_change_against_no_path() -> None:
    """The change is zero at dose 0 and the median change at dose 1; diverged runs are counted, not drawn."""
    picture = dose_response_picture(runs_of(), DOSES)
    drawn = picture.figure.axes[0].lines[1:]
    lines = {str(line.get_label()): np.asarray(line.get_ydata(), dtype=float).round(3).tolist() for line in drawn}
    assert lines == {"rate 0.1": [0.0, -0.155], "rate 1": [0.0, 0.16]}
    assert "12 seeds. Diverged runs, which are not drawn: 1." in picture.caption


def test_nothing_to_draw_says_so() -> None:
    """Without pairs, or without a network lacking the path, the captions say so."""
    runs = runs_of()
    assert "nothing can be tested" in skip_test_picture(skip_test(runs, [("projection", "other")])).caption
    assert "without the fixed path" in dose_response_picture(runs[runs["variant"] == "fixed-1"], DOSES).caption

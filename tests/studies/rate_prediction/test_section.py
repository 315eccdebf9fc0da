"""The figure of predicted against searched learning rates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.analysis.rows import rows_of
from agd_bench.studies.rate_prediction.rates import prediction_correlation
from agd_bench.studies.rate_prediction.section import rate_prediction_picture


def rates(*searched: float) -> pd.DataFrame:
    """Return the rates of one group; the last search ended at the edge of the grid."""
    predicted = [0.1 * (place + 1) for place in range(len(searched))]
    ends = [False] * (len(searched) - 1) + [True]
    table = pd.DataFrame({"predicted_rate": predicted, "searched_rate": searched, "at_grid_end": ends})
    return table.assign(search_space="s", dataset="d", profile="p", predicted="scaled", searched="grid", signal=1.0)


def test_points_are_rates() -> None:
    """Each architecture is a point at its two rates, those at the end of the grid are marked, and the caption states the result."""
    table = rates(0.1, 0.3, 0.2, 0.4)
    (correlation,) = rows_of(prediction_correlation(table))
    picture = rate_prediction_picture(table, correlation, "In words: r = 0.8.")
    (axes,) = picture.figure.axes
    parts = [np.asarray(part.get_offsets()).round(9).tolist() for part in axes.collections]
    assert parts == [[[0.1, 0.1], [0.2, 0.3], [0.3, 0.2]], [[0.4, 0.4]]]
    for words in ("Each mark is one architecture", "In words: r = 0.8.", "1 of them"):
        assert words in picture.caption
    assert picture.svg() == rate_prediction_picture(table, correlation).svg()


def test_too_few_and_equal_rates() -> None:
    """With too few rates the caption says why nothing is drawn; equal rates are still drawn."""
    few = rates(0.1, 0.2)
    assert "four architectures" in rate_prediction_picture(few, None).caption
    equal = rates(0.1, 0.1, 0.1, 0.1)
    assert len(rate_prediction_picture(equal, rows_of(prediction_correlation(equal))[0]).figure.axes) == 1

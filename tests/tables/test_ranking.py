"""The algorithms by result: computed alone, they are what a report shows."""

from __future__ import annotations

import pandas as pd

from agd_bench.tables import aggregates
from agd_bench.tables.ranking import rank_algorithms, tabulate_ranking
from tests.analysis.synthetic import simulate_results, simulate_trials


def test_the_ranking_alone_is_that_of_a_report(few_resamples: None) -> None:
    """The same numbers follow from a few tables as from all; a worse algorithm that ranks the architectures alike is last."""
    results = simulate_results(simulate_trials(10, 3, ("sgd", "agd", "adamw"), gain=-0.1, noise=0.001, tuned=("adamw",)))
    alone = rank_algorithms(results)
    pd.testing.assert_frame_equal(alone, tabulate_ranking(aggregates(results)), check_exact=True)
    rows = {str(row["algorithm"]): row for row in alone.to_dict("records")}
    assert rows["sgd"]["place"] == 1
    assert pd.isna(rows["sgd"]["decision"])
    assert rows["agd"]["difference_high"] < 0
    # the tuned one is charged for its tuning trials too
    assert rows["adamw"]["cost_ratio"] > rows["agd"]["cost_ratio"] == 1
    assert {rows["agd"]["decision"], rows["adamw"]["decision"]} <= {"same", "differs", "cannot tell"}

"""The decision rule for whether two algorithms rank the architectures alike."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from agd_bench.analysis import kendall_tau, ranking_decisions
from agd_bench.analysis.rankings.decision import decide
from tests.analysis.synthetic import simulate_trials

ROW = {"gap": -0.2, "corrected_low": 0.3}


@pytest.mark.parametrize(
    ("row", "p", "expected"),
    [
        (ROW, 0.01, "differs"), (ROW, 0.2, "cannot tell"), (ROW, math.nan, "cannot tell"), ({**ROW, "gap": 0.1}, 0.01, "cannot tell"),
        ({**ROW, "corrected_low": 0.85}, 0.6, "same"), ({**ROW, "corrected_low": math.nan}, 0.6, "cannot tell"),
        ({**ROW, "corrected_low": 0.85}, 0.01, "differs"),
    ],
)  # fmt: skip
def test_the_rule(row: dict[str, float], p: float, expected: str) -> None:
    """A non-significant test is not evidence of agreement; that requires the noise-free tau."""
    assert decide(row, p) == expected


def test_several_challengers_share_the_chance_of_error() -> None:
    """p = 0.03 is significant on its own but not among two comparisons; pairs without the baseline do not count."""
    tau = kendall_tau(simulate_trials(30, 4, interaction=0.06, noise=0.003), resamples=200).assign(
        shift_p=[math.nan, 0.03, math.nan], shift_p_one_scale=math.nan
    )
    assert ranking_decisions(tau, "sgd")["decision"].tolist() == ["differs"]
    more = tau.iloc[[1]].assign(other="lion", shift_p=0.5)
    unrelated = tau.iloc[[1]].assign(algorithm="agd", other="lion", shift_p=1e-9)
    found = ranking_decisions(pd.concat([tau, more, unrelated], ignore_index=True), "sgd")
    assert found["challenger"].tolist() == ["agd", "lion"]
    assert found["decision"].tolist()[0] == "cannot tell"
    assert found["p_holm"].tolist() == pytest.approx([0.06, 0.5])


def test_true_agreement_is_seldom_claimed_wrongly() -> None:
    """Rankings whose noise-free tau is about 0.6 are not called the same."""
    claimed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        trials = simulate_trials(30, 3, interaction=0.02, noise=0.003, seed=int(rng.integers(1_000_000)))
        claimed += ranking_decisions(kendall_tau(trials, resamples=200), "sgd")["decision"].iloc[0] == "same"
    assert claimed == 0

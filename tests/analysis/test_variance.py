"""Variance components: estimates, agreement with a mixed model, intervals, missing trials."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd_bench.analysis import variance_components
from agd_bench.analysis.variance import normal_scores
from agd_bench.errors import UnknownNameError
from tests.analysis.synthetic import simulate_trials, spoil
from tests.analysis.tables import as_trials, number

UNIT = 0.03
TRUTH = {"architecture": 1.0, "interaction": 0.4, "seed": 0.15, "seed_interaction": 0.45}


def split_plot(rng: np.random.Generator, algorithms: int, architectures: int, seeds: int) -> pd.DataFrame:
    """Return trials with the variance components of `TRUTH`, in squared units of 0.03."""
    sd = {name: UNIT * variance**0.5 for name, variance in TRUTH.items()}
    values = 0.4 + 2 * UNIT * np.arange(algorithms)[:, None, None] + sd["architecture"] * rng.standard_normal((architectures, 1))
    values = values + sd["interaction"] * rng.standard_normal((algorithms, architectures, 1))
    values = values + sd["seed"] * rng.standard_normal((architectures, seeds))
    return as_trials(values + sd["seed_interaction"] * rng.standard_normal((algorithms, architectures, seeds)))


def by_component(table: pd.DataFrame, scale: str = "accuracy") -> pd.DataFrame:
    """Return the rows of one scale, indexed by component."""
    return table[table["scale"] == scale].set_index("component")


def test_balanced_components_are_those_of_a_mixed_model() -> None:
    """On balanced data the components equal those of REML (statsmodels' MixedLM)."""
    import statsmodels.formula.api as smf

    trials = split_plot(np.random.default_rng(3), 3, 25, 3)
    scaled = trials.assign(y=trials["test_accuracy"] / UNIT)
    parts = {"interaction": "0 + C(algorithm)", "seed": "0 + C(seed)"}
    model = smf.mixedlm("y ~ C(algorithm)", scaled, groups="architecture", re_formula="1", vc_formula=parts)
    fit = model.fit(reml=True, method=["lbfgs", "powell"])
    ours = by_component(variance_components(trials))["variance"] / UNIT**2
    names = model.exog_vc.names
    assert ours["architecture"] == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=2e-3)
    assert ours["interaction"] == pytest.approx(float(fit.vcomp[names.index("interaction")]), rel=2e-3)
    assert ours["seed"] == pytest.approx(float(fit.vcomp[names.index("seed")]), rel=5e-3)
    assert ours["seed_interaction"] == pytest.approx(float(fit.scale), rel=2e-3)


def test_components_are_unbiased_with_missing_trials() -> None:
    """Over many simulated runs with a fifth of the trials missing, the mean estimates match the truth within 3.5 standard errors."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        trials = split_plot(rng, 3, 20, 3)
        lost = rng.random(len(trials)) < 0.2
        trials = trials.assign(status=np.where(lost, "failed", trials["status"]))
        found.append(by_component(variance_components(trials, draws=2))["variance"][list(TRUTH)].to_numpy(dtype=float) / UNIT**2)
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(mean - list(TRUTH.values())) < 3.5 * error).all()


@pytest.mark.slow
def test_intervals_cover_the_truth() -> None:
    """About 95 % of the 95 % intervals contain the truth: variances and shares on accuracies, and shares on normal scores."""
    rng = np.random.default_rng(1)
    truth = np.array(list(TRUTH.values()))
    runs, hits = 100, np.zeros((3, 4))
    for _ in range(runs):
        table = variance_components(split_plot(rng, 2, 20, 3), draws=500)
        accuracy, ranked = (by_component(table, scale).loc[list(TRUTH)] for scale in ("accuracy", "rank-normal"))
        hits[0] += (accuracy["low"] <= truth * UNIT**2) & (truth * UNIT**2 <= accuracy["high"])
        hits[1] += (accuracy["share_low"] <= truth / truth.sum()) & (truth / truth.sum() <= accuracy["share_high"])
        hits[2] += (ranked["share_low"] <= truth / truth.sum()) & (truth / truth.sum() <= ranked["share_high"])
    assert (hits >= 0.88 * runs).all()  # 95 of 100, less three standard errors
    assert hits.mean() > 0.93 * runs


def test_a_wider_spread_is_interaction_of_scale_alone() -> None:
    """Algorithms with the same ranking but a different spread interact on accuracies (through scale) but not on ranks."""
    rng = np.random.default_rng(0)
    effect = rng.normal(0, 1, (1, 60, 1))
    values = 0.5 + np.array([0.02, 0.08])[:, None, None] * (effect + 0.2 * rng.standard_normal((2, 60, 3)))
    table = variance_components(as_trials(values))
    accuracy, ranked = by_component(table), by_component(table, "rank-normal")
    assert number(accuracy, "interaction", "share") > 0.2
    assert number(accuracy, "interaction_scale", "variance") == pytest.approx((0.08 - 0.02) ** 2 / 2 * effect.var(ddof=1), rel=0.2)
    assert abs(number(accuracy, "interaction_order", "variance")) < 0.1 * number(accuracy, "interaction_scale", "variance")
    assert number(ranked, "interaction", "share") < 0.03
    assert "algorithm" not in ranked.index


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), algorithms=st.integers(2, 4), scale=st.sampled_from(["accuracy", "rank-normal"]))
def test_parts_add_up(seed: int, algorithms: int, scale: str) -> None:
    """The interaction is the sum of its two parts, the shares of the four random components sum to 1, and low <= high."""
    table = by_component(variance_components(split_plot(np.random.default_rng(seed), algorithms, 8, 2), draws=200), scale)
    parts = table.loc[["interaction_scale", "interaction_order"], "variance"]
    assert parts.sum() == pytest.approx(number(table, "interaction", "variance"))
    assert table.loc[list(TRUTH), "share"].sum() == pytest.approx(1)
    assert (table["low"] <= table["high"]).all()
    assert (
        (table[["share", "share_low", "share_high"]].to_numpy() >= 0) & (table[["share", "share_low", "share_high"]].to_numpy() <= 1)
    ).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_ranks_know_no_transformation(seed: int) -> None:
    """An increasing transformation of one algorithm's accuracies does not change the normal-score rows."""
    trials = simulate_trials(10, 2, interaction=0.02, seed=seed)
    curved = trials.copy()
    chosen = curved["algorithm"] == "agd"
    curved.loc[chosen, "test_accuracy"] = curved.loc[chosen, "test_accuracy"] ** 3 / 2
    one, two = (by_component(variance_components(table, draws=50), "rank-normal")["variance"] for table in (trials, curved))
    pd.testing.assert_series_equal(one, two)


def test_what_cannot_be_told_is_missing() -> None:
    """One seed, one algorithm, few architectures, equal accuracies: no numbers, no warnings, no error."""
    assert by_component(variance_components(simulate_trials(8, 1)))["variance"][list(TRUTH)].isna().all()
    assert variance_components(simulate_trials(8, 3, algorithms=("sgd",))).empty
    assert variance_components(simulate_trials(2, 3)).empty
    constant = by_component(variance_components(as_trials(np.full((2, 6, 3), 0.5))))
    assert constant.loc[list(TRUTH), "share"].isna().all()
    with pytest.raises(UnknownNameError, match="adg"):
        variance_components(simulate_trials(8, 2), algorithms=("sgd", "adg"))


def test_divergence_counts_as_accuracy_nought() -> None:
    """A diverged trial counts as the worst; a failed one is missing, and the other seeds of its architecture are kept."""
    trials = simulate_trials(12, 3)
    diverged = by_component(variance_components(spoil(trials, "agd", "diverged", [4])))
    failed = by_component(variance_components(spoil(trials, "agd", "failed", [4])))
    assert number(diverged, "seed_interaction", "variance") > 5 * number(failed, "seed_interaction", "variance")
    assert failed["architectures"].unique().tolist() == [12]


def test_normal_scores_follow_the_order_and_keep_gaps() -> None:
    """Scores increase with accuracy, tied values share a score, missing values stay missing, and the mean is 0."""
    scored = normal_scores(np.array([[[0.1, np.nan], [0.3, 0.3], [0.9, 0.2]]]))[0]
    assert np.isnan(scored[0, 1])
    assert scored[1, 0] == scored[1, 1]
    assert scored[0, 0] < scored[2, 1] < scored[1, 0] < scored[2, 0]
    assert np.nanmean(scored) == pytest.approx(0, abs=0.02)

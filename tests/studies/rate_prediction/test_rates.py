"""Agreement of predicted and searched learning rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from agd_bench.errors import InputError
from agd_bench.records import Sweep
from agd_bench.studies.rate_prediction.rates import correlation_ceiling, predicted_rates, prediction_correlation
from agd_bench.studies.rate_prediction.section import exponent_sentence, prediction_sentence

PAIR = {"predicted": "scaled", "searched": "grid"}


def table(predicted: list[float], searched: list[float], space: str = "s") -> pd.DataFrame:
    """Return the rates of one group."""
    group = {"search_space": space, "dataset": "d", "profile": "p"}
    return pd.DataFrame({"predicted_rate": predicted, "searched_rate": searched, "at_grid_end": False, "signal": 1.0}).assign(
        **group, **PAIR
    )


def test_correlation_against_its_formula() -> None:
    """The correlation matches Pearson's formula and its interval Fisher's."""
    rng = np.random.default_rng(0)
    one = rng.lognormal(size=30)
    other = one * rng.lognormal(sigma=0.3, size=30)
    row = prediction_correlation(table(list(one), list(other))).iloc[0]
    first, second = one - one.mean(), other - other.mean()
    r = float(first @ second / np.sqrt(first @ first * (second @ second)))
    assert row["pearson"] == pytest.approx(r)
    half = 1.959964 / np.sqrt(27)
    assert (row["pearson_low"], row["pearson_high"]) == pytest.approx((np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)))
    assert row["pearson_log"] == pytest.approx(np.corrcoef(np.log(one), np.log(other))[0, 1])


def test_groups_stay_apart_and_gaps_are_left_out() -> None:
    """Each group of at least four rates has a row; missing rates are left out."""
    rising = [0.1, 0.2, 0.3, 0.4]
    rates = pd.concat([table([*rising, 9.0], [*rising, np.nan]), table(rising, rising[::-1], "t"), table(rising[:3], rising[:3], "few")])
    found = prediction_correlation(rates)
    assert found[["search_space", "architectures", "pearson"]].values.tolist() == [["s", 4, pytest.approx(1)], ["t", 4, pytest.approx(-1)]]
    assert len(prediction_correlation(rates.iloc[:0])) == 0


def test_equal_rates_have_no_correlation() -> None:
    """For equal rates the correlation is missing, not 0 or 1."""
    row = prediction_correlation(table([0.1, 0.2, 0.3, 0.4], [0.1] * 4)).iloc[0]
    assert np.isnan([row["pearson"], row["pearson_low"], row["pearson_log"], row["spearman"]]).all()
    assert row["median_ratio"] == pytest.approx(2.5)


def test_rates_of_nothing_are_an_error() -> None:
    """A rate of 0 is an error."""
    with pytest.raises(InputError, match="must be above 0"):
        prediction_correlation(table([0.1, 0.0], [0.1, 0.1]))


def test_the_slope_and_what_the_search_allows() -> None:
    """A rate that grows with the square root of the predicted one has slope 0.5; the pooled r covers all search spaces."""
    predicted = np.geomspace(0.01, 1, 12)
    rates = pd.concat([table(list(predicted), list(0.3 * predicted**0.5), space) for space in "st"])
    row = prediction_correlation(rates).iloc[0]
    assert (row["slope_log"], row["pearson_log"]) == pytest.approx((0.5, 1))
    assert (row["pooled_architectures"], row["architectures"]) == (24, 12)
    assert row["pooled_pearson"] == pytest.approx(row["pearson"])
    said = f"{prediction_sentence(row.to_dict())} {exponent_sentence(row.to_dict())}"
    for words in (
        "r = 0.9",
        "over 12 architectures",
        "24 architectures of all search spaces",
        "to the power of 0.50",
        "less steeply than",
        "0.962 for depth",
    ):
        assert words in said


def test_the_ceiling_is_what_a_perfect_prediction_reaches() -> None:
    """The ceiling, computed from noisy measurements alone, equals the correlation of their mean with the simulated truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    repeated = truth[:, None] + rng.normal(scale=0.8, size=(4000, 3))
    assert correlation_ceiling(repeated) == pytest.approx(np.corrcoef(truth, repeated.mean(axis=1))[0, 1], abs=0.01)
    assert correlation_ceiling(rng.normal(size=(4000, 3))) < 0.25
    for unknown in (repeated[:, :1], repeated[:2], np.ones((5, 3))):
        assert np.isnan(correlation_ceiling(unknown))


def test_rates_follow_from_proposals_and_factors() -> None:
    """A rate is the final trial's base rate times the factor; for one seed, the largest finished rate with the smallest loss."""
    choices = [
        {"name": "aware", "label": label, "tuning_scope": scope, "tuning_trials": 3, "sampler": "grid"}
        for label, scope in (("predicted", "search-space"), ("searched", "architecture"))
    ]
    sweep = Sweep.model_validate(
        {"name": "x", "search_spaces": [{"name": "s"}], "datasets": [{"name": "d"}], "algorithms": choices, "epochs": 1}
    )
    losses = {0: [("diverged", np.nan), ("done", 0.5), ("done", 0.5)], 1: [("done", 0.2), ("done", 0.9), ("done", 0.3)]}
    rows = [
        ("searched", "tuning", seed, status, loss, f'{{"base_rate": {base}}}')
        for seed, found in losses.items()
        for base, (status, loss) in zip((0.4, 0.2, 0.1), found, strict=True)
    ]
    rows += [(label, "final", 5, "done", 0.1, f'{{"base_rate": {base}}}') for label, base in (("searched", 0.4), ("predicted", 0.8))]
    columns = ["algorithm", "purpose", "seed", "status", "train_loss", "hyperparameters"]
    trials = pd.DataFrame(rows, columns=columns).assign(search_space="s", dataset="d", profile="p", architecture="a", study="k")
    factors = pd.DataFrame(
        {"search_space": "s", "architecture": "a", "algorithm": ["predicted", "searched"], "factor": [0.25, 1.0], "signal": 3.0}
    )
    (row,) = predicted_rates(trials, factors, sweep).to_dict("records")
    assert (row["predicted"], row["searched"], row["predicted_rate"], row["searched_rate"]) == ("predicted", "searched", 0.2, 0.4)
    assert row["signal"] == 3.0
    assert (row["at_grid_end"], row["searched_rate_of_0"], row["searched_rate_of_1"]) == (True, 0.2, 0.4)
    assert predicted_rates(trials, factors.iloc[:0], sweep).empty


def test_a_miss_that_the_signal_explains() -> None:
    """If the searched rate depends only on the signal to the power of -0.5, the regression and the sentence say so."""
    rng = np.random.default_rng(0)
    predicted, signal = rng.lognormal(size=60), rng.lognormal(sigma=0.8, size=60)
    searched = 0.1 * signal**-0.5 * rng.lognormal(sigma=0.05, size=60)
    rates = table(list(predicted), list(searched)).assign(signal=signal)
    row = {str(key): value for key, value in prediction_correlation(rates).iloc[0].items()}
    assert row["signal_low"] < -0.5 < row["signal_high"]
    assert row["beside_low"] < 0 < row["beside_high"]
    assert row["signal_high"] - row["signal_low"] < 0.1
    assert row["signal_pearson_log"] == pytest.approx(np.corrcoef(np.log(signal), np.log(searched))[0, 1])
    assert "adds nothing significant" in exponent_sentence(row)
    kept = prediction_correlation(rates.assign(searched_rate=searched * predicted)).iloc[0]
    assert kept["beside_signal"] == pytest.approx(1, abs=0.1)
    assert "still contributes" in exponent_sentence(kept.to_dict())
    equal = prediction_correlation(rates.assign(signal=2.0)).iloc[0]
    assert np.isnan(equal["signal_slope"])
    assert "classifier" not in exponent_sentence(equal.to_dict())

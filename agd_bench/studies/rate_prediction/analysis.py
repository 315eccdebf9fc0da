"""How well learning rates that are predicted from graphs agree with searched ones.

The searched rate of an architecture is the largest one of a grid with the smallest training loss after one epoch, as a mean over seeds. It
is noisy, and a grid is coarse, so that even a perfect prediction would correlate with it to less than 1. How much less is estimated from
the search repeated on each seed alone: with r the mean correlation between two seeds' rates and S seeds, the mean over seeds has
reliability R = S r / (1 + (S − 1) r), and the correlation of anything with it is at most sqrt(R).

Why a prediction misses is asked by regression. The rule supposes that initial weights keep the size of the signal, which they do only where
no identities lead past them. So the logarithm of the searched rate is regressed on that of the predicted rate and of the signal: the mean
square of the classifier's input at the start.

References:
    W. Chen, J. Wu, Z. Wang and B. Hanin, "Principled Architecture-aware Scaling of Hyperparameters", ICLR 2024, section 4.1.
    C. Spearman, Correlation calculated from faulty data, British Journal of Psychology, 1910 (attenuation, and reliability of a mean).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy.stats

from agd_bench.analysis.phrasing import Row, known
from agd_bench.analysis.scores import GROUP, Floats
from agd_bench.errors import InputError
from agd_bench.records import Sweep

PUBLISHED = {"depth": 0.962, "fully connected topologies": 0.838, "convolutional topologies": 0.856}
"""The paper's r on CIFAR-10, by what varies between the networks."""
_EXPONENTS = (("signal_slope", "signal_low", "signal_high"), ("beside_signal", "beside_low", "beside_high"))
LEAST_SPREAD = 0.3
"""Standard deviation of the signal's logarithm below which it is taken for equal in all networks."""
FEWEST = 4
"""Architectures below which no correlation is given."""
PAIR = ["predicted", "searched"]
RATES = ["predicted_rate", "searched_rate"]
_SHARED = ["architectures", "pearson", "pearson_low", "pearson_high"]
_COLUMNS = [
    *_SHARED, "noise_ceiling", "pearson_log", "spearman", "slope_log", "slope_low", "slope_high", "signal_pearson_log", "signal_slope",
    "signal_low", "signal_high", "beside_signal", "beside_low", "beside_high", "median_ratio", "at_grid_end",
    *(f"pooled_{name}" for name in _SHARED),
]  # fmt: skip


def predicted_rates(trials: pd.DataFrame, factors: pd.DataFrame, sweep: Sweep) -> pd.DataFrame:
    """The learning rate that was predicted for each architecture, and the one that its own grid search found.

    Both follow from the base rates that the studies chose and from the graphs; they are not read off a training, so that architectures
    stay in whose predicted rate is too large to train with.

    Args:
        trials: the table of trials.
        factors: by what an algorithm multiplies a base rate, and the signal, the table `rate_factors` of `store`.
        sweep: what was asked; of the algorithms with factors, those tuned once for the search space predict, those tuned for each
            architecture search.

    Returns:
        One row per group, pair of such algorithms and architecture: `search_space`, `dataset`, `profile`, `predicted`, `searched` (their
        labels), `architecture`, `predicted_rate`, `searched_rate` (above 0; NaN where no study has chosen yet), `at_grid_end` (whether
        the searched one comes of the grid's first or last base rate, so that the true one may lie beyond), and `searched_rate_of_SEED`,
        what the search finds by the tuning trials of that seed alone (NaN where none of them was trained to its end); `signal` (mean
        square of the classifier's input at the start).
    """
    scopes = {choice.label: choice.tuning_scope for choice in sweep.algorithms if choice.label in set(factors["algorithm"])}
    of_scope = {scope: [label for label, one in scopes.items() if one == scope] for scope in ("search-space", "architecture")}
    tables = {label: _rates(trials[trials["algorithm"] == label], factors[factors["algorithm"] == label]) for label in scopes}
    found = []
    for predicted, searched in itertools.product(of_scope["search-space"], of_scope["architecture"]):
        first = tables[predicted][[*GROUP, "architecture", "rate"]].rename(columns={"rate": "predicted_rate"})
        second = tables[searched].rename(columns={"rate": "searched_rate"})
        signals = factors[factors["algorithm"] == searched][["search_space", "architecture", "signal"]]
        second = second.merge(signals, on=["search_space", "architecture"], validate="many_to_one")
        both = first.merge(second, on=[*GROUP, "architecture"], validate="one_to_one")
        found.append(both.assign(predicted=predicted, searched=searched))
    columns = [*GROUP, *PAIR, "architecture", *RATES, "at_grid_end", "signal"]
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    return table[[*columns, *_by_seed(table)]].astype(dict.fromkeys(RATES, float))


def _by_seed(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if str(name).startswith("searched_rate_of_")]


def _rates(own: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """Rates of one algorithm: base rates times factors."""
    final = own[(own["purpose"] == "final") & (own["status"] != "refused")].drop_duplicates([*GROUP, "architecture"])
    table = final[[*GROUP, "architecture", "study"]].assign(base=final["hyperparameters"].map(_base_rate).astype(float))
    table = table.merge(factors[["search_space", "architecture", "factor"]], on=["search_space", "architecture"], validate="many_to_one")
    tuning = own[own["purpose"] == "tuning"]
    tuning = tuning.assign(base=tuning["hyperparameters"].map(_base_rate).astype(float))
    ends = (tuning["base"].min(), tuning["base"].max())
    alone = {f"searched_rate_of_{seed}": table["study"].map(_chosen(rows)) * table["factor"] for seed, rows in tuning.groupby("seed")}
    found = table.assign(rate=table["base"] * table["factor"], at_grid_end=table["base"].isin(ends), **alone)
    return found.drop(columns=["study", "base", "factor"])


def _base_rate(hyperparameters: object) -> float:
    value = json.loads(hyperparameters).get("base_rate") if isinstance(hyperparameters, str) else None
    return float("nan") if value is None else float(value)


def _chosen(rows: pd.DataFrame) -> pd.Series[float]:
    """Of each study, the largest base rate with the smallest training loss; studies without a finished trial are left out."""
    done = rows[(rows["status"] == "done") & rows["train_loss"].notna()].sort_values(["train_loss", "base"], ascending=[True, False])
    return done.groupby("study")["base"].first()


def prediction_correlation(rates: pd.DataFrame) -> pd.DataFrame:
    """Correlation of predicted with searched learning rates over architectures.

    Args:
        rates: as of `predicted_rates`; rows that lack a rate are left out.

    Returns:
        One row per group and pair of algorithms with at least four architectures: `search_space`, `dataset`, `profile`, `predicted`,
        `searched`; `architectures` (compared); `pearson` (of the rates, as published) with its 95 % interval `pearson_low`,
        `pearson_high` (Fisher's z: it takes the rates as normal, which they are not quite); `noise_ceiling` (the largest correlation that a
        perfect prediction could be expected to have, see above; NaN with one seed or fewer than 3 architectures of them all);
        `pearson_log` (of their logarithms), `spearman`; `slope_log` with `slope_low`, `slope_high` (by how much the logarithm of the
        searched rate rises with that of the predicted one, least squares, 95 % interval; the theory says 1); `signal_pearson_log`
        (correlation with the signal, both in logarithms), and of the regression on both `signal_slope` (of the signal) and
        `beside_signal` (of the predicted rate), with intervals likewise (NaN where the signal hardly differs); `median_ratio` (of predicted
        to searched rate); `at_grid_end` (how many searches ended there); `pooled_architectures`, `pooled_pearson` and its interval (over
        all search spaces of that data set, profile and pair together). Correlations are NaN where all predicted or all searched rates are
        equal.

    Raises:
        InputError: a rate that is not above 0.

    >>> rates = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "predicted": "a", "searched": "b",
    ...     "signal": 1.0,
    ...     "predicted_rate": [0.1, 0.2, 0.4, 0.8], "searched_rate": [0.05, 0.1, 0.2, 0.4], "at_grid_end": [False, False, False, True]})
    >>> prediction_correlation(rates)[["architectures", "at_grid_end", "pearson_log", "slope_log", "median_ratio"]].round(9).values.tolist()
    [[4.0, 1.0, 1.0, 1.0, 2.0]]
    """
    whole = rates.dropna(subset=RATES)
    if (whole[RATES] <= 0).to_numpy().any():
        raise InputError("a learning rate of 0 or less stands among the predicted or searched ones; rates are above 0")
    rows = []
    for key, part in whole.groupby([*GROUP, *PAIR], sort=False):
        if len(part) >= FEWEST:
            named = dict(zip([*GROUP, *PAIR], key, strict=True))
            alike = whole[(whole[[*GROUP[1:], *PAIR]] == [named[name] for name in (*GROUP[1:], *PAIR)]).all(axis=1)]
            pooled = dict(_pearson(alike))
            rows.append({**named, **_correlation(part), **{f"pooled_{name}": value for name, value in pooled.items()}})
    return pd.DataFrame(rows, columns=[*GROUP, *PAIR, *_COLUMNS])


def _pearson(part: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """Pearson's r of the rates with its interval; NaN where there is none."""
    predicted, searched = (part[name].to_numpy(dtype=np.float64) for name in RATES)
    yield "architectures", len(part)
    if min(np.ptp(predicted), np.ptp(searched)) == 0:
        yield from dict.fromkeys(_SHARED[1:], np.nan).items()
        return
    found = scipy.stats.pearsonr(predicted, searched)
    interval = found.confidence_interval(0.95)
    yield from zip(_SHARED[1:], (float(found.statistic), float(interval.low), float(interval.high)), strict=True)


def _correlation(part: pd.DataFrame) -> dict[str, float]:
    found: dict[str, float] = dict(_pearson(part))
    predicted, searched = (part[name].to_numpy(dtype=np.float64) for name in RATES)
    found |= {"median_ratio": float(np.median(predicted / searched)), "at_grid_end": int(part["at_grid_end"].sum())}
    alone = part[_by_seed(part)].to_numpy(dtype=np.float64)
    found["noise_ceiling"] = correlation_ceiling(alone)
    if np.isnan(found["pearson"]):
        return found
    signal = np.log(part["signal"].to_numpy(dtype=np.float64))
    predicted_log, searched_log = np.log(predicted), np.log(searched)
    found |= dict(zip(("slope_log", "slope_low", "slope_high"), _exponents(searched_log, predicted_log)[0], strict=True))
    found["pearson_log"] = float(np.corrcoef(predicted_log, searched_log)[0, 1])
    if signal.std() > LEAST_SPREAD and len(part) > 4:
        found["signal_pearson_log"] = float(np.corrcoef(signal, searched_log)[0, 1])
        for names, ends in zip(_EXPONENTS, _exponents(searched_log, signal, predicted_log), strict=True):
            found |= dict(zip(names, ends, strict=True))
    return found | {"spearman": float(scipy.stats.spearmanr(predicted, searched).statistic)}


def _exponents(searched: Floats, *causes: Floats) -> list[tuple[float, float, float]]:
    """Coefficient of each cause with its 95 % interval, by least squares with a constant; (n,) each."""
    design = np.column_stack([np.ones(len(searched)), *causes])
    coefficients = np.linalg.lstsq(design, searched, rcond=None)[0]
    left, free = searched - design @ coefficients, len(searched) - design.shape[1]
    errors = np.sqrt(np.diag(np.linalg.pinv(design.T @ design)) * (left @ left) / free)
    half = errors * scipy.stats.t.ppf(0.975, free)
    return [(float(c), float(c - h), float(c + h)) for c, h in zip(coefficients[1:], half[1:], strict=True)]


def prediction_sentence(row: Row) -> str:
    """What a row of `prediction_correlation` says, in words."""
    start = f"Learning rates predicted by {row['predicted']} against those searched by {row['searched']}"
    if not known(row, "pearson"):
        return f"{start}: all of one kind are equal over the {row['architectures']} architectures, so there is no correlation."
    text = f"{start}: Pearson's r = {row['pearson']:.3f} (95 % interval {row['pearson_low']:.3f} to {row['pearson_high']:.3f}) over "
    text += f"{row['architectures']} architectures"
    if row["pooled_architectures"] > row["architectures"]:
        ends = f"{row['pooled_pearson_low']:.3f} to {row['pooled_pearson_high']:.3f}"
        text += f", {row['pooled_pearson']:.3f} ({ends}) over the {row['pooled_architectures']} of all search spaces together"
    if known(row, "noise_ceiling"):
        text += f"; noise of the search alone would allow {row['noise_ceiling']:.2f}"
    said = "; ".join(f"{r:.3f} for {what}" for what, r in PUBLISHED.items())
    slope = f"{row['slope_log']:.2f} (95 % interval {row['slope_low']:.2f} to {row['slope_high']:.2f})"
    side = "as the theory has it" if row["slope_low"] <= 1 <= row["slope_high"] else f"{'less' if row['slope_low'] < 1 else 'more'} steeply"
    signal = f" {_signal_words(row)}" if known(row, "signal_slope") else ""
    steep = f"the searched rate changes as the predicted one to the power of {slope}, {side}"
    theory = "" if "theory" in side else " than the power of 1 of the theory"
    return f"{text}. Published: {said}. {steep[0].upper()}{steep[1:]}{theory}.{signal}"


def _signal_words(row: Row) -> str:
    """How much of a miss the size of the signal explains."""
    signal, paths = ((row[name], row[low], row[high]) for name, low, high in _EXPONENTS)
    told = [f"{value:.2f} (95 % interval {low:.2f} to {high:.2f})" for value, low, high in (signal, paths)]
    left = "the prediction adds nothing that can be told from 0" if paths[1] <= 0 <= paths[2] else "the prediction keeps a part"
    return (
        f"With the mean square of the signal that reaches the classifier at the start it correlates to {row['signal_pearson_log']:.2f} "
        f"in logarithms, with the predicted rate to {row['pearson_log']:.2f}; in a regression on both the exponents are {told[0]} and "
        f"{told[1]}: beside the signal {left}."
    )


def correlation_ceiling(repeated: Floats) -> float:
    """The largest correlation that anything can be expected to have with a mean of repeated measurements.

    Args:
        repeated: measurements, (n, S), of n things by S seeds; rows with a missing one are left out.

    Returns:
        sqrt(S r / (1 + (S − 1) r)) with r the mean correlation between two seeds, at least 0; NaN where there is none.

    >>> round(correlation_ceiling(np.array([[1.0, 1.0], [2.0, 2.5], [3.0, 2.0], [4.0, 4.5]])), 3)
    0.967
    """
    whole = repeated[~np.isnan(repeated).any(axis=1)]
    seeds = whole.shape[1]
    if seeds < 2 or len(whole) < 3 or (np.ptp(whole, axis=0) == 0).any():
        return float("nan")
    r = max(0.0, float(np.atleast_2d(np.corrcoef(whole.T))[np.triu_indices(seeds, 1)].mean()))
    return float(np.sqrt(seeds * r / (1 + (seeds - 1) * r)))

"""Tuning studies as arrays, and the accuracy a study would have reached if stopped earlier.

After k proposals, a study has the network with the best validation accuracy so far; the reported accuracy is a different one, usually on
the test split, which is never used for selection. A proposal that diverged, failed or was pruned is charged but cannot be selected; until
another one is available, the accuracy is 0. For random search, the expectation over all orders of the proposals is used; proposals of an
adaptive search are used in the order in which they were made.

A study with search-space scope is reported on its proxies, and one with sweep scope separately for each workload. Its cost is divided among
the architectures that use its choice, each of which is also charged one training, because the study's network is a proxy's; a single
proposal needs no study.

References:
    R. Tang, J. Lee, J. Xin, X. Liu, Y. Yu, J. Lin, Showing your work doesn't always work, ACL 2020 (the unbiased estimator).
    N. Lourie, K. Cho, H. He, Show your work with confidence: confidence bands for tuning curves, NAACL 2024.
    N. Lourie, opda: optimal design analysis, version 0.8 (the bands' critical values).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from opda.nonparametric import EmpiricalDistribution
from scipy.special import gammaln

from agd_bench.analysis.bootstrap import simultaneous_band
from agd_bench.analysis.scores import GROUP, LEVEL, METRICS, Floats, comparison_groups, describe
from agd_bench.errors import UnknownNameError

ENDED = ("done", "diverged", "failed", "pruned")
ADAPTIVE_BAND = "none: proposals of an adaptive search are not independent"
TOO_FEW_BAND = "none: fewer than 8 studies"


@dataclass(frozen=True)
class Searches:
    """The finished studies of one algorithm in one comparison group: U studies of N proposals each.

    Attributes:
        group: search space, data set, profile.
        algorithm: the label.
        random: whether the proposals of a study are independent.
        studies: keys, (U,).
        architectures: architectures on which each study trained its proposals: one for architecture scope, otherwise the proxies; (U,).
        left_out: studies not used because they have not ended, were refused or have no accuracy.
        validation: mean validation accuracy of a proposal, (U, N); NaN if it cannot be selected.
        reached: the reported accuracy, (U, N); 0 if it cannot be selected.
        proposed: charge of each proposal, divided by the number of architectures that use the study's choice, by unit, (U, N) each:
    `trainings` (1 for architecture scope), `flops` (NaN if missing for a trained trial), `seconds` (of all attempts).
        retraining: one final training if the study's choice is used by architectures it was not tuned on, otherwise 0, by unit, (U,) each.
    """

    group: tuple[str, str, str]
    algorithm: str
    random: bool
    studies: tuple[str, ...]
    architectures: tuple[tuple[str, ...], ...]
    left_out: int
    validation: Floats
    reached: Floats
    proposed: dict[str, Floats]
    retraining: dict[str, Floats]

    def best_so_far(self) -> Floats:
        """Accuracy after 1 … N proposals of each study, (U, N)."""
        # Independent proposals could have occurred in any order with equal probability.
        return _expected_best(self.validation, self.reached) if self.random else _running_best(self.validation, self.reached)

    def charged(self, unit: str) -> Floats:
        """Cost of 1 … N proposals of each study, (U, N): expectation over all orders for random search, actual cost for an adaptive one.

        Args:
            unit: `trainings`, `flops` or `seconds`.
        """
        each, final = self.proposed[unit], self.retraining[unit]
        tried = np.arange(1, each.shape[1] + 1)
        total = each.mean(axis=1, keepdims=True) * tried if self.random else np.cumsum(each, axis=1)
        # If the choice has to be retrained anyway, a single proposal needs no selection.
        shared = self.retraining["trainings"][:, None] > 0
        return np.where(shared, np.where(tried == 1, 0.0, total) + final[:, None], total)


def searches(
    trials: pd.DataFrame, algorithm: str, metric: str = "test_accuracy", random_algorithms: Collection[str] = ()
) -> Iterator[Searches]:
    """The studies of an algorithm in every comparison group.

    Args:
        trials: the table of trials.
        algorithm: the tuned algorithm's label.
        metric: the reported accuracy of a choice.
        random_algorithms: labels of the algorithms whose sampler is random.

    Raises:
        UnknownNameError: an unknown metric.
    """
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    own = trials[(trials["algorithm"] == algorithm) & trials["study"].notna()]
    finals = dict(comparison_groups(own[own["purpose"] == "final"]))
    for group, rows in comparison_groups(own[own["purpose"] == "tuning"]):
        yield _searches_of(group, algorithm, algorithm in random_algorithms, rows, metric, finals.get(group, rows.iloc[:0]))


def _searches_of(
    group: tuple[str, str, str], algorithm: str, random: bool, rows: pd.DataFrame, metric: str, final: pd.DataFrame
) -> Searches:
    study, studies = pd.factorize(rows["study"])
    number = pd.to_numeric(rows["number"]).to_numpy(dtype=np.int64)
    shape = (len(studies), int(number.max()) + 1)
    cell = np.ravel_multi_index((study, number), shape)
    done = (rows["status"] == "done").to_numpy()
    numbers = {name: _floats(rows[name]) for name in ("val_accuracy", metric, "flops", "charged_seconds")}
    ended = rows["status"].isin(ENDED).to_numpy()
    lacking = ~ended | (done & (np.isnan(numbers["val_accuracy"]) | np.isnan(numbers[metric])))
    trials_of = _total(cell, np.ones(len(rows)), shape)
    usable = (_total(cell, lacking.astype(float), shape) == 0).all(axis=1) & (trials_of > 0).all(axis=1)
    # One unsuccessful trial on any proxy excludes the proposal.
    chosen = _total(cell, done.astype(float), shape) == trials_of
    validation, reached = (
        np.divide(_total(cell, np.where(done, numbers[name], 0.0), shape), trials_of, where=trials_of > 0, out=np.zeros(shape))
        for name in ("val_accuracy", metric)
    )
    # A failed trial without a count never finished an epoch; a trained trial must have a count.
    trained = rows["status"].isin(["done", "pruned", "diverged"]).to_numpy()
    flops = np.where(np.isnan(numbers["flops"]) & ~trained, 0.0, numbers["flops"])
    users = final.drop_duplicates(["study", "architecture"]).groupby("study")["architecture"].size().reindex(studies).fillna(1.0)
    sharing = users.to_numpy(dtype=np.float64)[:, None]
    members = rows.groupby(study)["architecture"].unique()
    kept = np.flatnonzero(usable)
    proposed = {"trainings": trials_of, "flops": _total(cell, flops, shape)}
    proposed["seconds"] = _total(cell, np.nan_to_num(numbers["charged_seconds"]), shape)
    return Searches(
        group=group,
        algorithm=algorithm,
        random=random,
        studies=tuple(str(key) for key in studies[kept]),
        architectures=tuple(tuple(str(name) for name in members[place]) for place in kept),
        left_out=len(studies) - len(kept),
        validation=np.where(chosen, validation, np.nan)[kept],
        reached=np.where(chosen, reached, 0.0)[kept],
        proposed={unit: (total / sharing)[kept] for unit, total in proposed.items()},
        retraining={unit: cost[kept] for unit, cost in _retraining(final, rows, studies).items()},
    )


def _retraining(final: pd.DataFrame, tuning: pd.DataFrame, studies: pd.Index[str]) -> dict[str, Floats]:
    """Mean charge of one final training, for studies whose choice is used by architectures they were not tuned on; otherwise 0."""
    tuned = pd.MultiIndex.from_frame(tuning[["study", "architecture"]])
    # A study used only where it was tuned already has a trained network; elsewhere the choice must be trained again.
    beyond = final[~pd.MultiIndex.from_frame(final[["study", "architecture"]]).isin(tuned)]
    needed = np.asarray(studies.isin(beyond["study"].unique()))
    begun = final[final["attempts"] > 0]
    figures = pd.DataFrame({"flops": _floats(begun["flops"]), "seconds": _floats(begun["charged_seconds"])}, index=begun.index)
    means = figures.groupby(begun["study"]).mean().reindex(studies)
    costs = {unit: np.where(needed, means[unit].to_numpy(dtype=np.float64), 0.0) for unit in ("flops", "seconds")}
    return {"trainings": needed.astype(np.float64), **costs}


def _floats(column: pd.Series[Any]) -> Floats:
    return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)


def _total(cell: np.ndarray[Any, np.dtype[np.int64]], values: Floats, shape: tuple[int, int]) -> Floats:
    return np.asarray(np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape), dtype=np.float64)


def best_of_weights(count: int) -> Floats:
    """Probability that the r-th best of n proposals is the best of k drawn without replacement.

    Args:
        count: proposals n.

    Returns:
        (n, n): [r − 1, k − 1] = C(n − r, k − 1) / C(n, k); columns sum to 1.

    >>> best_of_weights(3).round(6).tolist()
    [[0.333333, 0.666667, 1.0], [0.333333, 0.333333, 0.0], [0.333333, 0.0, 0.0]]
    """
    place, size = np.arange(1, count + 1)[:, None], np.arange(1, count + 1)[None, :]
    possible = count - place >= size - 1
    worse = np.where(possible, count - place, size - 1)
    # In logarithms, because binomial coefficients for hundreds of proposals overflow.
    logs = _log_choose(worse, size - 1) - _log_choose(np.full_like(size, count), size)
    return np.where(possible, np.exp(logs), 0.0)


def _log_choose(whole: np.ndarray[Any, Any], part: np.ndarray[Any, Any]) -> Floats:
    return np.asarray(gammaln(whole + 1) - gammaln(part + 1) - gammaln(whole - part + 1), dtype=np.float64)


def _expected_best(validation: Floats, reached: Floats) -> Floats:
    # Equal validation accuracies keep the order of the proposals, which is arbitrary for independent ones.
    order = np.argsort(np.where(np.isnan(validation), np.inf, -validation), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(reached, order, axis=1) @ best_of_weights(validation.shape[1]), dtype=np.float64)


def _running_best(validation: Floats, reached: Floats) -> Floats:
    filled = np.where(np.isnan(validation), -np.inf, validation)
    # Strictly better than all before, so the earliest of equal proposals is kept, as in the tuner.
    before = np.hstack([np.full((len(filled), 1), -np.inf), np.maximum.accumulate(filled, axis=1)[:, :-1]])
    place = np.maximum.accumulate(np.where(filled > before, np.arange(filled.shape[1]), -1), axis=1)
    return np.where(place >= 0, np.take_along_axis(reached, np.maximum(place, 0), axis=1), 0.0)


_COSTS = ["trainings", "flops", "seconds"]


def anytime_curves(
    trials: pd.DataFrame,
    metric: str = "test_accuracy",
    random_algorithms: Collection[str] = (),
    resamples: int = 1000,
) -> pd.DataFrame:
    """Expected best-so-far accuracy of every tuned algorithm against its charged cost, averaged over its studies.

    The band is simultaneous and comes from a bootstrap over studies, which are independent regardless of the sampler; it does not include
    an effect of a seed on all studies at once. For individual studies see `search_bands`.

    Args:
        trials: the table of trials.
        metric: which accuracy is reported; the validation accuracy chooses.
        random_algorithms: labels of the algorithms whose sampler is random; the others' proposals count in their order.
        resamples: bootstrap resamples.

    Returns:
        One row per group, tuned algorithm and number of proposals: `search_space`, `dataset`, `profile`, `algorithm`;
        `proposals` (k = 1 … N); `accuracy` (in [0, 1]; 0 while nothing can be selected) with `low`, `high` (clipped to [0, 1]; NaN for
        fewer than 8 studies); `trainings`, `flops`, `seconds` (charged per architecture that uses the choice of k proposals, mean over
        studies; FLOPs are NaN if missing for a trained trial); `studies` (used), `left_out` (not ended, refused, or without
        an accuracy); `search` (`random`: expectation over all orders, or `adaptive`: in the order of the proposals);
        `band` (description of the band, or why there is none).
    """
    tables = []
    for search in _all_searches(trials, metric, random_algorithms):
        curves = search.best_so_far()
        low, high = simultaneous_band(curves, np.random.default_rng(0), resamples)
        known = bool(np.isfinite(low).all())
        table = _curve_rows(search, curves.mean(axis=0), low.clip(0, 1), high.clip(0, 1)).assign(studies=len(search.studies))
        words = f"{100 * LEVEL:g} % simultaneous, bootstrap over studies" if known else TOO_FEW_BAND
        tables.append(table.assign(left_out=search.left_out, search="random" if search.random else "adaptive", band=words))
    columns = [*GROUP, "algorithm", "proposals", "accuracy", "low", "high", *_COSTS, "studies", "left_out", "search", "band"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _all_searches(trials: pd.DataFrame, metric: str, random_algorithms: Collection[str]) -> Iterator[Searches]:
    for algorithm in trials.loc[trials["purpose"] == "tuning", "algorithm"].unique():
        yield from (found for found in searches(trials, str(algorithm), metric, random_algorithms) if found.studies)


def _curve_rows(search: Searches, accuracy: Floats, low: Floats, high: Floats) -> pd.DataFrame:
    proposals = np.arange(1, len(accuracy) + 1)
    costs = {unit: search.charged(unit).mean(axis=0) for unit in _COSTS}
    row: dict[str, Any] = {**describe(search.group), "algorithm": search.algorithm, "proposals": proposals, "accuracy": accuracy}
    return pd.DataFrame({**row, "low": low, "high": high, **costs})


def search_bands(trials: pd.DataFrame, random_algorithms: Collection[str] = ()) -> pd.DataFrame:
    """Expected best validation accuracy of every single study, with a band from its own proposals alone.

    For n independent proposals, the band around their distribution function is simultaneous over all accuracies and distribution-free
    (likelihood-density bands, highest density; Lourie et al., section 4). It is converted to the expected best of k,
    E = Σ y (F(y)^k − F(y⁻)^k), so it also holds simultaneously for all k. Proposals of an adaptive search are not independent, so their
    curve is the best so far in their order, without a band. A proposal that cannot be selected counts as 0.

    Args:
        trials: the table of trials.
        random_algorithms: labels of the algorithms whose sampler is random.

    Returns:
        One row per group, algorithm, study and number of proposals: `search_space`, `dataset`, `profile`, `algorithm`, `study`,
        `architecture` (of the study, or the number of proxies), `proposals` (k = 1 … N); `accuracy` (expected best validation accuracy in
        [0, 1]; for a random search under the empirical distribution, with replacement, slightly below the unbiased estimate of
        `anytime_curves`) with `low`, `high`; `flops`, `seconds` (charged per architecture that uses the choice); `band` (description, or
        why there is none).
    """
    tables = [_study_rows(search) for search in _all_searches(trials, "val_accuracy", random_algorithms)]
    names = ["algorithm", "study", "architecture", "proposals", "accuracy", "low", "high", "flops", "seconds", "band"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*GROUP, *names])


def _study_rows(search: Searches) -> pd.DataFrame:
    studies, count = search.validation.shape
    if search.random:
        ascending = np.sort(np.nan_to_num(search.validation), axis=1)
        padded = np.hstack([np.zeros((studies, 1)), ascending, np.ones((studies, 1))])
        low, middle, high = (padded @ _best_of(steps) for steps in band_steps(count, LEVEL))
        words = f"{100 * LEVEL:g} % simultaneous, distribution-free (opda)"
    else:
        middle, words = search.best_so_far(), ADAPTIVE_BAND
        low = high = np.full(middle.shape, np.nan)
    names = [members[0] if len(members) == 1 else f"{len(members)} proxies" for members in search.architectures]
    row: dict[str, Any] = {**describe(search.group), "algorithm": search.algorithm, "study": np.repeat(search.studies, count)}
    row |= {"architecture": np.repeat(names, count), "proposals": np.tile(np.arange(1, count + 1), studies)}
    row |= {"accuracy": middle.ravel(), "low": low.ravel(), "high": high.ravel()}
    row |= {unit: search.charged(unit).ravel() for unit in ("flops", "seconds")}
    return pd.DataFrame(row | {"band": words})


@functools.lru_cache(maxsize=64)
def band_steps(count: int, level: float) -> tuple[Floats, Floats, Floats]:
    """Distribution functions of the pessimistic limit, the sample and the optimistic limit, at 0, at each of n ordered scores, and at 1.

    They depend only on n, not on the scores, so one set serves all studies of n proposals.

    Args:
        count: number n of independent scores in [0, 1].
        level: probability that the true distribution function lies between the limits everywhere.

    Returns:
        Three arrays (n + 2,), ascending to 1. The pessimistic one is the upper limit of the distribution function, with low scores likely.
    """
    # Any distinct scores in (0, 1) are suitable, because the bands depend only on ranks.
    scores = np.arange(1, count + 1) / (count + 1)
    # For one score there is no highest-density region; equal tails have the same level.
    method = "ld_highest_density" if count > 1 else "ld_equal_tailed"
    # opda simulates the band's critical value; by default it would use a global generator and a process pool.
    lower, _, upper = EmpiricalDistribution.confidence_bands(
        scores, level, a=0.0, b=1.0, generator=np.random.default_rng(0), method=method, n_jobs=1
    )
    at = np.concatenate([[0.0], scores, [1.0]])
    sample = np.concatenate([np.arange(count + 1) / count, [1.0]])
    # A larger distribution function means lower scores, so the upper limit comes first.
    return np.asarray(upper.cdf(at)), sample, np.asarray(lower.cdf(at))


def _best_of(steps: Floats) -> Floats:
    """Weights of 0, the n ordered scores and 1 in the expected best of k = 1 … n, (n + 2, n)."""
    sizes = np.arange(1, len(steps) - 1)
    # P(best of k ≤ y) = F(y)^k; its steps are the weights in E = Σ y (F(y)^k − F(y⁻)^k).
    powers = steps[:, None] ** sizes
    return np.diff(powers, axis=0, prepend=0.0)

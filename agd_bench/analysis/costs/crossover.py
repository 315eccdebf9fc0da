"""When tuning pays: the compute after which a tuned algorithm overtakes a self-tuning one.

After k proposals, the tuned algorithm has the network with the best validation accuracy so far (see `tuning_curves`), charged with k
trainings for architecture scope; the self-tuning algorithm has the network of its single training. Both accuracies are means over the same
architectures, on the test split by default, and a diverged training counts as 0. The crossover is where the tuned algorithm's mean first
exceeds the other's, interpolated between whole proposals.

Its interval contains the numbers of proposals for which the difference of the two means is not significant: it begins where the upper limit
of the difference first exceeds 0, and ends where the lower limit does. Each limit is the mean ± Student's quantile times the bootstrap
standard error.

References:
    E. C. Fieller, Some problems in interval estimation, Journal of the Royal Statistical Society B, 1954 (interval for the intersection of
      two lines from non-significant differences).
    A. B. Owen, The pigeonhole bootstrap, Annals of Applied Statistics, 2007.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL, resample_weights
from agd_bench.analysis.costs.tuning_curves import Searches, searches
from agd_bench.analysis.scores import DECIMALS, GROUP, LEVEL, Floats, Scores, describe, paired_scores
from agd_bench.errors import InputError, UnknownNameError

STATES = ("overtakes", "ahead from the start", "not within the budget")

_POINTS = ["crossover_trainings", "trainings_low", "trainings_high", "crossover_flops", "flops_low", "flops_high"]
_TIMES = ["crossover_hours", "hours_low", "hours_high"]
_REST = ["accuracy", "accuracy_low", "accuracy_high", "first_accuracy", "last_accuracy", "proposals_tried", "trainings_tried"]
_SHARES = ["share_ahead", "share_never", "studies", "architectures", "seeds", "search"]
COLUMNS = [*GROUP, "tuned", "self_tuning", "state", *_POINTS, *_TIMES, *_REST, *_SHARES]


def find_crossovers(
    trials: pd.DataFrame,
    tuned: str,
    self_tuning: str,
    metric: str = "test_accuracy",
    random_algorithms: Collection[str] = (),
    resamples: int = 1000,
) -> pd.DataFrame:
    """The charged compute per architecture after which tuning overtakes a self-tuning algorithm.

    Uses finished studies of architectures for which the self-tuning algorithm has an outcome; a study with search-space scope is compared
    on its proxies (see `tuning_curves`). The bootstrap draws studies with their proposals; if every architecture has every seed, it also
    draws the self-tuning algorithm's seeds independently (pigeonhole bootstrap).

    Args:
        trials: the table of trials.
        tuned: label of an algorithm with tuning trials.
        self_tuning: label of the algorithm that it is to overtake.
        metric: which accuracy is compared; the validation accuracy chooses.
        random_algorithms: labels of the algorithms whose sampler is random.
        resamples: bootstrap resamples.

    Returns:
        One row per group in which both occur: `search_space`, `dataset`, `profile`, `tuned`, `self_tuning`; `state` (`overtakes`,
        `ahead from the start`: its first proposal already is, or `not within the budget`: not after all proposals that were tried);
        `crossover_trainings` (charged trainings per architecture; the self-tuning algorithm needs 1) with `trainings_low`,
        `trainings_high`; `crossover_flops` (per architecture), `crossover_hours` (device-hours per architecture: charged seconds / 3600;
        comparable only if trials had their devices to themselves) and their intervals likewise.
        The point is NaN unless `state` is `overtakes`. A low end equal to the first proposal's cost means 'at most'; an infinite end means
        'not within the budget'; ends are NaN for fewer than 8 studies, and for FLOPs if counts are missing.
        `accuracy` (of the self-tuning algorithm, in [0, 1]) with `accuracy_low`, `accuracy_high`; `first_accuracy`, `last_accuracy` (of
        the tuned one after 1 and after all proposals); `proposals_tried` (N) and `trainings_tried` (their trainings per architecture);
        `share_ahead`, `share_never` (of the resamples: ahead from the start, and never); `studies`, `architectures`, `seeds` (of the
        self-tuning algorithm); `search` (`random` or `adaptive`).

    Raises:
        UnknownNameError: a label that occurs in no group.
        InputError: the tuned algorithm has no tuning trials.
    """
    _check(trials, tuned, self_tuning)
    groups = {group.group: group for group in paired_scores(trials, metric, every_seed=True)}
    rows: list[dict[str, Any]] = []
    for search in searches(trials, tuned, metric, random_algorithms):
        group = groups.get(search.group)
        if group is None or self_tuning not in group.algorithms:
            continue
        outcomes, kept = _outcomes(search, group, self_tuning)
        if len(kept):
            row = {**describe(search.group), "tuned": tuned, "self_tuning": self_tuning}
            rows.append(row | _row(search, kept, outcomes, resamples))
    return pd.DataFrame(rows, columns=COLUMNS)


def _check(trials: pd.DataFrame, tuned: str, self_tuning: str) -> None:
    labels = set(trials["algorithm"])
    for label in (tuned, self_tuning):
        if label not in labels:
            raise UnknownNameError("algorithm", label, labels)
    if not ((trials["algorithm"] == tuned) & (trials["purpose"] == "tuning")).any():
        raise InputError(f"{tuned} has no tuning trials, so there is no crossover; choose an algorithm with tuning_trials above 0")


def _outcomes(search: Searches, group: Scores, algorithm: str) -> tuple[Floats, np.ndarray[Any, np.dtype[np.intp]]]:
    """Accuracies of an algorithm on the architectures of each study, (kept, S), and the positions of the studies that have any."""
    values = group.values[group.position(algorithm)]
    place = {name: position for position, name in enumerate(group.architectures)}
    owner = np.repeat(np.arange(len(search.architectures)), [len(members) for members in search.architectures])
    # −1: a proxy without final trials.
    member = np.array([place.get(name, -1) for members in search.architectures for name in members], dtype=np.int64)
    # (proxies of all studies, S); index −1 would read the last architecture, so mask it.
    rows = np.where(member[:, None] >= 0, values[member], np.nan)
    known = ~np.isnan(rows)
    total, count = np.zeros((2, len(search.architectures), values.shape[1]))
    np.add.at(total, owner, np.where(known, rows, 0.0))
    np.add.at(count, owner, known)
    means = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    # A study is used only if the other algorithm has an outcome on each of its architectures.
    whole = np.bincount(owner, weights=known.any(axis=1)) == np.bincount(owner)
    kept = np.flatnonzero(whole & (count > 0).any(axis=1))
    return means[kept], kept


def _row(search: Searches, kept: np.ndarray[Any, np.dtype[np.intp]], outcomes: Floats, resamples: int) -> dict[str, Any]:
    curves = search.best_so_far()[kept]
    proposals = np.arange(1, curves.shape[1] + 1)
    costs = {unit: search.charged(unit)[kept].mean(axis=0) for unit in ("trainings", "flops", "seconds")}
    costs["hours"] = costs.pop("seconds") / 3600
    middle, target = curves.mean(axis=0), np.nanmean(outcomes, axis=1).mean()
    place = float(crossing_place(middle[None], np.array([target]))[0])
    row: dict[str, Any] = {"state": _state(place), "accuracy": target, "first_accuracy": middle[0], "last_accuracy": middle[-1]}
    enough = len(kept) >= FEWEST_FOR_INTERVAL and resamples > 0
    moved, targets = (
        _resampled(curves, outcomes, np.random.default_rng(0), resamples) if enough else (np.empty((0, len(middle))), np.empty(0))
    )
    half = _half_widths(np.column_stack([moved, targets]), len(kept))
    row["accuracy_low"], row["accuracy_high"] = target - half[-1], target + half[-1]
    # Limits of the difference (Fieller), not resampled crossings, which are asymmetric where the curve is flat.
    limits = np.stack([middle - target + half[:-1], middle - target - half[:-1]])
    ends = crossing_place(limits, np.zeros(2)) if enough else np.full(2, np.nan)
    for name, cost in costs.items():
        row[f"crossover_{name}"] = _cost_at(place, cost) if row["state"] == STATES[0] else np.nan
        row[f"{name}_low"], row[f"{name}_high"] = (_cost_at(end, cost) for end in ends)
    ahead = _exceeds(moved)
    shares = (float(ahead[:, 0].mean()), float((~ahead).all(axis=1).mean())) if enough else (np.nan, np.nan)
    row |= {"share_ahead": shares[0], "share_never": shares[1], "proposals_tried": len(proposals)}
    row |= {"trainings_tried": float(costs["trainings"][-1]), "studies": len(kept), "seeds": int((~np.isnan(outcomes)).any(axis=0).sum())}
    row["architectures"] = len({name for position in kept for name in search.architectures[position]})
    return row | {"search": "random" if search.random else "adaptive"}


def _state(place: float) -> str:
    if place <= 1:
        return STATES[1]
    return STATES[2] if np.isinf(place) else STATES[0]


def _exceeds(differences: Floats) -> NDArray[np.bool_]:
    """Whether differences are above 0 to nine decimals, because sums differ in the last digit between processors and ties are common."""
    return np.asarray(differences.round(DECIMALS) > 0, dtype=np.bool_)


def crossing_place(curves: Floats, targets: Floats) -> Floats:
    """The number of proposals at which each curve first exceeds its target, between whole numbers by linear interpolation.

    Args:
        curves: accuracy after 1 … N proposals, (R, N).
        targets: accuracies to exceed, (R,).

    Returns:
        (R,) from 1 (the first value already exceeds it) to N; infinite if none does.

    >>> crossing_place(np.array([[0.1, 0.3, 0.4], [0.5, 0.6, 0.7], [0.1, 0.1, 0.2]]), np.array([0.2, 0.2, 0.2])).round(6).tolist()
    [1.5, 1.0, inf]
    """
    above = _exceeds(curves - targets[:, None])
    first = above.argmax(axis=1)
    row = np.arange(len(curves))
    after, before = curves[row, first], curves[row, np.maximum(first - 1, 0)]
    part = np.divide(targets - before, after - before, out=np.ones(len(curves)), where=(first > 0) & (after > before))
    return np.where(above.any(axis=1), np.maximum(first, 1) + np.where(first > 0, part.clip(0, 1), 0.0), np.inf)


def _resampled(curves: Floats, outcomes: Floats, rng: np.random.Generator, resamples: int) -> tuple[Floats, Floats]:
    """Differences (tuned − self-tuning) after each number of proposals, (resamples, N), and the self-tuning algorithm's means."""
    count, seeds = outcomes.shape
    # A seed gives all architectures the same order of data, so seeds are a separate factor; the interval is conservative.
    by_seed = not np.isnan(outcomes).any()
    values = outcomes if by_seed else np.nanmean(outcomes, axis=1, keepdims=True)
    moved, targets = [], []
    for weights in resample_weights(count, resamples, rng):
        drawn = np.concatenate(list(resample_weights(seeds, len(weights), rng))) / seeds if by_seed else np.ones((len(weights), 1))
        target = ((weights @ values / count) * drawn).sum(axis=1)
        moved.append(weights @ curves / count - target[:, None])
        targets.append(target)
    return np.concatenate(moved), np.concatenate(targets)


def _half_widths(drawn: Floats, count: int) -> Floats:
    """Half the width of the interval of each column's mean; NaN without resamples."""
    if not len(drawn):
        return np.full(drawn.shape[1], np.nan)
    # The factor mends the (n − 1) / n that drawing from n studies takes off the variance.
    quantile = scipy.stats.t.ppf((1 + LEVEL) / 2, count - 1)
    return np.asarray(quantile * drawn.std(axis=0, ddof=1) * np.sqrt(count / (count - 1)), dtype=np.float64)


def _cost_at(place: float, cost: Floats) -> float:
    """Charged cost at a fractional number of proposals; infinite beyond the last."""
    if not np.isfinite(place):
        return place
    return float(np.interp(place, np.arange(1, len(cost) + 1), cost))

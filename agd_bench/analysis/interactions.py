"""Which architectures a training algorithm favours: the interaction of algorithm and architecture, explained by features.

The interaction of an architecture is d = u(challenger) − u(baseline), where u is the algorithm's mean normal score over seeds, divided
by the standard deviation of its noise-free scores. A positive d means that the challenger ranks the architecture better.

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904.
    D. M. Allen, The relationship between variable selection and data augmentation and a method for prediction, Technometrics, 1974
    (PRESS, the leave-one-out error of a linear model).
    B. Phipson, G. K. Smyth, Permutation p-values should never be zero, Statistical Applications in Genetics and Molecular Biology, 2010.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.features import architecture_features
from agd_bench.analysis.inference import holm
from agd_bench.analysis.scores import GROUP, LEVEL, Floats, Scores, describe, once, paired_scores
from agd_bench.analysis.variance import normal_scores
from agd_bench.errors import InputError

FEWEST_ARCHITECTURES = 12
"""Smallest number of architectures for testing features, required for a small p-value and for the slopes of two features."""
ARCHITECTURES_PER_SLOPE = 5
INFLATION = 5.0
"""Largest variance inflation factor for a feature in the joint model; above it, earlier features are almost equivalent."""
_CHUNK = 2_000_000
"""Number of values drawn at a time."""
_TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
_DRIVER = ["spearman", "spearman_low", "spearman_high", "p", "p_holm", "slope", "slope_low", "slope_high"]
_EXPLAINED = ["variance", "noise_variance", "interaction_variance", "reliability", "features", "r_squared_cv", "share_explained"]


@dataclass(frozen=True)
class _Interaction:
    """The interaction of every compared architecture of a group, and their features.

    Attributes:
        values: d in standard deviations of noise-free scores, (A,).
        noise_variance: the part of their variance due to seeds alone.
        features: one row per architecture; columns that vary and are complete, in the order of the joint model.
    """

    group: tuple[str, str, str]
    seeds: int
    values: Floats
    noise_variance: float
    features: pd.DataFrame

    @property
    def row(self) -> dict[str, Any]:
        return {**describe(self.group), "architectures": len(self.values), "seeds": self.seeds}

    def joint(self) -> list[int]:
        """Positions of the features of the joint model in order, without features that are almost implied by earlier ones."""
        table = _standardise(self.features.to_numpy(dtype=np.float64))
        kept: list[int] = []
        for position in range(table.shape[1]):
            if len(kept) >= len(table) // ARCHITECTURES_PER_SLOPE:
                break
            # For standardised columns, the mean square of the residual is 1 / the variance inflation factor.
            others, column = table[:, kept], table[:, position]
            left = column - others @ (np.linalg.pinv(others) @ column) if kept else column
            if float(left @ left) / len(left) >= 1 / INFLATION:
                kept.append(position)
        return kept


def _standardise(table: Floats) -> Floats:
    return np.asarray((table - table.mean(axis=0)) / table.std(axis=0), dtype=np.float64)


def _interactions(
    trials: pd.DataFrame, baseline: str, challenger: str, features: pd.DataFrame | None, metric: str
) -> Iterator[_Interaction]:
    if baseline == challenger:
        raise InputError(f"baseline and challenger are both {baseline!r}; choose two different algorithms")
    # `features` is not hashable; its identity is sufficient while the caller holds it.
    what = ("interactions", baseline, challenger, id(features), metric)
    yield from once(trials, what, lambda: _all_interactions(trials, baseline, challenger, features, metric))


def _all_interactions(
    trials: pd.DataFrame, baseline: str, challenger: str, features: pd.DataFrame | None, metric: str
) -> Iterator[_Interaction]:
    for group in paired_scores(trials, metric):
        pair = [group.position(baseline), group.position(challenger)]
        kept = np.asarray(group.complete()[pair].all(axis=0))
        names = [name for name, keep in zip(group.architectures, kept, strict=True) if keep]
        values, noise = _standardised_difference(group, pair, kept)
        inside = trials["architecture"].isin(names)
        for column, name in zip(GROUP, group.group, strict=True):
            inside &= trials[column] == name
        rows = trials[inside]
        table = architecture_features(rows, _of_space(features, group.group[0])).reindex(names) if names else pd.DataFrame()
        # Test every feature on the same architectures, so the p-values form one family.
        table = table.dropna(axis="columns")
        # Words for no operation go last: counts of all operations sum to the number of edges, so the count of `none` is redundant.
        order = sorted(table.columns, key=lambda name: (not name.startswith("words: "), name.endswith((": none", ": zero", ": zeroize"))))
        yield _Interaction(group.group, len(group.seeds), values, noise, _different(table[order]))


def _of_space(features: pd.DataFrame | None, space: str) -> pd.DataFrame | None:
    if features is None or features.index.nlevels == 1:
        return features
    return features[features.index.get_level_values(0) == space].droplevel(0)


def _different(features: pd.DataFrame) -> pd.DataFrame:
    """Drop features that order the architectures in the same or the reverse order as an earlier feature."""
    ranked = scipy.stats.rankdata(features.to_numpy(dtype=np.float64), axis=0)
    seen, kept = set(), []
    for position, name in enumerate(features.columns):
        column = ranked[:, position]
        if column.tobytes() not in seen:
            kept.append(name)
        # Ranks n + 1 − r belong to the reversed feature, which is equivalent up to the sign.
        seen |= {column.tobytes(), (len(column) + 1 - column).tobytes()}
    return features[kept]


def _standardised_difference(group: Scores, pair: list[int], kept: NDArray[np.bool_]) -> tuple[Floats, float]:
    """d of each architecture and its noise variance; NaN with one seed, too few architectures or pure noise."""
    values = group.values[pair][:, kept]
    count, seeds = values.shape[1:]
    if count < FEWEST_ARCHITECTURES or seeds < 2:
        return np.full(count, np.nan), float("nan")
    scored = normal_scores(values)
    means = scored.mean(axis=2)
    # The algorithms share seeds, so their noise has a covariance as well, (2, 2).
    residuals = (scored - means[:, :, None]).reshape(2, -1)
    noise = residuals @ residuals.T / (count * (seeds - 1) * seeds)  # covariance of the means' seed noise
    true = means.var(axis=1, ddof=1) - np.diag(noise)
    # A ranking of pure noise has no noise-free standard deviation to divide by.
    if bool((true <= 0).any()):
        return np.full(count, np.nan), float("nan")
    # Raw scores of the noisier algorithm shrink towards the middle, so every feature of good architectures would seem to drive a shift.
    scaled = np.array([-1.0, 1.0]) / np.sqrt(true)
    return np.asarray(scaled @ means, dtype=np.float64), float(scaled @ noise @ scaled)


def interaction_drivers(
    trials: pd.DataFrame,
    baseline: str,
    challenger: str,
    features: pd.DataFrame | None = None,
    metric: str = "test_accuracy",
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Which architecture features the challenger favours over the baseline, beyond seed noise.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.
        features: more features than those of `architecture_features`, indexed by architecture, or by search space and architecture.
        metric: which accuracy.
        resamples: bootstrap resamples of architectures for the intervals, and permutations of them for the p-values.
        seed: seed of both.

    Returns:
        One row per group and feature: `search_space`, `dataset`, `profile`, `feature`; `spearman` (of feature and d, in [-1, 1];
        positive: the challenger places architectures with more of it better) with `spearman_low`, `spearman_high` (95 % bootstrap
        interval over architectures); `p` (two-sided permutation test of no association) and `p_holm` (corrected for all
        features of the group); `slope` (of the joint model: change of d, in standard deviations of noise-free scores, per standard
        deviation of the feature, the others held) with `slope_low`, `slope_high`; NaN for a feature that those before it almost
        imply (variance inflation above 5) or for which there are fewer than 5 architectures each; `architectures`, `seeds`.
        No rows for a group with one seed, fewer than 12 architectures, or a ranking that is noise alone.

    Raises:
        UnknownNameError: a label that a group does not hold.
        InputError: the same label twice.

    >>> rng = np.random.default_rng(0)
    >>> rows = [(f"conv-{'skip-' * (a % 4)}{a}", s, g, 0.3 + 0.01 * a + (g == "agd") * 0.1 * (a % 4) + rng.normal(0, 0.01))
    ...     for g in ("agd", "sgd") for a in range(24) for s in range(2)]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done")
    >>> interaction_drivers(trials, "sgd", "agd")[["feature", "spearman", "p_holm"]].round(2).values.tolist()
    [['words: skip', 0.79, 0.0]]
    """
    tables = []
    for found in _interactions(trials, baseline, challenger, features, metric):
        if len(found.features.columns) == 0 or not np.isfinite(found.noise_variance):
            continue
        # With standardised ranks, Spearman's correlation is a mean product.
        ranked = _standardise(scipy.stats.rankdata(found.features.to_numpy(dtype=np.float64), axis=0))
        own = _standardise(scipy.stats.rankdata(found.values))
        spearman = own @ ranked / len(own)
        joint, slopes = found.joint(), np.full((3, len(spearman)), np.nan)
        kept = _standardise(found.features.to_numpy(dtype=np.float64)[:, joint])
        weights, permutations = _drawn(len(own), resamples, seed)
        lines, correlations = _resampled(kept, found.values, ranked, own, weights)
        slopes[0, joint] = _slopes(kept, found.values, np.ones((1, len(own))))[0]
        slopes[1:, joint] = np.quantile(lines, _TAILS, axis=0)
        p = _permutation_p(ranked, own, spearman, permutations)
        columns = [spearman, *np.quantile(correlations, _TAILS, axis=0), p, holm(p), *slopes]
        table = pd.DataFrame({"feature": found.features.columns, **dict(zip(_DRIVER, columns, strict=True))})
        tables.append(table.assign(**found.row))
    names = [*GROUP, "feature", *_DRIVER, "architectures", "seeds"]
    return pd.concat(tables, ignore_index=True)[names] if tables else pd.DataFrame(columns=names)


# All pairs of a report use the same draws.
@functools.lru_cache(maxsize=1)
def _drawn(count: int, resamples: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Weights of the architectures in each bootstrap sample, and the same number of permutations, (R, A) each.

    Arrays are read-only.
    """
    rng = np.random.default_rng(seed)
    weights, permutations = np.empty((2, resamples, count), dtype=np.int32)
    for rows in _chunks(count, resamples):
        weights[rows] = rng.multinomial(count, np.full(count, 1 / count), len(weights[rows]))
    for rows in _chunks(count, resamples):
        permutations[rows] = rng.permuted(np.tile(np.arange(count, dtype=np.int32), (len(permutations[rows]), 1)), axis=1)
    weights.flags.writeable = permutations.flags.writeable = False
    return weights, permutations


def _chunks(count: int, resamples: int) -> list[slice]:
    step = max(1, _CHUNK // count)
    return [slice(start, min(start + step, resamples)) for start in range(0, resamples, step)]


def _permutation_p(ranked: Floats, own: Floats, spearman: Floats, permutations: NDArray[np.int32]) -> Floats:
    exceeded = np.zeros(len(spearman))
    for rows in _chunks(len(own), len(permutations)):
        # The margin counts ties that rounding would split.
        exceeded += (np.abs(own[permutations[rows]] @ ranked / len(own)) >= np.abs(spearman) - 1e-12).sum(axis=0)
    # The observed order is one of the permutations, so p is never 0 (Phipson and Smyth).
    return np.asarray((1 + exceeded) / (1 + len(permutations)), dtype=np.float64)


def _resampled(kept: Floats, values: Floats, ranked: Floats, own: Floats, drawn: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Slopes and rank correlations of bootstrap samples of architectures, (R, K) and (R, F)."""
    lines, correlations, count = [], [], len(own)
    for rows in _chunks(count, len(drawn)):
        weights = drawn[rows].astype(np.float64)
        lines.append(_slopes(kept, values, weights))
        mean, mean_own = weights @ ranked / count, (weights @ own / count)[:, None]
        squares = (weights @ ranked**2 / count - mean**2) * ((weights @ own**2 / count)[:, None] - mean_own**2)
        spread = np.sqrt(np.maximum(squares, 0))
        product = weights @ (ranked * own[:, None]) / count - mean * mean_own
        # In a resample with a constant feature, the correlation is undefined.
        correlations.append(np.divide(product, spread, out=np.zeros_like(product), where=spread > 1e-9))
    return np.concatenate(lines), np.concatenate(correlations)


def _slopes(kept: Floats, values: Floats, weights: Floats) -> Floats:
    """Weighted least squares with an intercept, (R, A) weights to (R, K) slopes."""
    design = np.column_stack([np.ones(len(values)), kept])
    width = design.shape[1]
    # All resamples in one matrix product, (R, A) by (A, K²), where K includes the intercept.
    gram = (weights @ (design[:, :, None] * design[:, None, :]).reshape(len(values), -1)).reshape(-1, width, width)
    moment = weights @ (design * values[:, None])
    # The pseudo-inverse, because a resample may contain too few distinct architectures to separate all features.
    return np.asarray((np.linalg.pinv(gram, hermitian=True) @ moment[:, :, None])[:, 1:, 0], dtype=np.float64)


def interaction_explained(
    trials: pd.DataFrame, baseline: str, challenger: str, features: pd.DataFrame | None = None, metric: str = "test_accuracy"
) -> pd.DataFrame:
    """Share of the interaction explained by all features of `interaction_drivers`, on architectures left out of the fit.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm to compare with.
        challenger: label of the other.
        features: as in `interaction_drivers`.
        metric: which accuracy.

    Returns:
        One row per group: `search_space`, `dataset`, `profile`; `variance` of d over architectures, in squared standard deviations
        of noise-free scores; `noise_variance`, what seeds alone give it; `interaction_variance` (their difference, unbiased, so
        possibly negative); `reliability` (interaction_variance / variance); `features` in the joint model; `r_squared_cv` (of
        the joint model, each architecture predicted from the others; negative: worse than their mean); `share_explained`
        (r_squared_cv / reliability: of the interaction without its seed noise, which no feature can explain; of either sign; NaN where
        the interaction is not above the noise); `architectures`, `seeds`. NaN where `interaction_drivers` has no rows.

    Raises:
        UnknownNameError: a label that a group does not hold.
        InputError: the same label twice.
    """
    rows: list[dict[str, object]] = []
    for found in _interactions(trials, baseline, challenger, features, metric):
        row: dict[str, object] = dict.fromkeys(_EXPLAINED, float("nan")) | {"features": 0} | found.row
        if np.isfinite(found.noise_variance):
            variance = float(found.values.var(ddof=1))
            reliability = 1 - found.noise_variance / variance
            row |= {"variance": variance, "noise_variance": found.noise_variance}
            row |= {"interaction_variance": variance - found.noise_variance, "reliability": reliability}
            joint = found.joint() if len(found.features.columns) else []
            if joint:
                explained = _left_out_r_squared(found.features.to_numpy(dtype=np.float64)[:, joint], found.values)
                row |= {"features": len(joint), "r_squared_cv": explained}
                row |= {"share_explained": explained / reliability if reliability > 0 else float("nan")}
        rows.append(row)
    return pd.DataFrame(rows, columns=[*GROUP, *_EXPLAINED, "architectures", "seeds"])


def _left_out_r_squared(kept: Floats, values: Floats) -> float:
    """1 − PRESS / the squared error of the others' mean."""
    design, count = np.column_stack([np.ones(len(values)), _standardise(kept)]), len(values)
    basis = np.linalg.qr(design)[0]
    # Leave-one-out residual = residual / (1 − leverage): no refits; the floor is for a row that alone sets a coefficient.
    errors = (values - basis @ (basis.T @ values)) / np.maximum(1 - (basis**2).sum(axis=1), 1e-9)
    # The error of the mean of the others is n / (n − 1) times the deviation from the mean of all.
    return 1 - float(errors @ errors) / float((((values - values.mean()) * count / (count - 1)) ** 2).sum())

"""Variance components of accuracies: algorithm, architecture, their interaction, and the seed.

The model for a final trial of algorithm m on architecture a with seed s is

    y_mas = mean + algorithm_m + architecture_a + interaction_ma + seed_as + seed_interaction_mas,

a split-plot: algorithms are fixed, architectures are random, and seeds are nested in architectures but paired between algorithms.
The effect of a seed common to all algorithms is `seed`, its effect on a single algorithm `seed_interaction`, which includes a seed that
raises all architectures of an algorithm.

Components are averages of moments, over algorithms and over pairs of them: the covariance of two algorithms' means over architectures
less that of their seed noise is `architecture`; the mean variance of an algorithm's means, less noise and `architecture`, is
`interaction`. For balanced data, these are the estimates of the analysis of variance (and of REML, if none is negative); with missing
trials, every pair uses its common trials. The estimates are unbiased and may be negative, which means that the component cannot be
distinguished from 0.

Following Robertson, `interaction` is split into `interaction_scale`, half the mean squared difference of the algorithms' standard
deviations, and `interaction_order`, the part due to imperfect correlation; only the latter changes a ranking. There are two scales. On the
scale `rank-normal`, each algorithm's accuracies are replaced by normal scores of their ranks, which removes location, spread and shape and
keeps only the ranking; the effect of the algorithms is 0 there by construction.

References:
    R. A. Fisher, Statistical Methods for Research Workers, 1925 (analysis of variance); F. Yates, Complex experiments, Supplement
    to the Journal of the Royal Statistical Society, 1935 (split plots).
    C. R. Henderson, Estimation of variance and covariance components, Biometrics, 1953 (moments of unbalanced data).
    A. Robertson, The sampling variance of the genetic correlation coefficient, Biometrics, 1959 (the split of the interaction).
    S. Weerahandi, Generalized confidence intervals, Journal of the American Statistical Association, 1993.
    R. G. Miller, The jackknife: a review, Biometrika, 1974.
    G. Blom, Statistical Estimates and Transformed Beta-Variables, 1958 (normal scores).
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import scipy.stats
from scipy.special import ndtri

from agd_bench.analysis.scores import GROUP, LEVEL, Floats, describe, paired_scores

FEWEST_ARCHITECTURES = 3
"""Architectures that every two algorithms must share; fewer have no variance worth the name."""
_ORDER = ("algorithm", "architecture", "interaction", "seed", "seed_interaction", "interaction_scale", "interaction_order")
_SHOWN = ("algorithm", "architecture", "interaction", "interaction_scale", "interaction_order", "seed", "seed_interaction")
_COLUMNS = ["scale", "component", "variance", "low", "high", "share", "share_low", "share_high", "architectures", "algorithms", "seeds"]


def variance_components(
    trials: pd.DataFrame, metric: str = "test_accuracy", algorithms: tuple[str, ...] | None = None, draws: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """Variance by source, for accuracies and for their normal scores.

    The intervals of the four random components and of their shares are generalised confidence intervals: each mean square is divided
    by chi-square draws of its degrees of freedom, which are the nominal ones or, if fewer, those that its jackknife over architectures
    implies. In simulations they cover 91 to 99 % where components are equal for
    all algorithms, and 87 to 100 % where one algorithm spreads four times as much; plain bootstrap intervals covered 76 to 98 %.
    The other rows have jackknife t intervals.

    Args:
        trials: the table of trials.
        metric: which accuracy.
        algorithms: labels of the algorithms to decompose; default: all of a group. Two for the interaction of one pair.
        draws: chi-square draws behind the intervals.
        seed: of those draws.

    Returns:
        Rows per group with at least two algorithms: `search_space`, `dataset`, `profile`; `scale` (`accuracy`, or `rank-normal`);
        `component`: `algorithm` (variance of the algorithms' means; on accuracies only), `architecture`, `interaction`,
        `interaction_scale` and `interaction_order` (which sum to `interaction`), `seed`, `seed_interaction`; `variance` (squared
        accuracy, or squared normal score; unbiased, so possibly negative) with `low`, `high` (95 %, cut at 0); `share` of the sum of
        `architecture`, `interaction`, `seed` and `seed_interaction` (negative ones count as 0; of `algorithm`: of the sum with it)
        with `share_low`, `share_high`; `architectures` (with an outcome under some two algorithms), `algorithms`, `seeds`. NaN where
        missing: one seed, all accuracies equal, or fewer than 3 architectures shared by some pair. An algorithm with an
        outcome on fewer than 3 architectures is left out.

    Raises:
        UnknownNameError: a label that a group does not hold.

    >>> rng = np.random.default_rng(0)
    >>> effect = rng.normal(0.5, 0.1, 400)
    >>> rows = [(f"a{a}", s, g, effect[a] + rng.normal(0, 0.05)) for g in ("agd", "sgd") for a in range(400) for s in range(3)]
    >>> trials = pd.DataFrame(rows, columns=["architecture", "seed", "algorithm", "test_accuracy"]).assign(
    ...     search_space="s", dataset="d", profile="p", purpose="final", status="done")
    >>> table = variance_components(trials).query("scale == 'accuracy'").set_index("component")
    >>> table["share"].round(2).to_dict()  # the truth: 0.8 architecture, 0.2 noise of each seed and algorithm alone
    ... # doctest: +NORMALIZE_WHITESPACE
    {'algorithm': 0.0, 'architecture': 0.8, 'interaction': 0.0, 'interaction_scale': 0.0, 'interaction_order': 0.0,
     'seed': 0.0, 'seed_interaction': 0.2}
    """
    tables = []
    for group in paired_scores(trials, metric):
        chosen = range(len(group.algorithms)) if algorithms is None else [group.position(label) for label in algorithms]
        observed = np.asarray((~np.isnan(group.values)).any(axis=2))
        used = [position for position in chosen if observed[position].sum() >= FEWEST_ARCHITECTURES]
        if len(used) < 2:
            continue
        kept = observed[used].sum(axis=0) >= 2
        values = group.values[used][:, kept]
        common = {"architectures": int(kept.sum()), "algorithms": len(used), "seeds": len(group.seeds)}
        # For accuracies, an algorithm that spreads the architectures more widely has an interaction even if it ranks them the same way.
        for scale, scaled in (("accuracy", values), ("rank-normal", normal_scores(values))):
            table = _decompose(scaled, scale, draws, np.random.default_rng(seed))
            tables.append(table.assign(**describe(group.group), **common))
    if not tables:
        return pd.DataFrame(columns=[*GROUP, *_COLUMNS])
    return pd.concat(tables, ignore_index=True)[[*GROUP, *_COLUMNS]]


def normal_scores(values: Floats) -> Floats:
    """Normal scores of each algorithm's accuracies, among all its architectures and seeds (Blom's formula).

    Args:
        values: accuracies, (M, A, S), NaN where missing.

    Returns:
        (M, A, S): for every algorithm of mean 0 and variance almost 1, increasing in accuracy, ties sharing a score; NaN stays.

    >>> normal_scores(np.array([[[0.2], [0.9], [np.nan], [0.4]]])).round(2).tolist()
    [[[-0.87], [0.87], [nan], [0.0]]]
    """
    flat = values.reshape(len(values), -1)
    count = (~np.isnan(flat)).sum(axis=1, keepdims=True)
    ranks = scipy.stats.rankdata(flat, axis=1, nan_policy="omit" if np.isnan(flat).any() else "propagate")  # much faster
    # Blom's constants 3/8 and 1/4; the offset keeps the scores of the first and the last rank finite.
    return np.asarray(ndtri((ranks - 0.375) / (count + 0.25)), dtype=np.float64).reshape(values.shape)


class _Moments:
    """Sums over architectures that determine every component, so leaving out one architecture is a subtraction.

    Attributes:
        terms: eight numbers for each architecture and pair of algorithms, including each with itself, (A, P, 8).
        same: whether a pair is an algorithm with itself, (P,).
        seeds: harmonic mean of the numbers of seeds.
    """

    def __init__(self, values: Floats) -> None:
        mask = ~np.isnan(values)
        count = mask.sum(axis=2)
        # Subtract the overall mean first, so squares of accuracies near 1 keep their digits.
        centred = np.where(mask, values - np.nanmean(values), 0.0)
        means = centred.sum(axis=2) / np.maximum(count, 1)
        residuals = np.where(mask, centred - means[:, :, None], 0.0)
        terms, same = [], []
        for a, b in itertools.combinations_with_replacement(range(len(values)), 2):
            both, shared = (count[a] > 0) & (count[b] > 0), (mask[a] & mask[b]).sum(axis=1)
            x, y = both * means[a], both * means[b]
            # A seed gives all algorithms the same order of images, so residuals of one seed are paired, (A,).
            within = (residuals[a] * residuals[b]).sum(axis=1)
            terms.append([both, x, y, x * y, (x - y) ** 2, within, np.maximum(shared - 1, 0), shared / np.maximum(count[a] * count[b], 1)])
            same.append(a == b)
        self.terms = np.asarray(terms, dtype=np.float64).transpose(2, 0, 1)
        self.same = np.array(same)
        # Noise of a mean is proportional to 1 / seeds, so numbers of seeds average harmonically.
        self.seeds = float(1 / np.mean(1 / count[count > 0]))

    def components(self, sums: Floats) -> Floats:
        """Variances in the order of `_ORDER`, (..., P, 8) to (..., 7)."""
        count, first, second, product, squares, within, freedom, overlap = np.moveaxis(sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # nothing shared, or one seed: the result is missing
            noise = within / freedom
            # Covariance of two algorithms' means over architectures, less that of their seed noise.
            effects = (product - first * second / count) / (count - 1) - noise * overlap / count
            difference = (first - second) / count
            by_chance = (squares / count - difference**2) / (count - 1)
        one, two = self.same, ~self.same
        # A squared difference of means is too large by its own sampling variance.
        algorithm = (difference**2 - by_chance)[..., two].mean(axis=-1) / 2
        architecture, seed = effects[..., two].mean(axis=-1), noise[..., two].mean(axis=-1)
        # A variance is architecture + interaction (seed + own), a covariance of two algorithms the first term alone.
        interaction, own = effects[..., one].mean(axis=-1) - architecture, noise[..., one].mean(axis=-1) - seed
        scale = np.sqrt(np.maximum(effects[..., one], 0)).var(axis=-1, ddof=1)  # half the mean squared difference of any two
        return np.stack([algorithm, architecture, interaction, seed, own, scale, interaction - scale], axis=-1)


def _decompose(values: Floats, scale: str, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """The rows of one group on one scale; on normal scores the algorithms' effect is 0 by construction and has no row."""
    moments = _Moments(values)
    sums = moments.terms.sum(axis=0)
    # Sums minus one term each: all leave-one-out estimates in one call, (A, 7).
    estimate, left_out = moments.components(sums), moments.components(sums - moments.terms)
    if bool((sums[:, 0] < FEWEST_ARCHITECTURES).any()):
        estimate = np.full(len(_ORDER), np.nan)
    if scale == "rank-normal":
        estimate[0], left_out[:, 0] = 0.0, 0.0
    error, freedom = _jackknife_error(left_out), values.shape[1] - 1
    algorithm = estimate[0] + error[0] * rng.standard_t(freedom, (draws, 1))
    drawn = np.column_stack([algorithm, _draw(estimate[1:5], left_out[:, 1:5], values.shape, moments.seeds, draws, rng)])
    half = error[5:] * scipy.stats.t.ppf((1 + LEVEL) / 2, freedom)
    low, high = _ends(drawn)
    # The two parts of the interaction are not linear functions of mean squares, so they have jackknife t intervals.
    low, high = np.r_[low, estimate[5:] - half], np.r_[high, estimate[5:] + half]
    table = pd.DataFrame({"scale": scale, "component": _ORDER, "variance": estimate, "low": low.clip(0), "high": high.clip(0)})
    random, total = drawn[:, 1:].clip(0), estimate[1:5].clip(0).sum()
    with np.errstate(divide="ignore", invalid="ignore"):  # no variation at all
        of_all, of_random = drawn[:, :1].clip(0), random.sum(axis=1, keepdims=True)
        share_low, share_high = _ends(np.column_stack([of_all / (of_all + of_random), random / of_random]))
        algorithm = estimate[:1].clip(0) / (estimate[:1].clip(0) + total)
        share = np.r_[algorithm, estimate[1:5].clip(0) / total]
        share, share_low, share_high = (
            np.r_[first, rest[5:].clip(0, total) / total] for first, rest in ((share, estimate), (share_low, low), (share_high, high))
        )
    table = table.assign(share=share, share_low=share_low, share_high=share_high).set_index("component", drop=False)
    return table.loc[[name for name in _SHOWN if name != "algorithm" or scale == "accuracy"]]


def _jackknife_error(left_out: Floats) -> Floats:
    """Jackknife standard errors from estimates without one architecture each, (A, K) to (K,)."""
    count = len(left_out)
    return np.asarray(np.sqrt((count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)), dtype=np.float64)


def _draw(estimate: Floats, left_out: Floats, shape: tuple[int, ...], seeds: float, draws: int, rng: np.random.Generator) -> Floats:
    """Draws of the four random components from their generalised fiducial distribution, (draws, 4).

    Mean squares of the split-plot are linear in the components; they are drawn independently and converted back by the inverse matrix.
    """
    algorithms, architectures, _ = shape
    m, s = algorithms, seeds
    # Expected mean squares of the split-plot, rows by stratum, columns in the order of the components.
    expected = np.array([[s * m, s, m, 1], [0, s, 0, 1], [0, 0, m, 1], [0, 0, 0, 1]], dtype=np.float64)
    squares = estimate @ expected.T
    error = _jackknife_error(left_out @ expected.T)
    between, within = architectures - 1, max(architectures * (s - 1), 1)
    nominal = np.array([between, between * (m - 1), within, within * (m - 1)])
    with np.errstate(divide="ignore", invalid="ignore"):
        implied = 2 * squares**2 / error**2  # of a scaled chi-square with that variance
    # Long tails or unequal spreads leave fewer degrees of freedom than the design has; fmin ignores NaN.
    freedom = np.fmax(np.fmin(nominal, implied), 1)
    return np.asarray((squares * freedom / rng.chisquare(freedom, (draws, 4))) @ np.linalg.inv(expected).T, dtype=np.float64)


def _ends(drawn: Floats) -> tuple[Floats, Floats]:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high

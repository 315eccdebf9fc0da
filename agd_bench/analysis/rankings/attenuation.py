"""Agreement of the true rankings, freed of seed noise: Spearman's correction for attenuation in a model of latent scores.

Each algorithm's accuracies become normal scores (`variance.normal_scores`), and a score is taken as a true score of the architecture
plus seed noise. Covariances over architectures between disjoint seeds are those of the true scores, so

    rho_ab = cov(a, b) / sqrt(cov(a, a) cov(b, b)),    tau = 2 / pi arcsin(rho_ab),

the correlation of true scores, carried to tau by Greiner's relation.

References:
    C. Spearman, The proof and measurement of association between two things, American Journal of Psychology, 1904.
    W. H. Kruskal, Ordinal measures of association, Journal of the American Statistical Association, 1958 (Greiner's relation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agd_bench.analysis.scores import Floats


def covariances(first: Floats, second: Floats, weights: NDArray[np.int32]) -> Floats:
    """Weighted covariances over architectures between the scores of disjoint seeds.

    Args:
        first: scores over one half of the seeds, (M, n).
        second: scores over the other half, (M, n).
        weights: how often each resample holds each architecture, (R, n).

    Returns:
        (R, M, M), symmetric: the mean of both assignments of the halves.

    >>> one, two = np.array([[0.0, 2.0, 4.0]]), np.array([[1.0, 1.0, 5.0]])
    >>> covariances(one, two, np.array([[1, 1, 1], [1, 0, 1]], dtype=np.int32)).ravel().round(6).tolist()
    [2.666667, 4.0]
    """
    # Divided by n, not n − 1: the factor n / (n − 1) drops out of every ratio. An empty resample gives 0 instead of a division by 0.
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    products = (first[:, None] * second[None, :]).reshape(-1, first.shape[1])
    both = (share @ products.T).reshape(len(weights), len(first), len(second))
    # No noise term to subtract: the halves share no seed, so noise adds nothing on average, even if two algorithms share it through a seed.
    cross = both - (share @ first.T)[:, :, None] * (share @ second.T)[:, None, :]
    # Which half is called the first is arbitrary; the mean of both makes the matrix symmetric.
    return np.asarray((cross + np.swapaxes(cross, 1, 2)) / 2, dtype=np.float64)


def variances(scores: Floats, weights: NDArray[np.int32]) -> Floats:
    """Weighted variances over architectures, divided by their number as the covariances are.

    Args:
        scores: (M, n).
        weights: how often each resample holds each architecture, (R, n).

    Returns:
        (R, M).
    """
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1)
    return np.asarray(share @ (scores**2).T - (share @ scores.T) ** 2, dtype=np.float64)


def true_correlations(between: Floats, offset: Floats | float = 0.0) -> Floats:
    """Correlations of true scores, not clipped to [-1, 1].

    Args:
        between: covariances between disjoint seeds, (..., M, M).
        offset: by how much the covariance of equal true rankings differs from the geometric mean of both algorithms' own, (M, M).

    Returns:
        (..., M, M); NaN with an algorithm whose seeds do not agree at all (a covariance with itself of 0 or less).

    >>> true_correlations(np.array([[0.8, 0.4], [0.4, 0.5]])).round(3).tolist()
    [[1.0, 0.632], [0.632, 1.0]]
    """
    own = np.diagonal(between, axis1=-2, axis2=-1)
    # A covariance of 0 up to rounding would blow up the ratio: NaN says that nothing can be corrected.
    spread = np.sqrt(np.where(own > 1e-12, own, np.nan))
    # Not clipped: noise can push the estimate above 1, and quantiles over resamples need those values.
    return np.asarray(between / (spread[..., :, None] * spread[..., None, :] + offset), dtype=np.float64)

"""Test of the null hypothesis that two algorithms rank the architectures alike except for seed noise.

Let D_is be the difference between the two algorithms' scores of architecture i with seed s, each algorithm's scores scaled so that seeds
share the same variance under both. Without a shift the true scores cancel and D_is is noise: its products over different seeds,
D_is D_it, have mean 0, **however noisy each architecture is** under either algorithm. A shift makes them positive.

For symmetric noise the signs of all D_is are then exchangeable too, so the null distribution of the mean product follows from random
signs. Nothing is fitted. Products are weighted by 1 / (`EVEN` m + d_i), with d_i the mean square of architecture i's differences
and m the median of those, so that the noisiest architectures do not decide. Signs leave the weights as they are.

The true scores of equal rankings cancel only if they are related as the differences suppose: by a straight line, or, unless the
data are few (`FEWEST_FOR_CURVE`), by a parabola, whose curvature different seeds estimate without bias too. No scale ensures that:
normal scores undo any monotone distortion, but noise that is larger under one of the algorithms tears its clusters apart; accuracies
keep clusters, but one algorithm may spread them otherwise than the other. `shift_p` is therefore the larger of the p-values on both
scales, so it holds if either does. `shift_p_one_scale` is the smaller one; where only that is small, the two disagree and the data
cannot tell. Both are doubled if one algorithm is much noisier than the other (`FAR_APART`).

What was tried, and how often each version rejects: `analysis/README.md` and `tests/performance/README.md`.

References:
    A. Robertson, The sampling variance of the genetic correlation coefficient, Biometrics, 1959 (the interaction as half the variance of
        standardised differences).
    R. A. Fisher, The Design of Experiments, 1935, section 21 (random signs).
    R. L. Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics, 1982 (the larger p-value is valid).
    D. Freedman, D. Lane, A nonstochastic interpretation of reported significance levels, Journal of Business & Economic Statistics, 1983
        (randomising residuals).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.rankings.seed_splits import halves, subset_size
from agd_bench.analysis.scores import Floats
from agd_bench.analysis.variance import normal_scores

FEWEST_FOR_CURVE = 20
"""Of n (S − 1), n architectures with S seeds: with fewer, a curvature costs more power than it saves rejections."""
EVEN = 5.0
"""How evenly products are weighted; sizes and powers hardly depend on it between 3 and 6."""
OUTLYING = 2.0
"""An architecture with more than so many times its share of the scores' variance, per number that is fitted, draws the fit to itself."""
MOST_OUTLYING = 0.6
EQUAL = 1e-9
LEAST_COVARIANCE = 0.02
"""Of an algorithm's scores between seeds: with less signal than that, scaling by it would only multiply noise."""
FAR_APART = 10.0
"""Ratio of noise variances, relative to the variances of true scores, beyond which p-values are doubled: no scale and no parabola relates
clusters well under noise that is so unequal, and 7 to 12 % of equal rankings were rejected in 7 of 35 simulated designs with noise 5:1."""
LEAST_RELIABILITY = 0.05
"""Of the squared scores: a curvature that seeds agree on less is taken for that much less."""
LEAST_LEFT = 0.5
"""Of a shift after the fit, for two or three architectures."""
# Draws of signs that are multiplied at a time.
BATCH = 100


@dataclass(frozen=True)
class _Block:
    """Architectures that are compared together, and how much each pair of their seeds counts.

    Attributes:
        chosen: positions of the architectures, (k,).
        pairs: weights of the pairs of seeds; over all blocks they sum to 1.
    """

    chosen: NDArray[np.intp]
    pairs: dict[tuple[int, int], float]


class Interaction:
    """Half the variance of the differences between every two algorithms, freed of noise, and a test of 'it is 0'.

    Attributes:
        variance: of both scales, (2, M, M); 0 on average without a shift, and 0 of an algorithm with itself.
    """

    def __init__(self, values: Floats, diverged: NDArray[np.bool_], subset: str) -> None:
        """Form the differences.

        Args:
            values: accuracies in [0, 1], (M, n, S), none missing.
            diverged: where a trial diverged, (M, n, S).
            subset: `all` or `top-decile`.
        """
        self.shape = values.shape
        self.first, self.second = np.array(list(itertools.combinations(range(len(values)), 2)), dtype=np.intp).reshape(-1, 2).T
        self.size = subset_size(values.shape[1], subset)
        # A ratio of scales, and the curvature.
        self.fitted = 1 if self.size * (values.shape[2] - 1) < FEWEST_FOR_CURVE else 2
        self.blocks = _blocks(values, diverged, subset)
        scores = score_scales(values, diverged)
        self.tied: NDArray[np.bool_] = np.all(scores == 0, axis=(2, 3))
        # Of each block (2, M, k, S).
        self.centred = [held - held.mean(axis=2, keepdims=True) for held in (scores[:, :, block.chosen] for block in self.blocks)]
        # Variances that different seeds share, (2, M).
        own = [[self._covariance(one, one) for one in map(list, zip(*scale, strict=True))] for scale in zip(*self.centred, strict=True)]
        self.own = np.maximum(np.array(own), LEAST_COVARIANCE)
        # Of each block (2, P, k, S).
        self.differences = self._all_differences()
        self.variance = self._symmetric(self._unfitted(self._products().mean(axis=2, keepdims=True))[..., 0])

    def _unfitted(self, products: Floats) -> Floats:
        """Half of mean products, (2, P, k), with what the fit takes from noise and shift put back."""
        noise = np.mean([each.var(axis=3, ddof=1).mean(axis=2) for each in self.differences], axis=0)
        lost = self.fitted * noise / (self.size * self.shape[2])
        # Degrees of freedom, as for the residuals of a regression: each fitted number follows the shift too.
        left = max(1 - self.fitted / (self.size - 1), LEAST_LEFT)
        return np.asarray((products + lost[:, :, None]) / (2 * left), dtype=np.float64)

    def left_out(self) -> Floats:
        """The variance without each of the architectures, (2, n, M, M)."""
        products = self._products()
        mean = products.mean(axis=2, keepdims=True)
        # Scale and curvature minimise the variance, so leaving one architecture out moves it by them in the second order only.
        without = mean + (mean - products) / (self.size - 1)
        return np.moveaxis(self._symmetric(self._unfitted(without)), 3, 1)

    def p_values(self, draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """One-sided p-values of 'no shift beyond noise', the larger and the smaller of both scales, (M, M) each; NaN where all are tied.

        Args:
            draws: draws of signs.
            rng: draws them.
        """
        # The same for all pairs, so that one product of matrices serves them all.
        signs = (2 * rng.integers(0, 2, (draws, *self.shape[1:]), dtype=np.int8) - 1).astype(np.int8)
        shape = (2, len(self.first))
        seen, size, null = np.zeros(shape), np.zeros(shape), np.zeros((draws, *shape))
        for block, centred, differences in zip(self.blocks, self.centred, self.differences, strict=True):
            weight, inflation = _weights(differences), _inflation(centred, self.fitted)
            heavier = weight * np.maximum(inflation[:, self.first], inflation[:, self.second])
            seen += sum(block.pairs.values()) * self.fitted * _lost_by_fitting(differences) * weight.sum(axis=2)
            for (one, two), share in block.pairs.items():
                products = share * differences[..., one] * differences[..., two]
                seen += (weight * products).sum(axis=2)
                size += np.abs(heavier * products).sum(axis=2)
                columns = (heavier * products).reshape(2 * len(self.first), len(block.chosen)).T.astype(np.float32)
                for start in range(0, draws, BATCH):
                    drawn = signs[start : start + BATCH, block.chosen]
                    signed = (drawn[..., one] * drawn[..., two]).astype(np.float32) @ columns
                    null[start : start + BATCH] += signed.reshape(len(drawn), *shape)
        # 1 + …: the data are a draw too, so p is above 0. The tolerance covers single precision.
        p = (1 + (null >= seen - 1e-6 * size).sum(axis=0)) / (1 + draws)
        p = np.where(self._far_apart(), np.minimum(2 * p, 1), p)
        found = self._symmetric(np.where(self.tied[:, self.first] | self.tied[:, self.second], np.nan, p))
        found[:, np.arange(self.shape[0]), np.arange(self.shape[0])] = np.nan
        return found.max(axis=0), found.min(axis=0)

    def _far_apart(self) -> NDArray[np.bool_]:
        """Pairs of which one algorithm is much noisier than the other, (2, P)."""
        noise = np.mean([each.var(axis=3, ddof=1).mean(axis=2) for each in self.centred], axis=0)
        relative = np.maximum(noise, EQUAL) / self.own
        ratio = relative[:, self.first] / relative[:, self.second]
        return np.asarray(np.maximum(ratio, 1 / ratio) > FAR_APART)

    def _all_differences(self) -> list[Floats]:
        found = [np.empty((2, len(self.first), *centred.shape[2:])) for centred in self.centred]
        for scale in (0, 1):
            for pair, (a, b) in enumerate(zip(self.first, self.second, strict=True)):
                one, two = ([each[scale, algorithm] for each in self.centred] for algorithm in (a, b))
                parts = self._difference(one, two, (self.own[scale, a], self.own[scale, b]))
                for array, part in zip(found, parts, strict=True):
                    array[scale, pair] = part
        return found

    def _difference(self, one: list[Floats], two: list[Floats], own: tuple[float, float]) -> list[Floats]:
        """What is left of two algorithms' scores, (k, S) of each block, when one is fitted to the other."""
        # Fourth root: scaled by it, both algorithms' scores have the variance sqrt(own_a own_b).
        ratio = (own[1] / own[0]) ** 0.25
        found = [a * ratio - b / ratio for a, b in zip(one, two, strict=True)]
        if self.fitted == 1:
            return found
        # The shape shows best where seeds agree most.
        clear, agreed = (one, own[0]) if own[0] > own[1] else (two, own[1])
        squares = [each**2 - (each**2).mean(axis=0) for each in clear]
        slope = self._covariance(squares, clear) / agreed
        curve = [square - slope * each for square, each in zip(squares, clear, strict=True)]
        least = LEAST_RELIABILITY * np.mean([(each**2).mean() for each in curve])
        bend = self._covariance(found, curve) / max(self._covariance(curve, curve), least, EQUAL)
        return [each - bend * each_curve for each, each_curve in zip(found, curve, strict=True)]

    def _covariance(self, one: list[Floats], two: list[Floats]) -> float:
        """Covariance over architectures between different seeds."""
        total = 0.0
        for block, a, b in zip(self.blocks, one, two, strict=True):
            for (s, t), share in block.pairs.items():
                total += share * float(a[:, s] @ b[:, t] + a[:, t] @ b[:, s]) / (2 * len(a))
        return total

    def _products(self) -> Floats:
        """Products of differences over different seeds, summed over the blocks, (2, P, n): their mean over n is that of the blocks."""
        found = np.zeros((2, len(self.first), self.shape[1]))
        for block, differences in zip(self.blocks, self.differences, strict=True):
            for (one, two), share in block.pairs.items():
                found[:, :, block.chosen] += share * differences[..., one] * differences[..., two] * self.shape[1] / len(block.chosen)
        return found

    def _symmetric(self, pairs: Floats) -> Floats:
        """Values of pairs, (2, P, ...), as (2, M, M, ...)."""
        found = np.zeros((2, self.shape[0], self.shape[0], *pairs.shape[2:]))
        found[:, self.first, self.second] = found[:, self.second, self.first] = pairs
        return found


def score_scales(values: Floats, diverged: NDArray[np.bool_]) -> Floats:
    """The two scales on which rankings are compared, each of variance 1: normal scores, and accuracies.

    Args:
        values: accuracies in [0, 1], (M, n, S), none missing.
        diverged: where a trial diverged, (M, n, S).

    Returns:
        (2, M, n, S); scores are 0 where all accuracies are equal.

    >>> score_scales(np.array([[[0.2], [0.3], [0.7]]]), np.zeros((1, 3, 1), dtype=bool)).round(2).squeeze().tolist()
    [[-1.22, 0.0, 1.22], [-0.93, -0.46, 1.39]]
    """
    # Seed by seed: ranks among all seeds would make two seeds of one architecture depend on each other.
    normal = normal_scores(np.moveaxis(values, 2, 1).reshape(-1, values.shape[1], 1))
    ranked = np.moveaxis(normal.reshape(len(values), values.shape[2], values.shape[1]), 1, 2)
    # At 0 a diverged trial would outweigh all others; it counts as the lowest accuracy that was reached.
    lowest = np.where(diverged, np.inf, values).min(axis=(1, 2), keepdims=True)
    reached = np.where(diverged, np.where(np.isfinite(lowest), lowest, 0.0), values)
    found = np.stack([ranked, reached])
    found = found - found.mean(axis=(2, 3), keepdims=True)
    spread = found.std(axis=(2, 3), keepdims=True)
    return np.asarray(np.divide(found, spread, out=np.zeros_like(found), where=spread > EQUAL), dtype=np.float64)


def _blocks(values: Floats, diverged: NDArray[np.bool_], subset: str) -> list[_Block]:
    """All architectures with every pair of seeds, or what each split of the seeds selects, with the pairs between its halves."""
    _, count, seeds = values.shape
    if subset == "all":
        pairs = list(itertools.combinations(range(seeds), 2))
        return [_Block(np.arange(count), dict.fromkeys(pairs, 1 / len(pairs)))]
    splits = list(halves(values, diverged, subset, subset_size(count, subset)))
    found = []
    for first, second, chosen in splits:
        pairs = list(itertools.product(first, second))
        found.append(_Block(np.asarray(chosen), dict.fromkeys(pairs, 1 / (len(pairs) * len(splits)))))
    return found


def _weights(differences: Floats) -> Floats:
    """Weights of the architectures, from differences (2, P, k, S); signs do not change them."""
    squares = (differences**2).mean(axis=3)
    return np.asarray(1 / np.maximum(EVEN * np.median(squares, axis=2, keepdims=True) + squares, EQUAL), dtype=np.float64)


def _inflation(centred: Floats, fitted: int) -> Floats:
    """By how much the products of outlying architectures are larger than their residuals show, (2, M, k), 1 for all others."""
    squares = (centred**2).mean(axis=3)
    share = squares / np.maximum(squares.sum(axis=2, keepdims=True), EQUAL)
    # As a leverage in regression: what is fitted follows such an architecture, which makes its differences too small.
    return np.asarray(1 / (1 - np.clip(share - OUTLYING / (fitted * squares.shape[2]), 0.0, MOST_OUTLYING)), dtype=np.float64)


def _lost_by_fitting(differences: Floats) -> Floats:
    """How much smaller each fitted number makes the mean product, (2, P): noise variance / (k S)."""
    count, seeds = differences.shape[2:]
    own = np.median(differences.var(axis=3, ddof=1), axis=2)
    # A chi-square's median lies below its mean. The median keeps a few noisy architectures from deciding.
    return np.asarray(own * (seeds - 1) / scipy.stats.chi2.ppf(0.5, seeds - 1) / (count * seeds), dtype=np.float64)

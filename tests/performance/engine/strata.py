"""Extrapolate from a few architectures to a search space: a sample stratified by FLOPs, and a total with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats
from torch import nn

from agd_bench import cost
from agd_bench.errors import InputError
from search_spaces import nas_bench_201

Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Sample:
    """Architectures drawn from strata of a population.

    Attributes:
        chosen: indices of the architectures in the population, ordered by stratum.
        strata: stratum of each, from 0.
        sizes: number of members of each stratum in the population.
    """

    chosen: tuple[int, ...]
    strata: tuple[int, ...]
    sizes: tuple[int, ...]


class Total(NamedTuple):
    """A total over a population, with a confidence interval."""

    value: float
    low: float
    high: float


def forward_flops(architectures: list[str], image_size: int, channels: int, cells: int) -> Numbers:
    """Return the FLOPs of one image's forward pass (2 per multiply-add), over all operations in the architecture string.

    Only three networks are counted, since a convolution adds the same FLOPs at every position in the cell.
    """
    skip, one, three = "skip_connect", "nor_conv_1x1", "nor_conv_3x3"

    def counted(operation: str) -> int:
        path = f"|{operation}~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
        network: nn.Module = nas_bench_201.build(path, 3, 10, channels=channels, cells=cells).to("meta")
        flops = cost.count_flops(network, torch.zeros(2, 3, image_size, image_size, device="meta"))
        if flops.forward is None:
            raise ValueError(f"the FLOPs of {path!r} are not counted: {flops.reason}")
        return flops.forward

    base = counted(skip)
    extra = {one: counted(one) - base, three: counted(three) - base}
    return np.array([base + sum(extra.get(name, 0) for name in nas_bench_201.operations_of(given)) for given in architectures], float)


def stratified(flops: Numbers, strata: int, each: int, rng: np.random.Generator) -> Sample:
    """Draw `each` architectures from each of `strata` strata of about equal size, by ascending FLOPs.

    Raises:
        InputError: fewer than one stratum or two architectures per stratum, or more architectures than there are.
    """
    if strata < 1 or each < 2 or strata * each > len(flops):
        raise InputError(f"{strata} strata of {each} architectures: give at least 1 and 2, and no more than the {len(flops)} there are")
    parts = np.array_split(np.argsort(flops, kind="stable"), strata)
    chosen = [int(number) for part in parts for number in rng.choice(part, each, replace=False)]
    return Sample(tuple(chosen), tuple(np.repeat(np.arange(strata), each).tolist()), tuple(len(part) for part in parts))


def total(sample: Sample, measured: Numbers, flops: Numbers, level: float = 0.95) -> Total:
    """Estimate the sum of a quantity over the population, by stratified regression.

    A straight line in FLOPs is fitted to the sample and summed over the population, and corrected by the mean residuals of the strata. The
    interval is computed from the residuals' variance within strata, with Student's t, for the logarithm of the total.

    Args:
        sample: the drawn architectures.
        measured: the quantity of each drawn architecture, above 0, in the sample's order.
        flops: FLOPs of the whole population.
        level: confidence level, in (0, 1).

    References:
        William G. Cochran: Sampling Techniques, third edition, 1977, sections 5.4 and 7.10 (combined regression estimate).
    """
    strata, drawn = np.array(sample.strata), flops[list(sample.chosen)]
    weights = np.array(sample.sizes)[strata] / np.bincount(strata)[strata]
    slope, offset = np.polyfit(drawn, measured, 1, w=np.sqrt(weights)) if np.ptp(drawn) > 0 else (0.0, float(measured.mean()))
    residuals = measured - (offset + slope * drawn)
    value = float((offset + slope * flops).sum() + (weights * residuals).sum())
    variance = 0.0
    for number, size in enumerate(sample.sizes):
        own = residuals[strata == number]
        variance += size**2 * (1 - len(own) / size) * own.var(ddof=1) / len(own)
    freedom = max(1, len(measured) - len(sample.sizes) - 1)
    # logarithmic scale, so that no bound of a positive quantity is negative
    reach = float(np.exp(stats.t.ppf(0.5 + level / 2, freedom) * variance**0.5 / value))
    return Total(value, value / reach, value * reach)

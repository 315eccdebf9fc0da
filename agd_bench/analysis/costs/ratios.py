"""What one algorithm was charged as a multiple of another, on the same architectures.

References:
    W. G. Cochran, Sampling Techniques, 3rd edition, Wiley, 1977, chapter 6 (ratio estimators).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from agd_bench.analysis.intervals import mean_interval
from agd_bench.analysis.rows import Tables
from agd_bench.analysis.scores import Floats


class CostRatio(NamedTuple):
    """Charges of two algorithms summed over the architectures that both have a rank for.

    Attributes:
        ours: the challenger's sum; NaN where an architecture lacks the figure.
        theirs: the baseline's.
        ratio: ours / theirs.
        low: lower end of its 95 % interval; NaN: none.
        high: upper end.
        n: architectures.
    """

    ours: float = math.nan
    theirs: float = math.nan
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0


def cost_ratio(tables: Tables, baseline: str, challenger: str, column: str = "flops") -> CostRatio:
    """The challenger's charges over the baseline's, tuning included.

    Only architectures count that both trained from every seed.

    Args:
        tables: one group's rows of `ranks`, `cost_by_architecture` and, where there is one, `lanes`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        column: `flops` or `charged_seconds`; seconds of shared and of own devices have no ratio.
    """
    # Rows of `lanes` mean that some seconds were measured on shared devices and others not.
    if column == "charged_seconds" and len(tables.get("lanes", ())):
        return CostRatio()
    ranks, cost = tables["ranks"], tables["cost_by_architecture"]
    charges = []
    for label in (challenger, baseline):
        ended = ranks.loc[ranks["algorithm"] == label, "architecture"]
        rows = cost[cost["algorithm"] == label].set_index("architecture")[column]
        charges.append(rows.reindex(ended).astype(float))
    # Inner join: an algorithm that fails on half of the architectures is not cheaper for it.
    both = pd.concat(charges, axis=1, join="inner").to_numpy(dtype=np.float64)
    return ratio_of(both[:, 0], both[:, 1])


def ratio_of(values: Floats, divisors: Floats) -> CostRatio:
    """Sum of `values` over the sum of `divisors`, with a t interval of the linearised ratio over the pairs.

    Args:
        values: one per architecture, (A,).
        divisors: one per architecture, (A,).
    """
    if len(values) == 0 or not np.isfinite(divisors).all() or not np.isfinite(values).all() or divisors.sum() <= 0:
        return CostRatio(n=len(values))
    ratio = float(values.sum() / divisors.sum())
    # Cochran's linearisation: the residual over the mean divisor is each pair's influence on the ratio.
    low, high = mean_interval(ratio + (values - ratio * divisors) / divisors.mean())
    return CostRatio(float(values.sum()), float(divisors.sum()), ratio, low, high, len(values))

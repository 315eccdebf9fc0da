"""Corrections for several tests at once.

References:
    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics, 1979.
"""

from __future__ import annotations

import numpy as np

from agd_bench.analysis.scores import Floats

ALPHA = 0.05
"""Probability, over all tests of a family, of calling any difference real that is not."""


# scipy has no Holm correction, and importing statsmodels for it takes as long as importing scipy.stats.
def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values.

    Args:
        p: p-values of one family of tests, (K,).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    # The running maximum keeps adjusted p-values in the order of the raw ones (step-down).
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(0, 1)
    return adjusted

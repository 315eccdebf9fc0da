"""What moderated variances (limma) are computed with.

References:
    G. K. Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray experiments,
        Statistical Applications in Genetics and Molecular Biology, 2004.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.special

LARGEST = 1e6
"""Prior degrees of freedom beyond which variances are equal for every practical purpose."""


def inverse_trigamma(value: float) -> float:
    """The x > 0 at which trigamma is `value` (Smyth 2004, appendix); x is kept within 1 / `LARGEST` and `LARGEST`.

    >>> round(inverse_trigamma(float(scipy.special.polygamma(1, 2.5))), 9)
    2.5
    """
    lowest, highest = (float(scipy.special.polygamma(1, end)) for end in (LARGEST, 1 / LARGEST))
    if not lowest < value < highest:  # trigamma falls
        return LARGEST if value <= lowest else 1 / LARGEST
    # In the logarithm, because x spans twelve orders of magnitude.
    log = float(np.log(LARGEST))
    return float(np.exp(scipy.optimize.brentq(lambda x: scipy.special.polygamma(1, np.exp(x)) - value, -log, log, xtol=1e-13)))

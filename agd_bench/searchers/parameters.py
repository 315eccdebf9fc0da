"""Train architectures in order of their number of parameters, largest first: the baseline for zero-cost scores.

References:
    X. Ning et al., "Evaluating Efficient Performance Estimators of Neural Architectures", NeurIPS 2021 (parameters and FLOPs as scores).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agd_bench.searchers.zero_cost import Search, ranked
from agd_bench.searchers.zero_cost import ask as ask
from agd_bench.searchers.zero_cost import tell as tell

PAPER = "Ning et al. 2021, arXiv 2008.03064"


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Rank all architectures by parameters; ties at random."""
    return ranked(space, ("parameters",), rng)

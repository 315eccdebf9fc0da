"""Optuna's tree-structured Parzen estimator with its default settings.

References:
    J. Bergstra, R. Bardenet, Y. Bengio and B. Kégl, "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011.
    T. Akiba, S. Sano, T. Yanase, T. Ohta and M. Koyama, "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers import TPESampler

from agd_bench.searchers._optuna import Search, begin
from agd_bench.searchers._optuna import ask as ask
from agd_bench.searchers._optuna import tell as tell

PACKAGES = ("optuna",)
EXTRA = "train"
PAPER = "Bergstra et al. 2011 (NeurIPS)"


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Create a study with a seed drawn from `rng`."""
    return begin(space, TPESampler(seed=int(rng.integers(2**32))))

"""An elitist genetic algorithm with uniform crossover: Optuna's NSGA-II with one objective and a population of 20.

References:
    K. Deb, A. Pratap, S. Agarwal and T. Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE Transactions on
    Evolutionary Computation 6 (2), 2002.
    T. Akiba, S. Sano, T. Yanase, T. Ohta and M. Koyama, "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers import NSGAIISampler

from agd_bench.searchers._optuna import Search, begin
from agd_bench.searchers._optuna import ask as ask
from agd_bench.searchers._optuna import tell as tell

PACKAGES = ("optuna",)
EXTRA = "train"
PAPER = "Deb et al. 2002 (IEEE TEC)"
SETTINGS = {"population": 20}
"""With Optuna's default of 50, a search of a hundred trainings would have only two generations."""


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Create a study with a seed drawn from `rng`."""
    return begin(space, NSGAIISampler(population_size=SETTINGS["population"], seed=int(rng.integers(2**32))))

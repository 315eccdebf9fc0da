"""Successive halving over the budgets of a table: brackets that start with the smallest budget, one after the other.

The best 1/r of each rung are promoted to the next budget, which is r times as long; budgets lie at least a factor of eta apart.

References:
    K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016.
    L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh and A. Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization", JMLR 18, 2018 (eta = 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from agd_bench.searchers._brackets import Search, bracket, thinned
from agd_bench.searchers._brackets import ask as ask
from agd_bench.searchers._brackets import tell as tell

PAPER = "Jamieson & Talwalkar 2016, arXiv 1502.07943"
SETTINGS = {"eta": 3}


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start; each bracket ends with one architecture at the largest budget."""
    search = Search(space, rng)
    search.rungs = _rungs(search)
    return search


def _rungs(search: Search) -> Iterator[list[tuple[str, int]]]:
    budgets = thinned(search.space.epochs, SETTINGS["eta"])
    while True:
        yield from bracket(search, budgets[-1] // budgets[0], budgets)

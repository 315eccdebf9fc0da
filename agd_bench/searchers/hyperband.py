"""Hyperband over the budgets of a table: brackets of successive halving that start with each budget in turn.

References:
    L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh and A. Talwalkar, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
    Optimization", JMLR 18, 2018, algorithm 1 (eta = 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from agd_bench.searchers._brackets import Search, bracket, thinned
from agd_bench.searchers._brackets import ask as ask
from agd_bench.searchers._brackets import tell as tell

PAPER = "Li et al. 2018, arXiv 1603.06560"
SETTINGS = {"eta": 3}


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start with the bracket of all budgets."""
    search = Search(space, rng)
    search.rungs = _rungs(search)
    return search


def _rungs(search: Search) -> Iterator[list[tuple[str, int]]]:
    budgets = thinned(search.space.epochs, SETTINGS["eta"])
    count = len(budgets)
    while True:
        for first in range(count):
            # Algorithm 1: n = ceil((s_max + 1) / (s + 1) eta^s), with s + 1 rungs, and eta^s the ratio of last to first budget.
            drawn = math.ceil(count / (count - first) * budgets[-1] / budgets[first])
            yield from bracket(search, drawn, budgets[first:])

"""Predictor-guided search after BANANAS: train the most promising candidates according to an ensemble fitted to all earlier results.

Candidates are mutations of the best architectures so far. Independent Thompson sampling ranks them by a draw from a normal
distribution with the mean and the deviation of the ensemble. BANANAS has five neural networks on a path encoding; this method uses the
trees of a random forest on one-hot words of the string, which applies to every search space and is faster.

References:
    C. White, W. Neiswanger and Y. Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture Search", AAAI
    2021.
    L. Breiman, "Random Forests", Machine Learning 45, 2001.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

PACKAGES = ("sklearn",)
EXTRA = "train"
PAPER = "after White et al. 2021, arXiv 1910.11858"
SETTINGS = {"initial": 10, "batch": 10, "parents": 10, "candidates": 100, "trees": 20}
"""Initial random architectures, trainings between two fits and the number of candidates are BANANAS' own."""


@dataclass
class Search:
    """State of a search: accuracies by architecture, and architectures waiting to be trained."""

    space: Any
    rng: np.random.Generator
    seen: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start without results."""
    return Search(space, rng)


def ask(search: Search) -> str:
    """Return random architectures at first, then the next one of the current batch."""
    if len(search.seen) < min(SETTINGS["initial"], len(search.space.architectures)):
        architecture: str = search.space.sample(search.rng)
        return architecture
    if not search.waiting:
        search.waiting = _batch(search)
    return search.waiting.pop()


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Store the result."""
    search.seen[architecture] = accuracy


def _batch(search: Search) -> list[str]:
    """Return the most promising candidates, the best last; random architectures if all candidates have been trained."""
    space, rng = search.space, search.rng
    parents = sorted(search.seen, key=lambda name: -search.seen[name])[: SETTINGS["parents"]]
    drawn = [space.mutate(parents[place], rng) for place in rng.integers(len(parents), size=SETTINGS["candidates"]).tolist()]
    candidates = [name for name in dict.fromkeys(drawn) if name not in search.seen]
    if not candidates:
        return [space.sample(rng)]
    forest = RandomForestRegressor(SETTINGS["trees"], random_state=int(rng.integers(2**31)))
    forest.fit(_encoded(space, list(search.seen)), list(search.seen.values()))
    encoded = _encoded(space, candidates)
    trees = np.stack([tree.predict(encoded) for tree in forest.estimators_])
    order = np.argsort(rng.normal(trees.mean(axis=0), trees.std(axis=0)))
    return [candidates[place] for place in order[-SETTINGS["batch"] :].tolist()]


def _encoded(space: Any, names: list[str]) -> NDArray[np.float32]:
    """One-hot choices of each variable, (names, total choices)."""
    sizes = [len(choices) for choices in space.variables]
    begins = np.cumsum([0, *sizes[:-1]])
    encoded = np.zeros((len(names), max(1, sum(sizes))), dtype=np.float32)
    for row, name in enumerate(names):
        encoded[row, begins[: len(sizes)] + np.array(space.choices(name), dtype=np.int64)] = 1
    return encoded

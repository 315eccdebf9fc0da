"""Local search: train the neighbours of the best architecture, move to the first better one, restart if there is none.

References:
    C. White, S. Nolen and Y. Savani, "Exploring the Loss Landscape in Neural Architecture Search", UAI 2021 (there all neighbours are
    trained before each move; the first better one is their variant `query until lower`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

PAPER = "White et al. 2021, arXiv 2005.02960"


@dataclass
class Search:
    """State of a search: the current architecture with its accuracy, the neighbours still to be trained, and all trained architectures."""

    space: Any
    rng: np.random.Generator
    accuracy: float = -1.0
    untried: list[str] = field(default_factory=list)
    trained: set[str] = field(default_factory=set)


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start without a current architecture."""
    return Search(space, rng)


def ask(search: Search) -> str | None:
    """Return an untrained neighbour; at a local optimum, a random architecture; None if all are trained."""
    if len(search.trained) == len(search.space.architectures):
        return None
    while search.untried:
        architecture = search.untried.pop()
        if architecture not in search.trained:
            return architecture
    search.accuracy = -1.0
    while (architecture := search.space.sample(search.rng)) in search.trained:
        pass
    return architecture


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Move if the architecture is better than the current one."""
    search.trained.add(architecture)
    if accuracy > search.accuracy:
        near = search.space.neighbours(architecture)
        search.accuracy = accuracy
        search.untried = [near[place] for place in search.rng.permutation(len(near)).tolist()]

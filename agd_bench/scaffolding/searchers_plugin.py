"""TEMPLATE_NAME: hill climbing. (Say in this line how your method searches.)

References:
    The author of this file, TEMPLATE_YEAR. (Cite the paper of your method.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SETTINGS = {"restart": 0.1}  # probability of a random architecture instead of a neighbour


@dataclass
class Search:
    """What one search remembers; all of it is here, since searches run side by side."""

    space: Any
    rng: np.random.Generator
    best: tuple[float, str] | None = None


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Begin a search.

    Args:
        space: `space.architectures`, `space.sample(rng)`, `space.neighbours(architecture)`, `space.mutate(architecture, rng)`,
            `space.variables`, `space.epochs` (budgets of a training), `space.scores` (zero-cost scores).
        budget_seconds: simulated; the search is stopped when it is spent.
        rng: the only source of random numbers.
    """
    return Search(space, rng)


def ask(search: Search) -> str:
    """Return the architecture to train next; or a tuple of it and one of `space.epochs`; or None to stop."""
    if search.best is None or search.rng.random() < SETTINGS["restart"]:
        architecture: str = search.space.sample(search.rng)
    else:
        architecture = search.space.mutate(search.best[1], search.rng)
    return architecture


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Learn the validation accuracy in [0, 1] of the training that was asked for, and the simulated seconds that it cost."""
    search.best = max(search.best or (-1.0, ""), (accuracy, architecture))

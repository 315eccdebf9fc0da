"""Train random architectures.

References:
    L. Li and A. Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

PAPER = "Li & Talwalkar 2019, arXiv 1902.07638"


class Search(NamedTuple):
    """State of a search: the space and the random generator."""

    space: Any
    rng: np.random.Generator


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Begin."""
    return Search(space, rng)


def ask(search: Search) -> str:
    """Return a random architecture, independent of the earlier ones."""
    architecture: str = search.space.sample(search.rng)
    return architecture


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Learn nothing."""

"""Regularised (ageing) evolution: mutate the best of a random sample of a population, and remove the oldest member.

Population and sample are those of NATS-Bench's experiments, whose searches train about a hundred networks; Real et al. trained 20,000 with
a population of 100 and samples of 25.

References:
    E. Real, A. Aggarwal, Y. Huang and Q. V. Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, algorithm 1.
    X. Dong, L. Liu, K. Musial and B. Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", IEEE TPAMI
    44 (7), 2021.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

PAPER = "Real et al. 2019, arXiv 1802.01548"
SETTINGS = {"population": 10, "sample": 3}


class Search(NamedTuple):
    """State of a search; `population` holds accuracies and architectures, oldest first."""

    space: Any
    rng: np.random.Generator
    population: deque[tuple[float, str]]


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start with an empty population."""
    return Search(space, rng, deque(maxlen=SETTINGS["population"]))


def ask(search: Search) -> str:
    """Return a random architecture until the population is full, then a child of the best of a sample, drawn with replacement."""
    population, size = search.population, SETTINGS["population"]
    if len(population) < size:
        architecture: str = search.space.sample(search.rng)
        return architecture
    sample = [population[place] for place in search.rng.integers(size, size=SETTINGS["sample"]).tolist()]
    child: str = search.space.mutate(max(sample, key=lambda member: member[0])[1], search.rng)
    return child


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Add a member, and remove the oldest one from a full population."""
    search.population.append((accuracy, architecture))

"""REINFORCE: a policy with one categorical distribution for each variable of an architecture's string, trained by Adam.

Settings are those of NATS-Bench's experiments: learning rate 0.01, and as baseline an exponential moving average of the reward, the
accuracy in per cent, with momentum 0.9.

References:
    R. J. Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", Machine Learning 8, 1992.
    X. Dong, L. Liu, K. Musial and B. Gabrys, "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", IEEE TPAMI
    44 (7), 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAPER = "Williams 1992, as in Dong et al. 2021, arXiv 2009.00437"
SETTINGS = {"learning_rate": 0.01, "momentum": 0.9}
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, Kingma & Ba 2015."""


@dataclass
class Search:
    """State of a search: logits (variables, most choices), -inf where a variable has fewer; moments of Adam; the baseline."""

    space: Any
    rng: np.random.Generator
    logits: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    chosen: NDArray[np.int64]
    steps: int = 0
    reward_sum: float = 0.0
    weight_sum: float = 0.0


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Start with a nearly uniform policy."""
    counts = [len(choices) for choices in space.variables]
    logits = 1e-3 * rng.standard_normal((len(counts), max(counts, default=1)))
    logits[np.arange(logits.shape[1]) >= np.array(counts)[:, None]] = -np.inf
    return Search(space, rng, logits, np.zeros_like(logits), np.zeros_like(logits), np.zeros(len(counts), dtype=np.int64))


def ask(search: Search) -> str:
    """Draw an architecture from the policy; if no architecture has the drawn choices, one of the nearest."""
    # The largest of logits plus Gumbel noise is a draw from their softmax.
    search.chosen = (search.logits + search.rng.gumbel(size=search.logits.shape)).argmax(axis=1)
    architecture: str = search.space.architecture(search.chosen.tolist())
    return architecture


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Take one step of Adam along the policy gradient for the last architecture."""
    keep, reward = SETTINGS["momentum"], 100 * accuracy
    search.reward_sum = keep * search.reward_sum + (1 - keep) * reward
    search.weight_sum = keep * search.weight_sum + (1 - keep)
    weights = np.exp(search.logits - search.logits.max(axis=1, keepdims=True))
    gradient = weights / weights.sum(axis=1, keepdims=True)
    gradient[np.arange(len(gradient)), search.chosen] -= 1  # of minus the log-probability
    gradient *= reward - search.reward_sum / search.weight_sum
    search.steps += 1
    search.first = BETAS[0] * search.first + (1 - BETAS[0]) * gradient
    search.second = BETAS[1] * search.second + (1 - BETAS[1]) * gradient**2
    mean = search.first / (1 - BETAS[0] ** search.steps)
    scale = np.sqrt(search.second / (1 - BETAS[1] ** search.steps)) + EPSILON
    search.logits = search.logits - SETTINGS["learning_rate"] * mean / scale

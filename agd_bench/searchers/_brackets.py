"""Brackets of successive halving over given budgets, shared by the methods that use them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Search:
    """State of a search: the queue of the current rung, its results, and the generator of rungs.

    Attributes:
        space: the search space.
        rng: random generator.
        rungs: yields lists of (architecture, epochs); the results of a list are in `told` when the next list is requested.
        waiting: remaining architectures of the current list, in reverse order.
        told: accuracies and architectures of the current list.
    """

    space: Any
    rng: np.random.Generator
    rungs: Iterator[list[tuple[str, int]]] | None = None
    waiting: list[tuple[str, int]] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)


def ask(search: Search) -> tuple[str, int]:
    """Return the next architecture of the current rung, with its epochs."""
    if not search.waiting:
        assert search.rungs is not None
        search.waiting = next(search.rungs)[::-1]
    return search.waiting.pop()


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Store the result for the next rung."""
    search.told.append((accuracy, architecture))


def thinned(epochs: tuple[int, ...], eta: int) -> list[int]:
    """Return the largest budget and those smaller ones that lie at least a factor of `eta` apart, ascending.

    Raises:
        ValueError: only one is left.
    """
    kept: list[int] = []
    for budget in sorted(epochs, reverse=True):
        if not kept or eta * budget <= kept[0]:
            kept.insert(0, budget)
    if len(kept) == 1:
        raise ValueError(f"halving needs two budgets at least a factor of {eta} apart; the table has {', '.join(map(str, epochs))} epochs")
    return kept


def bracket(search: Search, count: int, budgets: list[int]) -> Iterator[list[tuple[str, int]]]:
    """Train random architectures with the first budget, and the best of each rung with the next budget.

    The number of promoted architectures is inversely proportional to the budget, so that all rungs cost about the same.

    Args:
        search: what asks.
        count: architectures in the first rung.
        budgets: epochs of the rungs, ascending.
    """
    architectures = [search.space.sample(search.rng) for _ in range(count)]
    for rung, epochs in enumerate(budgets):
        search.told = []
        yield [(architecture, epochs) for architecture in architectures]
        if rung + 1 < len(budgets):
            ranked = sorted(search.told, key=lambda told: -told[0])
            kept = max(1, int(count * budgets[0] / budgets[rung + 1]))
            architectures = [architecture for _, architecture in ranked[:kept]]

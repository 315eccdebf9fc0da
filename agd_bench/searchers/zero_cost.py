"""Train architectures in order of a zero-cost score, best first.

The score is the first of `SCORES` that the table has. Computing it is not charged, because the methods that define the scores take seconds
per network. If only some architectures have a score, only these are searched.

References:
    M. S. Abdelfattah, A. Mehrotra, Ł. Dudziak and N. D. Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021 (synflow among others).
    J. Mellor, J. Turner, A. Storkey and E. J. Crowley, "Neural Architecture Search without Training", ICML 2021 (naswot, here `nwot`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

PAPER = "Abdelfattah et al. 2021, arXiv 2101.08134"
SCORES = ("synflow", "nwot")


class Search(NamedTuple):
    """State of a search: the remaining architectures, best last."""

    waiting: list[str]


def start(space: Any, budget_seconds: float, rng: np.random.Generator) -> Search:
    """Rank all scored architectures; ties at random."""
    return ranked(space, SCORES, rng)


def ranked(space: Any, wanted: tuple[str, ...], rng: np.random.Generator) -> Search:
    """Rank architectures by the first of the wanted scores that the table has.

    Raises:
        ValueError: the table has none of them.
    """
    name = next((score for score in wanted if space.scores.get(score)), None)
    if name is None:
        raise ValueError(f"the table has no scores {' or '.join(wanted)}; it has {', '.join(space.scores) or 'none'}")
    scores = space.scores[name]
    names = list(scores)
    return Search(sorted((names[place] for place in rng.permutation(len(names)).tolist()), key=lambda each: scores[each]))


def ask(search: Search) -> str | None:
    """Return the best untrained architecture; None if all are trained."""
    return search.waiting.pop() if search.waiting else None


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Learn nothing."""

"""Optuna's samplers as search methods: one categorical parameter for each variable of an architecture's string."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna


@dataclass
class Search:
    """State of a search: the study, its distributions, and the current trial."""

    space: Any
    study: optuna.Study
    distributions: dict[str, optuna.distributions.BaseDistribution]
    trial: optuna.Trial | None = None


def begin(space: Any, sampler: optuna.samplers.BaseSampler) -> Search:
    """Create an in-memory study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    choices = {f"word_{place}": tuple(range(len(words))) for place, words in enumerate(space.variables)}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(numbers) for name, numbers in choices.items()
    }
    return Search(space, optuna.create_study(direction="maximize", sampler=sampler), distributions)


def ask(search: Search) -> str:
    """Return the sampler's proposal; if no architecture has its choices, one of the nearest."""
    search.trial = search.study.ask(search.distributions)
    architecture: str = search.space.architecture([search.trial.params[name] for name in search.distributions])
    return architecture


def tell(search: Search, architecture: str, epochs: int, accuracy: float, seconds: float) -> None:
    """Report the result to the study."""
    assert search.trial is not None
    search.study.tell(search.trial, accuracy)

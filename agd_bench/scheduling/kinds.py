"""Kinds of trials, the common basis of deadlines, remaining time, timed trials and parts of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agd_bench.records import Trial


class Comparison(NamedTuple):
    """The group within which trials are compared: their algorithms and architectures are ranked together."""

    search_space: str
    dataset: str
    profile: str


class Kind(NamedTuple):
    """Everything about a trial except its architecture and seed: trials of a kind take about the same time per FLOP."""

    comparison: Comparison
    algorithm: str
    purpose: str
    epochs: int


def comparison_of(trial: Trial) -> Comparison:
    """The comparison that the trial belongs to."""
    # By label, because a search space may occur twice with different options.
    return Comparison(trial.search_space_label, trial.dataset_label, trial.profile)


def kind_of(trial: Trial) -> Kind:
    """The kind of the trial."""
    return Kind(comparison_of(trial), trial.algorithm_label, trial.purpose, trial.epochs)


def one_of_each(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """One trial for each search space, data set and algorithm, with which a worker prepares for all of them."""
    found: dict[tuple[object, ...], Trial] = {}
    for trial in trials:
        found.setdefault((trial.search_space, trial.dataset, trial.dataset_share, trial.algorithm), trial)
    return tuple(found.values())

"""What kind of trial a trial is: the one answer behind deadlines, the time left, timed trials and parts of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from agd_bench.records import Trial


class Comparison(NamedTuple):
    """What trials are compared within: their algorithms and architectures are ranked against each other."""

    search_space: str
    dataset: str
    profile: str


class Kind(NamedTuple):
    """What a trial does, its architecture and seed apart: trials of a kind take about equally long per FLOP."""

    comparison: Comparison
    algorithm: str
    purpose: str
    epochs: int


def comparison_of(trial: Trial) -> Comparison:
    """The comparison that the trial belongs to."""
    # By label: one search space may take part twice, with other options.
    return Comparison(trial.search_space_label, trial.dataset, trial.profile)


def kind_of(trial: Trial) -> Kind:
    """The kind of the trial."""
    return Kind(comparison_of(trial), trial.algorithm_label, trial.purpose, trial.epochs)


def one_of_each(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """One trial for each search space, data set and algorithm: what a worker needs to see before it is ready for all of them."""
    found: dict[tuple[object, ...], Trial] = {}
    for trial in trials:
        found.setdefault((trial.search_space, trial.dataset, trial.dataset_share, trial.algorithm), trial)
    return tuple(found.values())

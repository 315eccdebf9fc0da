"""Propose hyperparameters from earlier results: Optuna's TPE, random search or grid search.

Each proposal is a function of the study and its earlier results. TPE studies are sequential; a sweep runs many of them in parallel.

References:
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for hyper-parameter optimization. NeurIPS 2011 (TPE).
    Bergstra, Bengio: Random search for hyper-parameter optimization. Journal of Machine Learning Research, 2012.
    Akiba et al.: Optuna. KDD 2019. Golovin et al.: Google Vizier. KDD 2017 (median stopping rule).
"""

from __future__ import annotations

import hashlib
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import optuna

from agd_bench.errors import PluginError
from agd_bench.facts import fault_of_ranges
from agd_bench.records import CurvePoint, Sampler, Scalars, Study

STARTUP_TRIALS = 4
"""Random proposals before TPE begins; Optuna's 10 would make the small studies of a sweep random searches."""
PRUNER_STARTUP = 3
"""Number of earlier trials that must have reached an epoch before the median rule applies to it."""
SAMPLERS: dict[Sampler, str] = {
    "tpe": f"optuna {optuna.__version__} TPESampler(multivariate=True, constant_liar=False, n_startup_trials={STARTUP_TRIALS})",
    "random": f"optuna {optuna.__version__} RandomSampler()",
    "grid": "every combination of the choices, in their order",
}
"""Samplers and their pinned settings, recorded as provenance: the defaults changed between Optuna 4 and 5."""
INDEPENDENT: tuple[Sampler, ...] = ("random", "grid")
"""Samplers that ignore earlier results; their trials can run in parallel."""


class Observation(NamedTuple):
    """One proposal and its result.

    Attributes:
        number: of the proposal within its study, from 0.
        values: hyperparameters by name.
        value: mean validation accuracy of its trials, or minus their mean training loss (see `Study.metric`); larger is better. None if
            any of the trials did not finish.
    """

    number: int
    values: Scalars
    value: float | None


def distributions(ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, optuna.distributions.BaseDistribution]:
    """Convert an algorithm's RANGES to Optuna distributions.

    Args:
        ranges: per hyperparameter `{"low", "high", "log"}` or `{"choices"}`.

    Raises:
        PluginError: a range has neither form, or is empty.
    """
    fault = fault_of_ranges(ranges)
    if fault:
        raise PluginError(f"RANGES{fault}")
    made: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, given in ranges.items():
        if "choices" in given:
            made[name] = optuna.distributions.CategoricalDistribution(tuple(given["choices"]))
        elif isinstance(given["low"], int) and isinstance(given["high"], int):
            made[name] = optuna.distributions.IntDistribution(given["low"], given["high"], log=given.get("log", False))
        else:
            made[name] = optuna.distributions.FloatDistribution(given["low"], given["high"], log=given.get("log", False))
    return made


def propose(study: Study, ranges: Mapping[str, Mapping[str, Any]], earlier: Sequence[Observation]) -> Scalars:
    """Return the next proposal of a study. The result depends on the arguments alone.

    Random proposals are independent and uniform in the range, or in its logarithm. A grid is searched in the order of the choices; the
    last hyperparameter changes fastest.

    Args:
        study: its sampler, and the key that seeds it.
        ranges: the algorithm's RANGES.
        earlier: the study's earlier proposals, in order of their number.

    Returns:
        One value per hyperparameter.
    """
    if study.sampler == "grid":
        combinations = itertools.product(*(given["choices"] for given in ranges.values()))
        return dict(zip(ranges, next(itertools.islice(combinations, len(earlier), None)), strict=True))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = distributions(ranges)
    # a new seed for each proposal, so that no sampler state has to survive a restart
    # four bytes: NumPy's RandomState, which Optuna draws from, takes 32 bits
    seed = int.from_bytes(hashlib.sha256(f"{study.key}:{len(earlier)}".encode()).digest()[:4], "big")
    if study.sampler == "random":
        return dict(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space).params)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=STARTUP_TRIALS)
    rebuilt = optuna.create_study(direction="maximize", sampler=sampler)
    # By number: what TPE proposes depends on the order of the trials that it is given.
    for row in sorted(earlier, key=lambda row: row.number):
        finished = row.value is not None
        # TPE ranks PRUNED without a value below every finished trial; it ignores FAIL, and would propose diverging values again
        state = optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED
        params = {name: row.values[name] for name in space}
        rebuilt.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row.value, state=state))
    return dict(rebuilt.ask(space).params)


def choose(observations: Sequence[Observation]) -> Scalars | None:
    """Return the values of the best finished proposal, the earliest one in a tie, or None if none finished."""
    finished = [row for row in observations if row.value is not None]
    if not finished:
        return None
    return dict(max(finished, key=lambda row: (row.value, -row.number)).values)


def stop_below(study: Study, curves: Sequence[Sequence[CurvePoint]]) -> dict[int, float]:
    """Return the thresholds of the median stopping rule.

    A tuning trial stops after an epoch if its best validation accuracy so far is below the median of the study's earlier trials at that
    epoch.

    Args:
        study: its `pruner` says whether to prune.
        curves: learning curves of the study's earlier tuning trials.

    Returns:
        Validation accuracy in [0, 1] by epoch (from 1); empty if nothing is pruned.
    """
    if study.pruner == "none":
        return {}
    reached: dict[int, list[float]] = {}
    for curve in curves:
        for point in curve:
            reached.setdefault(point.epoch, []).append(point.val_accuracy)
    # Sent with the trial, so that a worker needs no access to the store.
    return {epoch: statistics.median(values) for epoch, values in sorted(reached.items()) if len(values) >= PRUNER_STARTUP}

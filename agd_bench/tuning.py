"""Which hyperparameters next, from what was told: Optuna's TPE, a random or a grid search, as a function of the rows.

No Optuna storage holds the truth. Before each ask the study is rebuilt in memory from the rows of our own store, and
the sampler is seeded by the study's key and the number of rows. A sweep that was killed therefore proposes exactly
what an undisturbed one would. Parallelism comes from many studies; a study of TPE runs in order.

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
"""Earlier trials that must have reached an epoch before the median rule judges by it."""
SAMPLERS: dict[Sampler, str] = {
    "tpe": f"optuna {optuna.__version__} TPESampler(multivariate=True, constant_liar=False, n_startup_trials={STARTUP_TRIALS})",
    "random": f"optuna {optuna.__version__} RandomSampler()",
    "grid": "every combination of the choices, in their order",
}
"""The samplers and their pinned settings, for provenance: defaults changed between Optuna 4 and 5."""
INDEPENDENT: tuple[Sampler, ...] = ("random", "grid")
"""Those whose proposals depend on their numbers alone: their trials need not wait for one another."""


class Told(NamedTuple):
    """One proposal and what came of it: the larger the value, the better; null if any of its trials did not finish.

    The value is the mean validation accuracy of its trials, or less their mean training loss, as `Study.metric` says.
    """

    number: int
    values: Scalars
    value: float | None


def distributions(ranges: Mapping[str, Mapping[str, Any]]) -> dict[str, optuna.distributions.BaseDistribution]:
    """An algorithm's RANGES as Optuna's distributions.

    Args:
        ranges: per hyperparameter `{"low", "high", "log"}` or `{"choices"}`.

    Raises:
        PluginError: a range that is neither, or is empty.
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


def propose(study: Study, ranges: Mapping[str, Mapping[str, Any]], told: Sequence[Told]) -> Scalars:
    """The next proposal of a study: a function of its arguments alone.

    To TPE, a proposal that failed or diverged is told as pruned without a value, which it ranks below every finished one; as
    `FAIL` the sampler would not learn from it and go on proposing what diverges. A random search is told nothing: its
    proposals are independent draws, each from a generator of its own, uniform in the range or in its logarithm. A grid is gone
    through in the order of the choices, the last hyperparameter changing fastest.

    Args:
        study: gives the sampler and the key that seeds it.
        ranges: the algorithm's RANGES.
        told: earlier proposals in order of their number.

    Returns:
        One value per range.
    """
    if study.sampler == "grid":
        combinations = itertools.product(*(given["choices"] for given in ranges.values()))
        return dict(zip(ranges, next(itertools.islice(combinations, len(told), None)), strict=True))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = distributions(ranges)
    seed = int.from_bytes(hashlib.sha256(f"{study.key}:{len(told)}".encode()).digest()[:4], "big")
    if study.sampler == "random":
        return dict(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space).params)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=STARTUP_TRIALS)
    rebuilt = optuna.create_study(direction="maximize", sampler=sampler)
    for row in sorted(told, key=lambda row: row.number):
        finished = row.value is not None
        state = optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED
        params = {name: row.values[name] for name in space}
        rebuilt.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row.value, state=state))
    return dict(rebuilt.ask(space).params)


def choose(told: Sequence[Told]) -> Scalars | None:
    """The values of the best finished proposal, the earliest of equals; null if none finished."""
    finished = [row for row in told if row.value is not None]
    if not finished:
        return None
    return dict(max(finished, key=lambda row: (row.value, -row.number)).values)


def stop_below(study: Study, curves: Sequence[Sequence[CurvePoint]]) -> dict[int, float]:
    """The median stopping rule as data: the validation accuracy under which to stop, by epoch.

    A tuning trial stops after an epoch where its best validation accuracy so far is under the median that earlier
    trials of the study had at that epoch. Sent with the trial, so nothing has to be asked while it runs.

    Args:
        study: says whether it prunes at all.
        curves: those of the study's earlier tuning trials.

    Returns:
        Threshold by epoch (from 1); empty where nothing is to be pruned.
    """
    if study.pruner == "none":
        return {}
    reached: dict[int, list[float]] = {}
    for curve in curves:
        for point in curve:
            reached.setdefault(point.epoch, []).append(point.val_accuracy)
    return {epoch: statistics.median(values) for epoch, values in sorted(reached.items()) if len(values) >= PRUNER_STARTUP}

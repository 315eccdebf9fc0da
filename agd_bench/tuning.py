"""Propose hyperparameters from earlier results with a sampler of Optuna, and decide when a tuning trial stops early.

Each proposal is a function of the study and its earlier results. Studies are sequential unless their proposals ignore results; a sweep
runs many studies in parallel. Early stopping is data: thresholds follow from earlier trials of the study and are sent with the trial, whose
learning-rate schedule is that of the whole training.

References:
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for hyper-parameter optimization. NeurIPS 2011 (TPE).
    Bergstra, Bengio: Random search for hyper-parameter optimization. Journal of Machine Learning Research, 2012.
    Hansen, Ostermeier: Completely derandomized self-adaptation in evolution strategies. Evolutionary Computation, 2001 (CMA-ES).
    Bousquet et al.: Critical hyper-parameters: no random, no cry. arXiv 1706.03200, 2017 (quasi-random search).
    Akiba et al.: Optuna. KDD 2019. Golovin et al.: Google Vizier. KDD 2017 (median stopping rule).
    Li et al.: Hyperband. Journal of Machine Learning Research, 2018, algorithm 1.
    Li et al.: A system for massively parallel hyperparameter tuning. MLSys 2020 (asynchronous successive halving).
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optuna

from agd_bench.errors import PluginError, SweepError
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
    "gp": f"optuna {optuna.__version__} GPSampler(n_startup_trials={STARTUP_TRIALS}, deterministic_objective=False)",
    "qmc": f"optuna {optuna.__version__} QMCSampler(qmc_type='sobol', scramble=True)",
    "ray-tune": "made by Ray Tune",
    "cma-es": f"optuna {optuna.__version__} CmaEsSampler(n_startup_trials={STARTUP_TRIALS})",
}
"""Built-in samplers and their pinned settings, recorded as provenance: the defaults changed between Optuna 4 and 5."""
INDEPENDENT: tuple[Sampler, ...] = ("random", "grid", "qmc")
"""Samplers that ignore earlier results; their trials can run in parallel."""
REDUCTION = 3
"""Halving keeps one of this many trials at each comparison, and compares after this factor of epochs; eta in both papers, there 3 or 4."""


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
    last hyperparameter changes fastest. Samplers that keep a state of their own (`qmc`, `cma-es` and those of other packages) are replayed
    from the first proposal.

    Args:
        study: its sampler, and the key that seeds it.
        ranges: the algorithm's RANGES.
        earlier: the study's earlier proposals, in order of their number.

    Returns:
        One value per hyperparameter.

    Raises:
        SweepError: the sampler is not installed, or a replay proposes other values than those of the earlier proposals.
    """
    if study.sampler == "grid":
        combinations = itertools.product(*(given["choices"] for given in ranges.values()))
        return dict(zip(ranges, next(itertools.islice(combinations, len(earlier), None)), strict=True))
    if study.sampler == "ray-tune":
        raise SweepError(
            f"{study.algorithm_label}: Ray Tune makes the proposals of this study; run it there and import the results "
            "(agd_bench.scheduling.ray_tune), then continue the run"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = distributions(ranges)
    # a new seed for each proposal, so that no sampler state has to survive a restart
    # four bytes: NumPy's RandomState, which Optuna draws from, takes 32 bits
    seed = int.from_bytes(hashlib.sha256(f"{study.key}:{len(earlier)}".encode()).digest()[:4], "big")
    if study.sampler == "random":
        return dict(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(space).params)
    if study.sampler not in ("tpe", "gp"):
        return _replay(study, space, earlier)
    if study.sampler == "gp":
        sampler: optuna.samplers.BaseSampler = _quietly(
            lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS, deterministic_objective=False)
        )
    else:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False, n_startup_trials=STARTUP_TRIALS)
    rebuilt = optuna.create_study(direction="maximize", sampler=sampler)
    # By number: what TPE proposes depends on the order of the trials that it is given.
    for row in sorted(earlier, key=lambda row: row.number):
        finished = row.value is not None
        # TPE ranks PRUNED without a value below every finished trial; it ignores FAIL, and would propose diverging values again
        state = optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED
        params = {name: row.values[name] for name in space}
        rebuilt.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=row.value, state=state))
    return dict(_quietly(lambda: rebuilt.ask(space)).params)


def _quietly(make: Callable[[], Any]) -> Any:
    """Call Optuna without its notices that a class is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make()


def _replay(study: Study, space: dict[str, optuna.distributions.BaseDistribution], earlier: Sequence[Observation]) -> Scalars:
    """Ask a seeded sampler for all proposals of a study, telling it their results, and return the next one."""
    seed = int.from_bytes(hashlib.sha256(study.key.encode()).digest()[:4], "big")
    rebuilt = optuna.create_study(direction="maximize", sampler=_quietly(lambda: make_sampler(study.sampler, seed)))
    for row in sorted(earlier, key=lambda row: row.number):
        asked = _quietly(lambda: rebuilt.ask(space))
        # Rounds that are ready together have no values yet; their samplers do not read any.
        if row.values and asked.params != {name: row.values[name] for name in space}:
            raise SweepError(
                f"sampler = {study.sampler!r} proposed {asked.params} when replayed, but {row.values} in the run: it is not a function of "
                "its seed and the results, or its version has changed; use the version that began the run, or another sampler"
            )
        if study.sampler in INDEPENDENT or row.value is not None:
            rebuilt.tell(asked, row.value or 0.0)
        else:
            rebuilt.tell(asked, state=optuna.trial.TrialState.FAIL)
    return dict(_quietly(lambda: rebuilt.ask(space)).params)


def make_sampler(name: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    """Make a sampler that is replayed: `qmc`, `cma-es`, or a class `package:Class` of Optuna's type that takes a seed.

    Raises:
        SweepError: it is not installed, is no sampler, or takes no seed.
    """
    try:
        if name == "qmc":
            return optuna.samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed, warn_independent_sampling=False)
        if name == "cma-es":
            return optuna.samplers.CmaEsSampler(n_startup_trials=STARTUP_TRIALS, seed=seed, warn_independent_sampling=False)
        module, _, attribute = name.partition(":")
        made = getattr(importlib.import_module(module), attribute)(seed=seed)
    except ImportError as error:
        advice = 'install "agd-bench[samplers]"' if name == "cma-es" else "install the package that has it, on the machine of the driver"
        raise SweepError(f"sampler = {name!r}: {error}; {advice}") from None
    except (AttributeError, TypeError) as error:
        raise SweepError(f"sampler = {name!r}: {error}; name a class of Optuna samplers that takes a seed, as package:Class") from None
    if not isinstance(made, optuna.samplers.BaseSampler):
        raise SweepError(f"sampler = {name!r} is a {type(made).__name__}; name a subclass of optuna.samplers.BaseSampler")
    return made


def describe_sampler(name: Sampler) -> str:
    """Return the sampler with version and settings, for provenance.

    Raises:
        SweepError: it cannot be made.
    """
    if name in ("qmc", "cma-es") or name not in SAMPLERS:
        _quietly(lambda: make_sampler(name, 0))
    return SAMPLERS.get(name, f"{name} with optuna {optuna.__version__}")


def choose(observations: Sequence[Observation]) -> Scalars | None:
    """Return the values of the best finished proposal, the earliest one in a tie, or None if none finished."""
    finished = [row for row in observations if row.value is not None]
    if not finished:
        return None
    return dict(max(finished, key=lambda row: (row.value, -row.number)).values)


def stop_below(study: Study, number: int, curves: Sequence[tuple[int, Sequence[CurvePoint]]]) -> dict[int, float]:
    """Return the thresholds under which a tuning trial stops: after an epoch, if its best validation accuracy so far is below.

    The median rule compares it with the median of the study's earlier trials at that epoch, once `PRUNER_STARTUP` of them reached it.
    Successive halving compares after 1, 3, 9, … epochs, counted down from the whole training, and keeps those among the best third of the
    trials that got that far, the best one always. Hyperband does so in brackets that begin to compare later and later.

    Args:
        study: its `pruner` says by which rule.
        number: of the trial's proposal.
        curves: learning curves of the study's earlier tuning trials, each with the number of its proposal.

    Returns:
        Validation accuracy in [0, 1] by epoch (from 1); empty if nothing is pruned.
    """
    # Sent with the trial, so that a worker needs no access to the store.
    if study.pruner == "none":
        return {}
    if study.pruner == "median":
        reached = _reached([curve for _, curve in curves])
        return {epoch: statistics.median(values) for epoch, values in sorted(reached.items()) if len(values) >= PRUNER_STARTUP}
    epochs = study.rounds[number][0].epochs
    bracket = bracket_of(number, epochs) if study.pruner == "hyperband" else 0
    fellows = [curve for other, curve in curves if study.pruner != "hyperband" or bracket_of(other, epochs) == bracket]
    best = _reached([_best_so_far(curve) for curve in fellows])
    found: dict[int, float] = {}
    for epoch in rungs(epochs)[bracket:]:
        values = sorted(best.get(epoch, []), reverse=True)
        kept = max(1, (len(values) + 1) // REDUCTION)
        if len(values) >= kept:
            found[epoch] = values[kept - 1]
    return found


def rungs(epochs: int) -> list[int]:
    """Return the epochs after which successive halving compares trials.

    >>> rungs(9), rungs(64), rungs(2)
    ([1, 3], [2, 7, 21], [])
    """
    last = _most_halvings(epochs)
    return [epochs // REDUCTION**power for power in range(last, 0, -1)]


def bracket_of(number: int, epochs: int) -> int:
    """Return how many comparisons Hyperband skips for a proposal; brackets follow one another with the paper's numbers of proposals.

    >>> [bracket_of(number, 9) for number in (0, 8, 9, 13, 14, 16, 17)]
    [0, 0, 1, 1, 2, 2, 0]
    """
    last = _most_halvings(epochs)
    # Algorithm 1, line 3, without the maximum budget, which cancels.
    sizes = [math.ceil((last + 1) / (power + 1) * REDUCTION**power) for power in range(last, -1, -1)]
    ends = list(itertools.accumulate(sizes))
    return next(bracket for bracket, end in enumerate(ends) if number % ends[-1] < end)


def _most_halvings(epochs: int) -> int:
    """Largest power of `REDUCTION` that is not above the epochs."""
    power = 0
    while REDUCTION ** (power + 1) <= epochs:
        power += 1
    return power


def _best_so_far(curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    best = itertools.accumulate((point.val_accuracy for point in curve), max)
    return [point.model_copy(update={"val_accuracy": value}) for point, value in zip(curve, best, strict=True)]


def _reached(curves: Sequence[Sequence[CurvePoint]]) -> dict[int, list[float]]:
    """Return the accuracies of all curves by epoch."""
    reached: dict[int, list[float]] = {}
    for curve in curves:
        for point in curve:
            reached.setdefault(point.epoch, []).append(point.val_accuracy)
    return reached

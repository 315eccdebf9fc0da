"""Rankings by trainings of different budgets: does a short training rank the architectures like a long one, and what does it lose?

A sweep with several budgets trains each one separately, with its own schedule, as data sets `NAME@EPOCHS`. Here they are one data set with
the algorithms `ALGORITHM@EPOCHS`, so that the statistics for pairs of algorithms compare budgets too. Rows belong to the group of the
longest budget.

A proxy is a ranking by validation accuracy that a search could use instead of the reference: the baseline trained for the longest budget,
by test accuracy. Besides every algorithm at every budget, the proxies are the longest trainings truncated at the shorter budgets, which
have not yet decayed their learning rate. All comparisons are between disjoint seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from agd_bench.analysis.bootstrap import FEWEST_FOR_INTERVAL
from agd_bench.analysis.inference import mean_interval
from agd_bench.analysis.rankings.kendall import LEVELS, kendall_tau
from agd_bench.analysis.rankings.kernels import orders, taus
from agd_bench.analysis.rankings.regret import transfer_regret
from agd_bench.analysis.rankings.seed_splits import means_over, splits_for
from agd_bench.analysis.scores import GROUP, Floats, Scores, describe, paired_scores

Budgets = Mapping[str, tuple[str, int]]
"""Name and epochs of each data set with a budget of its own, by label."""
Decision = Literal["as well", "less", "cannot tell"]
REFERENCE = "reference"
MARGIN = 0.05
"""Loss of Kendall's tau up to which a proxy counts as agreeing as well: one more of forty pairs of architectures in the wrong order."""
LATE = 0.75
"""Share of the epochs after which a training's gain is measured, to see whether it still improves."""
COLUMNS = [
    "algorithm", "epochs", "schedule", "architectures", "accuracy", "late_gain", "late_gain_low", "late_gain_high", "kendall_tau",
    "self_tau", "difference", "difference_low", "difference_high", "decision", "transfer_regret", "regret_low", "regret_high", "cost_ratio",
]  # fmt: skip


class Proxy(NamedTuple):
    """A ranking that stands for the reference.

    Attributes:
        algorithm: its label.
        epochs: how long it trains.
        truncated: whether it is a longer training that was stopped early.
    """

    algorithm: str
    epochs: int
    truncated: bool

    @property
    def label(self) -> str:
        """Its label among the pooled trials."""
        return f"{self.algorithm}@{self.epochs}{' truncated' if self.truncated else ''}"


def budget_agreement(trials: pd.DataFrame, budgets: Budgets, resamples: int = 1000, flips: int | None = None) -> pd.DataFrame:
    """Agreement of the rankings of every two algorithms and budgets, by test accuracy.

    Args:
        trials: the table of trials.
        budgets: of the sweep's data sets.
        resamples: bootstrap resamples.
        flips: as in `kendall_tau`.

    Returns:
        As `kendall_tau`, with algorithms such as `sgd@16`; empty without several budgets.
    """
    return kendall_tau(_pooled(trials, budgets), resamples=resamples, flips=flips)


def budget_proxies(trials: pd.DataFrame, curves: pd.DataFrame, budgets: Budgets, baseline: str, resamples: int = 1000) -> pd.DataFrame:
    """How well short trainings rank the architectures, compared with the baseline's longest training.

    Args:
        trials: the table of trials.
        curves: the learning curves.
        budgets: of the sweep's data sets.
        baseline: label of the baseline.
        resamples: bootstrap resamples of the regret.

    Returns:
        One row per group (of the longest budget), algorithm, budget and schedule: `search_space`, `dataset`, `profile`; `algorithm`;
        `epochs`; `schedule` (`own`, or `truncated`: the longest training stopped there); `architectures` (with an outcome for every seed
        here and in the reference); `accuracy` (mean validation accuracy over them); `late_gain` (what the last quarter of the training
        adds to it; own schedules only) with `late_gain_low`, `late_gain_high` (95 % interval over architectures); `kendall_tau` (of this
        ranking by validation accuracy and the reference's by test accuracy); `self_tau` (the same of the baseline's longest training);
        `difference` (kendall_tau − self_tau) with `difference_low`, `difference_high` (95 %, jackknife over architectures); `decision`
        (`as well`: the interval lies above −`MARGIN`; `less`: below 0; else `cannot tell`); `transfer_regret` (test accuracy lost if the
        baseline is trained on the architecture that is best here instead of on its own best one) with `regret_low`, `regret_high`;
        `cost_ratio` (charged FLOPs, tuning included, as a multiple of those of the baseline's longest final trainings). NaN where
        missing: one seed, fewer than 2 architectures, or (intervals) fewer than 8.

    References:
        R. G. Miller, The jackknife: a review, Biometrika, 1974.
    """
    pooled = _pooled(trials, budgets)
    if pooled.empty:
        return pd.DataFrame(columns=[*GROUP, *COLUMNS])
    proxies = _with_truncated(pooled, curves)
    reference = pooled[pooled["purpose"] == "final"]
    reference = reference[(reference["algorithm"] == f"{baseline}@" + reference["longest"].astype(str))].assign(algorithm=REFERENCE)
    compared = proxies[proxies["purpose"] == "final"].assign(test_accuracy=proxies["val_accuracy"])
    compared = pd.concat([reference, compared], ignore_index=True)
    named = proxies.drop_duplicates("algorithm").set_index("algorithm")[["label", "budget", "truncated"]]
    rows = []
    for group in paired_scores(compared):
        if REFERENCE not in group.algorithms:
            continue
        own = proxies[(proxies[GROUP] == list(group.group)).all(axis=1)]
        longest = f"{baseline}@{own['longest'].iloc[0]}"
        for label in [name for name in group.algorithms if name != REFERENCE]:
            proxy = Proxy(*named.loc[label])
            row = {**describe(group.group), "algorithm": proxy.algorithm, "epochs": int(proxy.epochs)}
            row |= {"schedule": "truncated" if proxy.truncated else "own"}
            row |= _agreement(group, label, longest) | _late_gain(own[own["algorithm"] == label], curves)
            row |= _regret(compared[(compared[GROUP] == list(group.group)).all(axis=1)], label, resamples)
            rows.append(row | {"cost_ratio": _cost(own, label) / _cost(own[own["purpose"] == "final"], longest)})
    return pd.DataFrame(rows, columns=[*GROUP, *COLUMNS])


def cheapest_budgets(proxies: pd.DataFrame) -> pd.DataFrame:
    """The cheapest budget of each algorithm that ranks like the reference.

    Args:
        proxies: `budget_proxies`.

    Returns:
        The rows of `proxies` with own schedules that have the fewest epochs, per group and algorithm, among those that agree `as well`,
        and if there is none, among those that are not shown to agree less; algorithms without either are left out.

    >>> proxies = pd.DataFrame({"search_space": "s", "dataset": "d", "profile": "p", "algorithm": "agd", "schedule": "own",
    ...     "epochs": [4, 16, 64], "decision": ["less", "cannot tell", "as well"]})
    >>> cheapest_budgets(proxies)["epochs"].tolist()
    [64]
    """
    order = proxies["decision"].map({"as well": 0, "cannot tell": 1})
    known = proxies.assign(order=order)[order.notna() & (proxies["schedule"] == "own")]
    best = known.sort_values(["order", "epochs"], kind="stable").drop_duplicates([*GROUP, "algorithm"])
    return best.sort_index().drop(columns="order")


def _pooled(trials: pd.DataFrame, budgets: Budgets) -> pd.DataFrame:
    """Trials of data sets with several budgets, as those of one data set; adds `label`, `budget`, `longest` and `truncated`."""
    labels = trials["dataset"].astype(str)
    rows = trials[labels.isin(list(budgets))].reset_index(drop=True)
    labels = rows["dataset"].astype(str)
    names, epochs = (labels.map({label: each[place] for label, each in budgets.items()}) for place in (0, 1))
    most = {name: max(epochs for other, epochs in budgets.values() if other == name) for name in set(names)}
    longest = names.map(most)
    several = names.map({name: len({epochs for other, epochs in budgets.values() if other == name}) > 1 for name in most}).astype(bool)
    label = rows["algorithm"].astype(str)
    pooled = rows.assign(
        label=label,
        budget=epochs,
        longest=longest,
        truncated=False,
        dataset=names.astype(str) + "@" + longest.astype(str),
        algorithm=label + "@" + epochs.astype(str),
        search_space=rows["search_space"].astype(str),
        profile=rows["profile"].astype(str),
    )
    return pooled[several].reset_index(drop=True)


def _with_truncated(pooled: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The pooled trials, and the longest ones truncated at each shorter budget."""
    longest = pooled[(pooled["purpose"] == "final") & (pooled["budget"] == pooled["longest"])]
    points = curves[curves["trial_id"].isin(longest["trial_id"])].set_index(["trial_id", "epoch"])["val_accuracy"]
    parts = [pooled]
    for budget in sorted(set(pooled["budget"])):
        own = longest[longest["longest"] > budget]
        reached = points.reindex(pd.MultiIndex.from_arrays([own["trial_id"], [budget] * len(own)])).to_numpy(dtype=np.float64)
        # A training that diverges later was still fine here.
        status = np.where(np.isfinite(reached), "done", own["status"])
        labels = [Proxy(name, budget, True).label for name in own["label"]]
        flops = pd.to_numeric(own["flops"]).astype(float) * budget / own["longest"].astype(float)
        parts.append(own.assign(algorithm=labels, budget=budget, truncated=True, status=status, val_accuracy=reached, flops=flops))
    return pd.concat(parts, ignore_index=True)


def _agreement(group: Scores, label: str, own: str) -> dict[str, object]:
    """Agreement of a proxy with the reference, compared with that of the baseline's longest training."""
    nothing = dict.fromkeys(("kendall_tau", "self_tau", "difference", "difference_low", "difference_high"), math.nan)
    places = [group.position(name) for name in (REFERENCE, own, label) if name in group.algorithms]
    kept = group.complete()[places].all(axis=0)
    values, diverged = group.values[places][:, kept], group.diverged[places][:, kept]
    row: dict[str, object] = {"architectures": int(kept.sum()), "accuracy": float(values[-1].mean()) if kept.any() else math.nan}
    # The baseline itself is its own comparison.
    if len(group.seeds) < 2 or kept.sum() < 2 or own not in group.algorithms:
        return {**row, **nothing, "decision": "cannot tell"}
    found = _left_out_taus(values, diverged)  # (1 + n, 2)
    difference = found[:, 1] - found[:, 0]
    size = len(difference) - 1
    error = math.nan
    if size >= FEWEST_FOR_INTERVAL:
        error = float(np.sqrt((size - 1) / size * ((difference[1:] - difference[0]) ** 2).sum()))
    reach = float(scipy.stats.t.ppf(LEVELS[1], size - 1)) * error
    low, high = difference[0] - reach, difference[0] + reach
    row |= {"kendall_tau": found[0, 1], "self_tau": found[0, 0], "difference": difference[0]}
    return row | {"difference_low": low, "difference_high": high, "decision": decide(low, high)}


def decide(low: float, high: float) -> Decision:
    """Decide whether a proxy agrees with the reference as well as the baseline's own long training does.

    >>> decide(-0.02, 0.1), decide(-0.3, -0.1), decide(-0.2, 0.1), decide(math.nan, math.nan)
    ('as well', 'less', 'cannot tell', 'cannot tell')
    """
    return "as well" if low >= -MARGIN else "less" if high < 0 else "cannot tell"


def _left_out_taus(values: Floats, diverged: NDArray[np.bool_]) -> Floats:
    """Tau of the first ranking with each of the others over disjoint seeds, with all architectures and without each, (1 + n, M − 1)."""
    rankings, count, seeds = values.shape
    weights = np.ones((1 + count, count), dtype=np.int32)
    np.fill_diagonal(weights[1:], 0)
    # Rankings 0..M−1 are over the first half of the seeds, M..2M−1 over the second.
    pairs = np.array([(0, rankings + other) for other in range(1, rankings)] + [(rankings, other) for other in range(1, rankings)])
    found = []
    for first, second in splits_for(seeds, "all"):
        both = np.concatenate([means_over(values, diverged, half) for half in (first, second)])
        found.append(taus(orders(both), pairs, weights).reshape(2, rankings - 1, 1 + count).mean(axis=0))
    return np.asarray(np.mean(found, axis=0).T, dtype=np.float64)


def _regret(compared: pd.DataFrame, label: str, resamples: int) -> dict[str, float]:
    """Test accuracy that the reference loses if this proxy chooses what it trains."""
    rows = transfer_regret(compared[compared["algorithm"].isin([REFERENCE, label])], resamples=resamples)
    rows = rows[rows["trained_by"] == REFERENCE]
    names = ("transfer_regret", "regret_low", "regret_high")
    return {name: float(rows[name].iloc[0]) if len(rows) else math.nan for name in names}


def _late_gain(rows: pd.DataFrame, curves: pd.DataFrame) -> dict[str, float]:
    """What the last quarter of the trainings adds to the validation accuracy, with its interval over architectures."""
    nothing = {"late_gain": math.nan, "late_gain_low": math.nan, "late_gain_high": math.nan}
    rows = rows[(rows["purpose"] == "final") & (rows["status"] == "done") & ~rows["truncated"].astype(bool)]
    if rows.empty or (start := int(LATE * rows["budget"].iloc[0])) < 1:
        return nothing
    points = curves[curves["trial_id"].isin(rows["trial_id"]) & curves["epoch"].isin([start, rows["budget"].iloc[0]])]
    wide = points.pivot(index="trial_id", columns="epoch", values="val_accuracy").dropna()
    if wide.shape[1] < 2:
        return nothing
    gains = (wide.iloc[:, 1] - wide.iloc[:, 0]).rename("gain")
    by_architecture = rows.set_index("trial_id")["architecture"].to_frame().join(gains).dropna().groupby("architecture")["gain"].mean()
    low, high = mean_interval(by_architecture.to_numpy(dtype=np.float64))
    return {"late_gain": float(by_architecture.mean()), "late_gain_low": low, "late_gain_high": high}


def _cost(rows: pd.DataFrame, label: str) -> float:
    """Charged FLOPs of a proxy, tuning included; NaN if they are unknown."""
    own = rows[rows["algorithm"] == label]
    # A truncated training uses values that were tuned for the whole one.
    study = rows[(rows["purpose"] == "tuning") & rows["study"].isin(own["study"].dropna())]
    spent = pd.concat([own[own["purpose"] == "final"], study]).drop_duplicates(["trial_id"])
    flops = pd.to_numeric(spent["flops"]).to_numpy(dtype=np.float64, na_value=np.nan)
    return float(flops.sum()) if len(flops) and flops.sum() > 0 else math.nan

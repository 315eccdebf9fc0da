"""Charged cost of every algorithm, absolute and relative to another, including tuning, pruned, failed, diverged and lost attempts.

References:
    W. G. Cochran, Sampling Techniques, 3rd edition, Wiley, 1977, chapter 6 (ratio estimators).
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from agd_bench.analysis.costs.lanes import comparable, lanes_of
from agd_bench.analysis.inference import mean_interval
from agd_bench.analysis.rows import Tables
from agd_bench.analysis.scores import GROUP, Floats
from agd_bench.errors import UnknownNameError

KINDS = ("final", "tuning", "pruned", "diverged", "failed", "refused", "lost")
"""Categories of cost: completed final and tuning trials, trials with another outcome, and lost attempts that had to be repeated."""
_SUMS = ["tuning_seconds", "train_seconds", "flops", "tuning_flops", "energy_joules"]


def charged_cost(
    trials: pd.DataFrame, baseline: str | None = None, by_architecture: bool = False, attempts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Seconds and floating-point operations charged to every algorithm.

    Every attempt is charged, whatever its outcome. The tuning cost of a study is divided equally among the architectures whose final trials
    use its choice.

    Args:
        trials: the table of trials.
        baseline: label of the reference algorithm for ratios; default: no ratios.
        by_architecture: whether to return one row per architecture instead of the sum over architectures.
        attempts: the table of attempts, which states whether devices were shared; default: ignored.

    Returns:
        One row per group and algorithm (and `architecture`): `search_space`, `dataset`, `profile`, `algorithm`;
        `tuning_seconds` (all attempts at tuning trials), `train_seconds` (all attempts at final trials), `charged_seconds` (their sum);
        `flops` (2 per multiply-add, training and tuning; attempts that were lost are charged in seconds but have no FLOPs),
        `tuning_flops` (the part spent on tuning), `energy_joules`; NaN if the value is missing for a trained trial;
        `peak_memory_bytes` (largest of any trial). Not by architecture also: `trials`, `tuning_trials` (those that were begun),
        `attempts` and the ledger (see `ledger`): `seconds_final`, `seconds_tuning`, `seconds_pruned`, `seconds_diverged`, `seconds_failed`,
        `seconds_refused`, `seconds_lost`, whose sum is `charged_seconds`; `flops_final` … `flops_lost` likewise; `lost_attempts`.
        With attempts `exclusive_share` (share of the charged seconds in which the trial had the device to itself, in [0, 1]; NaN where no
        attempt recorded it). With a baseline `seconds_ratio` and `flops_ratio` (algorithm / baseline; below 1: cheaper); with attempts, no
        `seconds_ratio` (NaN) between algorithms whose seconds are not of one lane: see `seconds_by_lane`.

    Raises:
        UnknownNameError: no algorithm has the baseline's label.

    >>> trials = pd.DataFrame({"algorithm": ["agd", "sgd", "sgd"], "purpose": ["final", "tuning", "final"], "study": [None, "k", "k"],
    ...     "charged_seconds": [10.0, 30.0, 10.0], "flops": [5, 15, 5], "status": "done", "architecture": "a", "attempts": 1,
    ...     "search_space": "s", "dataset": "d", "profile": "p", "energy_joules": None, "peak_memory_bytes": None})
    >>> charged_cost(trials, baseline="sgd")[["algorithm", "tuning_seconds", "charged_seconds", "seconds_ratio"]].values.tolist()
    [['agd', 0.0, 10.0, 0.25], ['sgd', 30.0, 40.0, 1.0]]
    """
    keys = [*GROUP, "algorithm"]
    charges = _charges(trials)
    if by_architecture:
        charges, keys = _by_architecture(trials, charges), [*keys, "architecture"]
    grouped = charges.groupby(keys, sort=False)
    # min_count: a sum of only missing values is missing, not 0.
    cost = grouped[_SUMS].sum(min_count=1)
    # A missing measurement of a trained trial must not make its algorithm look cheaper.
    for column in ("flops", "energy_joules"):
        gaps = grouped[f"no_{column}"].sum() > 0
        cost.loc[gaps, column] = np.nan
        if column == "flops":
            cost.loc[gaps, "tuning_flops"] = np.nan
    cost.insert(2, "charged_seconds", cost["tuning_seconds"] + cost["train_seconds"])
    cost["peak_memory_bytes"] = grouped["peak_memory_bytes"].max()
    if not by_architecture:
        cost["trials"], cost["tuning_trials"] = grouped["begun"].sum(), grouped["begun_tuning"].sum()
        cost["attempts"] = grouped["attempts"].sum()
        cost = cost.join(ledger(trials))
        if attempts is not None:
            cost["exclusive_share"] = _exclusive_share(trials, attempts, keys)
    table = cost.reset_index()
    if baseline is None:
        return table
    table = _with_ratios(table, baseline, keys)
    if attempts is not None:
        table["seconds_ratio"] = table["seconds_ratio"].where(_of_one_lane(table, trials, attempts, baseline))
    return table


def _of_one_lane(table: pd.DataFrame, trials: pd.DataFrame, attempts: pd.DataFrame, baseline: str) -> npt.NDArray[np.bool_]:
    """For each row of `table`, whether seconds of its algorithm and of the baseline measure the same."""
    rows = trials.assign(lane=lanes_of(trials, attempts)).dropna(subset="lane")
    found = {group: set(lanes) for group, lanes in rows.groupby([*GROUP, "algorithm"], observed=True)["lane"]}
    groups = zip(*(table[key] for key in GROUP), strict=True)
    return np.array(
        [
            comparable(found.get((*group, algorithm), set()) | found.get((*group, baseline), set()))
            for group, algorithm in zip(groups, table["algorithm"], strict=True)
        ]
    )


def ledger(trials: pd.DataFrame) -> pd.DataFrame:
    """Charged seconds and floating-point operations of every algorithm by category.

    Seconds of a trial beyond those of its final attempt count as lost: attempts lost by a crash, a node failure or lack of memory, and all
    attempts of a trial that has not ended. If an attempt resumed from a checkpoint, the epochs before the checkpoint are counted with the
    final attempt.

    Args:
        trials: the table of trials; without `total_seconds` (the attempt that ended) nothing counts as lost.

    Returns:
        Indexed by group and algorithm: `seconds_` and `flops_` with each kind of `KINDS`: `final`, `tuning` (trials that were done),
        `pruned`, `diverged`, `failed`, `refused` (of either purpose), `lost`. FLOPs are 0 for refused trials, which are not trained, and
        NaN for a kind in which the count is missing for any started trial. `lost_attempts` (how many).

    >>> trials = pd.DataFrame({"algorithm": "sgd", "purpose": ["tuning", "final"], "status": "done", "attempts": [1, 2], "flops": [5, 5],
    ...     "charged_seconds": [10.0, 14.0], "total_seconds": 10.0, "search_space": "s", "dataset": "d", "profile": "p"})
    >>> ledger(trials)[["seconds_final", "seconds_tuning", "seconds_lost", "flops_final", "flops_lost"]].values.tolist()
    [[10.0, 10.0, 4.0, 5.0, nan]]
    """
    charged = pd.to_numeric(trials["charged_seconds"]).astype("float64").fillna(0.0)
    ended = trials["status"].isin(["done", *KINDS])
    last = pd.to_numeric(trials["total_seconds"]).astype("float64") if "total_seconds" in trials else charged
    # Clipped, because rounding could make the lost seconds negative.
    own = last.fillna(0.0).where(ended, 0.0).clip(upper=charged)
    tries = trials["attempts"].astype("int64")
    # A trial given up after losing its attempts has ended, but has no final attempt and thus no time for it.
    lost = (tries - (ended & (last.notna() | (charged == 0)))).clip(lower=0)
    kinds = trials["status"].mask(trials["status"] == "done", trials["purpose"])
    # A refused trial was never trained, so its true count is 0.
    counted = pd.to_numeric(trials["flops"]).astype("float64").mask(trials["status"] == "refused", 0.0)
    counted = counted.mask(counted.isna() & (tries == 0), 0.0)
    columns: dict[str, Any] = {name: trials[name] for name in (*GROUP, "algorithm")}
    for kind in KINDS[:-1]:
        columns[f"seconds_{kind}"] = own.where(kinds == kind, 0.0)
        columns[f"flops_{kind}"] = counted.where(kinds == kind, 0.0)
    # The FLOPs of a lost attempt were not counted, so they are missing, not 0.
    columns |= {"seconds_lost": charged - own, "flops_lost": (lost > 0).map({True: np.nan, False: 0.0}), "lost_attempts": lost}
    order = [*(f"seconds_{kind}" for kind in KINDS), *(f"flops_{kind}" for kind in KINDS)]
    frame, keys = pd.DataFrame(columns), [*GROUP, "algorithm"]
    sums = frame.groupby(keys, sort=False)[[*order, "lost_attempts"]].sum()
    gaps = frame[order].isna().groupby([frame[key] for key in keys], sort=False).any()
    # A sum that skips a missing count would be too small.
    sums[order] = sums[order].mask(gaps)
    return sums


def _exclusive_share(trials: pd.DataFrame, attempts: pd.DataFrame, keys: list[str]) -> pd.Series[float]:
    """Share of the seconds on exclusive devices among attempts that recorded it."""
    texts = attempts["provenance"].dropna()
    # Provenances repeat in thousands of rows, so parse each text once.
    stated = {text: json.loads(text).get("exclusive") for text in texts.unique()}
    table = attempts.loc[texts.index, ["trial_id", "seconds"]].assign(exclusive=texts.map(stated))
    table = table[table["exclusive"].isin(["yes", "no"])].merge(trials[["trial_id", *keys]], on="trial_id", how="inner")
    seconds = table["seconds"].fillna(0.0)
    sums = table[keys].assign(own=seconds.where(table["exclusive"] == "yes", 0.0), all=seconds).groupby(keys, sort=False).sum()
    return sums["own"] / sums["all"].where(sums["all"] > 0)


def _charges(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial with the columns to be summed."""
    tuning = trials["purpose"] == "tuning"
    seconds = pd.to_numeric(trials["charged_seconds"]).astype("float64").fillna(0.0)
    flops = pd.to_numeric(trials["flops"]).astype("float64")
    energy = pd.to_numeric(trials["energy_joules"]).astype("float64")
    charges = trials[[*GROUP, "algorithm", "architecture", "study"]].copy()
    begun = trials["attempts"] > 0  # neither pending, nor a seed that an adaptive sweep did not need
    charges["tuning"], charges["begun"], charges["begun_tuning"] = tuning, begun, begun & tuning
    charges["attempts"] = trials["attempts"]
    charges["tuning_seconds"] = seconds.where(tuning, 0.0)
    charges["train_seconds"] = seconds.where(~tuning, 0.0)
    charges["flops"] = flops
    charges["tuning_flops"] = flops.where(tuning, 0.0)
    charges["energy_joules"] = energy
    charges["peak_memory_bytes"] = pd.to_numeric(trials["peak_memory_bytes"]).astype("float64")
    # Only these have a known cost of training; a failed trial may never have finished an epoch.
    trained = trials["status"].isin(["done", "pruned", "diverged"])
    charges["no_flops"] = trained & flops.isna()
    charges["no_energy_joules"] = trained & energy.isna()
    return charges


def _by_architecture(trials: pd.DataFrame, charges: pd.DataFrame) -> pd.DataFrame:
    """The charges with every study's tuning divided equally among the architectures of its final trials."""
    place = [*GROUP, "algorithm", "study"]
    final = trials.loc[(trials["purpose"] == "final") & trials["study"].notna(), [*place, "architecture"]].drop_duplicates()
    users = final.assign(users=final.groupby(place)["architecture"].transform("size"))
    # Tuning of a study that no final trial uses yet stays with the architectures it was tuned on.
    shared = charges["tuning"] & charges["study"].isin(users["study"])
    spread = charges[shared].drop(columns="architecture").merge(users, on=place, how="inner")
    # With search-space scope, this spreads the cost of the proxies over the whole space.
    for column in _SUMS:
        spread[column] = spread[column] / spread["users"]
    return pd.concat([charges[~shared], spread.drop(columns="users")], ignore_index=True)


def _with_ratios(table: pd.DataFrame, baseline: str, keys: list[str]) -> pd.DataFrame:
    if baseline not in set(table["algorithm"]):
        raise UnknownNameError("algorithm", baseline, set(table["algorithm"]))
    shared = [key for key in keys if key != "algorithm"]
    reference = table.loc[table["algorithm"] == baseline, [*shared, "charged_seconds", "flops"]]
    joined = table[shared].merge(reference, on=shared, how="left", validate="many_to_one")
    for column, ratio in (("charged_seconds", "seconds_ratio"), ("flops", "flops_ratio")):
        divisor = joined[column].to_numpy(dtype=np.float64)
        table[ratio] = table[column].to_numpy(dtype=np.float64) / np.where(divisor > 0, divisor, np.nan)
    return table


class CostRatio(NamedTuple):
    """Charges of two algorithms summed over the architectures ranked under both.

    Attributes:
        ours: the challenger's sum; NaN if the value is missing for an architecture.
        theirs: the baseline's.
        ratio: ours / theirs.
        low: lower end of its 95 % interval; NaN if there is none.
        high: upper end.
        n: architectures.
    """

    ours: float = math.nan
    theirs: float = math.nan
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0


def cost_ratio(tables: Tables, baseline: str, challenger: str, column: str = "flops") -> CostRatio:
    """The challenger's charges divided by the baseline's, including tuning.

    Only architectures trained by both from every seed are used.

    Args:
        tables: one group's rows of `ranks`, `cost_by_architecture` and, where there is one, `lanes`.
        baseline: label of the algorithm compared with.
        challenger: label of the other.
        column: `flops` or `charged_seconds`; seconds of different lanes have no ratio.
    """
    lanes = tables.get("lanes", pd.DataFrame(columns=["algorithm", "lane"]))
    if column == "charged_seconds" and not comparable(lanes.loc[lanes["algorithm"].isin([baseline, challenger]), "lane"]):
        return CostRatio()
    ranks, cost = tables["ranks"], tables["cost_by_architecture"]
    charges = []
    for label in (challenger, baseline):
        ended = ranks.loc[ranks["algorithm"] == label, "architecture"]
        rows = cost[cost["algorithm"] == label].set_index("architecture")[column]
        charges.append(rows.reindex(ended).astype(float))
    # Inner join, so an algorithm that fails on half of the architectures does not look cheaper.
    both = pd.concat(charges, axis=1, join="inner").to_numpy(dtype=np.float64)
    return ratio_of(both[:, 0], both[:, 1])


def ratio_of(values: Floats, divisors: Floats) -> CostRatio:
    """Sum of `values` divided by the sum of `divisors`, with a t interval from the linearised ratio over the pairs.

    Args:
        values: one per architecture, (A,).
        divisors: one per architecture, (A,).
    """
    if len(values) == 0 or not np.isfinite(divisors).all() or not np.isfinite(values).all() or divisors.sum() <= 0:
        return CostRatio(n=len(values))
    ratio = float(values.sum() / divisors.sum())
    # Cochran's linearisation: the residual divided by the mean divisor is each pair's influence on the ratio.
    low, high = mean_interval(ratio + (values - ratio * divisors) / divisors.mean())
    return CostRatio(float(values.sum()), float(divisors.sum()), ratio, low, high, len(values))

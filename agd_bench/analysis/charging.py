"""What every algorithm was charged: tuning, pruned, failed, diverged and lost attempts included."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agd_bench.analysis.pairing import GROUP
from agd_bench.errors import UnknownNameError

_SUMS = ["tuning_seconds", "train_seconds", "flops", "tuning_flops", "energy_joules"]


def charged_cost(trials: pd.DataFrame, baseline: str | None = None, by_architecture: bool = False) -> pd.DataFrame:
    """Seconds and floating-point operations charged to every algorithm.

    Every attempt is charged, whatever came of it. The tuning of one study is shared equally by the architectures whose final
    trials use what it chose: by search-space scope the cost of the proxies is thus spread over the whole space.

    Args:
        trials: the table of trials.
        baseline: label of the algorithm that ratios refer to; default: no ratios.
        by_architecture: one row per architecture as well, instead of the sum over them.

    Returns:
        One row per group and algorithm (and `architecture`): `search_space`, `dataset`, `profile`, `algorithm`;
        `tuning_seconds` (all attempts at tuning trials), `train_seconds` (all attempts at final trials), `charged_seconds` (their sum);
        `flops` (2 per multiply-add, training and tuning; attempts that were lost are charged in seconds but have no FLOPs),
        `tuning_flops` (the part spent on tuning), `energy_joules`; NaN where a trial that ended well lacks the figure;
        `peak_memory_bytes` (largest of any trial); `trials`, `tuning_trials`, `attempts` (numbers of each; not by architecture);
        with a baseline also `seconds_ratio` and `flops_ratio` (algorithm / baseline; below 1: cheaper).

    Raises:
        UnknownNameError: no algorithm of the baseline's label.

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
    cost = grouped[_SUMS].sum(min_count=1)
    # A missing figure of a trial that ended well must not make its algorithm look cheaper.
    for column in ("flops", "energy_joules"):
        gaps = grouped[f"no_{column}"].sum() > 0
        cost.loc[gaps, column] = np.nan
        if column == "flops":
            cost.loc[gaps, "tuning_flops"] = np.nan
    cost.insert(2, "charged_seconds", cost["tuning_seconds"] + cost["train_seconds"])
    cost["peak_memory_bytes"] = grouped["peak_memory_bytes"].max()
    if not by_architecture:
        cost["trials"], cost["tuning_trials"] = grouped.size(), grouped["tuning"].sum()
        cost["attempts"] = grouped["attempts"].sum()
    table = cost.reset_index()
    return table if baseline is None else _with_ratios(table, baseline, keys)


def _charges(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial with the columns to be summed."""
    tuning = trials["purpose"] == "tuning"
    seconds = pd.to_numeric(trials["charged_seconds"]).astype("float64").fillna(0.0)
    flops = pd.to_numeric(trials["flops"]).astype("float64")
    energy = pd.to_numeric(trials["energy_joules"]).astype("float64")
    charges = trials[[*GROUP, "algorithm", "architecture", "study"]].copy()
    charges["tuning"] = tuning
    charges["attempts"] = trials["attempts"]
    charges["tuning_seconds"] = seconds.where(tuning, 0.0)
    charges["train_seconds"] = seconds.where(~tuning, 0.0)
    charges["flops"] = flops
    charges["tuning_flops"] = flops.where(tuning, 0.0)
    charges["energy_joules"] = energy
    charges["peak_memory_bytes"] = pd.to_numeric(trials["peak_memory_bytes"]).astype("float64")
    trained = trials["status"].isin(["done", "pruned"])
    charges["no_flops"] = trained & flops.isna()
    charges["no_energy_joules"] = trained & energy.isna()
    return charges


def _by_architecture(trials: pd.DataFrame, charges: pd.DataFrame) -> pd.DataFrame:
    """The charges with every study's tuning shared equally by the architectures of its final trials."""
    place = [*GROUP, "algorithm", "study"]
    final = trials.loc[(trials["purpose"] == "final") & trials["study"].notna(), [*place, "architecture"]].drop_duplicates()
    users = final.assign(users=final.groupby(place)["architecture"].transform("size"))
    shared = charges["tuning"] & charges["study"].isin(users["study"])
    spread = charges[shared].drop(columns="architecture").merge(users, on=place, how="inner")
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

"""Seconds by lane: of trials that had their device to themselves, and of trials that shared it.

The lane of an attempt is in its provenance (`exclusive`); attempts from before it was recorded, and lost ones, have none.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import GROUP, comparison_groups
from agd_bench.errors import UnknownNameError

LANES = {"yes": "timing", "no": "shared"}
KEYS = [*GROUP, "algorithm"]


def lanes_of(trials: pd.DataFrame, attempts: pd.DataFrame) -> pd.Series[str]:
    """In which lane each trial's attempts ran.

    Args:
        trials: the table of trials.
        attempts: the table of attempts.

    Returns:
        By the index of `trials`: `timing`, `shared`, `mixed` (some of its attempts in each); missing where none is recorded.
    """
    texts = attempts["provenance"].dropna()
    stated = _stated(attempts)
    known = attempts.loc[texts.index, ["trial_id"]].assign(lane=texts.map(stated)).dropna().drop_duplicates()
    single = known.drop_duplicates("trial_id", keep=False).set_index("trial_id")["lane"]
    lanes = trials["trial_id"].map(single).astype(object)
    # A trial in both lanes: its charged seconds belong to neither.
    lanes[lanes.isna() & trials["trial_id"].isin(known["trial_id"])] = "mixed"
    return lanes


def _stated(attempts: pd.DataFrame) -> dict[str, str | None]:
    """The lane that each provenance states."""
    return {text: LANES.get(json.loads(text).get("exclusive", "")) for text in attempts["provenance"].dropna().unique()}


def mixed_groups(trials: pd.DataFrame, attempts: pd.DataFrame) -> set[tuple[str, str, str]]:
    """The comparison groups whose seconds are of more than one lane.

    Args:
        trials: the table of trials.
        attempts: the table of attempts.
    """
    # The usual run has one lane; no need to look at each trial.
    if len(set(_stated(attempts).values()) - {None}) < 2:
        return set()
    lanes = lanes_of(trials, attempts)
    found = {group: set(lanes[rows.index].dropna()) for group, rows in comparison_groups(trials)}
    return {group for group, lanes_there in found.items() if len(lanes_there) > 1 or "mixed" in lanes_there}


def seconds_by_lane(trials: pd.DataFrame, attempts: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Seconds of a training by lane, for the groups that have both: compared within a lane, on the same architectures and seeds.

    Args:
        trials: the table of trials.
        attempts: the table of attempts.
        baseline: label of the algorithm that ratios refer to.

    Returns:
        One row per group, lane and algorithm: `search_space`, `dataset`, `profile`, `algorithm`; `lane` (`timing`: the trial had the device
        to itself; `shared`: it shared it); `trials` (final ones that were done in that lane), `cases` (architecture and seed that every
        algorithm of the lane has done in it), `seconds_per_trial` (mean over those cases, of the attempt that ended), `seconds_ratio`
        (algorithm / baseline on those cases; below 1: faster; NaN without the baseline in the lane). No rows where a group has one lane.

    Raises:
        UnknownNameError: no algorithm of the baseline's label.
    """
    if baseline not in set(trials["algorithm"]):
        raise UnknownNameError("algorithm", baseline, set(trials["algorithm"]))
    columns = [*KEYS, "lane", "trials", "cases", "seconds_per_trial", "seconds_ratio"]
    mixed = mixed_groups(trials, attempts)
    done = trials[(trials["purpose"] == "final") & (trials["status"] == "done")]
    done = done.assign(lane=lanes_of(trials, attempts)[done.index])
    tables = [
        _within(rows[rows["lane"] == lane], baseline).assign(lane=lane)
        for group, rows in comparison_groups(done)
        if group in mixed
        for lane in LANES.values()
    ]
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)


def _within(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Seconds of one lane of one group, on the cases that all its algorithms have."""
    sizes = rows.groupby(["architecture", "seed"], sort=False)["algorithm"].transform("size")
    # Only cases that all algorithms of the lane have done: which trials met an exclusive device is chance.
    common = rows[sizes == rows["algorithm"].nunique()]
    table = rows.groupby(KEYS, sort=False, observed=True).size().rename("trials").reset_index()
    by_algorithm = common.groupby("algorithm", sort=False, observed=True)["total_seconds"]
    counts, means = by_algorithm.size(), by_algorithm.mean()
    table["cases"] = table["algorithm"].astype(object).map(counts).fillna(0).astype("int64")
    table["seconds_per_trial"] = table["algorithm"].astype(object).map(means).astype("float64")
    reference = float(means[baseline]) if baseline in means.index else np.nan
    table["seconds_ratio"] = table["seconds_per_trial"] / reference
    return table

"""Seconds by lane: what a second means depends on the device, on whether a trial had it to itself, and on how steps were launched.

A lane is known from the provenance of an attempt (`device`, `exclusive`, `step`). Lost attempts have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd

from agd_bench.analysis.scores import GROUP, comparison_groups
from agd_bench.errors import UnknownNameError

COMPANY = {"yes": "timing", "no": "shared"}
SEVERAL = "several"
"""Lane of a trial whose attempts ran in different lanes: its charged seconds belong to none of them."""
KEYS = [*GROUP, "algorithm"]


def lane(provenance: dict[str, str]) -> str | None:
    """The lane of an attempt, for example `NVIDIA H200, timing, graph`; None if nothing is recorded."""
    # Eager steps on a GPU wait for the host, so their seconds measure the harness as well. On a CPU there is one kind of step.
    step = provenance.get("step", "") if provenance.get("device_type") == "cuda" else ""
    parts = (provenance.get("device", ""), COMPANY.get(provenance.get("exclusive", ""), ""), step)
    return ", ".join(part for part in parts if part) or None


def lanes_of(trials: pd.DataFrame, attempts: pd.DataFrame) -> pd.Series[str]:
    """In which lane each trial's attempts ran.

    Returns:
        By the index of `trials`: the lane, `several`, or missing where none is recorded.
    """
    texts = attempts["provenance"].dropna()
    # Provenances repeat in thousands of rows, so parse each text once.
    stated = {text: lane(json.loads(text)) for text in texts.unique()}
    known = attempts.loc[texts.index, ["trial_id"]].assign(lane=texts.map(stated)).dropna().drop_duplicates()
    known.loc[known.duplicated("trial_id", keep=False), "lane"] = SEVERAL
    return trials["trial_id"].map(known.drop_duplicates("trial_id").set_index("trial_id")["lane"]).astype(object)


def comparable(lanes: Iterable[str]) -> bool:
    """Whether seconds of these lanes can be compared: all are of one, or none is recorded."""
    return len(found := set(lanes)) < 2 and SEVERAL not in found


def seconds_by_lane(trials: pd.DataFrame, attempts: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Seconds of a training by lane, for the groups that have several: compared within a lane, on the same architectures and seeds.

    Args:
        trials: the table of trials.
        attempts: the table of attempts.
        baseline: label of the algorithm that ratios refer to.

    Returns:
        One row per group, lane and algorithm: `search_space`, `dataset`, `profile`, `algorithm`; `lane` (device, `timing` if the trial had
        it to itself or `shared`, and on a GPU `graph` or `eager` steps; `several` if its attempts differ); `trials` (of either purpose),
        `cases` (architecture and seed that every algorithm of the lane has done in it), `seconds_per_trial` (mean over those cases, of the
        attempt that ended), `seconds_ratio` (algorithm / baseline on those cases; below 1: faster; NaN without the baseline in the lane).
        No rows where a group has one lane.

    Raises:
        UnknownNameError: no algorithm of the baseline's label.
    """
    if baseline not in set(trials["algorithm"]):
        raise UnknownNameError("algorithm", baseline, set(trials["algorithm"]))
    columns = [*KEYS, "lane", "trials", "cases", "seconds_per_trial", "seconds_ratio"]
    rows = trials.assign(lane=lanes_of(trials, attempts)).dropna(subset="lane")
    tables = [
        _within(own, baseline).assign(lane=name)
        for _, group in comparison_groups(rows)
        if not comparable(group["lane"])
        for name, own in group.groupby("lane", sort=True)
    ]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _within(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Seconds of one lane of one group, on the cases that all its algorithms have."""
    table = rows.groupby(KEYS, sort=False, observed=True).size().rename("trials").reset_index()
    done = rows[(rows["purpose"] == "final") & (rows["status"] == "done")]
    sizes = done.groupby(["architecture", "seed"], sort=False)["algorithm"].transform("size")
    # Only cases that all algorithms of the lane have done: which trials met an exclusive device is chance.
    common = done[sizes == rows["algorithm"].nunique()]
    by_algorithm = common.groupby("algorithm", sort=False, observed=True)["total_seconds"]
    counts, means = by_algorithm.size(), by_algorithm.mean()
    table["cases"] = table["algorithm"].astype(object).map(counts).fillna(0).astype("int64")
    table["seconds_per_trial"] = table["algorithm"].astype(object).map(means).astype("float64")
    reference = float(means[baseline]) if baseline in means.index else np.nan
    table["seconds_ratio"] = table["seconds_per_trial"] / reference
    return table

"""A run held against a published table of its search space: as a ranking, and architecture by architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from agd_bench.analysis import published_agreement, published_ranks
from agd_bench.errors import InputError
from agd_bench.reproducing.averaging import t_interval
from agd_bench.reproducing.defining import Listed, Reproduction
from agd_bench.store import Results

TAU = "kendall_tau"


def listed_rows(experiment: Reproduction, results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """The rows of `measured` that come from the published table; none where there is no such table or its run has not begun.

    Args:
        experiment: what was run.
        results: by the name of the run, with published accuracies.

    Raises:
        InputError: no published table at hand, or none of the budget and split that are compared.
    """
    listed = experiment.listed
    run = "" if listed is None else experiment.run_of(listed)
    if listed is None or run not in results:
        return []
    held = results[run]
    if held.published.empty:
        raise InputError(f"reproduction {experiment.name!r} needs the published table; AGD_BENCH_PUBLISHED names the file or folder")
    own = held.trials[held.trials["algorithm"] == listed.algorithm]
    about = {"source": "", "inside": None, "architecture": "", "algorithm": listed.algorithm, "run": run}
    rows = _agreements(own, held.published) + _accuracies(own, held.published, listed)
    return [{**about, **row, "difference": row["ours"] - row["published"]} for row in rows]


def _agreements(trials: pd.DataFrame, published: pd.DataFrame) -> list[dict[str, Any]]:
    """Tau with each published budget's ranking, beside the most that seed noise would leave of equal ones."""
    rows = []
    for _, row in published_agreement(trials, published).iterrows():
        budget = f"{row['published_epochs']} published epochs ({row['split']})"
        rows.append(
            {
                "what": f"Kendall's tau with the ranking after {budget}",
                "published": row["ceiling_at_most"],
                "source": "the most that the noise of our seeds allows",
                "ours": row["tau_of_means"],
                "low": row["tau_low"],
                "high": row["tau_high"],
                "n": int(row["architectures"]),
                "measure": TAU,
            }
        )
    return rows


def _accuracies(trials: pd.DataFrame, published: pd.DataFrame, listed: Listed) -> list[dict[str, Any]]:
    """Their mean over the architectures, and each of them."""
    ranks = published_ranks(trials, published)
    each = ranks[(ranks["published_epochs"] == listed.epochs) & (ranks["split"] == listed.split)]
    if each.empty:
        raise InputError(f"the published table has no {listed.split} accuracies after {listed.epochs} epochs of these architectures")
    theirs, ours = (each[name].to_numpy(dtype=np.float64) for name in ("published_accuracy", "accuracy"))
    seeds = int(trials.loc[trials["purpose"] == "final", "seed"].nunique())
    numbers = [("mean over architectures", float(theirs.mean()), float(ours.mean()), *t_interval(ours), len(each))]
    singles = zip(each["architecture"].astype(str), theirs.tolist(), ours.tolist(), strict=True)
    numbers += [(name, listed_one, own, math.nan, math.nan, seeds) for name, listed_one, own in singles]
    names = ("what", "published", "ours", "low", "high", "n")
    return [{**dict(zip(names, row, strict=True)), "measure": "accuracy"} for row in numbers]

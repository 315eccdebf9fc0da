"""Comparison of a run with a published table of its search space: ranking, accuracy per architecture, and noise of both."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from agd_bench.analysis import accuracy_table, kendall_tau, published_agreement, published_ranks, published_top
from agd_bench.analysis.inference import mean_interval
from agd_bench.errors import InputError
from agd_bench.reproductions.experiments import Listed, Reproduction
from agd_bench.store import Results

TAU, SPREAD, MEAN, EACH = "kendall_tau", "accuracy_sd", "mean_accuracy", "accuracy"
"""Measures of the rows: agreement of rankings, noise over seeds, mean accuracy of all architectures, and accuracy of each."""
OWN_NOISE = "upper bound from the noise of our seeds"


def listed_rows(experiment: Reproduction, results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """The rows of `measured` that come from published tables; none if there is no table or its run has not started.

    Args:
        experiment: the experiment.
        results: results by the name of the run, with published accuracies.

    Returns:
        For each table and published budget: the agreement of the two rankings (`kendall_tau`; `published` is the tau that seed noise would
        allow, NaN if unknown; a bootstrap interval over n architectures). Then the noise, ours and the published: `kendall_tau` of one
        training's ranking with another's, and `accuracy_sd`, the standard deviation over the trainings of one architecture, a share. If
        accuracies are compared one by one: their mean over the architectures with its t interval (`mean_accuracy`), and each accuracy
        (`accuracy`, in plan order; n is the number of seeds).

    Raises:
        InputError: the published table is missing, or does not contain the compared budget and split.
    """
    rows: list[dict[str, Any]] = []
    for listed in experiment.listed:
        run = experiment.run_of(listed)
        if run not in results:
            continue
        held = results[run]
        if held.published.empty:
            raise InputError(f"reproduction {experiment.name!r} needs the published table; set AGD_BENCH_PUBLISHED to its file or folder")
        own = held.trials[held.trials["algorithm"] == listed.algorithm]
        found = [*_agreements(own, held.published), *_noises(own, held.published), *_accuracies(own, held.published, listed)]
        about = {"algorithm": listed.algorithm, "run": run}
        suffix = f", {listed.algorithm}" if len(experiment.listed) > 1 else ""
        rows += [{**about, **row, "what": row["what"] + suffix, "difference": row["ours"] - row["published"]} for row in found]
    return rows


def _agreements(trials: pd.DataFrame, published: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Tau with the ranking of each published budget, and the tau that seed noise would leave for equal rankings."""
    for _, row in published_agreement(trials, published).iterrows():
        yield {
            "what": f"Kendall's tau with the ranking after {row['published_epochs']} published epochs ({row['split']})",
            "published": row["ceiling_at_most"],
            "source": OWN_NOISE,
            "ours": row["tau_of_means"],
            "low": row["tau_low"],
            "high": row["tau_high"],
            "n": int(row["architectures"]),
            "measure": TAU,
        }


def _noises(trials: pd.DataFrame, published: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Seed noise of the published trainings and of ours, for each budget with individual published trainings."""
    # No resamples, because only the estimate is used.
    own_tau = float(kendall_tau(trials, resamples=0)["kendall_tau"].iloc[0])
    own_sd = float(accuracy_table(trials)["seed_sd"].iloc[0])
    tops = published_top(trials, published, resamples=0)
    compared = trials.loc[(trials["purpose"] == "final") & trials["status"].isin(["done", "diverged"]), "architecture"]
    for _, row in tops[(tops["top_share"] == 1) & tops["published_tau"].notna()].iterrows():
        named = (published["epochs"] == row["published_epochs"]) & (published["split"] == row["split"])
        trainings = published[named & published["architecture"].isin(compared)].groupby("architecture")["accuracy"]
        counts = trainings.size()
        # Pooled variance with weights n − 1; a single training has no variance.
        pooled = math.sqrt(np.average(trainings.var()[counts > 1], weights=counts[counts > 1] - 1))
        about = {"source": f"{row['published_epochs']} epochs, {row['split']}", "low": math.nan, "high": math.nan}
        about["n"] = int(row["architectures"])
        kinds = [
            (TAU, "Kendall's tau of one training's ranking with another's", row["published_tau"], own_tau),
            (SPREAD, "standard deviation over the trainings of one architecture", pooled, own_sd),
        ]
        for measure, what, theirs, ours in kinds:
            yield {**about, "what": f"seed noise: {what}", "published": theirs, "ours": ours, "measure": measure}


def _accuracies(trials: pd.DataFrame, published: pd.DataFrame, listed: Listed) -> Iterator[dict[str, Any]]:
    """The mean accuracy over the architectures, and the accuracy of each."""
    if listed.epochs is None:
        return
    ranks = published_ranks(trials, published)
    each = ranks[(ranks["published_epochs"] == listed.epochs) & (ranks["split"] == listed.split)]
    if each.empty:
        raise InputError(f"the published table has no {listed.split} accuracies after {listed.epochs} epochs of these architectures")
    theirs, ours = (each[name].to_numpy(dtype=np.float64) for name in ("published_accuracy", "accuracy"))
    # A t interval may extend beyond [0, 1].
    low, high = np.clip(mean_interval(ours), 0, 1)
    counted = {"published": float(theirs.mean()), "ours": float(ours.mean()), "low": low, "high": high, "n": len(each)}
    yield {"what": "mean over architectures", **counted, "measure": MEAN}
    seeds = int(trials.loc[trials["purpose"] == "final", "seed"].nunique())
    for name, listed_one, own in zip(each["architecture"].astype(str), theirs.tolist(), ours.tolist(), strict=True):
        numbers = {"published": listed_one, "ours": own, "low": math.nan, "high": math.nan, "n": seeds}
        yield {"what": name, **numbers, "architecture": name, "measure": EACH}

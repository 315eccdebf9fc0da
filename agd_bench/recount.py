"""FLOPs of trained trials, counted anew: when the counting is mended, nothing has to be trained again."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Hashable
from typing import Any

import pandas as pd
import torch

from agd_bench.records import Trial
from agd_bench.store import Results
from agd_bench.training.data import load_splits
from agd_bench.trial import Workplace, charge_of, make_fit

DECIDES = ["search_space", "architecture", "dataset", "dataset_share", "algorithm", "profile", "batch_size"]
"""Columns of trials that decide the FLOPs of an epoch; seeds and hyperparameters do not."""
TRAINED = ("done", "pruned", "diverged")


def recount_flops(results: Results, workplace: Workplace) -> Results:
    """The results with the columns `flops` and `forward_flops` as this version counts them.

    FLOPs follow from the network, as the algorithm prepares it, from the images and from the epochs that the curves hold. Networks are
    built and counted, not trained. Trials that were not trained keep what they have; `meta` says that it was done.

    Args:
        results: of a run or a published folder.
        workplace: where plug-ins and data sets are.

    Raises:
        InputError: a plug-in or a data set cannot be loaded.
        Refused: an algorithm refuses a network that it trained before.
    """
    trials = results.trials.copy()
    own = trials["representative"].isna() & (trials["forward_flops"].notna() | trials["status"].isin(TRAINED))
    epochs = trials["trial_id"].map(results.curves["trial_id"].value_counts()).fillna(0).astype("int64")
    for _, rows in trials[own].groupby(DECIDES, sort=False):
        forward, of_epoch = _charge(results, rows.iloc[0].to_dict(), workplace)
        trials.loc[rows.index, "forward_flops"] = pd.NA if forward is None else forward
        trials.loc[rows.index, "flops"] = pd.NA if of_epoch is None else of_epoch * epochs[rows.index]
    taken = trials["representative"].notna() & trials["forward_flops"].notna()
    trials.loc[taken, "forward_flops"] = trials.loc[taken, "representative"].map(trials.set_index("trial_id")["forward_flops"])
    return dataclasses.replace(
        results, trials=trials, meta={**results.meta, "flops_recounted_by": f"agd-bench {importlib.metadata.version('agd-bench')}"}
    )


def _charge(results: Results, row: dict[Hashable, Any], workplace: Workplace) -> tuple[int | None, int | None]:
    """FLOPs of a forward pass of one image, and of an epoch of training, of what a row trained."""
    space = next(choice for choice in results.sweep.search_spaces if choice.label == row["search_space"])
    trial = Trial(
        search_space=space.name,
        search_space_label=space.label,
        search_space_options=space.options,
        architecture=row["architecture"],
        dataset=row["dataset"],
        dataset_share=row["dataset_share"],
        algorithm=row["algorithm_name"],
        algorithm_label=row["algorithm"],
        hyperparameters=json.loads(row["hyperparameters"]) if isinstance(row["hyperparameters"], str) else {},
        profile=row["profile"],
        epochs=row["epochs"],
        batch_size=row["batch_size"],
        seed=row["seed"],
    )
    device = workplace.torch_device()
    splits = load_splits(trial.dataset, workplace.data_root, tuple(workplace.folders.get("datasets", ())), trial.dataset_share, device)
    with torch.random.fork_rng(devices=[]):
        flops, of_epoch = charge_of(trial, workplace, make_fit(trial, workplace, 1, device), len(splits.train.labels), device)
    return flops.forward, of_epoch

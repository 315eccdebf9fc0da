"""Recount the FLOPs of trained trials, so nothing has to be trained again when the counting changes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json

import pandas as pd
import torch

from agd_bench.errors import InputError
from agd_bench.planning.planner import plan
from agd_bench.records import Trial
from agd_bench.store import Results
from agd_bench.training.data import load_splits
from agd_bench.trial import Workplace, charge_of, make_fit

DECIDES = ("search_space", "search_space_options", "architecture", "dataset", "dataset_share", "algorithm", "profile", "batch_size")
"""Fields of trials that determine the FLOPs of an epoch; seeds and hyperparameters do not."""
TRAINED = ("done", "pruned", "diverged")


def recount_flops(results: Results, workplace: Workplace) -> Results:
    """The results with the columns `flops` and `forward_flops` recounted by this version.

    FLOPs follow from the network as prepared by the algorithm, the images, and the epochs in the curves. Networks are built and counted,
    not trained. Trials that were not trained are unchanged; `meta` records the recount.

    Args:
        results: results of a run or a published folder.
        workplace: location of plug-ins and data sets.

    Raises:
        InputError: a plug-in or a data set cannot be loaded, or rows are not in the sweep's plan with these plug-ins.
        Refused: an algorithm refuses a network that it trained before.
    """
    trials = results.trials.copy()
    # A network equal to another reuses its count, below.
    own = trials["representative"].isna() & (trials["forward_flops"].notna() | trials["status"].isin(TRAINED))
    planned = {trial.id: trial for trial in plan(results.sweep, workplace.folders).all_trials}
    unknown = set(trials.loc[own, "trial_id"]) - set(planned)
    if unknown:
        raise InputError(f"{len(unknown)} trials, such as {min(unknown)}, are not in the sweep's plan; pass the plug-ins that they used")
    points = results.curves["trial_id"].value_counts()
    counted: dict[tuple[object, ...], tuple[int | None, int | None]] = {}
    charged: list[tuple[int | None, int | None]] = []
    for name, chosen in trials.loc[own, ["trial_id", "hyperparameters"]].itertuples(index=False, name=None):
        trial = planned[name]
        key = tuple(trial.model_dump_json(include={field}) for field in DECIDES)
        if key not in counted:
            # A tuned algorithm cannot be built without hyperparameters; their values do not affect FLOPs.
            counted[key] = _charge(trial.model_copy(update={"proposal": json.loads(chosen)}), workplace)
        forward, of_epoch = counted[key]
        charged.append((forward, None if of_epoch is None else of_epoch * int(points.get(name, 0))))
    for place, column in enumerate(("forward_flops", "flops")):
        # Int64 supports missing values; floats would round counts above 2**53.
        trials.loc[own, column] = pd.array([pair[place] for pair in charged], dtype="Int64")
    taken = trials["representative"].notna() & trials["forward_flops"].notna()
    trials.loc[taken, "forward_flops"] = trials.loc[taken, "representative"].map(trials.set_index("trial_id")["forward_flops"])
    version = importlib.metadata.version("agd-bench")
    return dataclasses.replace(results, trials=trials, meta={**results.meta, "flops_recounted_by": f"agd-bench {version}"})


def _charge(trial: Trial, workplace: Workplace) -> tuple[int | None, int | None]:
    """FLOPs of a forward pass of one image, and of an epoch of training."""
    device = workplace.torch_device()
    splits = load_splits(trial.dataset, workplace.data_root, tuple(workplace.folders.get("datasets", ())), trial.dataset_share, device)
    with torch.random.fork_rng(devices=[]):
        # One step, because the length of the schedule does not affect FLOPs.
        flops, of_epoch = charge_of(trial, workplace, make_fit(trial, workplace, 1, device), len(splits.train.labels), device)
    return flops.forward, of_epoch

"""FLOPs of trained trials are recounted from their rows and equal what training them would be charged now."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agd_bench.api import run
from agd_bench.datasets import data_root
from agd_bench.records import Sweep
from agd_bench.recount import recount_flops
from agd_bench.store import Results
from agd_bench.trial import Workplace
from search_spaces import nas_bench_201

EQUAL = ["|nor_conv_1x1~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"]
"""Two names of the same network: the convolution in the first one leads nowhere."""
BROKEN = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
OPTIONS = {"channels": 4, "cells": 1, "dead_edges": "dropped"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return results with trained and refused trials, equal networks, and an algorithm with extra passes for batch statistics."""
    assert len({nas_bench_201.canonical(name) for name in EQUAL}) == 1
    asked = {
        "name": "small",
        "search_spaces": [{"name": "nas_bench_201", "architectures": [*EQUAL, BROKEN], "representatives": True, "options": OPTIONS}],
        "datasets": [{"name": "digits", "share": 0.05}],
        "algorithms": [{"name": "agd"}, {"name": "schedule_free_sgd"}],
        "epochs": 2,
        "seeds": 1,
    }
    return run(Sweep.model_validate(asked), tmp_path_factory.mktemp("run"), executor="in-process", device="cpu")


def test_a_recount_gives_what_was_charged(results: Results) -> None:
    """A recount restores the charged FLOPs whatever the rows contain, and leaves untrained trials alone."""
    assert set(results.trials["representative"].notna()) == {True, False}
    spoilt = results.trials.copy()
    trained = spoilt["flops"].notna() & spoilt["representative"].isna()
    spoilt.loc[trained, ["flops", "forward_flops"]] = 7
    recounted = recount_flops(dataclasses.replace(results, trials=spoilt), Workplace(data_root(), device="cpu"))
    pd.testing.assert_frame_equal(recounted.trials, results.trials)
    assert "flops_recounted_by" in recounted.meta


def test_a_recount_charges_the_epochs_that_were_trained(results: Results) -> None:
    """A training that ended after one of two epochs is charged half."""
    shorter = dataclasses.replace(results, curves=results.curves[results.curves["epoch"] == 1])
    flops = recount_flops(shorter, Workplace(data_root(), device="cpu")).trials["flops"].dropna().astype(float).to_numpy()
    assert np.array_equal(2 * flops, results.trials["flops"].dropna().astype(float).to_numpy())


def test_shallow_networks_are_recounted_with_their_own_options(tmp_path: Path) -> None:
    """A search space may tune on a network with options other than the sweep's, here 3 x 3 kernels instead of 5 x 5."""
    asked = {
        "name": "shallow",
        "search_spaces": [{"name": "cnn_dag", "architectures": 1, "options": {"width": 4, "kernel_size": 5}}],
        "datasets": [{"name": "digits", "share": 0.05}],
        "algorithms": [{"name": "architecture_aware_sgd", "tuning_trials": 1, "tuning_scope": "search-space"}],
        "epochs": 1,
        "seeds": 1,
    }
    results = run(Sweep.model_validate(asked), tmp_path, executor="in-process", device="cpu")
    assert (results.trials["status"] == "done").all()
    pd.testing.assert_frame_equal(recount_flops(results, Workplace(data_root(), device="cpu")).trials, results.trials)

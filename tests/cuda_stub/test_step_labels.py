"""Every algorithm and search space trains on a GPU as a graph, or eagerly for a known reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agd_bench import plugins
from agd_bench.training.cuda_graphs import hindrance
from agd_bench.trial import make_fit, run_trial
from tests.cuda_stub.stub import NEEDS_STUB, counts, values_ignored
from tests.cuda_stub.trials import WORKPLACE, trial

pytestmark = NEEDS_STUB

SEARCH_SPACES = sorted(plugins.find("search_spaces"))
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
NOT_KNOWN, AVERAGE = "not known to do the same on the device", "evaluates at other weights"
EAGER = {
    "agd_dual": NOT_KNOWN,
    "agd_operator": NOT_KNOWN,
    "dadapt_adam": NOT_KNOWN,
    "dadapt_sgd": NOT_KNOWN,
    "dog": AVERAGE,
    "dsgd_heuristic": NOT_KNOWN,
    "ldog": AVERAGE,
    "mechanic": NOT_KNOWN,
    "prodigy": NOT_KNOWN,
    "schedule_free_adamw": AVERAGE,
    "schedule_free_sgd": AVERAGE,
    "soap": NOT_KNOWN,
}
"""Algorithms with steps that read values on the host, and why no capture is attempted; presets behave like their algorithm."""
REFUSE = {"dsgd", "dsgd_cross_entropy"}
"""Algorithms that train only chains of linear layers, on a CPU as well."""


def settings(algorithm: str) -> dict[str, Any]:
    """Return a value for each hyperparameter range."""
    ranges = plugins.ranges_of(plugins.load("algorithms", algorithm))
    return {name: values["choices"][0] if "choices" in values else values["low"] for name, values in ranges.items()}


def of_cell(algorithm: str, **changes: Any) -> Any:
    """Return a short trial of a small cell."""
    small = {"search_space": "nas_bench_201", "search_space_label": "cells", "search_space_options": {"channels": 4, "cells": 1}}
    own = {"algorithm": algorithm, "algorithm_label": algorithm, "hyperparameters": settings(algorithm), "architecture": CELL}
    return trial(**small | own | changes)


@pytest.mark.parametrize("algorithm", sorted(set(plugins.find("algorithms")) - REFUSE))
def test_an_algorithm_trains_as_a_graph_or_says_why_not(algorithm: str) -> None:
    """Captured algorithms launch one graph per full batch and copy nothing from the host in it."""
    if missing := plugins.missing_packages(plugins.locate("algorithms", algorithm)):
        pytest.skip(f"{algorithm} {missing}")
    base = algorithm.removesuffix("_calibrated")
    if base in EAGER:
        assert EAGER[base] in hindrance(make_fit(of_cell(algorithm), WORKPLACE, 100, torch.device("cuda")))
        return
    before = counts()
    with values_ignored():
        result = run_trial(of_cell(algorithm), WORKPLACE)
    assert (result.status, result.reason, result.provenance["step"]) == ("done", "", "graph")
    assert {name: counts()[name] - before[name] for name in ("host_copies_captured", "graphs_alive")} == {
        "host_copies_captured": 0,
        "graphs_alive": 0,
    }


@pytest.mark.parametrize("algorithm", ["agd", "adamw"])
@pytest.mark.parametrize("search_space", SEARCH_SPACES)
def test_a_search_space_trains_as_a_graph(search_space: str, algorithm: str) -> None:
    """A sampled architecture of every space trains as a graph, in the profile that all algorithms support."""
    space = plugins.load("search_spaces", search_space)
    named = {"search_space": search_space, "search_space_label": search_space, "search_space_options": getattr(space, "SMALL", {})}
    before, rng = counts(), np.random.default_rng(0)
    with values_ignored():
        drawn = (run_trial(of_cell(algorithm, **named, architecture=space.sample(rng), dataset_share=0.3), WORKPLACE) for _ in range(20))
        result = next(result for result in drawn if result.status != "refused")  # architectures without a path to the output
    assert (result.status, result.reason, result.provenance["step"]) == ("done", "", "graph")
    assert counts()["host_copies_captured"] == before["host_copies_captured"]

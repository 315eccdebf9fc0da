"""Examine why predicted learning rates differ from searched ones: paths, width, or the size of the initial signal.

For the given runs of the built-in sweeps `architecture_aware_prediction*`, the logarithm of the searched rate is regressed on those of the
predicted rate and of the mean square of the classifier's input before training (initial weights by in-degree, 256 images, mean over five
draws of the weights), separately and together. Run it as

    python tests/performance/rate_prediction.py RUN …
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from agd_bench import plugins
from agd_bench.analysis.scores import Floats
from agd_bench.datasets import data_root
from agd_bench.evidence import gather_evidence
from agd_bench.optim.path_scaling import graph_of, initialise
from agd_bench.store import load_results
from agd_bench.studies.rate_prediction.rates import predicted_rates, prediction_correlation
from agd_bench.training.data import batches, load_splits

IMAGES, DRAWS = 256, 5


def signal(space: ModuleType, architecture: str, options: dict[str, Any], images: torch.Tensor, classes: int) -> float:
    """Return the mean square of the input of the classifier, the last linear layer, before training."""
    found = []
    for seed in range(DRAWS):
        network = space.build(architecture, images.shape[1], classes, **options)
        initialise(network, graph_of(space, architecture, options).network, torch.Generator().manual_seed(seed))
        last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
        last.register_forward_pre_hook(lambda module, given: found.append(float(given[0].square().mean())))
        with torch.no_grad():
            network(images)
    return float(np.mean(found))


def regress(searched: Floats, **causes: Floats) -> str:
    """Return the exponents with standard errors and the correlation of the fit, as text."""
    names = [*causes]
    design = np.column_stack([np.ones(len(searched)), *causes.values()])
    coefficients, *_ = np.linalg.lstsq(design, searched, rcond=None)
    left = searched - design @ coefficients
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * (left @ left) / (len(searched) - design.shape[1]))
    told = ", ".join(f"{name}^{value:.2f} (± {error:.2f})" for name, value, error in zip(names, coefficients[1:], errors[1:], strict=True))
    return f"{told}: r = {np.corrcoef(design @ coefficients, searched)[0, 1]:.3f}"


def main(runs: list[str]) -> None:
    """Print r as published for each run and search space, and the regressions of each run."""
    for run in runs:
        results = gather_evidence(load_results(run))
        rates = predicted_rates(results.trials, results.rate_factors, results.sweep).dropna(subset=["predicted_rate", "searched_rate"])
        data = plugins.load("datasets", results.sweep.datasets[0].name)
        train = load_splits(results.sweep.datasets[0].name, data_root(), (), 1.0, torch.device("cpu")).train
        prepared, _ = next(iter(batches(train, IMAGES, torch.arange(IMAGES))))
        tables = []
        for choice in results.sweep.search_spaces:
            space = plugins.load("search_spaces", choice.name)
            own = rates[rates["search_space"] == choice.label]
            signals = [signal(space, name, choice.options, prepared, data.NUM_CLASSES) for name in own["architecture"]]
            tables.append(own.assign(signal=signals))
        table = pd.concat(tables)
        print(f"\n{results.sweep.name}: {len(table)} architectures, torch {torch.__version__}")
        print(prediction_correlation(rates).iloc[:, 3:].to_string(index=False))
        searched, predicted, size = (np.log(table[name].to_numpy(float)) for name in ("searched_rate", "predicted_rate", "signal"))
        print("searched rate ~", regress(searched, predicted=predicted))
        if np.ptp(size) > 0.1:
            print("searched rate ~", regress(searched, signal=size))
            print("searched rate ~", regress(searched, predicted=predicted, signal=size))
        else:
            print(f"the signal at the start is equal for all, to a factor of {np.exp(np.ptp(size)):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a step, an epoch and a training do on a GPU, counted on the stub, for every algorithm and search space.

    python -m tests.cuda_stub python -m tests.cuda_stub.steps

writes `steps.md`; the tests compare it with new counts.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from agd_bench import plugins
from agd_bench.errors import Refused
from agd_bench.records import Trial
from agd_bench.training import loop
from agd_bench.training.concurrency import own_surroundings
from agd_bench.training.cuda_graphs import Witness, capture_obstacle, capture_steps
from agd_bench.training.data import batches, load_splits
from agd_bench.training.fit import Fit
from agd_bench.trial import make_fit
from tests.cuda_stub.stub import counts, values_ignored
from tests.cuda_stub.trials import WORKPLACE, trial

PAGE = Path(__file__).with_name("steps.md")
CELL = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
REFUSE = {"dsgd", "dsgd_cross_entropy"}
"""Algorithms that train only chains of linear layers, on a CPU as well."""
DEVICE = torch.device("cuda")
EPOCHS = 4
"""The last one is counted, after warm-up and captures."""


class Counts(NamedTuple):
    """A training on the stub.

    Attributes:
        kernels_a_step: kernels in the graph of a training step.
        launches: of graphs, in an epoch of training and its evaluation.
        to_device: copies from the host to the device in an epoch.
        to_host: copies from the device to the host.
        waits: waits of the host for a stream.
        device_waits: waits of the host for the whole device.
        captures: in the whole training.
        graphs_left: graphs alive after the training.
    """

    kernels_a_step: int
    launches: int
    to_device: int
    to_host: int
    waits: int
    device_waits: int
    captures: int
    graphs_left: int


def algorithms() -> list[str]:
    """Return the algorithms that train a convolutional network and whose packages are installed."""
    found = sorted(set(plugins.find("algorithms")) - REFUSE)
    return [name for name in found if not plugins.missing_packages(plugins.locate("algorithms", name))]


def settings(algorithm: str) -> dict[str, Any]:
    """Return a value for each hyperparameter range."""
    ranges = plugins.ranges_of(plugins.load("algorithms", algorithm))
    return {name: values["choices"][0] if "choices" in values else values["low"] for name, values in ranges.items()}


def of_cell(algorithm: str, **changes: Any) -> Trial:
    """Return a short trial of a small cell: 5 full batches and a smaller one."""
    small = {"search_space": "nas_bench_201", "search_space_label": "cells", "search_space_options": {"channels": 4, "cells": 1}}
    own = {"algorithm": algorithm, "algorithm_label": algorithm, "hyperparameters": settings(algorithm), "architecture": CELL}
    return trial(**small | own | {"epochs": EPOCHS, "dataset_share": 0.3} | changes)


def drawn(search_space: str, algorithm: str) -> Iterator[Trial]:
    """Yield the same architectures of a search space for each algorithm."""
    space, rng = plugins.load("search_spaces", search_space), np.random.default_rng(0)
    named = {"search_space": search_space, "search_space_label": search_space, "search_space_options": getattr(space, "SMALL", {})}
    for _ in range(20):
        yield of_cell(algorithm, **named, architecture=space.sample(rng))


def made(candidates: Iterable[Trial], device: torch.device) -> tuple[Trial, Fit]:
    """Return the first trial that its algorithm does not refuse, with its training."""
    for candidate in candidates:
        with suppress(Refused):
            return candidate, make_fit(candidate, WORKPLACE, 1000, device)
    raise AssertionError("the algorithm refuses all of them")


def count(candidates: Iterable[Trial]) -> Counts | str:
    """Train on the stub and count; the reason if the steps are eager, as what they do depends on values, which the stub lacks."""
    with values_ignored(), own_surroundings(1, DEVICE):
        asked, fit = made(candidates, DEVICE)
        if capture_obstacle(fit):
            return obstacle(asked)
        begun = counts()
        kernels, epoch = _trained(asked, fit)
        assert (fit.capture.reason if fit.capture else fit.eager_reason) == ""
        assert counts()["host_copies_captured"] == begun["host_copies_captured"]
        del fit
        gc.collect()
        alive = counts()["graphs_alive"] - begun["graphs_alive"]
        return Counts(kernels, *epoch, captures=counts()["captures"] - begun["captures"], graphs_left=alive)


def _trained(asked: Trial, fit: Fit) -> tuple[int, tuple[int, int, int, int, int]]:
    """Train, and return the kernels of a step and the counts of the last epoch."""
    splits = load_splits(asked.dataset, WORKPLACE.data_root, (), asked.dataset_share, DEVICE)
    capture_steps(fit, DEVICE)
    kernels, update = [0], Fit.update

    def counted(self: Fit, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        before = counts()["kernels"]
        result = update(self, images, labels)
        kernels[0] = counts()["kernels"] - before
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fit, "update", counted)
        points = loop.epochs_of(fit, splits.train, splits.val, first=1, last=EPOCHS, batch_size=asked.batch_size, seed=0, augment=True)
        told = [counts() for _ in points]
    spent = {name: told[-1][name] - told[-2][name] for name in told[-1]}
    return kernels[0], (spent["launches"], spent["to_device"], spent["to_host"], spent["stream_waits"], spent["device_waits"])


def obstacle(asked: Trial) -> str:
    """What keeps the steps of an algorithm from being captured, as seen in its second step, on the CPU, where values exist."""
    _, fit = made([asked], torch.device("cpu"))
    images = load_splits(asked.dataset, WORKPLACE.data_root, (), asked.dataset_share, "cpu").train
    ((pixels, labels),) = batches(images, 64, torch.arange(64))
    fit.network.train()
    fit.step(pixels, labels)
    with Witness() as witness:
        fit.step(pixels, labels)
    return witness.reason or capture_obstacle(fit)


def rows() -> Iterator[tuple[str, Counts | str]]:
    """Yield each row of the page."""
    for algorithm in algorithms():
        yield algorithm, count([of_cell(algorithm)])
    for space in sorted(plugins.find("search_spaces")):
        for algorithm in ("agd", "adamw"):
            yield f"{space}, {algorithm}", count(drawn(space, algorithm))


HEAD = f"""# Steps on a GPU, counted on the stub

Written by `python -m tests.cuda_stub python -m tests.cuda_stub.steps` with torch {torch.__version__.partition("+")[0]}.

Algorithms train one NAS-Bench-201 cell, search spaces a sampled network, on digits. An epoch is 5 full batches, a smaller one, and the
evaluation of one batch. `graph`: a step is one launch; `eager`: its kernels are launched one by one, because of what a step shows.

| training | step | {" | ".join(name.replace("_", " ") for name in Counts._fields)} | because |
|---|---|{"--:|" * len(Counts._fields)}---|
"""


def row(name: str, counted: Counts | str) -> str:
    """Return a row of the page."""
    cells = ["graph", *map(str, counted), ""] if isinstance(counted, Counts) else ["eager", *("–" * len(Counts._fields)), counted]
    return f"| {name} | {' | '.join(cells)} |"


def expected() -> tuple[str, dict[str, str]]:
    """Return the version of torch of the page, and its rows by training."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text.split("--:|---|\n")[1].splitlines()
    return text.partition("with torch ")[2].split(".\n")[0], {line.split(" | ")[0].removeprefix("| "): line for line in lines}


if __name__ == "__main__":
    lines = []
    for name, counted in rows():
        lines.append(row(name, counted))
        print(lines[-1], file=sys.stderr)
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")

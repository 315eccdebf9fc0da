"""Warm-up of a process, not charged to any trial: imports, the data set, a first optimizer and a first step."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from agd_bench import cost
from agd_bench.optim import losses
from agd_bench.records import Trial
from agd_bench.training.concurrency import own_surroundings
from agd_bench.training.data import batches, load_splits
from agd_bench.training.fit import Fit
from agd_bench.trial import Workplace
from agd_bench.trial.provenance import surroundings

IMAGES = 8
CHANNELS = 8


def take_a_step(trial: Trial, workplace: Workplace) -> None:
    """Import the trial's plug-ins, load its data set, and train a small network for one step of plain gradient descent."""
    device = workplace.torch_device()
    # Errors are left to the trials that encounter them.
    with contextlib.suppress(Exception), own_surroundings(workplace.threads, device):
        workplace.load("search_spaces", trial.search_space)
        workplace.load("algorithms", trial.algorithm)
        dataset = workplace.load("datasets", trial.dataset)
        splits = load_splits(trial.dataset, workplace.data_root, tuple(workplace.folders.get("datasets", ())), trial.dataset_share, device)
        # Not a plug-in's network: its code may kill the process, which must end one trial, not every worker.
        convolution = nn.Conv2d(dataset.IN_CHANNELS, CHANNELS, 3, padding=1, bias=False)
        layers = convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        network = nn.Sequential(*layers, nn.Linear(CHANNELS, dataset.NUM_CLASSES, bias=False)).to(device)
        fit = Fit(network, torch.optim.SGD(network.parameters(), lr=0.1), None, losses.by_name("cross_entropy"), trial.precision)
        order = torch.arange(min(IMAGES, len(splits.train.labels)))
        # images (IMAGES, C, H, W), labels (IMAGES,)
        images, labels = next(batches(splits.train, IMAGES, order, torch.Generator(), trial.augment))
        fit.step(images, labels)
        cost.count_flops(network, images[:1])
        surroundings(device)

"""FLOPs of a trial's network, counted once per process."""

from __future__ import annotations

import torch
from torch import nn

from agd_bench import cost
from agd_bench.records import Trial
from agd_bench.training.eval_weights import refreshed_images
from agd_bench.training.fit import Fit
from agd_bench.trial.workplace import Workplace

_COUNTED: dict[tuple[object, ...], cost.Flops] = {}
_MOST_COUNTED = 20_000


def flops_of(trial: Trial, workplace: Workplace, network: nn.Module, device: torch.device) -> cost.Flops:
    """FLOPs per image, counted once in a process for each architecture as its algorithm prepares it, whatever the seed.

    Args:
        trial: what is trained.
        workplace: where its plug-ins are.
        network: the trial's.
        device: where the network is.
    """
    plugged = (workplace.load("search_spaces", trial.search_space), workplace.load("algorithms", trial.algorithm))
    options = tuple(sorted(trial.search_space_options.items()))
    # Modules, not names: folders may hold other code under a name. Batch size: a batch shares the work on weights alone.
    key = (*plugged, workplace.load("datasets", trial.dataset), options, trial.architecture, trial.profile, trial.batch_size)
    counted = _COUNTED.get(key)
    if counted is None:
        if len(_COUNTED) >= _MOST_COUNTED:  # bounds the memory of a worker that lives for days
            _COUNTED.clear()
        counted = _COUNTED[key] = cost.count_flops(network, blank_batch(trial, workplace, device))
    return counted


def charge_of(trial: Trial, workplace: Workplace, fit: Fit, images: int, device: torch.device) -> tuple[cost.Flops, int | None]:
    """FLOPs of an image, and of an epoch of the trial; None: not counted.

    Args:
        trial: what is trained.
        workplace: where plug-ins are.
        fit: the trial's network and optimizer.
        images: of the training split.
        device: where the network is.
    """
    flops = flops_of(trial, workplace, fit.network, device)
    return flops, flops.of_epoch(images, refreshed_images(fit.network, fit.optimizer, images, trial.batch_size))


def blank_batch(trial: Trial, workplace: Workplace, device: torch.device) -> torch.Tensor:
    """A batch of the trial's data set, (N, C, H, W), of one zero that takes no memory."""
    dataset = workplace.load("datasets", trial.dataset)
    return torch.zeros((), device=device).expand(trial.batch_size, dataset.IN_CHANNELS, dataset.IMAGE_SIZE, dataset.IMAGE_SIZE)
